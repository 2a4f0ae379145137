"""What a run leaves in its folder, as the report reads it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playpen_jax import metrics, moves, scores
from playpen_jax.scores import Table


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run's folder holds; `before` and `after` are the episodes of the first and the last evaluation."""

    name: str
    command: str
    config: Mapping[str, Any]
    rows: list[dict]
    evaluations: list[tuple[int, Table]]
    before: list[dict]
    after: list[dict]
    transcripts: list[dict]
    newest: int
    samples: list[dict] = dataclasses.field(default_factory=list)
    leaks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    moved: Mapping[str, float] = dataclasses.field(default_factory=dict)


def gather(workdir: Path) -> Run:
    """Read a run's folder."""
    read = (scores.read_evaluation(path) for path in workdir.glob("evaluations/step_*.json"))
    evaluations = sorted(((step, made) for step, made in read if made["all"]["episodes"]), key=lambda e: e[0])
    ends = sorted({step for step, _ in evaluations[:1] + evaluations[-1:]})
    played = [_lines(workdir / "evaluations" / f"step_{step:06d}.episodes.jsonl") for step in ends]
    newest = max(workdir.glob("episodes/step_*.jsonl"), default=None)
    config, command = workdir / "config.json", workdir / "command.txt"
    return Run(
        name=workdir.resolve().name,
        command=command.read_text(encoding="utf-8", errors="replace").strip() if command.exists() else "",
        config=json.loads(config.read_text(encoding="utf-8")) if config.exists() else {},
        rows=_lines(workdir / "metrics.jsonl"),
        evaluations=evaluations,
        before=played[0] if len(played) == 2 else [],
        after=played[-1] if played else [],
        transcripts=_lines(newest) if newest else [],
        newest=int(re.sub(r"\D", "", newest.stem) or 0) if newest else 0,
        samples=_lines(workdir / "samples" / newest.name) if newest else [],
        leaks=json.loads((workdir / "leaks.json").read_text(encoding="utf-8")) if (workdir / "leaks.json").exists() else {},
        moved=json.loads((workdir / moves.FILE).read_text(encoding="utf-8")) if (workdir / moves.FILE).exists() else {},
    )


def _lines(path: Path) -> list[dict]:
    return metrics.read(path) if path.exists() else []
