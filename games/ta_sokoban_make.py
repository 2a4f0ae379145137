"""Rooms of Sokoban: those that official instances draw from their seed, and fresh ones.

Of both a random walk leaves the floor. Where the boxes stand at first, officially a search in depth finds, backwards from the
solved position; a fresh room takes a position from which the shortest way to the end has a wanted length.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence

from games.core import InstanceError, split_of
from games.pcg64 import PCG64
from games.ta_sokoban_room import SIGNS, Room

SEEDS, TRIES = 50, 1000  # seeds that are tried, one after the other, and rooms of each
DEPTH, MOST = 300, 300_000  # of the search backwards: steps on a path, states in all
TURN = 0.35  # how often the walk that makes the floor changes its direction
_WALKS = [(1, 0), (0, 1), (-1, 0), (0, -1)]
_MASKS = [  # cells around the walk that become floor
    [(0, -1), (0, 0), (0, 1)],
    [(-1, 0), (0, 0), (1, 0)],
    [(0, -1), (0, 0), (1, 0)],
    [(0, -1), (0, 0), (1, -1), (1, 0)],
    [(0, 0), (0, 1), (1, 0)],
]
_WALL, _FLOOR, _TARGET, _PULLED, _BOX, _PLAYER = range(6)  # codes of cells; a box that was not pulled yet is another state
_FREE, _BOXES = (_FLOOR, _TARGET), (_PULLED, _BOX)


@functools.lru_cache(maxsize=256)
def draw(rows: int, columns: int, boxes: int, seed: int) -> Room:
    """The room of an instance."""
    for current in range(seed, seed + SEEDS):
        walks, places = random.Random(current), PCG64(current)
        for _ in range(TRIES):
            fixed = _floor(walks, rows, columns)
            drawn = _place(places, fixed, boxes)
            if drawn and (state := _harder(fixed, drawn, columns)):
                return _room(state.replace(bytes([_PULLED]), bytes([_BOX])), columns)
    raise InstanceError("env_specs.num_boxes", f"no room for {boxes} boxes was found in {SEEDS} times {TRIES} tries")


def fresh(rng: random.Random, split: str, size: Sequence[int], boxes: int, lengths: range) -> Room:
    """A room whose walls and targets lie in the split, and whose shortest solution has one of the lengths."""
    while True:
        cells = _floor(rng, *size)
        free = [cell for cell, code in enumerate(cells) if code == _FLOOR]
        if len(free) < boxes + 2:
            continue
        for cell in rng.sample(free, boxes):
            cells[cell] = _TARGET
        room = _room(cells, size[1])
        if split_of("/".join(room.rows())) == split and (found := room.starts(lengths)):
            return room.placed(rng.choice(found))


def _room(cells: Sequence[int], columns: int) -> Room:
    signs = "".join(SIGNS[code] for code in cells)
    return Room.read([signs[start : start + columns] for start in range(0, len(signs), columns)])


def _floor(rng: random.Random, rows: int, columns: int) -> bytearray:
    """Walls, and the floor that a random walk leaves."""
    cells = bytearray(rows * columns)
    walk = rng.sample(_WALKS, 1)[0]
    row, column = rng.randint(1, rows - 1), rng.randint(1, columns - 1)
    for _ in range(int(1.7 * (rows + columns))):
        if rng.random() < TURN:
            walk = rng.sample(_WALKS, 1)[0]
        row = max(min(row + walk[0], rows - 2), 1)
        column = max(min(column + walk[1], columns - 2), 1)
        for down, right in rng.sample(_MASKS, 1)[0]:
            if 0 < row + down < rows - 1 and 0 < column + right < columns - 1:
                cells[(row + down) * columns + column + right] = _FLOOR
    return cells


def _place(rng: PCG64, cells: bytearray, boxes: int) -> list[int]:
    """The player's cell, and those of the targets, which are marked; [] if there is no place."""
    free = [cell for cell, code in enumerate(cells) if code == _FLOOR]
    if len(free) <= boxes + 1:
        return []
    drawn = [free.pop(rng.integers(len(free))) for _ in range(boxes + 1)]
    for cell in drawn[1:]:
        cells[cell] = _TARGET
    return drawn


def _harder(fixed: bytearray, drawn: Sequence[int], columns: int) -> bytes | None:
    """The position farthest from the solved one that the search finds; None if the room is no good."""
    at, targets = drawn[0], sorted(drawn[1:])
    start = bytearray(fixed)
    start[at] = _PLAYER
    for cell in targets:
        start[cell] = _BOX
    if _stuck(start, fixed, columns):
        return None
    score, state = _pull(bytes(start), bytes(fixed), targets, columns)
    return state if score > 0 and not _stuck(state, fixed, columns) else None


def _ways(columns: int) -> tuple[int, int, int, int]:
    return -columns, columns, -1, 1


def _stuck(state: Sequence[int], fixed: Sequence[int], columns: int) -> bool:
    """Is there a box in a corner, or one of several that nobody can push? Two walls are taken for a corner as officially."""
    boxes = [cell for cell, code in enumerate(state) if code in _BOXES]
    for cell in boxes:
        walls = [i for i, way in enumerate(_ways(columns)) if fixed[cell + way] == _WALL]
        if fixed[cell] != _TARGET and (len(walls) > 2 or len(walls) == 2 and walls[1] - walls[0] in (1, 3)):
            return True
    push = lambda cell, way: state[cell + way] in _FREE and state[cell - way] in (*_FREE, _PLAYER)
    return len(boxes) > 1 and not all(any(push(cell, way) for way in _ways(columns)) for cell in boxes)


def _pull(start: bytes, fixed: bytes, targets: Sequence[int], columns: int) -> tuple[int, bytes]:
    """(score, state) that a search in depth finds first among the best."""
    best = (-1, start)
    seen: set[bytes] = set()
    apart = lambda a, b: abs(a // columns - b // columns) + abs(a % columns - b % columns)

    def visit(state: bytes, at: int, boxes: tuple[int, ...], pulls: int, left: int) -> None:
        nonlocal best
        if left == 0 or len(seen) >= MOST or state in seen:
            return
        seen.add(state)
        score = pulls * sum(map(apart, boxes, targets)) if state.count(_TARGET) == len(targets) else 0
        if score > best[0]:
            best = (score, state)
        for before, there, pulled in _backwards(state, at, fixed, columns):
            if pulled:
                visit(before, there, tuple(at if box == pulled else box for box in boxes), pulls + 1, left - 1)
            else:
                visit(before, there, boxes, pulls, left - 1)

    visit(start, start.index(_PLAYER), tuple(targets), 0, DEPTH - 1)
    return best


def _backwards(state: bytes, at: int, fixed: bytes, columns: int) -> Iterator[tuple[bytes, int, int]]:
    """What can have been before: the player goes a step back, and pulls the box in front of him, if there is one.

    Gives state, the player's cell, and the cell from which a box was pulled to where the player was, or 0.
    """
    for way in _ways(columns):
        if state[at + way] in _FREE:
            before, pulled = bytearray(state), 0
            before[at], before[at + way] = fixed[at], _PLAYER
            if state[at - way] in _BOXES:
                pulled = at - way
                before[at], before[pulled] = _PULLED, fixed[pulled]
            yield bytes(before), at + way, pulled
