"""Fresh grids for clean up: walls or landmarks, and letters on them."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping

from games.core import split_of

EMPTY = "◌"
# level -> (width and height with the frame, empty cells, tiles where walls branch, how many letters)
WALLS = {
    "tiny": (5, 9, 0, (2, 2)),
    "easy": (9, 34, 7, (3, 3)),
    "medium": (9, 29, 11, (3, 5)),
    "hard": (9, 24, 15, (5, 5)),
}
# level -> (width, height, how many letters)
LANDMARKS = {"small": (22, 8, 2), "easy": (52, 12, 3), "hard": (52, 12, 6)}
_LETTERS = "ABCDEFGHKLMNPRSTUWXYZ"

_STEPS = {"u": (0, -1), "r": (1, 0), "d": (0, 1), "l": (-1, 0)}
_BACK = {"u": "d", "r": "l", "d": "u", "l": "r"}
_INSIDE = {
    "dr": "┌",
    "dl": "┐",
    "ru": "└",
    "lu": "┘",
    "dru": "├",
    "dlu": "┤",
    "dlr": "┬",
    "lru": "┴",
    "dlru": "┼",
    "lr": "─",
    "du": "│",
}
_FRAME = {"dr": "╔", "dl": "╗", "ru": "╚", "lu": "╝", "dru": "╟", "dlu": "╢", "dlr": "╤", "lru": "╧", "lr": "═", "du": "║"}
Arms = dict[tuple[int, int], frozenset[str]]  # of each tile of wall or frame: in which directions it goes on


def walls(rng: random.Random, level: str, split: str) -> dict:
    """A fresh `text` instance."""
    side, empty, branches, letters = WALLS[level]
    background = draw(_labyrinth(rng, side, empty, branches), side)
    return _instance(rng, "text", background, rng.randint(*letters), split)


def landmarks(rng: random.Random, level: str, split: str) -> dict:
    """A fresh `semantic_text` instance."""
    width, height, letters = LANDMARKS[level]
    return _instance(rng, "semantic_text", _blocks(rng, width, height), letters, split)


def _instance(rng: random.Random, modality: str, background: str, count: int, split: str) -> dict:
    """Letters at random empty cells of the background, drawn anew until the whole lies in the split."""
    rows = background.split("\n")
    cells = [(x, y) for y, row in enumerate(rows) for x, symbol in enumerate(row) if symbol == EMPTY]
    while True:
        letters = rng.sample(_LETTERS, count)
        places = [rng.sample(cells, count) for _ in range(2)]
        instance = {
            "modality": modality,
            "language": "en",
            "background": background,
            "empty_symbol": EMPTY,
            "objects_1": [{"id": letter, "coord": list(cell)} for letter, cell in zip(letters, places[0])],
            "objects_2": [{"id": letter, "coord": list(cell)} for letter, cell in zip(letters, places[1])],
            "max_penalties": 2 * count + 2,
            "max_rounds": 4 * count,
        }
        if modality == "text":
            instance |= {"empty_cells": len(cells), "total_cells": (len(rows) - 2) * (len(rows[0]) - 2)}
        if places[0] != places[1] and split_of(target(instance)) == split:
            return instance


def target(instance: Mapping) -> str:
    """The background with the letters of both seats."""
    return json.dumps([instance[field] for field in ("background", "objects_1", "objects_2")], ensure_ascii=False)


def _labyrinth(rng: random.Random, side: int, empty: int, branches: int) -> Arms:
    """Walls from frame to frame or to other walls, until just so many cells are empty and just so many tiles branch."""
    while True:
        tiles = _bare_frame(side)
        for _ in range(200):
            if side * side - len(tiles) == empty:
                break
            more = _with_wall(rng, tiles, side)
            if more and side * side - len(more) >= empty and _branches(more) <= branches and well_formed(more, side):
                tiles = more
        if side * side - len(tiles) == empty and _branches(tiles) == branches:
            return tiles


def _branches(tiles: Arms) -> int:
    return sum(len(arms) > 2 for arms in tiles.values())


def _bare_frame(side: int) -> Arms:
    last = side - 1
    tiles = {(x, y): frozenset("lr") for x in range(side) for y in (0, last)}
    tiles |= {(x, y): frozenset("ud") for x in (0, last) for y in range(side)}
    return tiles | dict(zip([(0, 0), (last, 0), (0, last), (last, last)], map(frozenset, ("rd", "ld", "ru", "lu"))))


def _with_wall(rng: random.Random, tiles: Arms, side: int) -> Arms | None:  # type: ignore[return]  # an endless loop
    """One wall more, from a tile straight on, perhaps round one corner, up to the next tile; None if there is no way."""
    more = dict(tiles)
    (x, y), way = rng.choice(list(tiles)), rng.choice("urdl")
    turn = rng.randint(1, side - 3) if rng.random() < 0.4 else 0
    for step in itertools.count(1):
        more[x, y] = more.get((x, y), frozenset()) | {way}
        x, y = x + _STEPS[way][0], y + _STEPS[way][1]
        reached = (x, y) in more
        if not (0 <= x < side and 0 <= y < side) or (reached and step == 1):
            return None
        more[x, y] = more.get((x, y), frozenset()) | {_BACK[way]}
        if reached:
            return more
        if step == turn:
            way = rng.choice("lr" if way in "ud" else "ud")


def well_formed(tiles: Arms, side: int) -> bool:
    """Neighbouring tiles are joined, no wall runs along another or along the frame, no two corners touch."""
    corners = set()
    for (x, y), arms in tiles.items():
        for way, (dx, dy) in _STEPS.items():
            if 0 <= x + dx < side and 0 <= y + dy < side and (way in arms) != ((x + dx, y + dy) in tiles):
                return False
        for up in arms & set("ud"):
            for across in arms & set("lr"):
                if (x + _STEPS[across][0], y + _STEPS[up][1]) in tiles:
                    return False
        if len(arms) == 2 and arms not in (set("ud"), set("lr")):
            corners.add((x, y))
    return not any((x + 1, y) in corners or (x, y + 1) in corners for x, y in corners)


def draw(tiles: Arms, side: int) -> str:
    """The tiles as box-drawing characters, double lines for the frame."""

    def symbol(x: int, y: int) -> str:
        if (x, y) not in tiles:
            return EMPTY
        return (_INSIDE if 0 < x < side - 1 and 0 < y < side - 1 else _FRAME)["".join(sorted(tiles[x, y]))]

    return "\n".join("".join(symbol(x, y) for x in range(side)) for y in range(side))


_SYMBOLS = {5: "♠", 6: "♦", 7: "▲", 8: "☾", 9: "★"}  # width of a block, brackets included -> what fills it
_SHAPES = [
    ((0, 0), (0, 1)),
    ((0, 0), (1, 0)),
    ((0, 0), (0, 1), (0, 2)),
    ((0, 0), (0, 1), (1, 1)),
    ((0, 0), (1, 0), (0, 1), (1, 1)),
]


def _blocks(rng: random.Random, width: int, height: int) -> str:
    """A frame around shapes made of blocks like [♠♠♠], until about a third of the cells is covered; the rim stays empty."""
    cells = [[EMPTY] * (width - 2) for _ in range(height - 2)]
    taken: set[tuple[int, int]] = set()
    kinds = [(shape, span) for shape in _SHAPES for span in _SYMBOLS]
    rng.shuffle(kinds)
    for shape, span in kinds * 3:
        across, down = 1 + max(x for x, _ in shape), 1 + max(y for _, y in shape)
        free_x, free_y = width - 2 - 4 - span * across, height - 2 - 2 - down
        if free_x < 0 or free_y < 0 or sum(row.count(EMPTY) for row in cells) < 0.67 * len(cells) * len(cells[0]):
            continue
        left, top = 2 + rng.randint(0, free_x), 1 + rng.randint(0, free_y)
        spots = {(left + span * x + i, top + y) for x, y in shape for i in range(span)}
        if spots & taken:
            continue
        for x, y in shape:
            cells[top + y][left + span * x : left + span * (x + 1)] = f"[{_SYMBOLS[span] * (span - 2)}]"
        taken |= {(x + dx, y + dy) for x, y in spots for dx in range(-(span // 3), span // 3 + 1) for dy in (0, 1)}
    bar = "═" * (width - 2)
    return "\n".join([f"╔{bar}╗", *(f"║{''.join(row)}║" for row in cells), f"╚{bar}╝"])
