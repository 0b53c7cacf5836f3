#!/usr/bin/env bash
# Everything CI checks, in the order in which it fails fastest. The last line is the tests' count.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin" # where Debian puts haproxy, and where only root looks
report=$(mktemp)
trap 'rm -f "$report"' EXIT

step() { printf '\n== %s\n' "$1"; }

step 'test tools'; bash scripts/test-tools.sh
step 'build'; rm -rf dist; npm run --silent build # what an older build left there must not pass for this one's
step 'types'; npm run --silent typecheck
step 'lint'; npm run --silent lint
step 'openapi lint'
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npx --no-install redocly lint openapi.yaml >"$report" 2>&1 || { cat "$report"; exit 1; }

step 'tests'
npx --no-install vitest run --reporter=default --reporter=./scripts/summary-reporter.ts
