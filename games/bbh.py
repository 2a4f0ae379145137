"""BIG-Bench Hard: one reply, which must be the target and nothing else (Suzgun et al. 2022, arXiv:2210.09261)."""

from __future__ import annotations

from collections.abc import Mapping

from games import bbh_make as make
from games import bbh_players as players
from games.core import Outcome
from games.single_turn import answered, prompt, task


def message(instance: Mapping, settings: Mapping) -> str:
    return prompt(settings, "input", instance["input"])


def judge(reply: str, instance: Mapping, settings: Mapping) -> Outcome:
    """The official scores compare the raw reply; blanks around it are forgiven where the settings say `strip`."""
    said = reply.strip() if settings.get("strip") else reply
    return answered(said == instance["target"], instance["target"])


def settings(level: str, form: str) -> dict:
    """Our own settings: examples before the question in the full form, the question alone in the short one."""
    task = make.TASKS[level]
    shots = "".join(f"Q: {question}\nA: {task.solve(question)}\n\n" for question in task.shots)
    full = f"{task.rules}\n\n{shots}Q: {{{{input}}}}\nA:"
    return {"name": level, "initial_prompt": full if form == "full" else "Q: {{input}}\nA:", "strip": True}


BBH = task(
    "bbh",
    make.TASKS,
    message,
    judge,
    {"scripted": players.answer, "random": players.answer_anything, "broken": players.think_aloud},
    settings_fields={"initial_prompt": str},
    generate=make.generate,
    settings=settings,
)
