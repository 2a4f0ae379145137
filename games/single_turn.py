"""Tasks of one prompt and one reply, the reference tasks among them: what they share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from games.core import Ask, Game, InstanceError, Outcome, Player, Referee

SEAT = "answerer"


def referee(message: Callable[[Mapping, Mapping], str], judge: Callable[[str, Mapping, Mapping], Outcome]):
    """The referee that shows `message(instance, settings)` and returns `judge(reply, instance, settings)`."""

    def play(instance: Mapping, settings: Mapping) -> Referee:
        reply = yield Ask(SEAT, message(instance, settings))
        return judge(reply, instance, settings)

    return play


def task(
    name: str,
    levels: Iterable[str],
    message: Callable[[Mapping, Mapping], str],
    judge: Callable[[str, Mapping, Mapping], Outcome],
    players: Mapping[str, Player],
    *,
    role: str = "Answerer",
    target: type = str,
    settings_fields: Mapping[str, type] | None = None,
    **parts: Any,
) -> Game:
    """The entry of a reference task; `parts` are the other fields of `Game`, generate and settings.

    players: those of its one seat. target: the type of what an instance wants.
    """
    return Game(
        name=name,
        suite="reference",
        seats=(SEAT,),
        roles=(role,),
        levels=tuple(levels),
        fields={"input": str, "target": target},
        settings_fields=settings_fields or {},
        referee=referee(message, judge),
        target=lambda instance: instance["input"],
        players={SEAT: players},
        **parts,
    )


def prompts(texts: Mapping[str, str]) -> Callable[[str, str], dict]:
    """Our own settings where all levels are told the same, in either form."""
    return lambda level, form: {"name": level, "initial_prompt": texts[form]}


def fill(template: str, placeholder: str, text: str) -> str:
    """A template as Jinja renders it: {{placeholder}} becomes the text, one newline at the template's end is dropped."""
    return _shown(placeholder).sub(lambda found: text, template.removesuffix("\n"))


def prompt(settings: Mapping, placeholder: str, text: str) -> str:
    """The prompt of an experiment about a text; raises `InstanceError` for one that does not show it."""
    template = settings["initial_prompt"]
    if not isinstance(template, str) or not _shown(placeholder).search(template):
        raise InstanceError("initial_prompt", f"a text with {{{{{placeholder}}}}} is wanted")
    return fill(template, placeholder, text)


def _shown(placeholder: str) -> re.Pattern:
    return re.compile(r"\{\{\s*" + placeholder + r"\s*\}\}")


def answered(correct: bool, wanted: str) -> Outcome:
    """The outcome of a valid reply: all or nothing."""
    if correct:
        return Outcome("success", 100, 1, 1, 0, reason="the right answer")
    return Outcome("lose", 0, 1, 1, 0, reason=f"not {brief(wanted)}")


def refused(why: str) -> Outcome:
    """The outcome of a reply that breaks the format."""
    return Outcome("aborted", math.nan, 1, 0, 1, reason=why, seat=SEAT)


def brief(text: str, limit: int = 60) -> str:
    """A text in one short line, quoted; the limit counts what signs beyond ASCII are written as."""
    shown = ascii(text[: limit + 1])
    return shown if len(shown) <= limit + 2 else shown[: limit + 1] + "..." + shown[0]


def choices(instance: Mapping, settings: Mapping) -> list[str]:
    """The answers to choose from; raises `InstanceError` if they are no texts or do not hold the target."""
    options = settings["choices"]
    if not options or not all(isinstance(option, str) for option in options):
        raise InstanceError("choices", "a list of texts is wanted")
    if instance["target"] not in options:
        raise InstanceError("target", f"{brief(instance['target'])} is none of the choices")
    return options
