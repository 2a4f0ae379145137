"""Made-up questions about causes, each with what solves it: seeing, doing with a common cause, and a chain of causes."""

from __future__ import annotations

import random
import re

from games.core import split_of

# cause, common cause, effect: what may hold or not
STORIES = (
    ("the pump runs", "the tank is full", "the field is wet"),
    ("the bell rings", "the door is open", "the dog barks"),
    ("the tea is hot", "the stove is on", "the guest stays"),
    ("the road is icy", "the night is clear", "the bus is late"),
    ("the lamp burns", "the power is on", "the moth comes"),
    ("the singer is ill", "the season is cold", "the hall is empty"),
    ("the bread is fresh", "the baker is in town", "the queue is long"),
    ("the wind blows", "the sky is dark", "the flag moves"),
)
_PERCENT = re.compile(r"(\d+) %")


def seeing(rng: random.Random, cause: str, common: str, effect: str) -> str:
    a, b = rng.sample(range(5, 96), 2)
    return f"When {cause}, the chance that {effect} is {a} %. Otherwise it is {b} %. Is it likelier that {effect} when {cause}?"


def solve_seeing(numbers: list[int]) -> bool:
    return numbers[0] > numbers[1]


def doing(rng: random.Random, cause: str, common: str, effect: str) -> str:
    often, a, b, c, d = (rng.randint(5, 95) for _ in range(5))
    return (
        f"Whether {common} bears both on whether {cause} and on whether {effect}. In {often} % of all cases {common}. "
        f"When {common}, the chance that {effect} is {a} % if {cause}, and {b} % if not. "
        f"In all other cases it is {c} % if {cause}, and {d} % if not. "
        f"Suppose somebody sees to it that {cause}, whatever the rest: does that make it likelier that {effect}?"
    )


def solve_doing(numbers: list[int]) -> bool:
    """Pearl's adjustment for the common cause."""
    often, a, b, c, d = numbers
    return often * (a - b) + (100 - often) * (c - d) > 0


def chain(rng: random.Random, cause: str, common: str, effect: str) -> str:
    a, b, c, d = (rng.randint(5, 95) for _ in range(4))
    return (
        f"Whether {cause} bears on whether {common}, and through it alone on whether {effect}. "
        f"When {cause}, the chance that {common} is {a} %; otherwise {b} %. "
        f"When {common}, the chance that {effect} is {c} %; otherwise {d} %. "
        f"Would it be likelier that {effect} if {cause} than if not?"
    )


def solve_chain(numbers: list[int]) -> bool:
    a, b, c, d = numbers
    return (a - b) * (c - d) > 0


QUESTIONS = {"seeing": (seeing, solve_seeing), "chain": (chain, solve_chain), "doing": (doing, solve_doing)}


def solve(question: str) -> str | None:
    """The answer to one of our questions, None to one that is not ours."""
    numbers = [int(number) for number in _PERCENT.findall(question)]
    solvers = {2: solve_seeing, 4: solve_chain, 5: solve_doing}
    return ("yes" if solvers[len(numbers)](numbers) else "no") if len(numbers) in solvers else None


def generate(rng: random.Random, level: str, split: str) -> dict:
    while True:
        question = QUESTIONS[level][0](rng, *rng.choice(STORIES))
        if split_of(question) == split:
            return {"input": question, "target": solve(question)}
