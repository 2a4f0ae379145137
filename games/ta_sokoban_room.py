"""A room of Sokoban: how it is drawn and read, what a step does, and how far it is to the end."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from games.ta_steps import STEPS

WALL, FLOOR, TARGET, DONE, BOX, PLAYER = SIGNS = "#_O√XP"
MANY = 100_000  # a room with more positions than these is not solved
Position = tuple[int, int]  # the player's cell, and the set of the boxes' cells as bits


class Room(NamedTuple):
    """Cells are numbered row by row; the edge of a room is wall."""

    columns: int
    size: int
    floor: frozenset[int]
    targets: frozenset[int]
    boxes: frozenset[int]
    player: int

    @classmethod
    def read(cls, rows: Sequence[str]) -> Room:
        """The room that is drawn, one sign a cell; a target below the player is not seen."""
        signs = "".join(rows)
        cells = {sign: frozenset(i for i, found in enumerate(signs) if found == sign) for sign in SIGNS}
        floor, player = frozenset(range(len(signs))) - cells[WALL], min(cells[PLAYER], default=-1)
        targets, boxes = cells[TARGET] | cells[DONE], cells[BOX] | cells[DONE]
        return cls(len(rows[0]), len(signs), floor, targets, boxes, player)

    def rows(self) -> list[str]:
        """The room as it is drawn, one sign a cell."""
        signs = "".join(map(self._sign, range(self.size)))
        return [signs[start : start + self.columns] for start in range(0, self.size, self.columns)]

    def bare(self) -> list[str]:
        """The room without boxes and player."""
        return self._replace(boxes=frozenset(), player=-1).rows()

    def _sign(self, cell: int) -> str:
        if cell == self.player:
            return PLAYER
        if cell in self.boxes:
            return DONE if cell in self.targets else BOX
        return WALL if cell not in self.floor else TARGET if cell in self.targets else FLOOR

    def step(self, step: str) -> Room | None:
        """The room after a step, which may push a box; None if there is no place."""
        way = ways(self.columns)[step]
        there, behind = self.player + way, self.player + 2 * way
        if there not in self.floor:
            return None
        if there not in self.boxes:
            return self._replace(player=there)
        if behind not in self.floor or behind in self.boxes:
            return None
        return self._replace(player=there, boxes=self.boxes - {there} | {behind})

    def done(self) -> int:
        """Boxes on targets."""
        return len(self.boxes & self.targets)

    def starts(self, lengths: range) -> list[Position]:
        """The positions, all targets in sight, that are so many steps from the end."""
        goal = _bits(self.targets)
        positions = solved(self.columns, self.floor, self.targets).items()
        return sorted((at, boxes) for (at, boxes), steps in positions if steps in lengths and not (boxes | 1 << at) & goal)

    def placed(self, position: Position) -> Room:
        """The room in that position."""
        player, boxes = position
        return self._replace(player=player, boxes=frozenset(cell for cell in self.floor if boxes >> cell & 1))

    def left(self) -> int | None:
        """Steps of the shortest way to all boxes on targets; None if there is none, or if the room is too large to know."""
        if math.comb(len(self.floor), len(self.boxes)) * len(self.floor) > MANY:
            return None
        return solved(self.columns, self.floor, self.targets).get((self.player, _bits(self.boxes)))


def ways(columns: int) -> Mapping[str, int]:
    """How each step changes the number of the cell."""
    return {step: rows * columns + across for step, (rows, across) in STEPS.items()}


def _bits(cells: frozenset[int]) -> int:
    return sum(1 << cell for cell in cells)


@functools.lru_cache(maxsize=32)
def solved(columns: int, floor: frozenset[int], targets: frozenset[int]) -> Mapping[Position, int]:
    """Steps to the end from every position from which it can be reached, found backwards by pulling boxes."""
    goal = _bits(targets)
    found: dict[Position, int] = {(cell, goal): 0 for cell in floor - targets}
    queue = list(found)
    for at, boxes in queue:
        steps = found[at, boxes] + 1
        for way in ways(columns).values():
            before, ahead = at - way, at + way
            if before not in floor or boxes >> before & 1:
                continue
            sources = [(before, boxes)]
            if boxes >> ahead & 1:
                sources.append((before, boxes ^ 1 << ahead | 1 << at))
            for source in sources:
                if source not in found:
                    found[source] = steps
                    queue.append(source)
    return found
