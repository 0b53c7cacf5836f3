#!/usr/bin/env bash
# Installs what the tests need of Debian's packages: as root, or by `sudo -n` where that works; else prints the line to paste.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin" # where Debian puts haproxy, and where only root looks
self=$(realpath "$0")
missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v haproxy >/dev/null || missing+=(haproxy)
command -v curl >/dev/null || missing+=(curl)
command -v openssl >/dev/null || missing+=(openssl)
command -v prlimit >/dev/null || missing+=(util-linux)
command -v systemd-notify >/dev/null || missing+=(systemd) # only its tools: nothing of it is started
[ -x /usr/bin/python3 ] || missing+=(python3)               # puts a unit's filters on a process (libseccomp comes with apt)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "The tests need: ${missing[*]}. Install them with your package manager, then run this again." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  if sudo -n true 2>/dev/null; then exec sudo -n bash "$self"; fi
  echo "The tests need Debian packages that are not installed: ${missing[*]}. Paste this, then run the check again:" >&2
  echo "  sudo bash '$self'" >&2
  exit 1
fi

echo "installing ${missing[*]} …"
# Debian starts a server that it installs, now and at each boot. The tests start their own, so neither shall happen.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
for service in "${missing[@]}"; do update-rc.d "$service" disable >/dev/null 2>&1 || true; done
