"""Which charts a run has: one for each metric or family of metrics, and two or three for each game, as HTML figures."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from playpen_jax import style
from playpen_jax.charts import Series, chart, number, series
from playpen_jax.scores import Table
from playpen_jax.transcript import clean, printable

# key -> (title, what it is); a metric that is not here is drawn under its own name
KNOWN = {
    "reward": ("Reward", "mean over the episodes of a step"),
    "reward_std": ("Spread of rewards", "deviation within a group"),
    "frac_reward_zero_std": ("Groups without signal", "share whose plays were all worth the same"),
    "loss": ("Loss", ""),
    "nll": ("Negative log-likelihood", "nats per token"),
    "entropy": ("Entropy", "nats per sampled token"),
    "kl": ("KL to the reference", "nats per token"),
    "grad_norm": ("Gradient norm", "before clipping"),
    "update_norm": ("Norm of the update", ""),
    "clip_ratio": ("Clipped ratio", "share of tokens"),
    "completions/length": ("Completion length", "tokens"),
    "completions/terminated_length": ("Length of dialogues that ended", "tokens"),
    "advantages": ("Advantages", "of replies"),
    "turns/reached": ("Dialogues that reach a reply", "share"),
    "turns/length": ("Length of a reply", "tokens, by its number"),
    "turns/reward": ("Reward of a reply", "by its number"),
    "replay/nll": ("General data", "negative log-likelihood per token"),
    "optim/skipped": ("Updates left out", "loss or gradient not finite"),
    "completions/clipped_ratio": ("Replies cut", "share cut at the token limit"),
    "sampling/sampling_logp_difference": ("Sampler and learner", "log-probability gap"),
    "sampling/importance_sampling_ratio": ("Sampler and learner", "probability ratio"),
    "learning_rate": ("Learning rate", ""),
    "stops": ("How episodes stop", "share"),
    "reply_stops": ("How replies stop", "share of sampled replies"),
    "num_tokens": ("Tokens seen", ""),
    "rollout/tokens_per_second": ("Sampled tokens", "per second"),
    "rollout/occupancy": ("Rows at work", "share of decode steps"),
    "time": ("Time of a step", "seconds, stacked"),
    "step_time": ("Whole step", "seconds"),
}
SPEED = ("time", "step_time", "rollout", "perf")  # first parts of names that tell how fast, not how well


def curves(rows: Sequence[Mapping], evaluations: Sequence[tuple[int, Table]]) -> str:
    """Every metric of a run (the rows of metrics.jsonl): overall, per game, speed; those that never change are listed."""
    if not rows and len(evaluations) < 2:  # the table says it all
        return ""
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "step"))
    games = list(dict.fromkeys([key.split("/")[1] for key in keys if key.startswith("games/")] + held_games(evaluations)))
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        if not key.startswith("games/"):
            groups[family(key)].append(key)
    order = sorted(groups, key=lambda g: list(KNOWN).index(g) if g in KNOWN else len(KNOWN))
    speed = [g for g in order if g.split("/")[0] in SPEED]
    steady = [g for g in order if g not in speed and constant(rows, groups[g])]
    learning = [figure(rows, g, groups[g]) for g in order if g not in speed and g not in steady]
    parts = []
    for title, figures in (
        ("Training", learning),
        ("Games", [f for game in games for f in game_figures(rows, keys, evaluations, game)]),
        ("Speed", [figure(rows, g, groups[g]) for g in speed]),
    ):
        if any(figures):
            parts.append(f'<h3>{title}</h3><div class="grid">{"".join(figures)}</div>')
    constants = [f"{clean(k, 80)} = {number(rows[0][k])}" for g in steady for k in groups[g] if rows[0].get(k) is not None]
    if constants and parts:
        parts.append(f'<p class="soft" style="margin-top:14px">Did not change: {", ".join(constants)}.</p>')
    note = '<p class="soft">Faint points are single steps, the line is a smoothed mean; points with bars are evaluations.</p>'
    return note + "".join(parts) if parts else ""


def family(key: str) -> str:
    """The name of the chart that a metric belongs to."""
    parts = key.split("/")
    if parts[0] in ("time", "stops", "reply_stops", "clip_ratio", "advantages"):
        return parts[0]
    if parts[0] == "turns":
        return f"turns/{parts[2]}"
    if parts[0] == "completions" and parts[-1].endswith("_terminated_length"):
        return "completions/terminated_length"
    if parts[0] == "completions" and parts[-1].endswith("_length"):
        return "completions/length"
    return "/".join(parts[:2]) if parts[0] == "sampling" else key


def line_name(key: str) -> str:
    """How a metric is called in the legend of its family's chart."""
    if key.startswith("turns/"):
        return f"reply {key.split('/')[1]}"
    return key.split("/")[-1].removesuffix("_length").removesuffix("_mean").removesuffix("_terminated").replace("_", " ")


def held_games(evaluations: Sequence[tuple[int, Table]]) -> list[str]:
    return [game for _, made in evaluations for game in made if game != "all"]


def constant(rows: Sequence[Mapping], keys: Sequence[str]) -> bool:
    return len(rows) > 1 and all(len({row.get(key) for row in rows}) == 1 for key in keys)


def figure(rows: Sequence[Mapping], group: str, keys: Sequence[str]) -> str:
    """The chart of one metric, or of one family of them."""
    found = [line for key in keys if (line := series(rows, key, line_name(key)))]
    lines = sorted(found, key=lambda line: -np.mean(line.values))
    if not lines:
        return ""
    lines = [dataclasses.replace(line, color=min(i, style.COLORS - 1)) for i, line in enumerate(lines)]
    title, note = KNOWN.get(group, (group[:1].upper() + group[1:].replace("/", " · ").replace("_", " "), ""))
    lowest, highest = min(line.values.min() for line in lines), max(line.values.max() for line in lines)
    floor = 0.0 if group == "time" or 0 <= lowest < 0.5 * highest else None
    return card(title, note, lines, floor, stacked=group == "time")


def game_figures(
    rows: Sequence[Mapping], keys: Sequence[str], evaluations: Sequence[tuple[int, Table]], game: str
) -> list[str]:
    """Score and outcomes of one game; its levels too where it has several."""
    at = f"games/{game}"
    score = [series(rows, f"{at}/score", "training"), measured(evaluations, game, "score", "held out", 3)]
    ends = [series(rows, f"{at}/success", "success", 2, 100), measured(evaluations, game, "success", "held out", 2)]
    ends.append(series(rows, f"{at}/aborted", "aborted", 1, 100))
    levels = [key for key in keys if key.startswith(f"{at}/level/")]
    lines = [series(rows, key, key.split("/")[3], (0, 3, 5, 4, 6)[min(i, 4)]) for i, key in enumerate(levels)]
    made = [card(game, "score", score, 0.0), card(game, "per cent of episodes", ends, 0.0)]
    if lines:
        made.append(card(game, "score by level", lines, 0.0))
    roles = [key for key in keys if key.startswith(f"{at}/") and key.endswith("/reward")]
    if len(roles) > 1:
        made.append(
            card(game, "reward by role", [series(rows, key, key.split("/")[2], i) for i, key in enumerate(roles)], None)
        )
    return made


def measured(evaluations: Sequence[tuple[int, Table]], game: str, key: str, name: str, color: int) -> Series | None:
    """The evaluations of one game as points; scores carry their standard errors."""
    found = [(step, made[game]) for step, made in evaluations if game in made]
    if not found:
        return None
    scale = 100 if key == "success" else 1
    values = np.array([scale * row[key] for _, row in found], float)
    errors = np.array([row["stderr"] if key == "score" else math.nan for _, row in found], float)
    return Series(name, np.array([step for step, _ in found], float), values, color, errors)


def card(title: str, note: str, given: Sequence[Series | None], low: float | None, stacked: bool = False) -> str:
    """A chart under its title and where its lines end; empty if there is no line."""
    lines = [line for line in given if line is not None]
    if not lines:
        return ""
    ends = [(line, f"{line.name} {number(line.last)}") for line in lines]
    legend = [
        f'<span><i class="{"dot" if line.errors is not None else ""}" style="background:var(--s{line.color})"></i>'
        f"{clean(text, 60)}</span>"
        for line, text in ends
    ]
    one = len(lines) == 1
    caption = f"<b>{clean(title, 80)}</b><span>{number(lines[0].last) if one else note}</span>"
    drawing = chart(lines, low, printable(f"{title}: {', '.join(text for _, text in ends)}"), stacked)
    return (
        f'<figure class="card figure"><figcaption>{caption}</figcaption>'
        f'<div class="legend">{note if one else "".join(legend)}</div>{drawing}</figure>'
    )
