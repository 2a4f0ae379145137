"""All variants of the policy gradient on the same games, seed by seed: learning curves, and a table of held-out scores.

python benchmarks/variants.py run OUT SEED --config=FILE [--config.KEY=VALUE ...]
python benchmarks/variants.py table OUT NAME

The first plays one seed of each variant, into OUT/VARIANT-SEED; the second writes docs/NAME.md and docs/results/NAME.json.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from playpen_jax import metrics, scores, train
from playpen_jax.losses.grpo import VARIANTS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def run(out: Path, seed: int, argv: list[str]) -> None:
    for name in VARIANTS:
        workdir = out / f"{name}-{seed}"
        if (workdir / "finished.json").exists():
            continue
        status = train.main([*argv, f"--workdir={workdir}", f"--config.grpo.variant={name}", f"--config.seed={seed}"])
        if status:
            raise SystemExit(f"{workdir}: status {status}")


def held_out(workdir: Path) -> dict[str, float]:
    """Mean over the games of the score before and after, and the difference with its standard error, paired by instance."""
    files = sorted((workdir / "evaluations").glob("step_*.episodes.jsonl"))
    compared = scores.compare(metrics.read(files[0]), metrics.read(files[-1]))["all"]
    return {key: float(compared[key]) for key in ("before", "after", "difference", "stderr")}


def curve(workdir: Path) -> list[float]:
    """The mean training reward of each fifth of the run."""
    rewards = [row["reward"] for row in metrics.read(workdir / "metrics.jsonl")]
    return [round(float(np.mean(part)), 4) for part in np.array_split(rewards, 5)]


def table(out: Path, name: str) -> None:
    found: dict[str, list[dict]] = {}
    for workdir in sorted(out.glob("*-*")):
        if (workdir / "finished.json").exists():
            row = {"seed": int(workdir.name.rpartition("-")[2]), **held_out(workdir), "reward": curve(workdir)}
            found.setdefault(workdir.name.rpartition("-")[0], []).append(row)
    command = (next(out.glob("*-*")) / "command.txt").read_text().strip()
    lines = [
        "| variant | seeds | before | after | difference of each seed (standard error) | training reward, fifth by fifth |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for variant in VARIANTS:
        rows = found.get(variant, [])
        if not rows:
            continue
        before, after = (np.mean([row[key] for row in rows]) for key in ("before", "after"))
        each = ", ".join(f"{row['difference']:+.1f} ({row['stderr']:.1f})" for row in rows)
        rewards = ", ".join(f"{x:.2f}" for x in np.mean([row["reward"] for row in rows], axis=0))
        lines.append(f"| `{variant}` | {len(rows)} | {before:.1f} | {after:.1f} | {each} | {rewards} |")
    spread = [row["difference"] for rows in found.values() for row in rows]
    deviation = float(np.std(spread)) if spread else math.nan
    result = {"command": command, "variants": found, "deviation_of_differences": deviation}
    (DOCS / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    file = DOCS / f"{name}.md"
    head = file.read_text(encoding="utf-8").partition("<!-- table -->")[0] if file.exists() else ""
    file.write_text(head + "<!-- table -->\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        table(Path(sys.argv[2]), sys.argv[3])
