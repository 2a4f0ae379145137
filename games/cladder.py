"""CLadder: yes/no questions about causes (Jin et al. 2023, arXiv:2312.04350); the first word of the reply counts."""

from __future__ import annotations

import string
from collections.abc import Mapping

from games import cladder_make as make
from games import cladder_players as players
from games.core import Outcome
from games.single_turn import answered, brief, choices, prompt, refused, task

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def message(instance: Mapping, settings: Mapping) -> str:
    choices(instance, settings)
    return prompt(settings, "prompt", instance["input"])


def judge(reply: str, instance: Mapping, settings: Mapping) -> Outcome:
    """The first word, without ASCII punctuation and in small letters, must be one of the choices."""
    words = reply.split(maxsplit=1)
    if not words:
        return refused("an empty reply")
    label = words[0].translate(_NO_PUNCTUATION).lower()
    if label not in settings["choices"]:
        return refused(f"the first word is none of the choices: {brief(words[0])}")
    return answered(label == instance["target"], instance["target"])


PROMPTS = {
    "full": (
        "This is a question about causes and their effects. Rely on what it says, not on what you know of the world.\n"
        "{{prompt}}\nBegin your reply with 'Yes' or 'No'; you may then explain it."
    ),
    "short": "{{prompt}}\nYes or No?",
}


def settings(level: str, form: str) -> dict:
    return {"name": level, "initial_prompt": PROMPTS[form], "choices": ["yes", "no"]}


CLADDER = task(
    "cladder",
    make.QUESTIONS,
    message,
    judge,
    {"scripted": players.answer, "random": players.answer_anything, "broken": players.evade},
    settings_fields={"initial_prompt": str, "choices": list},
    generate=make.generate,
    settings=settings,
)
