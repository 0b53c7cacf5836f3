#!/bin/sh
# For machines without systemd, and images that start one program: registers what it starts, for as long as that runs.
#   ROLLCALL_URL=… ROLLCALL_TOKEN=… GAME_GROUP=kr-1 GAME_PORT=7777 boot.sh /opt/game/server --port 7777
# As process 1 of a container, or from rc.local, cloud-init's runcmd, a scaling group's user data.
set -eu
: "${ROLLCALL_URL:?the gateway, such as http://rollcall:3000}" "${ROLLCALL_TOKEN:?a token with the verbs read and write}"
: "${GAME_GROUP:?where it belongs, such as kr-1}" "${GAME_PORT:?the port it listens on}"
# The id is this machine's place in the fleet: the same after a restart, so that a new process takes over from the old one at once.
exec node "${ROLLCALL_HOME:-/opt/rollcall}/dist/rollcall.js" run --id "${GAME_ID:-$(hostname)}" --type "${GAME_TYPE:-game}" --group "$GAME_GROUP" \
  --port "game:$GAME_PORT" --drain "${GAME_DRAIN_SECONDS:-20}" -- "$@"
