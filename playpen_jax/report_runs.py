"""Several evaluations on one page: suites by checkpoint, games with intervals, changes to the base, failures, dialogues."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from playpen_jax import charts, report, report_episodes, scores, statistics, style
from playpen_jax.transcript import badge, clean, episode_html

COST = "cost.json"  # seconds and tokens that an evaluation took, beside its results
SUITE_NAMES = {"indomain": "in domain", "outofdomain": "unseen games", "reference": "reference tasks"}


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """One evaluation: its episodes as `Episode.to_json` gives them, and the metrics of the training before it, if any."""

    name: str
    episodes: list[dict]
    rows: list[dict]
    cost: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of the file COST, where there is one


def summary(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """What the page shows, as plain data: per run suite scores, games and levels with intervals, changes to the first run."""
    base, found = runs[0], []
    base_suites = statistics.suite_scores(base.episodes)
    for run in runs:
        suites = statistics.suite_scores(run.episodes)
        one: dict[str, Any] = {
            "name": run.name,
            "suites": suites,
            "games": {game: each.json() for game, each in statistics.estimates(run.episodes).items()},
            "levels": {level: each.json() for level, each in statistics.estimates(run.episodes, "level").items()},
            "table": scores.table(run.episodes),
            "cost": cost(run.episodes) | dict(run.cost),
        }
        if run is not base:
            one["challenge"] = statistics.challenge(base_suites, suites)
            changes = statistics.changes(base.episodes, run.episodes)
            one["changes"] = {game: {"difference": c.difference.json(), "p": c.p} for game, c in changes.items()}
        found.append(one)
    return {"base": base.name, "runs": found}


def cost(episodes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Replies and characters that were said."""
    turns = [turn for episode in episodes for turn in episode["turns"]]
    return {"episodes": len(episodes), "replies": len(turns), "characters": sum(len(turn["reply"]) for turn in turns)}


def spent(cost: Mapping[str, float]) -> str:
    """What an evaluation took, in a line."""
    tokens = [f"{cost[f'tokens_{kind}']:,} tokens {kind}" for kind in ("said", "read") if f"tokens_{kind}" in cost]
    return ", ".join([*tokens, f"{cost['seconds']:,.1f} seconds"])


def show(found: Mapping[str, Any]) -> str:
    """The table of suites as text."""
    keys = ["indomain", "outofdomain", "reference"]
    header = ["model", *(SUITE_NAMES[key] for key in keys), "change in domain", "change unseen", "change reference", "adjusted"]
    rows = []
    for run in found["runs"]:
        against = run.get("challenge", {})
        cells = [run["suites"].get(key, math.nan) for key in keys]
        cells += [against.get(f"delta_{key}", math.nan) for key in keys] + [against.get("adjusted", math.nan)]
        rows.append([run["name"], *("-" if math.isnan(x) else f"{x:.1f}" for x in cells)])
    return scores.text_table(header, rows)


def page(runs: Sequence[Evaluated], found: Mapping[str, Any]) -> str:
    """The whole page of `summary`."""
    title = clean(", ".join(run.name for run in runs), 200)
    many = sum(len(run.episodes) for run in runs)
    head = f'<h1>Evaluation</h1><p class="soft lead">{title} · {many:,} episodes</p>'
    parts = {
        "Suites": suites(found),
        "Games": games(found),
        "Changes to the base": changes(found),
        "Learning curves": learning(runs),
        "What went wrong": failures(runs),
        "The same instance, base and last": dialogues(runs),
    }
    return style.document(title, head + style.sections(parts), MORE)


MORE = """
.span{display:grid;grid-template-columns:minmax(70px,28%) 1fr 92px;gap:8px;align-items:center;font-size:12.5px;margin:5px 0}
.span span{overflow-wrap:anywhere}.span svg{width:100%;height:16px}.span b{font-weight:500;text-align:right;white-space:nowrap}
"""


def suites(found: Mapping[str, Any]) -> str:
    keys = [key for key in SUITE_NAMES if any(key in run["suites"] for run in found["runs"])]
    header = [
        "model",
        *(SUITE_NAMES[key] for key in keys),
        "adjusted change",
        "unseen − in domain",
        "episodes",
        "tokens said",
        "seconds",
    ]
    rows = []
    for run in found["runs"]:
        against, cells = run.get("challenge", {}), [clean(run["name"], 60)]
        for key in keys:
            change = against.get(f"delta_{key}", math.nan)
            cells.append(report.value(run["suites"].get(key, math.nan)) + (f" {signed(change)}" if against else ""))
        cells += [signed(against.get("adjusted", math.nan)), signed(against.get("gap", math.nan))]
        took = [run["cost"].get(key) for key in ("episodes", "tokens_said", "seconds")]
        rows.append(cells + ["–" if x is None else f"{x:,.0f}" for x in took])
    note = (
        "In domain and unseen games: clemscore, the share of episodes played times the quality of those. Reference tasks: "
        "statscore, the mean over tasks. Adjusted change: of the clemscore, lowered by what the statscore lost."
    )
    return f'<p class="soft">{note}</p>{table(header, rows)}'


def signed(x: float) -> str:
    way = "up" if x > 0 else "down" if x < 0 else ""
    return "–" if math.isnan(x) else f'<span class="{way}">{x:+.1f}</span>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th>{cell}</th>" for cell in header)
    rest = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="card scroll"><table><tr>{first}</tr>{rest}</table></div>'


def games(found: Mapping[str, Any]) -> str:
    """A card a game, a bar with its 95 % interval for each run."""
    names = sorted({game for run in found["runs"] for game in run["games"]})
    cards = []
    for game in names:
        bars = "".join(span(run["name"], run["games"][game], i) for i, run in enumerate(found["runs"]) if game in run["games"])
        cards.append(f'<div class="card"><b>{clean(game, 60)}</b>{bars}</div>')
    note = "Mean official score, 0 to 100, an aborted episode as 0, with the 95 % bootstrap interval over instances and plays."
    return f'<p class="soft">{note}</p><div class="grid">{"".join(cards)}</div>'


def span(name: str, estimate: Sequence[float | None], number: int) -> str:
    """One bar from 0 to the value on a line of 0 to 100, and its interval."""
    value, low, high = (math.nan if x is None else x for x in estimate)
    color = f"var(--s{number % (style.COLORS - 1)})"
    shown = 0.0 if math.isnan(value) else min(max(value, 0.0), 100.0)
    bar = '<rect x="0" y="3" width="100" height="10" fill="var(--shade)"/>'
    bar += f'<rect x="0" y="3" width="{shown:.1f}" height="10" fill="{color}" opacity=".55"/>'
    if not math.isnan(low):
        a, b = (min(max(x, 0.0), 100.0) for x in (low, high))
        bar += f'<path d="M{a:.1f} 8H{b:.1f}" stroke="var(--ink)" stroke-width="1.5" vector-effect="non-scaling-stroke"/>'
    drawn = f'<svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">{bar}</svg>'
    told = f"{report.value(value)} <span class='soft'>{report.value(low, 0)}–{report.value(high, 0)}</span>"
    return f'<div class="span"><span>{clean(name, 60)}</span>{drawn}<b>{told}</b></div>'


def changes(found: Mapping[str, Any]) -> str:
    rows = []
    for run in found["runs"]:
        for game, change in run.get("changes", {}).items():
            value, low, high = (math.nan if x is None else x for x in change["difference"])
            interval = f"{report.value(low)} … {report.value(high)}"
            rows.append([clean(game, 60), clean(run["name"], 60), signed(value), interval, chance(change["p"])])
    if not rows:
        return ""
    note = (
        "Paired by instance: the mean change, its 95 % interval, and the p of a sign-flip test that nothing changed. "
        "Many games are tested at once: some small p come by chance."
    )
    return f'<p class="soft">{note}</p>{table(["game", "model", "change", "95 %", "p"], sorted(rows))}'


def chance(p: float) -> str:
    return "–" if math.isnan(p) else "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def learning(runs: Sequence[Evaluated]) -> str:
    found = [charts.series(run.rows, "reward", run.name, i) for i, run in enumerate(runs)]
    lines = [line for line in found if line is not None]
    if not lines:
        return ""
    legend = "".join(f'<span><i style="background:var(--s{s.color})"></i>{clean(s.name, 60)}</span>' for s in lines)
    drawn = charts.chart(lines, label="mean reward of the episodes played in training")
    caption = "<figcaption><b>reward</b><span>of the episodes played in training</span></figcaption>"
    figure = f'<figure class="card figure">{caption}<div class="legend">{legend}</div>{drawn}</figure>'
    return f'<div class="grid">{figure}</div>'


def failures(runs: Sequence[Evaluated]) -> str:
    names = sorted({episode["game"] for run in runs for episode in run.episodes})
    cards = []
    for game in names:
        groups = [(clean(run.name, 40), [e for e in run.episodes if e["game"] == game]) for run in runs]
        cards.append(report_episodes.causes(game, [(name, episodes) for name, episodes in groups if episodes]))
    return f'<div class="grid">{"".join(cards)}</div>' if any(cards) else ""


def dialogues(runs: Sequence[Evaluated]) -> str:
    """Of each game the first instance whose outcome the last run changed, side by side."""
    if len(runs) < 2:
        return ""
    before: dict[tuple, dict] = {}
    for episode in runs[0].episodes:
        before.setdefault(report_episodes.identity(episode), episode)
    chosen: dict[str, tuple[dict, dict]] = {}
    for after in runs[-1].episodes:
        old = before.get(report_episodes.identity(after))
        if old and old["turns"] and after["turns"] and old["outcome"]["status"] != after["outcome"]["status"]:
            chosen.setdefault(after["game"], (old, after))
    parts: list[str] = []
    for _, (old, new) in sorted(chosen.items()):
        names = (clean(run.name, 60) for run in (runs[0], runs[-1]))
        sides = "".join(f"<div><h3>{name}</h3>{episode_html(e)}</div>" for name, e in zip(names, (old, new)))
        ends = f"{badge(old['outcome'])} → {badge(new['outcome'])}"
        parts.append(report_episodes.sample(new, ends, f'<div class="two">{sides}</div>', opened=not parts))
    return "".join(parts)
