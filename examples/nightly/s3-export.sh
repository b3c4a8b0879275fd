#!/bin/sh
# Exports every feature set of a directory into a bucket, where training jobs read it.
#
#   ./s3-export.sh s3://market/bars/ s3://market/features [queries]
#
# Credentials come from the environment, a profile (AWS_PROFILE) or the machine's role, a server of your
# own from AWS_ENDPOINT_URL. Run it again as often as you like: what is committed already is left out.
# Exit code 0 means that every set is there.
set -eu

bars=${1:?usage: $0 BARS PREFIX [QUERIES]}
prefix=${2:?usage: $0 BARS PREFIX [QUERIES]}
queries=$(cd "${3:-queries}" && pwd)

# The targets are named by a windrow.yaml, which is made for the run.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/windrow.yaml" <<YAML
sources:
  bars: $bars
targets:
  export: ${prefix%/}/{set}/
timeout_seconds: ${TIMEOUT_SECONDS:-3000}
YAML
cd "$work"

code=0
windrow export "$queries" --resume --log-format json || code=$?

# What runs that were killed left behind costs money until somebody removes it.
for set in "$queries"/*.sql; do
    windrow vacuum "${prefix%/}/$(basename "$set" .sql)/" 2>/dev/null || true
done
exit "$code"
