"""Metrics on disk: one JSON object a step in `metrics.jsonl`, the same numbers for trackers."""

from __future__ import annotations

import errno
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playpen_jax.trackers import Tracker
    from playpen_jax.types import Episode


class Writer:
    """Writes `metrics.jsonl` in `directory`, and the same numbers to `trackers`; a context manager.

    `resume` is the last step whose line is kept; None begins anew. A step is written before its checkpoint is saved: then a
    run killed at any moment and resumed from its checkpoint has every step exactly once in the file. A line that the disk
    refused can be written again.
    """

    def __init__(self, directory: str | Path, resume: int | None = None, trackers: Iterable[Tracker] = ()):
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self._path, self._trackers = directory / "metrics.jsonl", tuple(trackers)
        rows = read(self._path) if resume is not None and self._path.exists() else []
        kept = [row for row in rows if row["step"] <= resume]
        self._lines = [json_text(row) + "\n" for row in kept]
        self._size = sum(len(line.encode()) for line in self._lines)
        replace(self._path, "".join(self._lines))
        self._last = kept[-1]["step"] if kept else -1

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add the line of one step; steps must grow."""
        if step <= self._last:
            raise ValueError(f"step {step} comes after step {self._last}")
        if "step" in metrics:
            raise ValueError("a metric cannot be called 'step'")
        values = {name: float(value) for name, value in metrics.items()}
        line = json_text({"step": int(step), **values}) + "\n"
        self._append(line.encode())
        self._lines.append(line)
        self._size, self._last = self._size + len(line.encode()), int(step)
        for tracker in self._trackers:
            tracker.write(step, values)

    def _append(self, line: bytes) -> None:
        """At the end of what was written whole; a file that has vanished is written anew."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace(self._path, "".join(self._lines))
        with open(self._path, "r+b", buffering=0) as file:
            file.truncate(self._size)
            file.seek(self._size)
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def read(path: str | Path) -> list[dict]:
    """The objects of a file of JSON lines; a last line that a kill cut is left out, any other broken line is a `ValueError`."""
    lines = Path(path).read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:  # half a line, or half a character of it
            if number < len(lines):
                raise ValueError(f"{path}: line {number}: {error}") from None
    return rows


def replace(path: str | Path, text: str) -> None:
    """Write a file so that a kill leaves either the old one or the new one."""
    path = Path(path)
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def json_text(value: Any, **options: Any) -> str:
    """JSON that every reader accepts: NaN and infinities become null, numpy numbers plain ones."""
    return json.dumps(plain(value), allow_nan=False, **options)


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def episode_metrics(episodes: Iterable[Episode]) -> dict[str, float]:
    """What a batch of episodes says about the games, as means over its episodes.

    games/{game}/score (0..100, aborted 0), success, aborted (0..1), turns (replies); where a game came at several levels also
    games/{game}/level/{level}/score; games/{game}/aborted_by/{seat} (0..1) for each seat that ended one. stops/{stop} is the
    share of episodes, reply_stops/{stop} the share of sampled replies, that stopped so. Episodes whose engine failed are left
    out of all but stops/error, which is there only if some did.
    """
    found: dict[str, list[float]] = defaultdict(list)
    levels: dict[str, set[str]] = defaultdict(set)
    blamed: dict[str, list[str | None]] = defaultdict(list)
    everything = list(episodes)
    episodes = [episode for episode in everything if not episode.failed]
    if len(episodes) < len(everything):
        for stop in ("error", "partner"):
            found[f"stops/{stop}"] = [episode.stop == stop for episode in everything]
    for episode in episodes:
        levels[episode.game].add(episode.level)
        blamed[episode.game].append(None if episode.played else episode.outcome.seat)
    for episode in episodes:
        at = f"games/{episode.game}"
        found[f"{at}/score"].append(episode.score)
        found[f"{at}/success"].append(episode.outcome.status == "success")
        found[f"{at}/aborted"].append(not episode.played)
        found[f"{at}/turns"].append(len(episode.turns))
        if len(levels[episode.game]) > 1:
            found[f"{at}/level/{episode.level}/score"].append(episode.score)
        for stop in ("end", "turns", "context"):
            found[f"stops/{stop}"].append(episode.stop == stop)
        for turn in episode.turns:
            if turn.stop != "text":
                found["reply_stops/stop"].append(turn.stop == "stop")
                found["reply_stops/length"].append(turn.stop == "length")
    for game, seats in blamed.items():
        for seat in sorted({seat for seat in seats if seat}):
            found[f"games/{game}/aborted_by/{seat}"] = [seat == other for other in seats]
    return {name: float(np.mean(values)) for name, values in found.items()}
