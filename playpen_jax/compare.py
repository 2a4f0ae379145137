"""Compare evaluations: `python -m playpen_jax.compare DIR [DIR ...] --out=DIR`, the first one being the base.

Each DIR is what `playpen_jax.evaluate` wrote, a training directory (its last held-out evaluation), or a clembench results tree,
whose models are compared one by one. Names may be given: `base=results/base tuned=results/tuned`. The folder --out gets
results.csv and results.html (clembench's table, a row a model), summary.json, and report.html, one page without network.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from games import results_tree
from playpen_jax import metrics, report_runs, scores
from playpen_jax.programs import parser, user_errors


def read(given: str) -> dict[str, report_runs.Evaluated]:
    """name -> the evaluation that an argument means; raises `ValueError` in one line."""
    name, equals, path = given.rpartition("=")
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    name = name or folder.name
    played = sorted(folder.glob("evaluations/step_*.episodes.jsonl"))
    if (folder / "episodes.jsonl").exists():
        cost = metrics.read(folder / report_runs.COST)[0] if (folder / report_runs.COST).exists() else {}
        return {name: report_runs.Evaluated(name, metrics.read(folder / "episodes.jsonl"), _curve(folder), cost)}
    if played:
        return {name: report_runs.Evaluated(name, metrics.read(played[-1]), _rows(folder))}
    found: dict[str, list[dict]] = {}
    for episode in results_tree.scored(folder):
        found.setdefault(episode["model"], []).append(episode)
    if not found:
        raise ValueError(f"{folder}: no episodes.jsonl, evaluations/ or scores.json in it")
    names = {model: name if equals and len(found) == 1 else model for model in found}
    return {names[model]: report_runs.Evaluated(names[model], episodes, []) for model, episodes in found.items()}


def _rows(folder: Path) -> list[dict]:
    return metrics.read(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []


def _curve(out: Path) -> list[dict]:
    """The learning curve of the training directory that was evaluated, if it is still there."""
    file = out / "setup.json"
    if not file.exists():
        return []
    (setup,) = metrics.read(file)
    return _rows(Path(setup["checkpoint"]))


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("compare", __doc__)
    options.add_argument("runs", nargs="+", metavar="[NAME=]DIR")
    options.add_argument("--out", required=True, type=Path, metavar="DIR")
    args = options.parse_args(argv)
    with user_errors():
        runs: dict[str, report_runs.Evaluated] = {}
        for given in args.runs:
            for name, run in read(given).items():
                if name in runs:
                    raise ValueError(f"two runs are called {name!r}: name them, as NAME=DIR")
                runs[name] = run
        args.out.mkdir(parents=True, exist_ok=True)
    tables = {name: scores.table(run.episodes) for name, run in runs.items()}
    metrics.replace(args.out / "results.csv", scores.results_csv(tables))
    metrics.replace(args.out / "results.html", scores.results_html(tables))
    found = report_runs.summary(list(runs.values()))
    metrics.replace(args.out / "summary.json", metrics.json_text(found, indent=1) + "\n")
    metrics.replace(args.out / "report.html", report_runs.page(list(runs.values()), found))
    print(report_runs.show(found))
    print(f"report: {args.out / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
