"""Scripted players of Sokoban: they read the board that was drawn last, and remember the targets from the first one."""

from __future__ import annotations

import re

from games import ta_steps
from games.core import View
from games.ta_sokoban_room import Room
from games.ta_steps import STEPS

LEGAL = 0.1  # share of replies of the broken player that are good steps
_ROW = re.compile(r"^#[#_O√XP ]*#$", re.MULTILINE)


def see(view: View) -> Room:
    """The room as it is now."""
    boards = [rows for text in view.seen if (rows := [row.replace(" ", "") for row in _ROW.findall(text)])]
    return Room.read(boards[-1])._replace(targets=Room.read(boards[0]).targets)


def push(view: View) -> str:
    """A step of a shortest way to the end; a weak player often makes any possible step."""
    room = see(view)
    after = {step: there for step in STEPS if (there := room.step(step))}
    if view.rng.random() < view.strength:
        left = {step: there.left() for step, there in after.items()}
        least = min((steps for steps in left.values() if steps is not None), default=None)
        after = {step: there for step, there in after.items() if left[step] == least}
    return f"[{view.rng.choice(list(after or STEPS))}]"


def stumble(view: View) -> str:
    """Any step, also against a wall."""
    return ta_steps.anything(view.rng)


def break_step(view: View) -> str:
    """Steps in other words, against walls, or the board said again; at times a good one."""
    if view.rng.random() < LEGAL:
        return push(view)
    room = see(view)
    against = [f"[{step}]" for step in STEPS if not room.step(step)]
    return view.rng.choice(["\n".join(room.rows()), *against, *(ta_steps.broken(view.rng, step) for step in STEPS)])
