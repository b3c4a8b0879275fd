#!/usr/bin/env bash
# The tests that take longer than ./test may.
#
#   tests/long.sh sql [SEED]         10,000 random queries and statements and 200 random joins against DuckDB, with 1, 2 and
#                                    3 threads each and a time limit; about 20 minutes
#   tests/long.sh faults [SEED]      every kind of fault at every call to files, object stores and PostgreSQL, and 200 pairs
#                                    of faults for each target and command; about an hour
#   tests/long.sh kills [SEED]       10,000 runs that are killed, by SIGKILL; about an hour
#   tests/long.sh service [SEED]     the service: killed 100 times under load, 10,000 mixed requests, 500 changes of its inputs, and
#                                    what schemathesis makes of /openapi.json; about half an hour
#   tests/long.sh fuzz [SECONDS]     each kind of foreign bytes by libFuzzer for so many seconds (default: 600)
#   tests/long.sh [SEED]             all of them
#
# Another seed gives other queries, faults and kills (default: 1); the same one gives the same.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh
need python3 python3
python3 -m venv --help >/dev/null 2>&1 || need python3-venv python3-venv
export WINDROW_TEST_SERVERS=1

sql() { tests/reference/against_duckdb.sh 10000 200 10000 "$1"; }
faults() { WINDROW_FAULTS=all WINDROW_PAIRS=200 WINDROW_SEED=$1 cargo test --locked --test it -- --nocapture faults::; }
kills() { WINDROW_KILLS=10000 WINDROW_SEED=$1 cargo test --locked --test it -- --nocapture kill::killed_at_random; }
service() {
    WINDROW_LONG=1 WINDROW_SEED=$1 cargo test --locked --test it -- --nocapture service::
    tests/service/schemathesis.sh 500 "$1"
}

case "${1:-all}" in
    sql | faults | kills | service) "$1" "${2:-1}" ;;
    fuzz) fuzz/run --seconds "${2:-600}" ;;
    *)
        seed=${1:-1}
        [ "$seed" != all ] || seed=1
        sql "$seed" && faults "$seed" && kills "$seed" && service "$seed" && fuzz/run --seconds 600
        ;;
esac
