#!/usr/bin/env bash
# Runs features over generated bars with the binary and compares every value with the TA-Lib wheel,
# symbol by symbol. The wheel is installed into a folder of its own under the build directory.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${CARGO_TARGET_DIR:-target}/reference-venv"
if ! "$venv/bin/python" -c 'import talib, pandas, pyarrow' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'TA-Lib==0.8.2' numpy pandas pyarrow
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --quiet --bin windrow
"$venv/bin/python" tests/reference/against_talib.py "${CARGO_TARGET_DIR:-target}/debug/windrow" "$work" "$@"
