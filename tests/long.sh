#!/usr/bin/env bash
# The tests that take longer than ./test may: 10,000 random queries and 200 random joins against DuckDB, the joins
# with 1, 2 and 3 threads each and a time limit. About 20 minutes.
#
#   tests/long.sh [SEED]     another seed gives other queries (default: 1)
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/tools.sh
need python3 python3
python3 -m venv --help >/dev/null 2>&1 || need python3-venv python3-venv
tests/reference/against_duckdb.sh 10000 200 10000 "${1:-1}"
