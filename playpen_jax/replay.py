"""Check the engines against recorded episodes: `python -m playpen_jax.replay PATH... [--show=N]`.

PATH is a GAME.jsonl[.gz] of recorded episodes, a folder of them, or a clembench results tree. Prints one JSON object a line and
game, then the total; exits with 0 only if every episode is equal.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from games import records, results_tree
from playpen_jax.programs import parser, user_errors


def sources(path: Path) -> list[tuple[Path, Iterator[dict]]]:
    """Files of recorded episodes, or one results tree, with what is read from each."""
    if path.is_dir() and any(path.rglob("interactions.json")):
        return [(path, results_tree.read(path))]
    files = [path] if path.is_file() else sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")])
    return [(file, records.read_records(file)) for file in files]


def read(path: Path) -> Iterator[dict]:
    """The recorded episodes under a path; raises `ValueError` with the file for what is none, and if there are none."""
    found = 0
    for place, recorded in sources(path):
        try:
            for record in recorded:
                found += 1
                if not isinstance(record.get("game"), str):
                    raise ValueError(f"episode {found}: field 'game': a text is wanted")
                yield record
        except (ValueError, EOFError, OSError, zlib.error) as error:  # broken JSON, UTF-8 or gzip
            raise ValueError(str(error) if str(place) in str(error) else f"{place}: {error}") from None
    if not found:
        raise ValueError(f"{path}: neither recorded episodes nor a clembench results tree")


def verdict(record: dict) -> tuple[str, str]:
    """("equal" | "different" | "failed", what differs)."""
    try:
        _, differences = records.replay(record)
    except Exception as error:  # a tool that counts failures must outlive each of them
        return "failed", f"{type(error).__name__}: {error}"
    return ("different", "; ".join(differences)) if differences else ("equal", "")


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("replay", __doc__)
    options.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    options.add_argument("--show", type=int, default=0, metavar="N", help="print the first N differences")
    args = options.parse_args(argv)
    counts: dict[str, dict[str, int]] = {}
    shown = 0
    with user_errors():
        for record in (r for path in args.paths for r in read(path)):
            kind, why = verdict(record)
            count = counts.setdefault(record["game"], {"episodes": 0, "equal": 0, "different": 0, "failed": 0})
            count["episodes"] += 1
            count[kind] += 1
            if kind != "equal" and shown < args.show:
                shown += 1
                place = f"{record['game']}/{record.get('experiment')}/{record.get('game_id')} {record.get('model', '')}"
                print(f"{place}: {kind}: {why}", file=sys.stderr)
    total = {key: sum(count[key] for count in counts.values()) for key in ("episodes", "equal", "different", "failed")}
    for game, count in [*sorted(counts.items()), ("total", total)]:
        print(json.dumps({"game": game} | count))
    return 0 if total["episodes"] and total["equal"] == total["episodes"] else 1


if __name__ == "__main__":
    sys.exit(main())
