"""Scripted players of CLadder."""

from __future__ import annotations

from games.cladder_make import solve
from games.core import View


def answer(view: View) -> str:
    """The right answer to our own questions; a weak player, and one who is asked something else, guesses."""
    known = solve(view.seen[0])
    if known is None or view.rng.random() > view.strength:
        known = view.rng.choice(("yes", "no"))
    return known.capitalize()


def answer_anything(view: View) -> str:
    return view.rng.choice(("no", "Yes.", "No, the numbers say otherwise.", "**Yes**"))


def evade(view: View) -> str:
    """Replies whose first word is no answer; now and then one whose first word is."""
    right = answer(view)
    if view.rng.random() < 0.2:
        return right
    wrong = (f"Answer: {right}", "Yes/No", f"The answer is {right}.", "", f"{right}\u2014because it is", "Maybe.")
    return view.rng.choice(wrong)
