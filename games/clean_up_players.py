"""Scripted players of clean up: they agree on a place for every letter, move their letters there, and close the game."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from collections.abc import Mapping

from games.core import Player, View

Cell = tuple[int, int]
EMPTY = "◌"
_GRID = re.compile(r"╔[═╤]+╗[^\n]*\n(?:[║╟][^\n]*\n)+╚[═╧]+╝")
_QUOTE = re.compile(r':\s+"([^\n]*)"')  # how both the official texts and ours pass a message on
_CELL = re.compile(r"\b([A-Z])\b[^A-Z()\n]{0,24}\((\d{1,3}), ?(\d{1,3})\)")
_CORNER = re.compile(r"\b([A-Z])\b[^A-Z\n]{0,16}\bthe ((?:spot (?:right|left) of the )?(?:top|bottom) (?:right|left) corner)")
_MINE, _AIM = re.compile(r"\b(?:mine|my|I have)\b", re.IGNORECASE), re.compile(r"plan|let|move|target|goal", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class _Board:
    """The seat's own grid as it was last drawn."""

    rows: list[str]
    letters: dict[str, Cell]

    def shows(self, cell: Cell) -> str:
        x, y = cell
        return self.rows[y][x] if y < len(self.rows) and x < len(self.rows[0]) else " "

    def free(self) -> list[Cell]:
        return [(x, y) for y, row in enumerate(self.rows) for x, symbol in enumerate(row) if symbol == EMPTY]

    def corners(self) -> dict[str, Cell]:
        """Places that words can name: the corners and the cells beside them."""
        right = len(self.rows[0]) - 2
        spots: dict[str, Cell] = {}
        for y, height in ((1, "top"), (len(self.rows) - 2, "bottom")):
            spots |= {f"{height} left corner": (1, y), f"{height} right corner": (right, y)}
            spots |= {
                f"spot right of the {height} left corner": (2, y),
                f"spot left of the {height} right corner": (right - 1, y),
            }
        return spots

    @property
    def wordy(self) -> bool:
        """Is this the variant whose messages must not name coordinates? Its grids are wider than they are high."""
        return len(self.rows[0]) > len(self.rows)


def _board(view: View) -> _Board:
    lines = [found for text in view.seen for found in _GRID.findall(text)][-1].split("\n")
    rows = [line[: len(lines[-1])] for line in lines]
    letters = {s: (x, y) for y, row in enumerate(rows) for x, s in enumerate(row) if s.isalpha() and s.isascii()}
    return _Board(rows, letters)


def _heard(view: View) -> list[str]:
    """What the partner said, "" for a turn without a message."""
    texts = view.seen[1:] if view.seat == "player_1" else (view.seen[0].rpartition("```")[2], *view.seen[1:])
    return [(_QUOTE.findall(text) or [""])[-1] for text in texts]


def _places(text: str, board: _Board) -> dict[str, Cell]:
    """The places that a message names for letters."""
    if board.wordy:
        return {letter: board.corners()[name] for letter, name in _CORNER.findall(text) if name in board.corners()}
    return {letter: (int(x), int(y)) for letter, x, y in _CELL.findall(text)}


def _plan(view: View, board: _Board) -> dict[str, Cell]:
    """Where the letters shall go, as far as anybody has said it; later messages win."""
    said = [text if text.startswith("SAY") else "" for text in view.said]
    both = (said, _heard(view)) if view.seat == "player_1" else (_heard(view), said)
    plan: dict[str, Cell] = {}
    for text in itertools.chain.from_iterable(itertools.zip_longest(*both, fillvalue="")):
        for letter, cell in {} if _tells_own(text) else _places(text, board).items():
            possible = board.shows(cell) == EMPTY or cell in board.letters.values()
            if letter in board.letters and possible and cell not in [plan[other] for other in plan if other != letter]:
                plan[letter] = cell
    return plan


def _tells_own(text: str) -> bool:
    return bool(_MINE.search(text)) and not _AIM.search(text)


def _propose(view: View, board: _Board, plan: dict[str, Cell]) -> dict[str, Cell]:
    """A complete plan: what is agreed, then in turn the partner's place of a letter and my own, where not taken."""
    plan = dict(plan)
    theirs = {letter: cell for text in _heard(view) if _tells_own(text) for letter, cell in _places(text, board).items()}
    corners = list(board.corners().values())
    view.rng.shuffle(corners)
    for i, letter in enumerate(sorted(set(board.letters) - set(plan))):
        mine = board.letters[letter]
        wishes = corners if board.wordy else [theirs.get(letter, mine), mine][:: 1 if i % 2 else -1] + board.free()
        plan[letter] = next(
            c for c in wishes if c not in plan.values() and (c in board.letters.values() or board.shows(c) == EMPTY)
        )
    return plan


def _tell(plan: Mapping[str, Cell], board: _Board, joint: str) -> str:
    names = {cell: name for name, cell in board.corners().items()}
    words = {letter: f"the {names[cell]}" if board.wordy else f"({cell[0]}, {cell[1]})" for letter, cell in plan.items()}
    return ", ".join(f"{letter} {joint} {words[letter]}" for letter in sorted(plan))


def scripted(view: View) -> str:
    """Tell where my letters are, settle a plan, carry it out, ask to finish; weaker players misread cells and give up early."""
    board, rng, slack = _board(view), view.rng, 1 - view.strength
    if view.seat == "player_1" and not view.said and not board.wordy:
        ask = rng.choice(("Where are yours?", "And yours?", "Please make a plan for all of them."))
        return f"SAY: {rng.choice(('Mine', 'I have'))}: {_tell(board.letters, board, 'at')}. {ask}"
    plan = _plan(view, board)
    if set(plan) != set(board.letters):
        return f"SAY: Plan: {_tell(_propose(view, board, plan), board, 'to')}. {rng.choice(('OK?', 'Go.', 'Agreed?'))}"
    aims = {letter: _misread(view, board, letter, cell, slack) for letter, cell in plan.items()}
    wrong = [letter for letter in sorted(aims) if board.letters[letter] != aims[letter]]
    if rng.random() < 0.1 * slack:
        return f"I am on it. {_move(wrong[0], aims[wrong[0]]) if wrong else 'SAY: ready'}"
    if not wrong or rng.random() < 0.25 * slack:
        return "SAY: finished!" if any("finished" in text for text in _heard(view)) else "SAY: finished?"
    for letter in wrong:
        if board.shows(aims[letter]) == EMPTY:
            return _move(letter, aims[letter])
    # all are blocked by my own letters: make room
    spare = [cell for cell in board.free() if cell not in aims.values()]
    return _move(wrong[0], rng.choice(spare)) if spare else "SAY: finished?"


def _misread(view: View, board: _Board, letter: str, cell: Cell, slack: float) -> Cell:
    """Where the player thinks that a cell is: with little strength beside it, and always at the same place."""
    fixed = random.Random(f"{view.seat}{letter}{view.seen[0]}".encode("utf-8", "replace"))  # it holds what the partner said
    near = [c for c in board.free() if abs(c[0] - cell[0]) + abs(c[1] - cell[1]) <= 3]
    return fixed.choice(near) if near and fixed.random() < 0.6 * slack and board.letters[letter] != cell else cell


def _move(letter: str, cell: Cell) -> str:
    return f"MOVE: {letter}, ({cell[0]}, {cell[1]})"


def at_random(view: View) -> str:
    """Legal commands without a plan."""
    board, rng = _board(view), view.rng
    words = ("hello", "let us begin", "your turn", "where are your letters?", "finished?")
    if not view.said or not board.letters or rng.random() < 0.3:
        return f"SAY: {rng.choice(words)}"
    return _move(rng.choice(sorted(board.letters)), rng.choice(board.free()))


def broken(view: View) -> str:
    """Commands as models get them wrong: chatter around them, several lines or commands, walls; sometimes a legal one."""
    board, rng = _board(view), view.rng
    letter = rng.choice(sorted(board.letters) or ["A"])
    wrong = (
        "SAY: Hello! Here is my board:\n" + "\n".join(board.rows),
        f"I will move {letter} now.\n\n{_move(letter, rng.choice(board.free()))}",
        f"SAY: I move {letter}. {_move(letter, (1, 1))}",
        f"{_move(letter, (1, 1))}\nSAY: finished?",
        f"MOVE: {letter} (1, 1)",
        _move(letter, (0, 0)),
        _move("Q", (1, 1)),
        "finished!",
        "",
    )
    return at_random(view) if rng.random() < 0.2 else rng.choice(wrong)


PLAYERS: Mapping[str, Player] = {"scripted": scripted, "random": at_random, "broken": broken}
