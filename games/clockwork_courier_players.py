"""Scripted players of Clockwork courier: they read the map and the schedules, keep track of where they are, and plan."""

from __future__ import annotations

import re

from games.clockwork_courier_city import HEADINGS, MOVES, City, State
from games.clockwork_courier_route import fastest
from games.core import View

LEGAL = 0.2  # share of replies of the broken player that keep the form
FAR = 60  # ticks that are looked ahead
_ROW = re.compile(r"^ *\d+\|(.+)\|$", re.MULTILINE)
_GATE = re.compile(r"^Gate (\w+) at \((\d+),(\d+)\)[^\n{]*? mod (\d+)[^\n{]*\{([\d, ]*)\}", re.MULTILINE)
_GUARD = re.compile(r"^Guard (\w+): (.*)$", re.MULTILINE)
_PARCEL = re.compile(r"^Parcel (\w+): (.*)$", re.MULTILINE)
_AT = re.compile(r"\((\d+),(\d+)\)")


def _cells(text: str) -> list[list[int]]:
    return [[int(x), int(y)] for x, y in _AT.findall(text)]


def city(view: View) -> City:
    """The city that the first message tells of."""
    prompt = view.seen[0]
    rows = _ROW.findall(prompt)
    signs = [(sign, [x, y]) for y, row in enumerate(rows, 1) for x, sign in enumerate(row, 1)]
    gates = [
        {"id": name, "cell": [int(x), int(y)], "period": int(period), "open_phases": [int(n) for n in phases.split(",")]}
        for name, x, y, period, phases in _GATE.findall(prompt)
    ]
    stops = ((name, _cells(text)) for name, text in _PARCEL.findall(prompt))
    facing = re.search(r"\bfac(?:ing|e) ([NSEW])\b", prompt)
    fields = {
        "width": len(rows[0]),
        "height": len(rows),
        "walls": [cell for sign, cell in signs if sign == "#"],
        "start": next(cell for sign, cell in signs if sign == "S"),
        "gates": gates,
        "patrols": [{"id": name, "route": _cells(text)} for name, text in _GUARD.findall(prompt)],
        "parcels": [{"id": name, "pickup": cells[0], "dropoff": cells[1]} for name, cells in stops],
        "initial_heading": facing[1] if facing else "N",
    }
    return City(fields, view.settings["action_mode"])


def _now(view: View, known: City) -> State:
    """Where the courier is after all the plans that were carried out."""
    state = known.first
    for said, told in zip(view.said, view.seen[1:]):
        if told.startswith("ROUND "):
            plans = re.findall(r"^[ \t]*PLAN:(.*)$", said, re.MULTILINE | re.IGNORECASE)
            state = _after(known, state, [move.upper() for move in re.split(r"[\s,;]+", plans[-1]) if move])
    return state


def _after(known: City, state: State, moves: list[str]) -> State:
    """Where a plan leads, a guard's interference included."""
    end = state.tick + len(moves)
    for move in moves:
        state, event = known.move(state, move)
        if event.guard is not None:
            return State(state.cell, state.heading, end, state.parcels)
        if state.done:
            break
    return state


def deliver(view: View) -> str:
    """The next part of a fastest way; a weak courier makes some moves without an aim."""
    known = city(view)
    state, length = _now(view, known), view.settings["plan_length"]
    way = fastest(known, state, FAR) or []
    moves = (way + ["WAIT"] * length)[:length]
    lost = (1 - view.strength) / 2
    return _reply(known, state, [view.rng.choice(MOVES[known.mode]) if view.rng.random() < lost else move for move in moves])


def _reply(known: City, state: State, moves: list[str]) -> str:
    end = _after(known, state, moves)
    facing = f" FACING {end.heading}" if known.mode == "egocentric" else ""
    thought = f"THOUGHTS: it is t={state.tick} and I am at ({state.cell[0]},{state.cell[1]})"
    return f"{thought}\nPOSITION: ({end.cell[0]},{end.cell[1]}){facing}\nPLAN: {' '.join(moves)}"


def wander(view: View) -> str:
    """Moves without an aim."""
    mode = view.settings["action_mode"]
    facing = f" FACING {view.rng.choice(list(HEADINGS))}" if mode == "egocentric" else ""
    moves = view.rng.choices(MOVES[mode], k=view.settings["plan_length"])
    return f"POSITION: ({view.rng.randint(1, 9)},{view.rng.randint(1, 9)}){facing}\nPLAN: {' '.join(moves)}"


def break_plan(view: View) -> str:
    """No POSITION, bold tags, plans of wrong length or words, a remark in the plan's line; at times a good one."""
    good = wander(view)
    if view.rng.random() < LEGAL:
        return good
    position, plan = good.split("\n")
    return view.rng.choice(
        (
            f"THOUGHT: I go to the first parcel.\n\n{plan}",
            f"**POSITION:** {position[10:]}\n**PLAN:** {plan[6:]}",
            f"{position}\n{plan} WAIT",
            f"{position}\n{plan.rpartition(' ')[0]}",
            f"{position}\n{plan.replace(plan.split()[-1], 'NORTH')}",
            f"{position}\n{plan} (then I wait for the gate)",
            f"{position} at the end\n{plan}",
            position,
        )
    )
