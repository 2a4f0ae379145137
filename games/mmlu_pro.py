"""MMLU-Pro: questions with up to ten options (Wang et al. 2024, arXiv:2406.01574); the reply names one letter, once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from games import mmlu_pro_make as make
from games import mmlu_pro_players as players
from games.core import InstanceError, Outcome
from games.single_turn import answered, brief, choices, prompt, refused, task

PATTERN = r"answer is \(?([ABCDEFGHIJ])\)?"


def message(instance: Mapping, settings: Mapping) -> str:
    choices(instance, settings)
    try:
        groups = re.compile(settings["regex_pattern"]).groups
    except re.error as error:  # settings from outside
        raise InstanceError("regex_pattern", f"not a regular expression: {error}") from None
    if groups > 1:
        raise InstanceError("regex_pattern", "one group at most is wanted")
    return prompt(settings, "input", instance["input"])


def judge(reply: str, instance: Mapping, settings: Mapping) -> Outcome:
    """The pattern must hit once, and the hit must be one of the choices."""
    hits = re.findall(settings["regex_pattern"], reply)
    if len(hits) != 1:
        return refused(f"{len(hits)} answers in place of one")
    if hits[0] not in settings["choices"]:
        return refused(f"none of the choices: {brief(hits[0])}")
    return answered(hits[0] == instance["target"], instance["target"])


def rules(subject: str) -> str:
    return f'Questions about {subject}, each with its options. Reply only "The answer is (X)" with the letter of the right one.'


def settings(level: str, form: str) -> dict:
    """Our own settings: five solved questions before the one that counts in the full form, none in the short one."""
    full = f"{rules(level)}\n\n{''.join(make.shots(level))}{{{{input}}}}"
    prompt = full if form == "full" else 'Reply "The answer is (X)".\n\n{{input}}'
    return {
        "name": f"mmlu_pro_{level}",
        "initial_prompt": prompt,
        "choices": list(make.LETTERS),
        "regex_pattern": PATTERN,
    }


MMLU_PRO = task(
    "mmlu_pro",
    make.SUBJECTS,
    message,
    judge,
    {"scripted": players.answer, "random": players.answer_anything, "broken": players.ramble},
    settings_fields={"initial_prompt": str, "choices": list, "regex_pattern": str},
    generate=make.generate,
    settings=settings,
)
