"""Scripted players for the referencegame: one names what sets the target apart, one looks for the grid that has it."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping

from games.core import Player, View
from games.grid_talk import ordinal, places, plain
from games.grids import SIZE, find

Grid = list[list[str]]
Cell = tuple[int, int]


def _features(rng: random.Random, grid: Grid) -> list[tuple[str, list[Cell], str]]:
    """What can be said truly of a grid, lines before cells: (words, the cells that it is about, what they all hold)."""
    numbers = range(SIZE)
    lines = [("row", i, [(i, j) for j in numbers]) for i in numbers] + [
        ("column", i, [(j, i) for j in numbers]) for i in numbers
    ]
    whole: list[tuple[str, list[Cell], str]] = []
    for kind, i, cells in lines:
        if len({grid[row][column] for row, column in cells}) == 1:
            mark = grid[cells[0][0]][cells[0][1]]
            state = rng.choice(["a full", "a filled"] if mark == "X" else ["an empty", "a blank"])
            whole.append((f"{state} {ordinal(i + 1)} {kind}", cells, mark))
    single = [
        (f"{'an' if mark == 'X' else 'no'} X in row {row + 1}, column {column + 1}", [(row, column)], mark)
        for row, line in enumerate(grid)
        for column, mark in enumerate(line)
    ]
    rng.shuffle(whole)
    rng.shuffle(single)
    return whole + single


def giver(view: View) -> str:
    """Name one feature, or two together, that only the target has; a weak player forgets to compare."""
    target, *others = find(view.seen[-1])[:3]
    features = _features(view.rng, target)
    if view.rng.random() > view.strength:
        chosen = [view.rng.choice(features)[0]]
    else:
        # which of the others each feature rules out
        out = {
            words: {i for i, other in enumerate(others) if any(other[row][column] != mark for row, column in cells)}
            for words, cells, mark in features
        }
        chosen = next(
            [*words]
            for size in (1, 2)
            for words in itertools.combinations(out, size)
            if set().union(*(out[each] for each in words)) == {0, 1}
        )
    return f"Expression: {view.rng.choice(['the grid with', 'the one that has'])} {' and '.join(chosen)}"


_BREAKS = re.compile(r" (?:and|with|but|while|where|[,;.]) ")


def _fit(expression: str, grid: Grid) -> float:
    """How much of what an expression says is true of a grid, 0..1; 0 if nothing in it is understood."""
    truths: list[float] = []
    for clause in _BREAKS.split(f" {plain(expression)} "):
        wanted = "□" if re.search(r"\b(?:empty|blank|no|not|without)\b", clause) else "X"
        named = [] if re.search(r"\b(?:other|others|remaining|rest|except)\b", clause) else list(places(clause))
        count = re.search(r"\b(\d+) (?:x|filled|empty)", clause)
        for cells in named:
            right = sum((grid[row][column] == "X") == (wanted == "X") for row, column in cells)
            truths.append(1.0 if right == len(cells) else 0.5 * right / len(cells))
        if count and not named:
            truths.append(float(sum((cell == "X") == (wanted == "X") for line in grid for cell in line) == int(count[1])))
    return sum(truths) / len(truths) if truths else 0.0


def follower(view: View) -> str:
    """Pick the grid that fits best; a weak player picks at random now and then."""
    grids = find(view.seen[-1])[:3]
    said = re.search(r"expression:\s*(.*)", view.seen[-1], re.IGNORECASE)
    fits = [_fit(said[1], grid) if said else 0.0 for grid in grids]
    best = [place for place, fit in enumerate(fits) if fit == max(fits)]
    if view.rng.random() > view.strength:
        best = [0, 1, 2]
    return f"Answer: {ordinal(view.rng.choice(best) + 1)}"


def random_giver(view: View) -> str:
    """A cell at random."""
    row, column = view.rng.randint(1, SIZE), view.rng.randint(1, SIZE)
    return f"Expression: the grid with {view.rng.choice(['an', 'no'])} X in row {row}, column {column}"


def random_follower(view: View) -> str:
    """A grid at random."""
    return f"Answer: {view.rng.choice(['first', 'second', 'third'])}"


def broken_giver(view: View) -> str:
    """Lose the tag, say nothing or too much; sometimes legal."""
    legal = giver(view)
    bare = legal.removeprefix("Expression: ")
    return view.rng.choice(
        [legal, bare, "Expression:", f"Referring expression: {bare}", f"{legal}\n\nThe other grids differ there.", f" {legal}"]
    )


def broken_follower(view: View) -> str:
    """Answer in a sentence, without tag, or reason at length; sometimes legal."""
    legal = follower(view)
    word = legal.removeprefix("Answer: ")
    return view.rng.choice(
        [legal, word, f"Answer: the {word} grid", f"Answer: **{word}**", f"The answer is {word}.", f"{legal}\n\nIt fits best."]
    )


PLAYERS: Mapping[str, Mapping[str, Player]] = {
    "giver": {"scripted": giver, "random": random_giver, "broken": broken_giver},
    "follower": {"scripted": follower, "random": random_follower, "broken": broken_follower},
}
