"""Scores of evaluations as clembench defines them, differences between two evaluations, and the files that hold them.

Episodes are `Episode`s or the plain dicts of their `to_json` lines. Only numpy and the standard library are used.
"""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from playpen_jax.metrics import json_text, read, replace

Table = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Row:
    """What scoring needs of an episode; `quality` is the official Main Score, NaN if there is none."""

    game: str
    instance: str
    aborted: bool
    success: bool
    quality: float
    turns: int

    @property
    def score(self) -> float:
        return 0.0 if self.aborted or math.isnan(self.quality) else self.quality


def row(episode: Any) -> Row:
    """The official scores of one episode; where the game names its own "Main Score" or "Aborted", these count."""
    if not isinstance(episode, Mapping):
        episode = episode.to_json()
    outcome = episode["outcome"]
    named = outcome.get("metrics") or {}
    quality = named.get("Main Score", outcome["score"])
    return Row(
        game=episode["game"],
        instance=json.dumps(episode["instance"], sort_keys=True, default=str),
        aborted=bool(named.get("Aborted", outcome["status"] == "aborted")),
        success=outcome["status"] == "success",
        quality=math.nan if quality is None else float(quality),
        turns=len(episode["turns"]),
    )


def table(episodes: Iterable[Any]) -> Table:
    """game -> its scores, and "all" -> the scores over games.

    played 0..100; quality: mean Main Score of the played episodes, std its sample deviation; score: mean over instances with
    aborted episodes as 0, stderr its standard error; success 0..1; turns: replies; episodes: how many. NaN: cannot be said.
    "all" has the plain means over games, the stderr of that mean, the sum of episodes, and clemscore.
    """
    rows = defaultdict(list)
    for one in map(row, episodes):
        rows[one.game].append(one)
    games = {game: _game(rows[game]) for game in sorted(rows)}
    return games | {"all": _all(list(games.values()))}


def _game(rows: list[Row]) -> dict[str, float]:
    qualities = [one.quality for one in rows if not math.isnan(one.quality)]
    score, stderr = _mean_stderr(list(_by_instance(rows).values()))
    return {
        "played": round2(100 * mean([not one.aborted for one in rows])),
        "quality": round2(mean(qualities)),
        "std": round2(float(np.std(qualities, ddof=1))) if len(qualities) > 1 else math.nan,
        "score": score,
        "stderr": stderr,
        "success": mean([one.success for one in rows]),
        "turns": mean([one.turns for one in rows]),
        "episodes": len(rows),
    }


def _all(games: list[dict[str, float]]) -> dict[str, float]:
    """Over games: a game without a quality drops out of the mean quality, yet counts as not played."""
    played = round2(mean([game["played"] for game in games]))
    quality = round2(mean([game["quality"] for game in games if not math.isnan(game["quality"])]))
    return {
        "played": played,
        "quality": quality,
        "clemscore": round2(played / 100 * quality),
        "score": mean([game["score"] for game in games]),
        "stderr": _stderr_of_mean([game["stderr"] for game in games]),
        "success": mean([game["success"] for game in games]),
        "turns": mean([game["turns"] for game in games]),
        "episodes": sum(game["episodes"] for game in games),
    }


def compare(before: Iterable[Any], after: Iterable[Any]) -> Table:
    """game -> {before, after, difference, stderr, instances} of the mean score on the instances that both evaluations played.

    Paired: plays are averaged per instance first, then the standard error is taken over the differences of the instances.
    "all" is the plain mean over games. Raises `ValueError` if the two share no instance.
    """
    first, second = _by_instance(map(row, before)), _by_instance(map(row, after))
    pairs = defaultdict(list)
    for key in first:
        if key in second:
            pairs[key[0]].append((first[key], second[key]))
    if not pairs:
        raise ValueError("the two evaluations share no instance")
    games = {}
    for game in sorted(pairs):
        old, new = map(list, zip(*pairs[game]))
        difference, stderr = _mean_stderr([b - a for a, b in pairs[game]])
        games[game] = {
            "before": mean(old),
            "after": mean(new),
            "difference": difference,
            "stderr": stderr,
            "instances": len(old),
        }
    over = {key: mean([values[key] for values in games.values()]) for key in ("before", "after", "difference")}
    over["stderr"] = _stderr_of_mean([values["stderr"] for values in games.values()])
    return games | {"all": over | {"instances": sum(values["instances"] for values in games.values())}}


def _by_instance(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """(game, instance) -> mean score of its plays."""
    scores = defaultdict(list)
    for one in rows:
        scores[one.game, one.instance].append(one.score)
    return {key: mean(values) for key, values in scores.items()}


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def round2(value: float) -> float:
    """To 2 decimals as numpy and pandas round."""
    return float(np.round(value, 2))


def _mean_stderr(values: Sequence[float]) -> tuple[float, float]:
    stderr = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return mean(values), stderr


def _stderr_of_mean(stderrs: Sequence[float]) -> float:
    """Of the plain mean of independent means."""
    return math.sqrt(math.fsum(s * s for s in stderrs)) / len(stderrs) if stderrs else math.nan


def results(tables: Mapping[str, Table]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of clembench's results table, one row a model; None where a model has no value."""
    names = {"played": "% Played", "quality": "Quality Score", "std": "Quality Score (std)"}
    over = {"played": "Average % Played", "quality": "Average Quality Score"}
    games = sorted({game for each in tables.values() for game in each})
    columns = [("all", "clemscore", "-, clemscore")]
    columns += [(g, key, f"{g}, {label}") for g in games for key, label in (over if g == "all" else names).items()]
    rows = [[model, *(_cell(tables[model], game, key) for game, key, _ in columns)] for model in sorted(tables)]
    return ["", *(label for *_, label in columns)], rows


def _cell(one: Table, game: str, key: str) -> float | None:
    value = one.get(game, {}).get(key, math.nan)
    return None if math.isnan(value) else value


def results_csv(tables: Mapping[str, Table]) -> str:
    """The text of clembench's `results.csv`."""
    header, rows = results(tables)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def results_html(tables: Mapping[str, Table]) -> str:
    """The same table as an HTML page."""

    def line(tag: str, cells: Iterable[Any]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape('' if c is None else str(c))}</{tag}>" for c in cells) + "</tr>\n"

    header, rows = results(tables)
    body = "".join(line("td", cells) for cells in rows)
    style = "body{font:14px system-ui}td,th{padding:4px 8px;text-align:right}"
    return (
        f"<!doctype html>\n<meta charset=utf-8>\n<title>Results</title>\n<style>{style}</style>\n"
        f"<table>\n<thead>\n{line('th', header)}</thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    )


def write_results(out: str | Path, model: str, episodes: Iterable[Any]) -> Table:
    """Write `results.csv`, `results.html` and `summary.json` of one model to the folder `out`; returns its table.

    summary.json: {"model", "clemscore", the other values of "all", "games": {game: values}}, null for NaN.
    """
    out, made = Path(out), table(episodes)
    out.mkdir(parents=True, exist_ok=True)
    replace(out / "results.csv", results_csv({model: made}))
    replace(out / "results.html", results_html({model: made}))
    games = {game: values for game, values in made.items() if game != "all"}
    replace(out / "summary.json", json_text({"model": model, **made["all"], "games": games}, indent=2) + "\n")
    return made


def write_evaluation(workdir: str | Path, step: int, episodes: Sequence[Any]) -> Table:
    """Write `evaluations/step_XXXXXX.episodes.jsonl`, then the table in `step_XXXXXX.json`; returns the table."""
    folder, made = Path(workdir) / "evaluations", table(episodes)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json_text(e if isinstance(e, Mapping) else e.to_json()) + "\n" for e in episodes]
    replace(folder / f"step_{step:06d}.episodes.jsonl", "".join(lines))
    replace(folder / f"step_{step:06d}.json", json_text({"step": step, "table": made}, indent=2) + "\n")
    return made


def read_evaluation(path: str | Path) -> tuple[int, Table]:
    """(step, table) of an evaluation's JSON file, null as NaN again."""
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    nan = {game: {key: math.nan if v is None else v for key, v in row.items()} for game, row in data["table"].items()}
    return data["step"], nan


def read_episodes(path: str | Path) -> list[dict]:
    """The episodes of a file of `to_json` lines; a last line that a kill cut is left out."""
    return read(path)


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns for the terminal: the first to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    pad = [str.ljust] + [str.rjust] * (len(header) - 1)
    shown = ["  ".join(p(c, w) for p, c, w in zip(pad, line, widths)).rstrip() for line in lines]
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:]])


def show(made: Table) -> str:
    """The table of one evaluation as text."""
    header = ["game", "% played", "quality", "score", "stderr", "success", "turns", "episodes"]
    rows = [
        [
            game,
            *(_number(values[key]) for key in ("played", "quality", "score", "stderr")),
            _number(100 * values["success"], "%"),
            _number(values["turns"]),
            str(int(values["episodes"])),
        ]
        for game, values in made.items()
    ]
    return text_table(header, rows) + f"\nclemscore {_number(made['all']['clemscore'], digits=2)}"


def show_difference(made: Table) -> str:
    """The table of `compare` as text."""
    header = ["game", "before", "after", "difference", "stderr", "instances"]
    keys = ("before", "after", "difference", "stderr")
    return text_table(header, [[g, *(_number(r[k]) for k in keys), str(r["instances"])] for g, r in made.items()])


def _number(value: float, unit: str = "", digits: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}{unit}"
