"""Letter grids as text: rows on lines, cells joined by single blanks; and the shapes that our own instances are made of."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Mapping
from importlib import resources

from games.core import InstanceError

SIZE = 5
Cells = frozenset[tuple[int, int]]  # (row, column) of the filled cells, from 0

_ROW = re.compile(r"[A-Z□▢](?: [A-Z□▢])*")


def text_field(instance: Mapping, settings: Mapping, field: str) -> str:
    """A text of the settings, or, where they have none, of the instance; `InstanceError` if both lack it."""
    value = settings.get(field, instance.get(field))
    if not isinstance(value, str):
        raise InstanceError(field, "missing" if value is None else f"{type(value).__name__} given, str wanted")
    return value


def pattern_field(instance: Mapping, settings: Mapping, field: str, flags: int = 0) -> re.Pattern[str]:
    """A regular expression of the settings or the instance; `InstanceError` if it is missing or none."""
    # the same, but without a group for each character
    text = text_field(instance, settings, field).replace("(.|\n)", r"[\s\S]")
    try:
        return re.compile(text, flags)
    except re.error as error:  # instance files come from outside
        raise InstanceError(field, f"not a regular expression: {error}") from None


def draw(cells: Cells, letter: str = "X", empty: str = "□") -> str:
    """The text of a grid of SIZE x SIZE."""
    return "\n".join(" ".join(letter if (row, column) in cells else empty for column in range(SIZE)) for row in range(SIZE))


def find(text: str) -> list[list[list[str]]]:
    """All grids shown in a text, in order: runs of lines that consist of single-letter cells."""
    grids: list[list[list[str]]] = []
    inside = False
    for line in text.split("\n"):
        row = line.split(" ") if len(line) > 1 and _ROW.fullmatch(line) else None
        if row and inside:
            grids[-1].append(row)
        elif row:
            grids.append([row])
        inside = row is not None
    return grids


@functools.cache
def shapes(kind: str) -> tuple[Cells, ...]:
    """Shapes drawn by hand: "letter", "digit" or "figure"."""
    text = resources.files("games").joinpath("resources", "grid_shapes.txt").read_text("utf-8")
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return tuple(
        frozenset((r, c) for r, line in enumerate(block[1:]) for c, cell in enumerate(line) if cell == "X")
        for block in blocks
        if block[0].split()[0] == kind
    )


def smudge(rng: random.Random, cells: Cells, most: int) -> Cells:
    """The shape with up to `most` cells flipped."""
    flipped = {(rng.randrange(SIZE), rng.randrange(SIZE)) for _ in range(rng.randint(0, most))}
    return cells ^ flipped


def lines(rng: random.Random) -> Cells:
    """Some rows filled, and sometimes a shorter run of cells in one more row."""
    rows = rng.sample(range(SIZE), rng.randint(1, SIZE - 1))
    cells = {(row, column) for row in rows for column in range(SIZE)}
    if rng.random() < 0.6:
        row = rng.choice([row for row in range(SIZE) if row not in rows])
        start = rng.randrange(SIZE - 1)
        cells |= {(row, column) for column in range(start, rng.randint(start + 1, SIZE - (start == 0)))}
    return frozenset(cells)


def turned(cells: Cells) -> Cells:
    """Rows become columns."""
    return frozenset((column, row) for row, column in cells)


def scatter(rng: random.Random, count: int) -> Cells:
    """`count` cells anywhere."""
    return frozenset(divmod(cell, SIZE) for cell in rng.sample(range(SIZE * SIZE), count))
