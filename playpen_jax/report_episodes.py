"""Episodes in the report: why they were not won, and how they went before and after."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from playpen_jax.report_folder import Run
from playpen_jax.transcript import badge, clean, episode_html


def failures(run: Run) -> str:
    """Per game: which rule ended the episodes that were not won, in per cent of its episodes."""
    groups = [(f"step {run.evaluations[0][0]}", run.before)] if run.before else []
    if run.after:
        groups.append((f"step {run.evaluations[-1][0]}", run.after))
    groups = groups or [(f"training, step {run.newest}", run.transcripts)]
    games = dict.fromkeys(episode["game"] for _, episodes in groups for episode in episodes)
    cards = []
    for game in games:
        played = [(name, [e for e in episodes if e["game"] == game]) for name, episodes in groups]
        cards.append(causes(game, [(name, episodes) for name, episodes in played if episodes]))
    return f'<div class="grid">{"".join(cards)}</div>' if any(cards) else ""


def causes(game: str, groups: Sequence[tuple[str, list[dict]]], most: int = 6) -> str:
    """The card of one game: a bar for each cause and group, the commonest first."""
    share: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * len(groups))
    wordings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for i, (_, episodes) in enumerate(groups):
        for episode in episodes:
            if episode["outcome"]["status"] != "success":
                key = episode["outcome"]["status"], skeleton(reason(episode))
                share[key][i] += 100 / len(episodes)
                wordings[key].add(reason(episode))
    ranked = sorted(share, key=lambda key: -max(share[key]))
    shown = [(key[0], wordings[key].pop() if len(wordings[key]) == 1 else key[1], share[key]) for key in ranked[:most]]
    if len(ranked) > most:
        rest = [sum(each) for each in zip(*(share[key] for key in ranked[most:]))]
        shown.append(("", f"{len(ranked) - most} other reasons", rest))
    parts = []
    for status, text, values in shown:
        bars = []
        for i, (percent, (name, _)) in enumerate(zip(values, groups)):
            old = " old" if i < len(groups) - 1 else ""
            bars.append(f'<div class="bar{old}"><i style="width:{0.7 * percent:.1f}%"></i>{percent:.0f} % · {name}</div>')
        what = f'<p dir="auto">{clean(text, 200)} <span class="soft">{clean(status)}</span></p>'
        parts.append(f'<div class="cause {clean(status)}">{what}{"".join(bars)}</div>')
    return f'<div class="card"><b>{clean(game, 60)}</b>{"".join(parts)}</div>' if parts else ""


def reason(episode: Mapping[str, Any]) -> str:
    """Why an episode ended, and by whom."""
    outcome = episode["outcome"]
    text = str(outcome.get("reason") or "no reason given")[:300]
    if episode["stop"] != "end":
        text = f"stopped by our limit: {episode['stop']}"
    return text + (f" ({outcome['seat']})" if outcome.get("seat") else "")


def skeleton(text: str) -> str:
    """A reason without what differs from one episode to the next: quotations and numbers."""
    return re.sub(r"\d+", "N", re.sub(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|“[^”]*”|‘[^’]*’", "‘…’", text))


def pairs(run: Run) -> str:
    """Instances of both evaluations side by side: per game the first whose outcome changed and the first whose did not."""
    before: dict[tuple[str, str], dict] = {}
    for episode in run.before:
        before.setdefault(identity(episode), episode)
    chosen: dict[tuple, tuple[dict, dict]] = {}
    for after in run.after:
        old = before.get(identity(after))
        if old:
            same = all(old["outcome"][key] == after["outcome"][key] for key in ("status", "score"))
            chosen.setdefault((after["game"], same), (old, after))
    parts: list[str] = []
    for old, new in (chosen[key] for key in sorted(chosen)):
        steps = run.evaluations[0][0], run.evaluations[-1][0]
        sides = "".join(f"<div><h3>Step {step}</h3>{episode_html(e)}</div>" for step, e in zip(steps, (old, new)))
        ends = f"{badge(old['outcome'])} → {badge(new['outcome'])}"
        parts.append(sample(new, ends, f'<div class="two">{sides}</div>', opened=not parts))
    note = '<p class="soft">Of each game the first instance whose outcome changed, and the first whose did not.</p>'
    return note + "".join(parts) if parts else ""


def identity(episode: Mapping[str, Any]) -> tuple[str, str]:
    return episode["game"], json.dumps(episode["instance"], sort_keys=True)


def newest(run: Run) -> str:
    """Of the newest training transcripts one for each game and way to end."""
    chosen: dict[tuple, dict] = {}
    for episode in run.transcripts:
        chosen.setdefault((episode["game"], episode["outcome"]["status"]), episode)
    parts = [sample(e, badge(e["outcome"]), episode_html(e)) for _, e in sorted(chosen.items())]
    note = f'<p class="soft">From step {run.newest}: of each game the first episode of each way to end.</p>'
    return note + "".join(parts) if parts else ""


def sample(episode: Mapping[str, Any], ends: str, body: str, opened: bool = False) -> str:
    number = f"instance {clean(episode.get('game_id'), 40)}"
    names = [f"<b>{clean(episode['game'], 60)}</b>", clean(episode.get("level") or "", 40), number, ends]
    shown = "".join(f"<span>{name}</span>" for name in names if name)
    return f'<details class="card sample"{" open" if opened else ""}><summary>{shown}</summary>{body}</details>'
