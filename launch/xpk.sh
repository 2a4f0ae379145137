#!/usr/bin/env bash
# A workload on a GKE cluster made by XPK (https://github.com/AI-Hypercomputer/xpk), on one slice or several.
#
#   CLUSTER=... TYPE=v5p-64 launch/xpk.sh NAME --config=grpo.py --workdir=/gcs/runs/NAME [--config.KEY=VALUE ...]
#
# SLICES (1) and RESTARTS (10) may be set; XPK starts all workers again when one fails, and the run resumes.
set -euo pipefail

if [ $# -lt 2 ] || [ -z "${CLUSTER:-}" ] || [ -z "${TYPE:-}" ]; then
  echo "usage: CLUSTER=... TYPE=... launch/xpk.sh NAME --config=FILE --workdir=DIR [--config.KEY=VALUE ...]" >&2
  exit 2
fi
name=$1
shift
here=$(cd "$(dirname "$0")/.." && pwd)
quoted=$(printf '%q ' "$@")
xpk workload create --cluster="$CLUSTER" --workload="$name" --tpu-type="$TYPE" --num-slices="${SLICES:-1}" \
  --max-restarts="${RESTARTS:-10}" --base-docker-image="${IMAGE:-python:3.12-slim}" --script-dir="$here" \
  --command="pip install -q -e '.[tpu]' && python -m playpen_jax.train --distributed $quoted"
