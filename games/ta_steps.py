"""Directions in square brackets, as words or as keys, for the games from TextArena that walk over a board."""

from __future__ import annotations

import random
import re

STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # (rows, columns)
KEYS = {"w": "up", "s": "down", "a": "left", "d": "right"}
LISTED = "[up], [down], [left], [right], or [w], [s], [a], [d] for the same"
_WORD = "(" + "|".join([*STEPS, *KEYS]) + ")"
_TIGHT, _LOOSE = (re.compile(rf"\[{gap}{_WORD}{gap}\]", re.IGNORECASE) for gap in ("", r"\s*"))


def read(reply: str, blanks: bool = False) -> str:
    """The direction in the first brackets that hold one, or ""; `blanks`: there may be some around it."""
    found = (_LOOSE if blanks else _TIGHT).search(reply)
    word = found[1].lower() if found else ""
    return KEYS.get(word, word if word in STEPS else "")  # ignoring case also lets "ſ" pass for an s


def anything(rng: random.Random) -> str:
    """Any direction in the right form."""
    return f"[{rng.choice([*STEPS, *KEYS])}]"


def broken(rng: random.Random, step: str) -> str:
    """A direction in a wrong form."""
    forms = (
        "{}",
        "[{}ward]",
        "Action: {}",
        "({})",
        "I go {}, where it is free.",
        "[{0}, {0}]",
        "[move {}]",
        "{{{}}}",
    )
    return rng.choice(forms).format(step)
