#!/usr/bin/env bash
# One TPU VM or a whole slice (v5litepod-8, v5litepod-64, v5p-64, ...), by gcloud: made if it is not there, then the run.
#
#   ZONE=us-west4-a TYPE=v5litepod-8 launch/tpu.sh NAME --config=grpo.py --workdir=DIR [--config.KEY=VALUE ...]
#
# DIR is a path on every worker: a mounted bucket (gcsfuse) or NFS, since checkpoints are written by all of them. After a
# pre-emption the same command makes the slice again and goes on. SPOT=1 asks for spot capacity, VERSION for another runtime.
set -euo pipefail

if [ $# -lt 2 ] || [ -z "${ZONE:-}" ] || [ -z "${TYPE:-}" ]; then
  echo "usage: ZONE=... TYPE=... launch/tpu.sh NAME --config=FILE --workdir=DIR [--config.KEY=VALUE ...]" >&2
  exit 2
fi
name=$1
shift
version=${VERSION:-v2-alpha-tpuv5-lite}
here=$(cd "$(dirname "$0")/.." && pwd)
tpu=(gcloud compute tpus tpu-vm)

if ! "${tpu[@]}" describe "$name" --zone="$ZONE" > /dev/null 2>&1; then
  spot=()
  [ -n "${SPOT:-}" ] && spot=(--spot)
  "${tpu[@]}" create "$name" --zone="$ZONE" --accelerator-type="$TYPE" --version="$version" "${spot[@]}"
fi

archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT
git -C "$here" archive --format=tar.gz --output="$archive" HEAD
"${tpu[@]}" scp "$archive" "$name:playpen-jax.tar.gz" --zone="$ZONE" --worker=all

quoted=$(printf '%q ' "$@")
"${tpu[@]}" ssh "$name" --zone="$ZONE" --worker=all --command="
  set -e
  mkdir -p playpen-jax && tar -xzf playpen-jax.tar.gz -C playpen-jax && cd playpen-jax
  [ -d .venv ] || python3 -m venv .venv
  .venv/bin/pip install -q -e '.[tpu]'
  .venv/bin/python -m playpen_jax.train --distributed $quoted"
