"""Scripted players of MMLU-Pro."""

from __future__ import annotations

import re

from games.core import View
from games.mmlu_pro_make import solve


def _any(view: View) -> str:
    letters = re.findall(r"^([A-J])\. ", view.seen[0].rpartition("Options:\n")[2], re.MULTILINE)
    return view.rng.choice(letters or ["A"])


def answer(view: View) -> str:
    """The right letter to our own questions; a weak player, and one who is asked something else, guesses."""
    known = solve(view.seen[0])
    letter = known if known is not None and view.rng.random() <= view.strength else _any(view)
    return f"The answer is ({letter})"


def answer_anything(view: View) -> str:
    return view.rng.choice(("The answer is ({})", "The answer is {}.", "the answer is {}")).format(_any(view))


def ramble(view: View) -> str:
    """Replies with no answer of the form asked for, or with more than one; now and then a good one."""
    right = answer(view)
    if view.rng.random() < 0.2:
        return right
    letter = right[-2]
    wrong = (letter, f"({letter})", f"Answer: {letter}", f"{right}. So the answer is {letter}.", "The answer is: A", "")
    return view.rng.choice(wrong)
