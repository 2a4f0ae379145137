"""The grammar of adventuregame's commands: which words are the verb, the names and the prepositions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SYNONYMS = {
    "open": "open",
    "close": "close",
    "take": "take grab pick get",
    "put": "put leave place drop",
    "go": "go enter return proceed move",
    "done": "done quit finish",
    "examine": "examine check inspect search",
}
VERBS = {word: verb for verb, words in SYNONYMS.items() for word in words.split()}
ARTICLES = frozenset(("the", "a", "an"))
ADJECTIVES = frozenset(
    "wooden metal low high small large fancy deep comfy padded ripe jelly fresh ceramic glass old thin down".split()
)
PREPOSITIONS = frozenset("on in from out into up".split())  # and "out of"
_SPACE = r"[ \t\f\r\n]+"
_TEXT = re.compile(rf"[a-z]+(?:{_SPACE}[a-z]+(?:'s(?={_SPACE}[a-z]))?)*[ \t\f\r\n]*")


class Command(NamedTuple):
    """A parsed command; `verb` is "" where the grammar has no reading, and `first` then the first word."""

    verb: str
    first: str = ""
    second: str = ""
    prep: str = ""


def parse(text: str) -> Command | None:
    """The reading of a command that leaves the most words to articles, adjectives and prepositions; None: not even words."""
    text = (text[:-1] if text.endswith((".", "!")) else text).lower()
    if not _TEXT.fullmatch(text):
        return None
    word, *rest = text.split()
    verb = VERBS.get(word, "")
    if not verb or bool(rest) == (verb == "done"):
        return Command("", word)
    if verb == "done":
        return Command("done")
    if verb in ("take", "put"):
        return (_take if verb == "take" else _put)(rest) or Command("", word)
    at = _skip(rest, 0, "back", "to") if verb == "go" else 0
    name = _name(rest[at:])
    return Command(verb, name[1]) if name else Command("", word)


def _skip(words: list[str], at: int, *fillers: str) -> int:
    """The place after all of the first filler, then all of the next; the last word is never a filler."""
    for filler in fillers:
        while at < len(words) - 1 and words[at] == filler:
            at += 1
    return at


def _name(words: list[str]) -> tuple[int, str] | None:
    """(articles and adjectives left off, the bare name), or None: a name has up to 4 words, or 2 behind adjectives."""
    start = int(words[0] in ARTICLES and len(words) > 1)
    bare = start
    while bare < len(words) - 1 and words[bare] in ADJECTIVES:
        bare += 1
    if any(word.endswith("'s") for word in words):
        return (start, " ".join(words[start:])) if len(words) - start == 2 and words[start].endswith("'s") else None
    if bare > start and len(words) - bare <= 2:
        return bare, " ".join(words[bare:])
    return (start, " ".join(words[start:])) if len(words) - start <= 4 else None


def _names(words: list[str], start: int) -> Iterator[tuple[int, int, str]]:
    """The names that can begin at `start`: (end, articles and adjectives left off, name), short ones first."""
    bare = start + (words[start] in ARTICLES)
    while bare < len(words) and words[bare] in ADJECTIVES:
        bare += 1
    for end in range(max(bare, start + 1), min(bare + 4, len(words)) + 1):
        if name := _name(words[start:end]):
            yield end, *name


def _preposition(words: list[str], at: int) -> int:
    """How many words the preposition at `at` takes: 0 if there is none, or nothing follows it."""
    if words[at : at + 2] == ["out", "of"] and at + 2 < len(words):
        return 2
    return int(at + 1 < len(words) and words[at] in PREPOSITIONS)


def _prepositions(words: list[str], at: int) -> tuple[int, int, str]:
    """(number of prepositions, the place after them, the last one)."""
    count, last = 0, ""
    while width := _preposition(words, at):
        count, at, last = count + 1, at + width, words[at]
    return count, at, last


def _take(words: list[str]) -> Command | None:
    """take PREP* NAME (PREP NAME)*: only the first two names mean something."""
    _, at, _ = _prepositions(words, 0)
    tails = {len(words): (0, "", "")}  # place -> (marks, name, preposition) of the best reading of the rest
    for j in reversed(range(at + 1, len(words))):
        if width := _preposition(words, j):
            found = [(1 + m + tails[end][0], name, words[j]) for end, m, name in _names(words, j + width) if end in tails]
            tails |= {j: max(found, key=lambda tail: tail[0])} if found else {}
    firsts = [(m + tails[end][0], end, name) for end, m, name in _names(words, at) if end in tails]
    if not firsts:
        return None
    _, end, name = max(firsts)
    return Command("take", name, *tails[end][1:])


def _put(words: list[str]) -> Command | None:
    """put NAME back* PREP* NAME; without a preposition the first name is as long as it can be."""
    found = []
    for end, marks, first in _names(words, 0):
        if end < len(words):
            after = _skip(words, end, "back")
            count, at, prep = _prepositions(words, after)
            if second := _name(words[at:]):
                found.append(((marks + count + second[0], after - end, count, end), first, second[1], prep))
    return Command("put", *max(found)[1:]) if found else None
