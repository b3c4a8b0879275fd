# Sourced by ./demo, ./test and ./dist: where they build, and how they get a tool that is missing.
# shellcheck shell=bash

# Outside the clone, where clones share it: CARGO_TARGET_DIR decides otherwise.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/windrow/target}"

# Cargo goes by the times of files. Those of a fresh clone are new, and all that stands on vendor/ would be built
# again: files that are as they were committed get the time of that commit.
(
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    when=$(git log -1 --format=%ct -- vendor 2>/dev/null) || exit 0
    [ -n "$when" ] && [ -z "$(git status --porcelain -- vendor)" ] || exit 0
    find vendor -type f -exec touch -d "@$when" {} +
)

missing() { printf '%s needs %s: %s\n' "$0" "$1" "$2" >&2; exit 1; }

need() { # COMMAND PACKAGE: installs a Debian package if the command is missing
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null || missing "$1" "install it with your package manager"
    local as=""
    [ "$(id -u)" = 0 ] || as="sudo"
    $as apt-get update -qq >&2 && $as apt-get install -y -qq --no-install-recommends "$2" >&2
}

command -v cargo >/dev/null || missing cargo "install Rust 1.95 or newer, see rustup"
need cc gcc
