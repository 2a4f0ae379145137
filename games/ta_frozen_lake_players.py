"""Scripted walkers of the frozen lake: they read the board that was drawn last, the large drawing or the short one."""

from __future__ import annotations

import re

from games import ta_steps
from games.core import View
from games.ta_frozen_lake_grid import Field, beside, distances, inside
from games.ta_steps import STEPS

LEGAL = 0.1  # share of replies of the broken player that are good steps
_ROW = re.compile(r"^(?:\|[| HGP]+\||[.HGP]+)$", re.MULTILINE)


def read(view: View) -> list[str]:
    """The rows of the last board, one sign a field."""
    rows = _ROW.findall(view.seen[-1])
    return [row[3::6] if row.startswith("|") else row for row in rows]


def find(rows: list[str], sign: str) -> list[Field]:
    return [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == sign]


def walk(view: View) -> str:
    """A step of a shortest way around the holes; a weak player often goes to any field beside."""
    rows = read(view)
    (at,), (goal,), size = find(rows, "P"), find(rows, "G"), len(rows)
    near = {step: beside(at, step) for step in STEPS if inside(beside(at, step), size)}
    if view.rng.random() < view.strength:
        way = distances(goal, find(rows, "H"), size)
        least = min(way.get(field, size * size) for field in near.values())
        near = {step: field for step, field in near.items() if way.get(field, size * size) == least}
    return f"[{view.rng.choice(list(near))}]"


def stumble(view: View) -> str:
    """Any step, also off the board."""
    return ta_steps.anything(view.rng)


def break_step(view: View) -> str:
    """Steps in other words, off the board, or the board said again; at times a good one."""
    if view.rng.random() < LEGAL:
        return walk(view)
    rows = read(view)
    (at,) = find(rows, "P")
    off = [f"[{step}]" for step in STEPS if not inside(beside(at, step), len(rows))]
    return view.rng.choice(["\n".join(rows), *off, *(ta_steps.broken(view.rng, step) for step in STEPS)])
