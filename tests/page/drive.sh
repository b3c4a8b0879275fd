#!/usr/bin/env bash
# Drives the page of `windrow serve` in a headless Chromium, on bars that are made now:
#
#   tests/page/drive.sh              says what is wrong; exit code 1 if anything is
#   tests/page/drive.sh PICTURES     also writes a picture of each view into that folder
#
# WINDROW names a program that is built already. Without a Chromium nothing is driven, which WINDROW_TEST_SERVERS forbids.
set -euo pipefail
pictures="${1:+$(mkdir -p "$1" && realpath "$1")}"
cd "$(dirname "$0")/../.."
if ! command -v chromium chromium-browser google-chrome chrome >/dev/null; then
    echo "skipped: $0 needs a Chromium (Debian: apt install chromium)" >&2
    [ -z "${WINDROW_TEST_SERVERS:-}" ]
    exit
fi
program="${WINDROW:-}"
if [ -z "$program" ]; then
    cargo build --quiet --bin windrow
    program="${CARGO_TARGET_DIR:-target}/debug/windrow"
fi
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
PYTHONDONTWRITEBYTECODE=1 python3 tests/page/drive.py "$(realpath "$program")" "$work" ${pictures:+"$pictures"}
