"""IFEval: a request with instructions that a program can check (Zhou et al. 2023, arXiv:2311.07911); all must be followed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from games import ifeval_make as make
from games import ifeval_players as players
from games.core import InstanceError, Outcome
from games.ifeval_checks import CHECKS
from games.ifeval_language import profiles
from games.single_turn import answered, prompt, prompts, task

RELATIONS = ("less than", "at least")
PATTERNS = ("keywords", "keyword", "forbidden_words", "section_spliter", "postscript_marker")  # regular expressions
KINDS = {"int": int, "str": str, "list": list}


def message(instance: Mapping, settings: Mapping) -> str:
    """The instance's own text; our settings lay a prompt around it."""
    for name, arguments in instance["target"].items():
        _check(name, arguments)
        if name.startswith(("language:", "change_case:english")):
            profiles()  # now, so that no reply waits for them
    if not instance["target"]:
        raise InstanceError("target", "at least one instruction is wanted")
    return prompt(settings, "input", instance["input"]) if "initial_prompt" in settings else instance["input"]


def _check(name: str, arguments: Any) -> None:
    """Raise `InstanceError` for an instruction that cannot be checked."""
    field = f"target.{name}"
    if name not in CHECKS:
        raise InstanceError(field, "no instruction of IFEval")
    wanted = dict(list(inspect.signature(CHECKS[name]).parameters.items())[1:])
    if not isinstance(arguments, Mapping) or arguments.keys() != wanted.keys():
        raise InstanceError(field, f"wanted are the arguments {', '.join(wanted) or '(none)'}")
    for key, parameter in wanted.items():
        value: Any = arguments[key]
        kind = KINDS.get(parameter.annotation, str)
        if not isinstance(value, kind) or (key.endswith("relation") and value not in RELATIONS):
            raise InstanceError(
                f"{field}.{key}", f"not {' or '.join(RELATIONS) if key.endswith('relation') else kind.__name__}"
            )
        for pattern in (value if isinstance(value, list) else [value]) if key in PATTERNS else []:
            _compiled(f"{field}.{key}", pattern)


def _compiled(field: str, pattern: Any) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:  # an instance from outside
        raise InstanceError(field, f"not a regular expression: {error}") from None


def judge(reply: str, instance: Mapping, settings: Mapping) -> Outcome:
    """Every instruction must hold, and a blank reply follows none."""
    if not reply.strip():
        return answered(False, "a blank reply")
    broken = [name for name, arguments in instance["target"].items() if not CHECKS[name](reply, **arguments)]
    return answered(not broken, f"followed: {', '.join(broken)}")


PROMPTS = {"full": "Follow every instruction of this request to the letter.\n\n{{input}}", "short": "{{input}}"}
settings = prompts(PROMPTS)


IFEVAL = task(
    "ifeval",
    make.LEVELS,
    message,
    judge,
    {"scripted": players.follow, "random": players.write_anything, "broken": players.disobey},
    role="InstructionFollower",
    target=dict,
    generate=make.generate,
    settings=settings,
)
