"""Curves and table of several seeds of one run, for docs/: `python benchmarks/learning.py runs/grpo-0 runs/grpo-1 runs/grpo-2`.

Writes docs/learning_curve.svg, docs/learning_reward.svg, docs/learning.md and docs/results/learning.json from what the runs
left behind.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from playpen_jax import charts, metrics, scores

DOCS = Path(__file__).resolve().parent.parent / "docs"


def differences(run: Path) -> dict:
    """Held-out scores before and after, paired by instance."""
    files = sorted((run / "evaluations").glob("step_*.episodes.jsonl"))
    return scores.compare(metrics.read(files[0]), metrics.read(files[-1]))


def held_out(run: Path, color: int) -> charts.Series:
    """The mean score over games at each evaluation, with its standard error."""
    found = [scores.read_evaluation(file) for file in sorted((run / "evaluations").glob("step_??????.json"))]
    steps, values, errors = zip(*((step, table["all"]["score"], table["all"]["stderr"]) for step, table in found))
    return charts.Series(run.name, np.array(steps), np.array(values), color, np.array(errors))


def row(name: str, game: str, d: dict) -> str:
    ratio = d["difference"] / d["stderr"] if d["stderr"] else float("nan")
    cells = [
        name,
        game,
        f"{d['before']:.1f}",
        f"{d['after']:.1f}",
        f"{d['difference']:+.1f}",
        f"{d['stderr']:.1f}",
        f"{ratio:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main(paths: list[str]) -> None:
    runs = [Path(path) for path in paths]
    found = {run.name: differences(run) for run in runs}
    curves = [metrics.read(run / "metrics.jsonl") for run in runs]
    seconds = {run.name: sum(line["step_time"] for line in curve) for run, curve in zip(runs, curves)}
    lines = [held_out(run, color) for color, run in enumerate(runs)]
    svg = charts.points_svg(lines, "Held-out score", f"{len(runs)} seeds, ± standard error")
    (DOCS / "learning_curve.svg").write_text(svg, encoding="utf-8")
    played = charts.learning_curve_svg(curves, "reward", "Mean reward of the episodes played in training", low=0.0)
    (DOCS / "learning_reward.svg").write_text(played, encoding="utf-8")
    lines = [
        "| run | game | before | after | difference | standard error | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [row(name, game, d) for name, table in found.items() for game, d in table.items()]
    head = (
        (DOCS / "learning.md").read_text(encoding="utf-8").partition("<!-- table -->")[0]
        if (DOCS / "learning.md").exists()
        else ""
    )
    (DOCS / "learning.md").write_text(head + "<!-- table -->\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (DOCS / "results").mkdir(exist_ok=True)
    result = {"held_out": found, "seconds_of_steps": seconds, "steps": {run.name: len(c) for run, c in zip(runs, curves)}}
    (DOCS / "results" / "learning.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
