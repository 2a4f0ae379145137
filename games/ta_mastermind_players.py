"""Scripted players of Mastermind: they read the size of the code from their prompt and the pegs from the answers."""

from __future__ import annotations

import functools
import itertools
import math
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from games.core import View
from games.ta_mastermind_code import pegs, read, shown

MANY = 5000  # more codes than these are not listed
STEPS = 2000  # of the search among them
LEGAL = 0.15  # share of replies of the broken player that are good guesses
_SIZE = re.compile(r"(\d+) digits from 1 to (\d+)")
_PEGS = re.compile(r"(\d+) black\D+(\d+) white")
Code = tuple[int, ...]


class Known(NamedTuple):
    """What a player knows of the code: its size, and the pegs of each guess so far."""

    length: int
    top: int
    repeats: bool
    answers: tuple[tuple[Code, tuple[int, int]], ...]

    def any(self, rng: random.Random) -> Code:
        """A code that was not guessed yet, if a few draws find one."""
        numbers, guessed = range(1, self.top + 1), [guess for guess, _ in self.answers]
        draw = lambda: tuple(rng.choices(numbers, k=self.length) if self.repeats else rng.sample(numbers, self.length))
        return next((code for code in (draw() for _ in range(100)) if code not in guessed), draw())

    def doubt(self, code: Sequence[int]) -> int:
        """By how many pegs the answers contradict a code; a guess made already is in doubt too."""
        return sum(
            sum(abs(a - b) for a, b in zip(pegs(code, guess), answer)) + (tuple(code) == guess)
            for guess, answer in self.answers
        )


def know(view: View) -> Known:
    size = _SIZE.search(view.seen[0])
    assert size, "every prompt tells the length and the numbers"
    answers = [
        (tuple(read(guess)), (int(found[1]), int(found[2])))
        for guess, answer in zip(view.said, view.seen[1:])
        if (found := _PEGS.search(answer))
    ]
    return Known(int(size[1]), int(size[2]), "more than once" in view.seen[0], tuple(answers))


def reason(view: View) -> str:
    """A code that all answers so far allow; a weak player often guesses at random."""
    known = know(view)
    code = _possible(known, view.rng) if view.rng.random() < view.strength else known.any(view.rng)
    return shown(code)


def guess_anything(view: View) -> str:
    """Any code that was not guessed before."""
    return shown(know(view).any(view.rng))


def break_guess(view: View) -> str:
    """Guesses in other forms, of wrong length or digits, or twice the same; at times a good one."""
    if view.rng.random() < LEGAL:
        return reason(view)
    known = know(view)
    code, other = known.any(view.rng), view.rng.choice([*(guess for guess, _ in known.answers), known.any(view.rng)])
    commas = ", ".join(map(str, code))
    return view.rng.choice(
        (
            " ".join(map(str, code)),
            f"[{commas}]",
            f"My guess is {commas}.",
            f"[{''.join(map(str, code))}]",
            f"({' '.join(map(str, code))})",
            shown(code[:-1]),
            shown((*code, code[0])),
            shown((0, *code[1:])),
            shown((*code[:-1], known.top + 1)),
            shown(other),
            f"{shown(code)} was my first thought.\nNow: [red blue green]",
        )
    )


def _possible(known: Known, rng: random.Random) -> Code:
    """A code that no answer contradicts; of very many codes one that contradicts the answers as little as a search finds."""
    if (known.top**known.length if known.repeats else math.perm(known.top, known.length)) <= MANY:
        return rng.choice(_left(known) or [known.any(rng)])
    best = known.any(rng)
    for _ in range(STEPS):
        if not (doubt := known.doubt(best)):
            break
        other = list(best)
        place, new = rng.randrange(known.length), rng.randint(1, known.top)
        if not known.repeats and new in other:
            other[other.index(new)] = other[place]
        other[place] = new
        best = tuple(other) if known.doubt(other) <= doubt else best
    return best


@functools.lru_cache(maxsize=1024)
def _left(known: Known) -> Sequence[Code]:
    """All codes that no answer contradicts."""
    if known.answers:
        guess, answer = known.answers[-1]
        return [code for code in _left(known._replace(answers=known.answers[:-1])) if pegs(code, guess) == answer]
    numbers = range(1, known.top + 1)
    return list(
        itertools.product(numbers, repeat=known.length) if known.repeats else itertools.permutations(numbers, known.length)
    )
