#!/usr/bin/env bash
# The loop of README, "What a client must do", with curl.
#   ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=... examples/loop.sh game kr-1 7777
set -u
type=$1 group=$2 port=$3
id=${INSTANCE_ID:-$(hostname)-$$} incarnation=$(date +%s%N) registered=0 wait=0
body=$(mktemp) && trap 'rm -f "$body"' EXIT
trap 'stop=1; kill $! 2>/dev/null' TERM INT
stop=0

call() { # method, path, JSON: prints the status, 000 when nobody answered within 5 s; the answer is in $body
  # The token goes in by a file: everybody on the machine sees arguments.
  curl -sS -m 5 -o "$body" -w '%{http_code}' -X "$1" -H @<(printf 'X-API-Token: %s' "$ROLLCALL_TOKEN") -H 'Content-Type: application/json' ${3:+-d "$3"} "$ROLLCALL_URL/sd/v1$2" 2>/dev/null
}
interval() { sed -nE 's/.*"(nextHeartbeatMs|heartbeatIntervalMs)":([0-9]+).*/\2/p' "$body"; }

while [ "$stop" = 0 ]; do
  if [ "$registered" = 1 ]; then
    status=$(call POST "/instances/$id/heartbeat" "{\"incarnation\":\"$incarnation\"}")
  else
    status=$(call POST /instances "{\"instanceId\":\"$id\",\"incarnation\":\"$incarnation\",\"type\":\"$type\",\"group\":\"$group\",\"hostname\":\"$(hostname)\",\"ports\":[$port]}")
  fi
  case $status in
    200 | 201)
      [ "$registered" = 1 ] || echo "registered $id"
      registered=1 wait=$(($(interval) / 1000)) ;;
    404) registered=0 wait=0 ;;                                  # swept or removed: register again
    409) echo "superseded: $(cat "$body")" && exit 1 ;;          # another process has the id now
    000 | 429 | 5*) wait=1 ;;                                    # not now: again, with the same ids
    *) echo "refused: $status $(cat "$body")" && wait=30 ;;      # somebody can mend that while we run
  esac
  sleep "$wait" & wait $! 2>/dev/null
done
[ "$registered" = 0 ] || { call DELETE "/instances/$id?incarnation=$incarnation" >/dev/null && echo left; }
