"""How long the challenge's closed set would take: `python benchmarks/closed_set.py ../shared/replay [--share=0.6]`.

Reads the recorded episodes (four models, 1,632 episodes each), takes a token for four characters, and lets them speak in
`rows` rows that are refilled at once. A decode step takes as long as reading the weights and the caches of those who speak at
`share` of the memory's bandwidth, a prompt as long as its products at `share` of the matrix rate; prompts are computed between
the steps. No reply is longer than the challenge's 5,000 tokens. One JSON line for each recorded model.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import heapq
import json
from pathlib import Path

CHARACTERS, LONGEST = 4, 5000
# an 8B model of 32 layers, 8 kv heads of 128, in bfloat16; one H200 by its data sheet: bytes and dense bf16 operations a second
WEIGHTS, PARAMETERS, PER_TOKEN = 16e9, 8e9, 2 * 2 * 32 * 8 * 128
BANDWIDTH, RATE = 4.8e12, 990e12

Turn = tuple[str, int, int]  # seat, tokens shown, tokens said


def episodes(folder: Path) -> dict[str, list[list[Turn]]]:
    """Of each recorded model: its episodes as turns."""
    found = collections.defaultdict(list)
    for file in sorted(folder.glob("*.jsonl.gz")):
        for line in gzip.open(file, "rt", encoding="utf-8"):
            record = json.loads(line)
            turns, shown = [], collections.Counter()
            for event in (event for events in record["rounds"] for event in events):
                tokens = -(-len(str(event["content"])) // CHARACTERS)
                if event["type"] == "send message":
                    shown[event["to"]] += tokens
                elif event["type"] == "get message":
                    turns.append((event["from"], shown.pop(event["from"], 0), max(1, min(tokens, LONGEST))))
            found[record["model"]].append(turns)
    return found


def project(todo: list[list[Turn]], rows: int, share: float) -> dict:
    """Seconds until the last episode ends, turn by turn, and what they were spent on."""
    held = [collections.Counter() for _ in todo]  # tokens in the cache of each seat
    at, waiting = [0] * len(todo), collections.deque(i for i, turns in enumerate(todo) if turns)
    ends: list[tuple[int, int]] = []  # (step at which the reply ends, episode)
    step = cached = 0
    decoding = prefilling = row_steps = 0.0
    said = sum(turn[2] for turns in todo for turn in turns)
    while waiting or ends:
        while waiting and len(ends) < rows:
            i = waiting.popleft()
            seat, shown, length = todo[i][at[i]]
            prefilling += 2 * PARAMETERS * shown / (RATE * share)
            held[i][seat] += shown
            cached += held[i][seat] + length // 2
            heapq.heappush(ends, (step + length, i))
        busy, steps = len(ends), ends[0][0] - step
        decoding += steps * max(WEIGHTS + cached * PER_TOKEN, busy * 2 * PARAMETERS / RATE * BANDWIDTH) / (BANDWIDTH * share)
        row_steps += steps * rows
        step, i = heapq.heappop(ends)
        seat, _, length = todo[i][at[i]]
        cached -= held[i][seat] + length // 2
        held[i][seat] += length
        at[i] += 1
        if at[i] < len(todo[i]):
            waiting.append(i)
    new = sum(turn[1] for turns in todo for turn in turns)
    return {
        "episodes": len(todo),
        "replies": sum(map(len, todo)),
        "tokens_prefilled": new,
        "tokens_said": said,
        "decode_steps": step,
        "minutes_decoding": round(decoding / 60, 2),
        "minutes_prefilling": round(prefilling / 60, 2),
        "minutes": round((decoding + prefilling) / 60, 2),
        "tokens_per_second": round(said / (decoding + prefilling)),
        "longest_episode_tokens": max(sum(turn[2] for turn in turns) for turns in todo),
        "occupancy": round(said / row_steps, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--share", type=float, default=0.6, help="of bandwidth and matrix rate that is reached")
    options = parser.parse_args()
    for model, todo in episodes(options.folder).items():
        print(
            json.dumps(
                {"model": model, "rows": options.rows, "share": options.share} | project(todo, options.rows, options.share)
            )
        )


if __name__ == "__main__":
    main()
