#!/usr/bin/env bash
# Lets schemathesis send what /openapi.json allows, and what it forbids, to a server of its own.
#
#   tests/service/schemathesis.sh [EXAMPLES] [SEED]
#
# EXAMPLES is the number of requests for each operation and phase (default: 50); the same seed sends the same ones
# (default: 1). Schemathesis is installed into a folder of its own under the build directory.
set -euo pipefail
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-target}"
venv="$target/schemathesis-venv"
version=4.32.5
if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi
windrow="${WINDROW:-}"
if [ -z "$windrow" ]; then
    cargo build --quiet --bin windrow
    windrow="$target/debug/windrow"
fi
windrow=$(realpath "$windrow")
schemathesis=$(realpath "$venv/bin/schemathesis")
work=$(mktemp -d)
server=""
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"

# Sets and bars that are computed in no time, so that requests with `wait` cost little.
printf 'symbol,ts,close\n' >bars.csv
for symbol in AAPL BRK/B MSFT; do
    for day in 01 02 03 04 05; do printf '%s,2024-01-%s,%s\n' "$symbol" "$day" "1$day.5" >>bars.csv; done
done
cat >windrow.yaml <<'YAML'
sources: {bars: bars.csv}
targets: {out: out}
YAML
cat >quick.sql <<'SQL'
/*
description: Closes and their means
*/
SELECT symbol, ts, close, avg(close) OVER (PARTITION BY symbol ORDER BY ts ROWS 2 PRECEDING) AS mean FROM bars
SQL

"$windrow" serve --listen 127.0.0.1:0 2>log &
server=$!
for _ in $(seq 600); do
    url=$(sed -n 's/^windrow serves //p' log)
    [ -z "$url" ] || break
    sleep 0.1
done
[ -n "$url" ] || { cat log >&2; exit 1; }

# A correct request may name a set or a symbol that is not there (404, 422), and a queue may be busy (503).
cat >schemathesis.toml <<'TOML'
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", 401, 403, 404, 406, 409, 422, 503]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 429, 431]
TOML
status=0
"$schemathesis" --config-file schemathesis.toml run "$url/openapi.json" \
    --phases examples,coverage,fuzzing,stateful --max-examples "${1:-50}" --seed "${2:-1}" --workers 2 \
    --request-timeout 90 --continue-on-failure --no-color --generation-database none --warnings off || status=$?
if grep -n panicked log; then status=1; fi
kill -0 "$server"
exit "$status"
