"""How people name rows, columns and cells of a grid: the language that scripted players of the grid games speak and read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from games.grids import SIZE

LONGEST = 1000  # characters that are read

_WORDS = {
    **{word: f"#{i}" for i, word in enumerate("first second third fourth fifth".split(), 1)},
    **{word: f"#{i}" for i, word in enumerate("1st 2nd 3rd 4th 5th".split(), 1)},
    **dict.fromkeys(("top", "left", "leftmost", "topmost"), "#1"),
    **dict.fromkeys(("middle", "center", "centre", "central"), "#3"),
    **dict.fromkeys(("last", "bottom", "right", "rightmost"), f"#{SIZE}"),
    **dict(zip(("a", "one", "single", "two", "three", "four"), "111234")),
    **{"rows": "row", "columns": "column", "squares": "cell", "cells": "cell", "positions": "cell", "position": "cell"},
    **{"square": "cell", "through": "to", "the": ""},
}
# ordinals before, numbers after: "#2&4 row", "row 2&4"
_PLACE = re.compile(r"#(?P<before>[1-5&]+) (?P<kind>row|column)|(?P<kind2>row|column) (?P<after>[1-5&]+)")


def plain(text: str) -> str:
    """A common form: lower case, "second" -> "#2", ranges and lists of numbers as "2&3&4", "row 2, column 3" without comma."""
    text = text[:LONGEST].lower().replace("'s", "")
    words = (_WORDS.get(word, word) for word in re.findall(r"\w+|[,;.()-]", text))
    text = " ".join(word for word in words if word)
    text = re.sub(r"#([1-5]) (?:- )?#([1-5]) (?:corner|cell)", r"row \1 column \2", text)
    text = re.sub(r"vertical (?:line|column|row)s?", "column", text)
    text = re.sub(r"horizontal (?:line|row)s?", "row", text)
    # "2 empty column on #1 side", "1 row of x at #5"
    stacked = r"\b(?:1 )?([1-4]) ((?:\w+ )?)(row|column)((?: of \w+)?) (?:on|at|in) #([135])\b(?! (?:row|column))"
    text = re.sub(stacked, lambda m: _stacked(*m.groups()), text)
    text = re.sub(r"#([135]) ([2-4]) (row|column)", lambda m: _stacked(m[2], "", m[3], "", m[1]), text)
    text = re.sub(r"\b(row|column) ([1-5]) to (?:row|column) ([1-5])\b", r"\1 \2 to \3", text)
    text = re.sub(r"\b([1-5]) (?:to|-) #?([1-5])\b", lambda m: _series(int(m[1]), int(m[2])), text)
    text = re.sub(r"(?<=#[1-5]) (?:, and|,|and) #(?=[1-5]\b)", "&", text)
    text = re.sub(r"(?<=&[1-5]) (?:, and|,|and) #(?=[1-5]\b)", "&", text)
    text = re.sub(r"(?<=[ &][1-5]) (?:, and|,|and) (?=[1-5]\b)", "&", text)
    # "row 2 has filled cells at positions 1 and 3"
    text = re.sub(r"(row)\b([^,;.]*) cell (?=[1-5])", r"\1\2 column ", text)
    text = re.sub(r"(row)\b([^,;.]*) (#[1-5&]+) cell", r"\1\2 \3 column", text)
    text = re.sub(r"(row [1-5&]+) , (?=column)", r"\1 ", text)
    return re.sub(r"(column [1-5&]+) , (?=row)", r"\1 ", text)


def _stacked(count: str, adjective: str, kind: str, of: str, side: str) -> str:
    """So many lines at one side or in the middle, by number."""
    first = {"1": 1, "3": (SIZE - int(count)) // 2 + 1, str(SIZE): SIZE + 1 - int(count)}[side]
    return f"{adjective}#{_series(first, first + int(count) - 1)} {kind}{of}"


def _series(first: int, last: int) -> str:
    return "&".join(map(str, range(first, last + 1)))


def places(text: str) -> Iterator[list[tuple[int, int]]]:
    """The cells of each place that a plain text names, from 0: rows, columns, or where they cross."""
    pending: dict[str, list[int]] = {}
    for match in _PLACE.finditer(text):
        kind = match["kind"] or match["kind2"]
        numbers = [int(number) - 1 for number in re.findall(r"\d", match["before"] or match["after"])]
        if kind in pending:
            yield _cells(pending)
            pending = {}
        pending[kind] = numbers
        if len(pending) == 2:
            yield _cells(pending)
            pending = {}
    if pending:
        yield _cells(pending)


def _cells(numbers: dict[str, list[int]]) -> list[tuple[int, int]]:
    every = list(range(SIZE))
    return [(row, column) for row in numbers.get("row", every) for column in numbers.get("column", every)]


def ordinal(number: int) -> str:
    """1 -> "first"."""
    return ("first", "second", "third", "fourth", "fifth")[number - 1]
