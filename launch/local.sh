#!/usr/bin/env bash
# N processes of one run on this machine: one that drives all GPUs of a box, or several (one per GPU, or on CPU devices).
#
#   launch/local.sh N --config=grpo.py --workdir=DIR [--config.KEY=VALUE ...]
#
# When a process fails, all are stopped and started again, up to $RESTARTS times (10); they go on from the last checkpoint.
# A mistake in the settings (exit 2) is not tried again. SIGTERM is passed on. Output: DIR/logs/process-I.log.
set -uo pipefail

if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: launch/local.sh N --config=FILE --workdir=DIR [--config.KEY=VALUE ...]" >&2
  exit 2
fi
count=$1
shift
workdir=""
for word in "$@"; do
  [[ $word == --workdir=* ]] && workdir=${word#--workdir=}
done
if [ -z "$workdir" ]; then
  echo "error: launch/local.sh needs --workdir=DIR: a restart goes on from what lies there" >&2
  exit 2
fi
if [[ $workdir == *://* ]]; then
  echo "error: --workdir=$workdir: a folder is wanted; a bucket can be one when it is mounted (gcsfuse)" >&2
  exit 2
fi
mkdir -p "$workdir/logs" || exit 2
pids=()

free_port() {
  python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  pids=()
  local port
  port=$(free_port)
  for ((i = 0; i < count; i++)); do
    local own=() more=()
    if [ "$count" -gt 1 ]; then
      more=(--distributed)
      own+=("JAX_COORDINATOR_ADDRESS=127.0.0.1:$port" "JAX_NUM_PROCESSES=$count" "JAX_PROCESS_ID=$i")
      command -v nvidia-smi > /dev/null && own+=("CUDA_VISIBLE_DEVICES=$i")
    fi
    env "${own[@]}" python -m playpen_jax.train "$@" "${more[@]}" >> "$workdir/logs/process-$i.log" 2>&1 &
    pids+=($!)
  done
}

stop() { # the processes, with the signal given
  for pid in "${pids[@]}"; do
    kill "-$1" "$pid" 2> /dev/null
  done
}

finish() { # wait for all of them; the first exit status that is not 0, in $worst
  worst=0
  local left=("${pids[@]}")
  while [ "${#left[@]}" -gt 0 ]; do
    sleep 0.5
    local running=()
    for pid in "${left[@]}"; do
      if kill -0 "$pid" 2> /dev/null; then
        running+=("$pid")
        continue
      fi
      wait "$pid"
      code=$?
      if [ "$code" -ne 0 ] && [ "$worst" -eq 0 ]; then
        worst=$code
        [ "$ended" -eq 1 ] || stop KILL # the others wait for one that is gone
      fi
    done
    left=("${running[@]}")
  done
}

ended=0
trap 'ended=1; stop TERM' TERM INT

for ((try = 0; try <= ${RESTARTS:-10}; try++)); do
  start "$@"
  finish
  if [ "$worst" -eq 0 ] || [ "$worst" -eq 2 ] || [ "$ended" -eq 1 ]; then
    tail -n 20 "$workdir/logs/process-0.log"
    exit "$worst"
  fi
  echo "launch/local.sh: a process ended with status $worst; all start again ($((try + 1)))" >&2
done
echo "launch/local.sh: given up after ${RESTARTS:-10} restarts; see $workdir/logs" >&2
exit "$worst"
