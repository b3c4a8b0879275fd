#!/usr/bin/env bash
# Holds what SQL offers in windrow against DuckDB's wheel, which is installed into a folder of its own under the
# build directory: against_duckdb.sh [QUERIES] [JOINS] [STATEMENTS] [SEED], see against_duckdb.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-target}"
venv="$target/duckdb-venv"
if ! "$venv/bin/python" -c 'import duckdb, numpy, pyarrow; assert duckdb.__version__ == "2.0.1"' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'duckdb==2.0.1' numpy pyarrow
fi
cargo build --quiet --bin windrow
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" tests/reference/against_duckdb.py "$target/debug/windrow" "$work" "$@"
