"""Scripted players of the towers of Hanoi: they read the drawn board, the official one as well as ours."""

from __future__ import annotations

import re

from games.core import View
from games.toh_multi_turn_board import Pegs, distance, moved, moves

LEGAL = 0.2  # share of replies of the broken player that are moves
_BOARD = re.compile(r"```\n(.*?)\n*```", re.DOTALL)
_ORDER = re.compile(r"argest first: ([^.]+)\.")


def read(view: View) -> tuple[list[str], Pegs]:
    """Names of the pegs, and the position on the board that was drawn last."""
    boards = [board for text in view.seen for board in _BOARD.findall(text)]
    lines = boards[-1].split("\n")
    if ": " not in lines[0] + " ":
        return lines[-1].split(), _rows(lines[:-1])
    stacks = [line.partition(":")[2].split() for line in lines]
    told = _ORDER.search(view.seen[0])  # the official game does not say it, but starts with all disks on the first peg
    names = told[1].split(", ") if told else boards[0].split("\n")[0].partition(":")[2].split()
    size = {name: len(names) - place for place, name in enumerate(names)}
    return [line[0] for line in lines], [[size[name] for name in stack] for stack in stacks]


def _rows(rows: list[str]) -> Pegs:
    """The sizes in a drawing whose rows go from top to bottom; a disk of size s is 2 s + 1 signs wide."""
    width = max(map(len, rows)) // 3
    cells = [[row[peg * (width + 1) :][:width].strip() for row in reversed(rows)] for peg in range(3)]
    return [[len(cell) // 2 for cell in column if len(cell) > 1] for column in cells]


def hop(view: View) -> str:
    """A move of the shortest way; a weak player often makes any allowed move."""
    names, pegs = read(view)
    options = moves(pegs)
    best = min(options, key=lambda move: distance(moved(pegs, *move)))
    source, target = best if view.rng.random() < view.strength else view.rng.choice(options)
    return f"[{names[source]} {names[target]}]"


def hop_anywhere(view: View) -> str:
    """An allowed move without an aim."""
    names, pegs = read(view)
    source, target = view.rng.choice(moves(pegs))
    return f"[{names[source]} {names[target]}]"


def break_move(view: View) -> str:
    """Moves in other words, with a disk in place of a peg, or against the rules; at times a good one."""
    if view.rng.random() > 1 - LEGAL:
        return hop(view)
    names, pegs = read(view)
    a, b, c = view.rng.sample(names, 3)
    full = names[max(range(3), key=lambda peg: len(pegs[peg]))]
    return view.rng.choice(
        (
            f"{a} {b}",
            f"I move the top disk from {a} to {b}.",
            f"({a}, {b})",
            f"[{a}, {b}]",
            f"[{a}->{b}] and then [{b}->{c}]",
            f"[disk {a}]",
            f"[X {a}]",
            f"My move:\n[{full} {full}]",
        )
    )
