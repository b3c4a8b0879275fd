#!/bin/sh
# Exports every feature set of a directory into a bucket, where training jobs read it.
#
#   ./s3-export.sh s3://market/bars/ s3://market/features [queries]
#
# Credentials come from the environment, a profile (AWS_PROFILE) or the machine's role. AWS_ENDPOINT_URL
# names a server of your own. It is safe to run this again: sets that are committed already are skipped.
# Exit code 0 means that every set is committed.
set -eu

bars=${1:?usage: $0 BARS PREFIX [QUERIES]}
prefix=${2:?usage: $0 BARS PREFIX [QUERIES]}
queries=$(cd "${3:-queries}" && pwd)

# A windrow.yaml, created for this run, names the targets.
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

# Leftovers of killed runs cost money until they are removed.
for set in "$queries"/*.sql; do
    windrow vacuum "${prefix%/}/$(basename "$set" .sql)/" 2>/dev/null || true
done
exit "$code"
