"""Scripted players of BIG-Bench Hard: they solve the four made-up tasks and guess in all others."""

from __future__ import annotations

import re

from games.bbh_make import PAIRS, TASKS
from games.core import View


def asked(view: View) -> tuple[str, str | None]:
    """The last question of the prompt, and the task that it belongs to (None: one that we do not know)."""
    question = view.seen[0].rpartition("Q: ")[2].rpartition("\nA:")[0]
    signs = {" is": "boolean_expressions", "objects are there?": "object_counting"}
    starts = {"List: ": "word_sorting", "Input: ": "dyck_languages"}
    ends = [task for sign, task in signs.items() if question.endswith(sign)]
    ends += [task for sign, task in starts.items() if question.startswith(sign)]
    return question, ends[0] if ends else None


def guess(view: View) -> str:
    """An answer of the right form."""
    question, task = asked(view)
    if task == "boolean_expressions":
        return view.rng.choice(("True", "False"))
    if task == "object_counting":
        return str(view.rng.randint(1, 40))
    if task == "word_sorting":
        words = question.removeprefix("List: ").split()
        return " ".join(view.rng.sample(words, len(words)))
    if task == "dyck_languages":
        return " ".join(view.rng.choices(list(PAIRS.values()), k=view.rng.randint(1, 4)))
    options = re.findall(r"^\([A-Z]\)", question, re.MULTILINE)
    return view.rng.choice(options or ["True", "False", "Yes", "No", "valid", "invalid"])


def answer(view: View) -> str:
    """The right answer; a weak player guesses instead."""
    question, task = asked(view)
    if task is None or view.rng.random() > view.strength:
        return guess(view)
    return TASKS[task].solve(question)


def answer_anything(view: View) -> str:
    return guess(view)


def think_aloud(view: View) -> str:
    """What models say beside the answer, which makes it wrong; now and then nothing but the answer."""
    right = answer(view)
    wrong = (f"The answer is {right}.", f"A: {right}", f"**{right}**", f"Let us think step by step.\n{right}", f"{right}.", "")
    return right if view.rng.random() < 0.1 else view.rng.choice(wrong)
