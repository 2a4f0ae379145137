"""The frozen lake: how it is drawn by lot and as text, and how far each field is along the way."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NamedTuple

from games.core import InstanceError
from games.ta_steps import STEPS

TRIES = 100  # draws of the holes
MOST, LEAST = 0.95, 0.1  # a part of the way is worth no more, and no less once the start is left
Field = tuple[int, int]  # row, column


def beside(at: Field, step: str) -> Field:
    """The field one step away; an unknown step stays."""
    down, right = STEPS.get(step, (0, 0))
    return at[0] + down, at[1] + right


def inside(at: Field, size: int) -> bool:
    return 0 <= min(at) and max(at) < size


def distances(goal: Field, holes: Collection[Field], size: int) -> dict[Field, int]:
    """Steps to the goal from every field from which it can be reached."""
    found, queue = {goal: 0}, [goal]
    for at in queue:
        for there in (beside(at, step) for step in STEPS):
            if inside(there, size) and there not in holes and there not in found:
                found[there] = found[at] + 1
                queue.append(there)
    return found


class Lake(NamedTuple):
    size: int
    start: Field
    goal: Field
    holes: frozenset[Field]

    @classmethod
    def draw(cls, rng: random.Random, size: int, holes: int, anywhere: bool) -> Lake:
        """Corners, if they are drawn, and then the holes, until there is a way between."""
        last = size - 1
        start = rng.choice([(0, 0), (0, last), (last, 0), (last, last)]) if anywhere else (0, 0)
        goal = (last - start[0], last - start[1])
        fields = [(row, column) for row in range(size) for column in range(size)]
        free = [field for field in fields if field not in (start, goal)]
        for _ in range(TRIES):
            drawn = frozenset(rng.sample(free, holes))
            if start in distances(goal, drawn, size):
                return cls(size, start, goal, drawn)
        raise InstanceError("env_specs.num_holes", f"{TRIES} draws of {holes} holes left no way to the goal")

    def progress(self, at: Field) -> float:
        """How far from the start, 0..1, whatever lies between."""
        way = [abs(self.start[0] - to[0]) + abs(self.start[1] - to[1]) for to in (at, self.goal)]
        return max(min(way[0] / way[1], MOST), LEAST if at != self.start else 0.0)

    def cell(self, field: Field, at: Field) -> str:
        """The sign of a field, a blank for ice."""
        return "P" if field == at else "G" if field == self.goal else "H" if field in self.holes else " "

    def board(self, at: Field) -> str:
        """The official drawing."""
        edge = "+" + "-----+" * self.size
        rows = ["|" + "".join(f"  {self.cell((r, c), at)}  |" for c in range(self.size)) for r in range(self.size)]
        return "\n".join([edge, *(line for row in rows for line in (row, edge))])

    def rows(self, at: Field) -> str:
        """One sign a field, a point for ice."""
        return "\n".join("".join(self.cell((r, c), at).replace(" ", ".") for c in range(self.size)) for r in range(self.size))
