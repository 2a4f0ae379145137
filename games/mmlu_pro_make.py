"""Made-up questions with ten options in three subjects, each with what solves it."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence

from games.core import split_of
from games.lexicon import categories, lexicon

LETTERS = "ABCDEFGHIJ"
SHOTS = 5
Question = tuple[str, str, Sequence[str]]  # the question, the right option, wrong ones


def sums(rng: random.Random) -> Question:
    a, b, c = (rng.randint(2, 19) for _ in range(3))
    wrong = rng.sample([a * b + c + d for d in range(-12, 13) if d], 9)
    return f"What is {a} times {b}, plus {c}?", str(a * b + c), [str(number) for number in wrong]


def words(rng: random.Random) -> Question:
    listed = rng.sample(list(lexicon()), 10)
    first = rng.random() < 0.5
    right = (min if first else max)(listed)
    which = "first" if first else "last"
    return f"Which of these words stands {which} in a dictionary?", right, [word for word in listed if word != right]


def kinds(rng: random.Random) -> Question:
    groups = {kind: categories()[kind] for kind in ("animal", "fruit", "tool", "emotion", "sport", "time")}
    kind = rng.choice(list(groups))
    others = [entry.word for entry in lexicon().values() if entry.category not in groups]
    return f"Which of these words belongs under the heading {kind!r}?", rng.choice(groups[kind]), rng.sample(others, 9)


SUBJECTS = {"arithmetic": sums, "dictionaries": words, "headings": kinds}


def lay_out(question: str, options: Sequence[str]) -> str:
    """A question with its lettered options, as the data set lays them out."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options)]
    return f"Question:\n{question}\nOptions:\n" + "\n".join(lines) + "\n"


def _instance(rng: random.Random, subject: str) -> dict:
    question, right, wrong = SUBJECTS[subject](rng)
    options = rng.sample([right, *wrong], 1 + len(wrong))
    return {"input": lay_out(question, options), "target": LETTERS[options.index(right)]}


def generate(rng: random.Random, level: str, split: str) -> dict:
    while True:
        instance = _instance(rng, level)
        if split_of(instance["input"]) == split:
            return instance


@functools.cache
def shots(subject: str) -> tuple[str, ...]:
    """Solved questions of a subject, always the same ones, from the training split."""
    rng = random.Random(f"shots/{subject}")
    chosen = [generate(rng, subject, "train") for _ in range(SHOTS)]
    return tuple(f"{one['input']}The answer is ({one['target']})\n\n" for one in chosen)


def solve(text: str) -> str | None:
    """The letter of the right option to the last question of a prompt; None if it is not one of ours."""
    question, _, rest = text.rpartition("Question:\n")[2].partition("\nOptions:\n")
    options = [line[3:] for line in rest.splitlines()]
    right: list[str] = []
    if found := re.fullmatch(r"What is (\d+) times (\d+), plus (\d+)\?", question):
        a, b, c = map(int, found.groups())
        right = [str(a * b + c)]
    elif found := re.search(r"stands (first|last) in a dictionary", question):
        right = [(min if found[1] == "first" else max)(options)]
    elif found := re.search(r"under the heading '(\w+)'", question):
        right = [word for word in options if word in categories().get(found[1], ())]
    return LETTERS[options.index(right[0])] if right and right[0] in options else None
