"""Scripted players of IFEval: they read the instructions of our own requests and follow them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from games.core import View
from games.ifeval_checks import CHECKS
from games.ifeval_make import INSTRUCTIONS
from games.lexicon import lexicon

_TOPIC = re.compile(r"^Write a short text about this: (\w+)$", re.MULTILINE)


@functools.cache
def _patterns() -> Mapping[str, re.Pattern]:
    """name -> the pattern of its text, with a group for each argument."""
    found = {}
    for name, instruction in INSTRUCTIONS.items():
        parts = re.split(r"\{(\w+)\}", instruction.text)
        group = lambda part: f"(?P<{part}>{'less than|at least' if part.endswith('relation') else '.+?'})"
        wholes = [group(part) if i % 2 else re.escape(part) for i, part in enumerate(parts)]
        found[name] = re.compile("^- " + "".join(wholes) + "$", re.MULTILINE)
    return found


def read(text: str) -> dict[str, dict[str, Any]]:
    """The instructions of a request with their arguments; those that are not worded as ours are passed over."""
    found = {}
    for name, pattern in _patterns().items():
        if hit := pattern.search(text):
            kinds = inspect.signature(CHECKS[name]).parameters
            convert: dict[str, Callable[[str], Any]] = {"int": int, "list": lambda value: value.split(", ")}
            found[name] = {key: convert.get(kinds[key].annotation, str)(value) for key, value in hit.groupdict().items()}
    return found


def _start(view: View) -> str:
    topic = _TOPIC.search(view.seen[0])
    return f"This is a short text about the {topic[1] if topic else 'thing'} that you asked for."


def follow(view: View) -> str:
    """Every instruction is followed; a weak player forgets some."""
    text = _start(view)
    for name, arguments in read(view.seen[0]).items():
        if view.rng.random() <= view.strength:
            text = INSTRUCTIONS[name].follow(text, **arguments)
    return text


def write_anything(view: View) -> str:
    """Some words and commas."""
    words = view.rng.choices(list(lexicon()), k=view.rng.randint(4, 12))
    return "Sure, " + ", ".join(words) + "."


def disobey(view: View) -> str:
    """Talk around the text as of many models, which breaks instructions that the text itself follows; at times no talk."""
    text = follow(view)
    if view.rng.random() < 0.15:
        return text
    plain = _start(view).replace("that", "[that, as I hope,]")
    return view.rng.choice((f"Sure, here it is:\n\n{plain}", f"{plain}\n\nI hope, this helps!", "", f"- Hello, Sure!\n{plain}"))
