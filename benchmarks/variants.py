"""All variants of the policy gradient on the same games, seed by seed: learning curves, and a table of held-out scores.

python benchmarks/variants.py run OUT SEED --config=FILE [--config.KEY=VALUE ...]
python benchmarks/variants.py table OUT NAME

The first plays one seed of each variant, into OUT/VARIANT-SEED, and goes on where it was stopped. The second takes the runs
that are finished: it writes docs/NAME.svg, docs/results/NAME.json, and the table below the mark NAME of docs/variants.md.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

from playpen_jax import charts, metrics, scores, statistics, train
from playpen_jax.losses.grpo import VARIANTS

DOCS = Path(__file__).resolve().parent.parent / "docs"
BESIDE = "grpo_tokens"  # the default, with which the others are compared
HEADER = (
    "variant",
    "seeds",
    "before",
    "after",
    "difference of each seed (standard error)",
    "difference",
    f"to {BESIDE}",
    "clipped",
)


def run(out: Path, seed: int, argv: list[str]) -> None:
    for name in VARIANTS:
        workdir = out / f"{name}-{seed}"
        if (workdir / "finished.json").exists():
            continue
        status = train.main([*argv, f"--workdir={workdir}", f"--config.grpo.variant={name}", f"--config.seed={seed}"])
        if status:
            raise SystemExit(f"{workdir}: status {status}")


def instances(file: Path) -> dict[tuple[str, str], float]:
    """(game, instance) -> mean score of its plays."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in map(scores.row, metrics.read(file)):
        found.setdefault((one.game, one.instance), []).append(one.score)
    return {key: scores.mean(values) for key, values in found.items()}


def read(workdir: Path) -> dict:
    """Of a finished run: its seed, the scores of the instances before and after, and what it logged."""
    files = sorted((workdir / "evaluations").glob("step_*.episodes.jsonl"))
    made = {"seed": int(workdir.name.rpartition("-")[2]), "logged": metrics.read(workdir / "metrics.jsonl")}
    return made | {"before": instances(files[0]), "after": instances(files[-1])}


def change(pairs: list[tuple[dict, dict]]) -> dict:
    """Mean difference of the instances that both of each pair (a seed) played.

    Its interval resamples instances, and seeds within them; of each seed the standard error is taken over instances.
    """
    keys = sorted(set.intersection(*(a.keys() & b.keys() for a, b in pairs)))
    each = np.array([[b[key] - a[key] for a, b in pairs] for key in keys])
    errors = each.std(0, ddof=1) / np.sqrt(len(keys))
    found = {"difference": statistics.bootstrap(each.tolist()).json(), "instances": len(keys)}
    return found | {"by_seed": each.mean(0).round(2).tolist(), "stderr": errors.round(2).tolist()}


def summary(runs: list[dict], beside: list[dict]) -> dict:
    """What is told of the seeds of one variant."""
    before, after = ([run[key] for run in runs] for key in ("before", "after"))
    found = {"seeds": [run["seed"] for run in runs], **change(list(zip(before, after)))}
    found |= {key: round(float(np.mean([x for run in runs for x in run[key].values()])), 2) for key in ("before", "after")}
    default = {run["seed"]: run["after"] for run in beside}
    pairs = [(default[run["seed"]], run["after"]) for run in runs if run["seed"] in default]
    if pairs and runs is not beside:
        found["to_default"] = change(pairs)["difference"]
    found["clipped"] = round(float(np.mean([row["clip_ratio/region_mean"] for run in runs for row in run["logged"]])), 4)
    return found | {"reward": [[round(row["reward"], 4) for row in run["logged"]] for run in runs]}


def interval(estimate: list[float] | None) -> str:
    return "-" if estimate is None else f"{estimate[0]:+.1f} ({estimate[1]:+.1f} to {estimate[2]:+.1f})"


def line(name: str, made: dict) -> str:
    each = ", ".join(f"{d:+.1f} ({e:.1f})" for d, e in zip(made["by_seed"], made["stderr"]))
    cells = [f"`{name}`", str(len(made["seeds"])), f"{made['before']:.1f}", f"{made['after']:.1f}", each]
    cells += [interval(made["difference"]), interval(made.get("to_default")), f"{100 * made['clipped']:.1f} %"]
    return "| " + " | ".join(cells) + " |"


def table(out: Path, name: str) -> None:
    runs: dict[str, list[dict]] = {variant: [] for variant in VARIANTS}
    for file in sorted(out.glob("*-*/finished.json")):
        runs[file.parent.name.rpartition("-")[0]].append(read(file.parent))
    runs = {variant: found for variant, found in runs.items() if found}
    made = {variant: summary(found, runs.get(BESIDE, [])) for variant, found in runs.items()}
    command = (next(out.glob("*-*")) / "command.txt").read_text().partition(" --workdir")[0]  # what all of them share
    result = json.dumps({"command": command, "variants": made}, indent=1)
    (DOCS / "results" / f"{name}.json").write_text(result + "\n", encoding="utf-8")
    logged = {variant: [run["logged"] for run in found] for variant, found in runs.items()}
    svg = charts.multiples_svg(logged, "reward", "Mean reward of the episodes played in training")
    (DOCS / f"{name}.svg").write_text(svg, encoding="utf-8")
    lines = ["| " + " | ".join(HEADER) + " |", "| " + " | ".join("---" for _ in HEADER) + " |"]
    text = "\n".join([*lines, *(line(variant, each) for variant, each in made.items())])
    page, marks = DOCS / "variants.md", rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    new = re.sub(marks, lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    page.write_text(new, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        table(Path(sys.argv[2]), sys.argv[3])
