#!/bin/sh
# Runs every feature set of a directory, for a nightly job.
#
#   examples/nightly.sh [QUERIES [BARS [OUT]]]
#
# One set that fails does not stop the others; its target stays as it was. The exit code is 1 if
# any failed. Without arguments it runs the sets of queries/ on sample bars, in a temporary folder.
# WINDROW names the program: `windrow` on the path, else what cargo builds (minutes, the first time).
set -u

queries=${1:-$(dirname "$0")/../queries}
bars=${2:-}
out=${3:-}

windrow() {
    if [ -n "${WINDROW:-}" ]; then "$WINDROW" "$@"
    elif command -v windrow >/dev/null; then command windrow "$@"
    else cargo run --quiet --release --manifest-path "$(dirname "$0")/../Cargo.toml" -- "$@"
    fi
}

if [ -z "$bars" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    windrow demo --dir "$folder" >/dev/null || exit 1
    bars=$folder/bars
fi
out=${out:-${folder:-.}/nightly}
mkdir -p "$out" || exit 1

log() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*" | tee -a "$out/nightly.log"; }

log "start: $queries on $bars"
ran=0 failed=
for file in "$queries"/*.sql; do
    [ -f "$file" ] || { log "no feature set in $queries"; exit 1; }
    name=$(basename "$file" .sql)
    # The summary goes to stdout as JSON, everything else to stderr.
    if windrow run "$file" --source bars="$bars" --to "$out/$name" --json \
        >"$out/$name.json" 2>"$out/$name.err"; then
        ran=$((ran + 1))
        log "ok: $(tail -n 1 "$out/$name.err")"
    else
        failed="$failed $name"
        log "FAILED: $name: $(tail -n 1 "$out/$name.err")"
    fi
done
log "end: $ran done, failed:${failed:- none}"
[ -z "$failed" ]
