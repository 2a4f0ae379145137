"""Memory of a stream over many rows: generated dialogues are written, indexed, shuffled and mixed by Grain, and read.

    python benchmarks/stream_rows.py 10000 100000 1000000 10000000 > docs/results/stream_rows.json

Each number of rows has a process and a temporary folder of its own (about 240 bytes a row, deleted at its end). All rows are
read and checked for the index, then examples in their seeded order: all of them, a million at most. A tenth of the rows stands
in a second file of general dialogues, which are a tenth of the mixture.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST = 1_000_000  # examples that are read
MIB = 1 << 20


def write(path: Path, rows: int, kind: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for i in range(rows):
            messages = [
                {"role": "user", "content": f"Guess the word of round {i} in the {kind} game. You have six tries."},
                {"role": "assistant", "content": f"guess: {i * 7919 % 99991}"},
            ]
            meta = {"game": kind, "task_id": i, "outcome": "success"}
            file.write(json.dumps({"messages": messages, "meta": meta}) + "\n")


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def streamed(rows: int) -> dict:
    """What one process needs for a stream of so many rows."""
    from playpen_jax.config import Data
    from playpen_jax.data import gather

    with tempfile.TemporaryDirectory() as folder:
        own, general = Path(folder) / "games.jsonl", Path(folder) / "general.jsonl"
        write(own, rows - rows // 10, "words")
        write(general, rows // 10, "general")
        size = own.stat().st_size + general.stat().st_size

        def begin(own: Path):
            given = Data(paths=(str(own),), general=(str(general),), general_weight=0.1, stream=True, unique=False)
            return gather.stream(given, seed=0)

        few = Path(folder) / "few.jsonl"
        write(few, 1000, "words")
        begin(few)[0]  # imports and first calls are not the rows'
        before, began = resident(), time.perf_counter()
        found = begin(own)
        indexed, index_seconds = resident(), time.perf_counter() - began
        characters, began = 0, time.perf_counter()
        for i in range(min(rows, MOST)):
            characters += len(found[i][-1]["content"])
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "rows": len(found),
        "file_mib": round(size / MIB, 1),
        "index_seconds": round(index_seconds, 1),
        "resident_mib": {k: round(x / MIB, 1) for k, x in (("before", before), ("indexed", indexed), ("read", resident()))},
        "peak_mib": round(peak / MIB, 1),
        "bytes_a_row_of_index": round((indexed - before) / rows, 1),
        "examples_read": min(rows, MOST),
        "examples_per_second": round(min(rows, MOST) / seconds),
    }


def main(counts: list[str]) -> None:
    if counts[0] == "one":
        print(json.dumps(streamed(int(counts[1]))))
        return
    lines = []
    for count in counts:
        done = subprocess.run([sys.executable, __file__, "one", count], capture_output=True, text=True, check=True)
        lines.append(json.loads(done.stdout.splitlines()[-1]))
        print(lines[-1], file=sys.stderr)
    command = "python benchmarks/stream_rows.py " + " ".join(counts)
    print(json.dumps({"command": command, "lines": lines}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
