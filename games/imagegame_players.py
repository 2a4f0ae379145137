"""Scripted players for the imagegame: one describes a grid by rows and columns, one draws what such commands say."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from games.core import Player, View
from games.grid_talk import places, plain
from games.grids import SIZE, find

EMPTY = "▢"
Grid = list[list[str]]


def _plan(grid: Grid) -> list[tuple[str, str, int, list[int]]]:
    """(letter, "row" or "column", its number, the other numbers) for each command: whole lines first, the shorter way round."""
    full = list(range(1, SIZE + 1))
    ways = []
    for kind, lines in (("row", grid), ("column", [list(line) for line in zip(*grid)])):
        way = []
        for number, line in enumerate(lines, 1):
            for letter in dict.fromkeys(cell for cell in line if cell != EMPTY):
                way.append((letter, kind, number, [i for i, cell in enumerate(line, 1) if cell == letter]))
        ways.append(sorted(way, key=lambda step: step[3] != full))
    return min(ways, key=len)


def _say(rng: random.Random, letter: str, kind: str, number: int, others: list[int]) -> str:
    """One command in words."""
    if len(others) == SIZE:
        return rng.choice([f"Fill {kind} {number} with {letter}", f"Put {letter} in all cells of {kind} {number}"])
    other = "column" if kind == "row" else "row"
    where = ", ".join(map(str, others[:-1])) + " and " * (len(others) > 1) + str(others[-1])
    plural = "s" * (len(others) > 1)
    article = "an" if letter in "AEFHILMNORSX" else "a"
    return rng.choice(
        [
            f"Put {article} {letter} in {kind} {number}, {other}{plural} {where}",
            f"{letter} in {kind} {number} {other}{plural} {where}",
        ]
    )


def giver(view: View) -> str:
    """Describe the grid line by line, then be done; a weak player names wrong cells now and then."""
    plan = _plan(find(view.seen[0])[-1])
    if len(view.said) >= len(plan):
        return "Command: DONE"
    letter, kind, number, others = plan[len(view.said)]
    if view.rng.random() > 0.6 + 0.4 * view.strength:
        others = sorted(view.rng.sample(range(1, SIZE + 1), view.rng.randint(1, SIZE - 1)))
    return f"Command: {_say(view.rng, letter, kind, number, others)}"


def _letter(command: str) -> str:
    """The letter to draw: the first capital that stands alone, or the next one if that may be an article."""
    capitals = re.findall(r"\b[A-Z]\b", command) or ["X"]
    return capitals[1] if capitals[0] == "A" and len(capitals) > 1 else capitals[0]


def follower(view: View) -> str:
    """Draw what the last command says on the grid drawn last; a weak player misplaces or forgets cells."""
    drawn = find(view.said[-1]) if view.said else []
    cells = [list(row) for row in drawn[0]] if drawn else []
    if [len(row) for row in cells] != [SIZE] * SIZE:
        cells = [[EMPTY] * SIZE for _ in range(SIZE)]
    command = view.seen[-1].rsplit("\n", 1)[-1].split(":", 1)[-1]
    named, *spared = ({cell for place in places(part) for cell in place} for part in plain(command).split(" except "))
    for row, column in sorted(named.difference(*spared)):
        if view.rng.random() > 0.85 + 0.15 * view.strength:
            column = view.rng.randrange(SIZE)
        cells[row][column] = _letter(command)
    return "\n".join(map(" ".join, cells))


def random_giver(view: View) -> str:
    """Any command; done after a while."""
    if view.rng.random() < 0.15:
        return "Command: DONE"
    numbers = sorted(view.rng.sample(range(1, SIZE + 1), view.rng.randint(1, SIZE)))
    letter = view.rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f"Command: {_say(view.rng, letter, view.rng.choice(['row', 'column']), view.rng.randint(1, SIZE), numbers)}"


def random_follower(view: View) -> str:
    """Any grid of one letter."""
    letter = view.rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return "\n".join(" ".join(view.rng.choice([letter, EMPTY, EMPTY]) for _ in range(SIZE)) for _ in range(SIZE))


def broken_giver(view: View) -> str:
    """Forget the tag, say more than one line, or go on for ever; sometimes legal."""
    legal = giver(view)
    return view.rng.choice(
        [
            legal,
            "Command: Fill the last row with X",
            legal.removeprefix("Command: "),
            f"Sure, let us begin.\n{legal}",
            f"{legal}\nCommand: DONE",
            f"**{legal}**",
        ]
    )


def broken_follower(view: View) -> str:
    """Draw a row too wide or too few, talk around the grid, or use other signs; sometimes legal."""
    legal = follower(view)
    rows = legal.split("\n")
    return view.rng.choice(
        [
            legal,
            "\n".join([f"{rows[0]} {EMPTY}", *rows[1:]]),
            "\n".join([*rows[:-1], f"{rows[-1]} {EMPTY}"]),
            rows[0],
            f"Here is the grid:\n\n{legal}",
            legal.replace(EMPTY, "."),
            f"{legal}\n\nThe command has been carried out.",
        ]
    )


PLAYERS: Mapping[str, Mapping[str, Player]] = {
    "giver": {"scripted": giver, "random": random_giver, "broken": broken_giver},
    "follower": {"scripted": follower, "random": random_follower, "broken": broken_follower},
}
