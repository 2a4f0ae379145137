"""Prompts with placeholders like $TARGET_WORD$: fill them in, and read back what they stood for."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$([A-Z_ ]+)\$")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders replaced; one without a value stays as it is."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def invert(template: str, text: str) -> dict[str, str] | None:
    """What each placeholder stood for in a filled template, and under "rest" what follows it after a blank line.

    None if the text is no such prompt.
    """
    pattern, names = _reading(template)
    found = pattern.match(text)
    if found is None:
        return None
    return {name: found[f"p{i}"] for i, name in enumerate(names)} | {"rest": found["rest"] or ""}


@functools.lru_cache(maxsize=256)
def _reading(template: str) -> tuple[re.Pattern, tuple[str, ...]]:
    """The pattern of a filled template, with a group p0, p1, ... for each of the placeholders named."""
    names: list[str] = []
    pattern = ""
    for i, part in enumerate(_PLACEHOLDER.split(template)):
        if i % 2 == 0:
            pattern += re.escape(part)
        elif part in names:
            pattern += f"(?P=p{names.index(part)})"
        else:
            pattern += f"(?P<p{len(names)}>.*?)"
            names.append(part)
    return re.compile(pattern + r"(?:\n\n(?P<rest>.*))?\Z", re.DOTALL), tuple(names)
