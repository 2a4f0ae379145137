"""The report of a run as one self-contained page: scores before and after, learning curves, failures, sample episodes.

Reads what training leaves in its folder: config.json, command.txt, metrics.jsonl, evaluations/, episodes/, moved.json. What is
missing is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playpen_jax import masks, metrics, moves, scores, style
from playpen_jax.curves import curves
from playpen_jax.report_episodes import failures, identity, newest, pairs
from playpen_jax.report_folder import Run, gather
from playpen_jax.scores import Table
from playpen_jax.transcript import clean


def write(workdir: str | Path) -> Path:
    """Write `report.html` in the folder of a run; returns its path."""
    run = gather(Path(workdir))
    path = Path(workdir) / "report.html"
    metrics.replace(path, page(run))
    return path


def page(run: Run) -> str:
    """The whole page."""
    sections = {
        "Held-out scores": held_out(run),
        "Learning curves": curves(run.rows, run.evaluations),
        "How far the weights moved": moves.section(run.moved),
        "What went wrong": failures(run),
        "The same instance, before and after": pairs(run),
        "Newest training episodes": newest(run),
        "What the loss saw": masks.section(run.samples, run.newest),
        "Kept apart": apart(run.leaks),
    }
    there = [(f"part{i}", title, body) for i, (title, body) in enumerate(sections.items()) if body]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in there)
    body = "".join(f'<section id="{anchor}"><h2>{title}</h2>{text}</section>' for anchor, title, text in there)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{clean(run.name, 100)}</title>\n"
        f"<style>{style.PALETTE}{style.CHART}{style.BUBBLES}{style.PAGE}{masks.STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{head(run)}<nav>{links}</nav>{tiles(run)}{body}\n</main>\n</body>\n</html>\n"
    )


def head(run: Run) -> str:
    """Name, what was trained for how long, command, and the settings, folded."""
    config = run.config
    facts = [clean(config.get("algorithm", ""), 40), clean(", ".join(map(str, config.get("games", ()))), 400)]
    if run.rows:
        facts.append(f"{run.rows[-1]['step']:,} steps")
    seconds = sum(row.get("step_time") or 0.0 for row in run.rows)
    if seconds:
        facts.append(duration(seconds))
    parts = [f'<h1>{clean(run.name, 100)}</h1><p class="soft lead">{" · ".join(filter(None, facts))}</p>']
    if run.command:
        words = " ".join(f"<span>{clean(word, 400)}</span>" for word in run.command.split()[:200])
        parts.append(f"<pre>{words}</pre>")
    if config:
        lines = "".join(f"<div><span class='soft'>{clean(k, 100)}</span> {clean(v, 300)}</div>" for k, v in flat(config))
        parts.append(f'<details><summary>Settings</summary><div class="settings"><code>{lines}</code></div></details>')
    return "".join(parts)


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """(dotted key, JSON value) of every setting."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)


def duration(seconds: float) -> str:
    """1 h 05 min, 12 min, 40 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60}\u00a0h\u00a0{minutes % 60:02d}\u00a0min"
    return f"{minutes}\u00a0min" if minutes >= 2 else f"{seconds:.0f}\u00a0s"


def tiles(run: Run) -> str:
    """The four numbers over all games, large; beneath each where it started."""
    if not run.evaluations:
        return ""
    (first, old), (last, new) = run.evaluations[0], run.evaluations[-1]
    shown = [
        ("clemscore", "clemscore", 1, ""),
        ("mean score", "score", 1, ""),
        ("% played", "played", 1, ""),
        ("success", "success", 100, "\u00a0%"),
    ]
    parts = []
    for label, key, scale, unit in shown:
        before, after = (scale * each["all"].get(key, math.nan) for each in (old, new))
        start = f"from {value(before)}{unit} at step {first}" if last > first else f"at step {last}"
        label, start = (f'<span class="soft">{text}</span>' for text in (label, start))
        parts.append(f'<div class="card tile">{label}<b>{value(after)}{unit}</b>{start}</div>')
    return f'<div class="tiles">{"".join(parts)}</div>'


def value(x: float, digits: int = 1) -> str:
    return "–" if math.isnan(x) else f"{x:.{digits}f}"


def held_out(run: Run) -> str:
    """One row a game: score before and after, and the difference with its standard error."""
    if not run.evaluations:
        return ""
    (first, old), (last, new) = run.evaluations[0], run.evaluations[-1]
    two = last > first
    paired = paired_differences(run) if two else {}
    header = ["game", *([f"step {first}", "0 – 100", f"step {last}", "difference"] if two else ["score"])]
    header += ["% played", "quality", "success", "replies", "episodes"]
    rows = []
    for game in [*(g for g in new if g != "all"), "all"]:
        a, b = old.get(game) if two else None, new[game]
        cells = [f"{value(b['score'])} <span class='soft'>± {value(b['stderr'])}</span>"]
        if two:
            cells = [value(a["score"]) if a else "–", dumbbell(a, b) if a else "", *cells, difference(a, b, paired.get(game))]
        cells += [change(a, b, "played"), change(a, b, "quality"), change(a, b, "success", 100)]
        cells = ["all games" if game == "all" else clean(game, 60), *cells, value(b["turns"]), f"{int(b['episodes']):,}"]
        rows.append(f'<tr class="{"all" if game == "all" else ""}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    how = "Differences are paired by instance. " if paired else ""
    note = f"Score: mean official score, 0 to 100, an aborted episode counts 0. {how}± is one standard error."
    first_row = "".join(f"<th>{cell}</th>" for cell in header)
    table = f'<table class="{"two-steps" if two else ""}"><tr>{first_row}</tr>{"".join(rows)}</table>'
    return f'<p class="soft">{note}</p><div class="card scroll">{table}</div>'


def paired_differences(run: Run) -> Table:
    """Of the first and the last evaluation; empty if they share no instance."""
    shared = {identity(e) for e in run.before} & {identity(e) for e in run.after}
    return scores.compare(run.before, run.after) if shared else {}


def difference(a: Mapping | None, b: Mapping, paired: Mapping | None) -> str:
    if a is None:
        return "–"
    d, stderr = b["score"] - a["score"], math.hypot(a["stderr"], b["stderr"])
    if paired:
        d, stderr = paired["difference"], paired["stderr"]
    way = "up" if d > 0 else "down" if d < 0 else ""
    return f'<span class="{way}">{d:+.1f}</span> <span class="soft">± {value(stderr)}</span>'


def change(a: Mapping | None, b: Mapping, key: str, scale: float = 1.0) -> str:
    """before → after, or what there is."""
    after = value(scale * b[key], 0)
    return after if a is None else f'<span class="soft">{value(scale * a[key], 0)} →</span> {after}'


def dumbbell(a: Mapping, b: Mapping) -> str:
    """From the score before (hollow) to the score after (full) on a line from 0 to 100."""
    x0, x1 = (6 + 1.08 * each["score"] for each in (a, b))
    color = "var(--s2)" if x1 >= x0 else "var(--s1)"
    return (
        f'<svg width="120" height="14" aria-hidden="true"><path d="M6 7H114" stroke="var(--line)" stroke-width="2"/>'
        f'<path d="M{x0:.1f} 7H{x1:.1f}" stroke="{color}" stroke-width="3"/>'
        f'<circle cx="{x0:.1f}" cy="7" r="4" fill="var(--card)" stroke="var(--s6)" stroke-width="1.5"/>'
        f'<circle cx="{x1:.1f}" cy="7" r="5" fill="{color}"/></svg>'
    )


def apart(leaks: Mapping[str, Any]) -> str:
    """What was compared of training and evaluation, and what both have."""
    if not leaks:
        return ""
    held = ", ".join(f"{clean(name, 60)} {count:,}" for name, count in leaks["held_out"].items())
    alike = sum(len(kinds.get("prompts", ())) for kinds in leaks["shared"].values())
    lines = [
        f"{leaks['trained']['instances']:,} training instances of {clean(', '.join(leaks['trained']['games']), 400)} were "
        f"compared with the held-out ones ({held}): no instance and no target is on both sides; {alike} opening prompts are.",
    ]
    if leaks["never_trained"]:
        lines.append(f"Never trained: {clean(', '.join(leaks['never_trained']), 400)}.")
    return "".join(f'<p class="soft">{text}</p>' for text in lines)
