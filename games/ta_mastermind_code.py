"""Codes of Mastermind: how the seed draws one, how a guess is read and written, what it gets."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from games import ta_loop
from games.core import InstanceError

_GUESS = re.compile(r"\[(\d+(?:\s+\d+)*)\]")
_LONGEST = 1000  # digits of a number that is read at all


def secret(instance: Mapping) -> list[int]:
    """The code, which is the first thing that the seed draws."""
    length, top = ta_loop.spec(instance, "code_length", 1, 1000), ta_loop.spec(instance, "num_numbers", 1, 1000)
    repeats = ta_loop.flag(instance, "duplicate_numbers")
    if length > top and not repeats:
        raise InstanceError("env_specs.code_length", f"without duplicates at most num_numbers, {top}, is wanted")
    rng, numbers = random.Random(instance["seed"]), range(1, top + 1)
    return rng.choices(numbers, k=length) if repeats else rng.sample(numbers, length)


def read(reply: str) -> list[int]:
    """The numbers in the last brackets that hold nothing else; [] if there are none. What is too long to read becomes 0."""
    found = _GUESS.findall(reply)
    return [int(number) if len(number) <= _LONGEST else 0 for number in found[-1].split()] if found else []


def pegs(code: Sequence[int], guess: Sequence[int]) -> tuple[int, int]:
    """(black, white): digits at their place, and further digits of the code at another one."""
    black = sum(a == b for a, b in zip(code, guess))
    return black, (Counter(code) & Counter(guess)).total() - black


def shown(numbers: Sequence[int]) -> str:
    return f"[{' '.join(map(str, numbers))}]"
