"""Scripted players of Match It: they tell their rows, ask for rows they do not know, and compare.

Both seats play alike. A weak player leaves rows out, misreads cells, and is not sure at the end.
"""

from __future__ import annotations

import re

from games.core import View

_ROW = re.compile(r"(?:row|line) (\d)[^\dX▢]{0,20}([X▢](?: ?[X▢]){4})", re.IGNORECASE)
_ASKED = re.compile(r"(?:row|line) (\d)", re.IGNORECASE)
_WAYS = ("same", "different")


def _grid(view: View) -> list[str]:
    """The own grid, row by row, cut out of the first message."""
    before, _, after = view.settings["initial_prompt"].partition("$GRID$")
    text = view.seen[0]
    return text[len(before) : len(text) - len(after)].replace(" ", "").split("\n")


def _kind(view: View) -> str:
    """What the last message asks for: the prompts tell it, the question before them does not count."""
    s, last = view.settings, view.seen[-1]
    if last.endswith(s["d_reprompt"]):
        return "decision"
    if last.endswith(s["q_reprompt"]):
        return "question"
    return "answer" if last.endswith(s["a_request"]) else "description"


def _heard(view: View) -> dict[int, str]:
    """The other's rows, as far as they were told; the first message holds the own grid only."""
    told = {}
    for message in view.seen[1:]:
        for row, cells in _ROW.findall(message):
            told[int(row)] = cells.upper().replace(" ", "")
    return told


def _tell(view: View, grid: list[str], row: int) -> str:
    """A row in words; a weak player misreads a cell now and then."""
    cells = list(grid[row - 1])
    if view.rng.random() > view.strength:
        at = view.rng.randrange(len(cells))
        cells[at] = "X" if cells[at] != "X" else "▢"
    return f"row {row} {'is ' if view.rng.random() < 0.3 else ''}{''.join(cells)}"


def scripted(view: View) -> str:
    """Describe by rows, ask for a row not yet told, answer with the row asked for, decide by comparing them."""
    grid, kind, rng = _grid(view), _kind(view), view.rng
    rows, told = range(1, len(grid) + 1), _heard(view)
    tag = view.settings["flags"][kind]
    if kind == "description":
        chosen = [row for row in rows if rng.random() < 0.3 + 0.7 * view.strength] or [1]
        return f"{tag} " + ", ".join(_tell(view, grid, row) for row in chosen)
    if kind == "question":
        row = rng.choice([row for row in rows if row not in told] or list(rows))
        return f"{tag} " + rng.choice(
            ("What does row {} look like?", "Which cells are in row {}?", "Can you tell me row {}?")
        ).format(row)
    if kind == "answer":
        asked = [int(row) for row in _ASKED.findall(view.seen[-1].removesuffix(view.settings["a_request"])) if int(row) in rows]
        return f"{tag} " + ", ".join(_tell(view, grid, row) for row in (asked[-1:] or rows))
    same = all(told.get(row, grid[row - 1]) == grid[row - 1] for row in rows)
    if rng.random() > 0.5 + view.strength / 2:
        same = rng.random() < 0.5
    return f"{tag} {_decision(view, 'same' if same else 'different')}"


def _decision(view: View, word: str) -> str:
    """The wording of a decision; that one of the two is called the solution is none of the player's business."""
    return next(way for way in sorted((view.settings["solution"], view.settings["wrong_solution"])) if word in way)


def random_player(view: View) -> str:
    """The right tag, and then anything."""
    kind, rng = _kind(view), view.rng
    words = {
        "description": f"row 1 {''.join(rng.choices('X▢', k=5))}",
        "question": f"What is in row {rng.randrange(1, 6)}?",
        "answer": f"row {rng.randrange(1, 6)} {''.join(rng.choices('X▢', k=5))}",
        "decision": _decision(view, rng.choice(_WAYS)),
    }
    return f"{view.settings['flags'][kind]} {words[kind]}"


def broken(view: View) -> str:
    """Takes the wrong tag, mostly a question for an answer, or none; adds a word to the decision; sometimes plays on."""
    good, kind, rng = scripted(view), _kind(view), view.rng
    tag = view.settings["flags"][kind]
    if rng.random() < 0.9:
        return good
    if kind == "decision":
        return rng.choice((good + "!", good.replace("grid", "picture"), good + " I think", "I say " + good))
    if kind == "answer":
        return view.settings["flags"]["question"] + " Is the middle cell an X?"
    return rng.choice((good.removeprefix(tag).strip(), good.replace(tag, f"**{tag}**"), good.replace(": ", ":", 1), ""))


PLAYERS = {"scripted": scripted, "random": random_player, "broken": broken}
