"""Made-up instances in the manner of four BIG-Bench Hard tasks, each with what solves it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from games.core import split_of
from games.lexicon import lexicon

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
THINGS = "spoon cup plate lamp chair table pillow clock candle basket bottle hammer pencil coin ring button".split()
_LOGIC = frozenset("True False and or not ( )".split())


def _expression(rng: random.Random, depth: int) -> str:
    kind = rng.random()
    if depth == 0:
        return rng.choice(("True", "False"))
    if kind < 0.3:
        return "not " + _expression(rng, depth - 1)
    joined = f"{_expression(rng, depth - 1)} {rng.choice(('and', 'or'))} {_expression(rng, depth - 1)}"
    return f"( {joined} )" if kind < 0.8 else joined


def logic(rng: random.Random) -> str:
    return _expression(rng, rng.randint(2, 4)) + " is"


def solve_logic(question: str) -> str:
    text = question.removesuffix(" is")
    if not _LOGIC.issuperset(text.split()):
        raise ValueError(f"no expression: {text}")
    return str(eval(text, {"__builtins__": {}}))  # nothing but the words above


def count(rng: random.Random) -> str:
    counted = [(rng.randint(1, 9), thing) for thing in rng.sample(THINGS, rng.randint(2, 6))]
    listed = ", ".join(f"{NUMBERS[n]} {thing}{'s' * (n > 1)}" for n, thing in counted)
    return f"On the shelf: {listed}. How many objects are there?"


def solve_count(question: str) -> str:
    return str(sum(NUMBERS.index(word) for word in question.split() if word in NUMBERS))


def sort(rng: random.Random) -> str:
    return "List: " + " ".join(rng.sample(list(lexicon()), rng.randint(3, 8)))


def solve_sort(question: str) -> str:
    return " ".join(sorted(question.rpartition("List: ")[2].split()))


def brackets(rng: random.Random) -> str:
    text: list[str] = []
    opened: list[str] = []
    for _ in range(rng.randint(4, 14)):
        if len(opened) > 1 and rng.random() < 0.4:
            text.append(PAIRS[opened.pop()])
        else:
            opened.append(rng.choice(list(PAIRS)))
            text.append(opened[-1])
    return "Input: " + " ".join(text)


def solve_brackets(question: str) -> str:
    opened: list[str] = []
    for sign in re.findall(r"[][(){}<>]", question.rpartition("Input: ")[2]):
        if sign in PAIRS:
            opened.append(PAIRS[sign])
        else:
            opened.pop()
    return " ".join(reversed(opened))


class Task(NamedTuple):
    rules: str
    make: Callable[[random.Random], str]
    solve: Callable[[str], str]
    shots: tuple[str, ...]


TASKS = {
    "boolean_expressions": Task(
        "Say whether the expression is True or False. Answer with this word alone.",
        logic,
        solve_logic,
        ("not ( False and True ) is", "not not False or ( not True ) is", "True and not False and True is"),
    ),
    "object_counting": Task(
        "Add up the objects of all kinds. Answer with the number alone, in digits.",
        count,
        solve_count,
        (
            "On the shelf: two kites, one drum. How many objects are there?",
            "On the shelf: one bell, four ropes, three brushes. How many objects are there?",
            "On the shelf: seven masks, five kites, one flag. How many objects are there?",
        ),
    ),
    "word_sorting": Task(
        "Put the words into alphabetical order. Answer with the words alone, with blanks between them.",
        sort,
        solve_sort,
        ("List: stone apple river", "List: under over into about", "List: seven three eight one five"),
    ),
    "dyck_languages": Task(
        "Close all open brackets in the right order. Answer with the missing brackets alone, with blanks between them.",
        brackets,
        solve_brackets,
        ("Input: ( [", "Input: { < > [ ]", "Input: [ ( ) { <"),
    ),
}


def generate(rng: random.Random, level: str, split: str) -> dict:
    task = TASKS[level]
    while True:
        question = task.make(rng)
        if question not in task.shots and split_of(question) == split:
            return {"input": question, "target": task.solve(question)}
