#!/usr/bin/env bash
# Installs what the tests need of Debian's packages: as root, or by `sudo -n` where that works; else prints the line to paste.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v haproxy >/dev/null || missing+=(haproxy)
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "The tests need: ${missing[*]}. Install them with your package manager, then run this again." >&2
  exit 1
fi
echo "installing ${missing[*]} …"
# Debian starts a server it installs; the tests start their own, so the packages' services stay off.
if [ "$(id -u)" -eq 0 ]; then
  RUNLEVEL=1 bash -c "$install" >/dev/null
elif sudo -n true 2>/dev/null; then
  sudo -n env RUNLEVEL=1 bash -c "$install" >/dev/null
else
  echo "The tests need Debian packages that are not installed. Paste this, then run the check again:" >&2
  echo "  sudo sh -c '$install'" >&2
  exit 1
fi
