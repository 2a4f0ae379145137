"""Scripted walkers of textmapworld.

They know only what they were told: rooms lie on a grid, so a step north and a step south lead back to the same place, and two
ways into one cell lead into one room.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from games.core import View
from games.textmapworld_graph import DIRECTIONS, first_steps

Cell = tuple[int, int]
# the room and its exits stand at the end of every message, ours and the official ones alike
_HERE = re.compile(
    r"(?:\bthe|\bentered(?: an?)?) ([^.:,]+)\. [^.:]+: ((?:north|south|east|west)(?:, (?:north|south|east|west))*)"
)
_TARGET = re.compile(r"[Tt]arget room(?:: | is )([A-Z][^.]*)\.")
_WAY = re.compile(r"GO:\s*(north|south|east|west)\b", re.IGNORECASE)


@dataclasses.dataclass
class Notes:
    """What a walker wrote down: names and exits of the cells it was in, and where it is."""

    names: dict[Cell, str]
    exits: dict[Cell, list[str]]
    here: Cell
    target: str | None

    def near(self) -> dict[Cell, set[Cell]]:
        """The known passages, those into unknown cells included."""
        near: dict[Cell, set[Cell]] = {}
        for cell, ways in self.exits.items():
            for way in ways:
                near.setdefault(cell, set()).add(_beside(cell, way))
                near.setdefault(_beside(cell, way), set()).add(cell)
        return near


def _beside(cell: Cell, way: str) -> Cell:
    dx, dy = DIRECTIONS[way]
    return cell[0] + dx, cell[1] + dy


def read(view: View) -> Notes:
    """The notes after all that was said so far; a message that cannot be read changes nothing."""
    notes = Notes({}, {}, (0, 0), None)
    targets = _TARGET.findall(view.seen[0])
    notes.target = targets[-1] if targets else None
    for message, before in zip(view.seen, (None, *view.said)):
        found = _HERE.findall(message)
        if not found:
            continue
        name, ways = found[-1]
        way = _WAY.search(before or "")
        if way and notes.names.get(notes.here) != name:
            notes.here = _beside(notes.here, way[1].lower())
        notes.names[notes.here], notes.exits[notes.here] = name, ways.split(", ")
    return notes


def _choose(view: View, notes: Notes) -> str:
    """The best next action as far as the notes tell: "DONE" or a direction. A weak walker loses its way now and then."""
    if notes.names.get(notes.here) == notes.target or (not notes.target and _all_seen(notes)):
        return "DONE"
    ways = notes.exits.get(notes.here) or list(DIRECTIONS)
    if view.rng.random() > view.strength:
        return view.rng.choice([*ways, "DONE"] if len(view.said) > 2 else ways)
    if _all_seen(notes):
        return "DONE"
    steps = first_steps(notes.near(), notes.here, set(notes.names))
    return view.rng.choice(sorted(way for way in ways if _beside(notes.here, way) in steps))


def _all_seen(notes: Notes) -> bool:
    return notes.near().keys() == notes.names.keys()


def _drawing(notes: Notes) -> Mapping:
    """The graph of the rooms visited so far, each passage once."""
    edges: dict[str, list] = {way: [] for way in DIRECTIONS}
    drawn = set()
    for cell, ways in notes.exits.items():
        for way in ways:
            there = _beside(cell, way)
            if there in notes.names and (there, cell) not in drawn:
                drawn.add((cell, there))
                edges[way].append((notes.names[cell], notes.names[there]))
    return {"nodes": list(notes.names.values()), "edges": edges}


def _say(goal: str, action: str, graph: Mapping) -> str:
    if goal != "graph":
        return action
    nodes = ", ".join(f'"{name}"' for name in graph["nodes"])
    edges = ", ".join(f'"{way}": [{", ".join(map(_pair, pairs))}]' for way, pairs in graph["edges"].items())
    return f'{{"action": "{action}", "graph": {{"nodes": [{nodes}], "edges": {{{edges}}}}}}}'


def _pair(pair: tuple[str, str]) -> str:
    return f'("{pair[0]}", "{pair[1]}")'


def scripted(goal: str, view: View) -> str:
    """Take the shortest walk past every known unvisited room; strength is the chance of a considered step."""
    notes = read(view)
    action = _choose(view, notes)
    return _say(goal, action if action == "DONE" else f"GO: {action}", _drawing(notes))


def random_walker(goal: str, view: View) -> str:
    """Any direction, open or not; DONE now and then."""
    action = view.rng.choice(["DONE", *(f"GO: {way}" for way in DIRECTIONS for _ in range(3))])
    graph = {"nodes": [], "edges": {way: [] for way in DIRECTIONS}}
    return _say(goal, action, graph)


def broken(goal: str, view: View) -> str:
    """Forgets the format in the usual ways: chatter, two steps at once, a full stop, a brace too many or too few."""
    good = scripted(goal, view)
    if view.rng.random() < 0.5:
        return good
    faults = [f"I think we should go on. {good}", f"{good}\n{good}", f"{good}.", good.replace("GO: ", "I go ", 1) + "!", ""]
    if goal == "graph":
        faults += [f"{good}}}", good[:-1], re.sub(r'"(GO: \w+|DONE)"', '"GO: DONE"', good, count=1), f"```json\n{good}\n```"]
    return view.rng.choice(faults)


PLAYERS = {"scripted": scripted, "random": random_walker, "broken": broken}
