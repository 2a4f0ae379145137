"""The shortest way to bring things to their places, in a world of adventuregame that is known."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CARRIED = ""  # the source of a thing in the inventory


class Errand(NamedTuple):
    """One thing to bring: rooms by name; a box is a container that is still closed, or ""."""

    thing: str
    source: str  # its room, or CARRIED
    source_box: str
    place: str
    target: str  # the room of the place
    target_box: str
    prep: str = "on"


def route(start: str, exits: Mapping[str, Sequence[str]], errands: Sequence[Errand], limit: int | None) -> list[tuple] | None:
    """The fewest steps ("go", room), ("open", box), ("take", thing), ("put", thing, prep, place); None: there is no way.

    Every thing is taken once and put down once, at its place. One that lies in the room of its place is only put: the rules do
    not ask for more. So the search is for the fewest moves, breadth first over the room and what is carried or delivered.
    Nothing is laid down on the way: that costs two steps and saves none.
    """
    first = (start, tuple("carried" if e.source == CARRIED else "waiting" for e in errands))
    parents: dict[tuple, tuple | None] = {}
    queue: deque[tuple[tuple, tuple | None]] = deque((state, None) for state in _after_work(first, errands, limit))
    while queue:
        state, parent = queue.popleft()
        if state in parents:
            continue
        parents[state] = parent
        room, status = state
        if all(s == "done" for s in status):
            return _steps(state, parents, first, errands)
        for neighbour in exits.get(room, ()):
            queue.extend((after, state) for after in _after_work((neighbour, status), errands, limit) if after not in parents)
    return None


def _after_work(state: tuple, errands: Sequence[Errand], limit: int | None) -> list[tuple]:
    """What the work in a room can come to: all is delivered that can be; of the rest as much is taken as the limit allows."""
    room, status = state
    status = tuple(
        "done" if room == e.target and (s == "carried" or (s == "waiting" and e.source == room)) else s
        for s, e in zip(status, errands)
    )
    found = [status]
    for i, e in enumerate(errands):
        if status[i] == "waiting" and e.source == room:
            taken = [s[:i] + ("carried",) + s[i + 1 :] for s in found if limit is None or s.count("carried") < limit]
            found = taken if limit is None else taken + found
    return [(room, s) for s in found]


def _steps(state: tuple, parents: Mapping[tuple, tuple | None], first: tuple, errands: Sequence[Errand]) -> list[tuple]:
    """The steps along the states that lead to `state`; boxes are opened when they are needed."""
    path = [state]
    while (before := parents[path[-1]]) is not None:
        path.append(before)
    steps: list[tuple] = []
    for (was, had), (room, has) in zip([first, *reversed(path)], reversed(path)):
        steps += [("go", room)] if room != was else []
        changed = [(e, old, new) for e, old, new in zip(errands, had, has) if old != new]
        for e, _, new in sorted(changed, key=lambda change: change[2] != "done"):
            box = e.target_box if new == "done" else e.source_box
            steps += [("open", box)] if box and ("open", box) not in steps else []
            steps.append(("put", e.thing, e.prep, e.place) if new == "done" else ("take", e.thing))
    return steps
