"""Our table of nouns for Taboo and Guess What: frequency band, category, yes/no features and associations of each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

BANDS = ("high", "medium", "low")
ABSTRACT = ("emotion", "trait", "time", "subject", "event", "crime")  # categories of things that cannot be touched


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One noun; associations come closest first, and none shares a stem with the noun."""

    word: str
    band: str
    category: str
    features: frozenset[str]
    associations: tuple[str, ...]


@functools.cache
def lexicon() -> Mapping[str, Entry]:
    """word -> its entry, in the order of the table."""
    entries = {}
    for word, band, category, features, associations in _rows("lexicon.tsv"):
        entries[word] = Entry(word, band, category, frozenset(features.split()), tuple(associations.split()))
    return MappingProxyType(entries)


@functools.cache
def questions() -> Mapping[str, str]:
    """feature -> the yes/no question that asks for it; these are all features that there are."""
    return MappingProxyType(dict(_rows("lexicon_questions.tsv")))


@functools.cache
def categories() -> Mapping[str, tuple[str, ...]]:
    """category -> its words."""
    found: dict[str, list[str]] = {}
    for entry in lexicon().values():
        found.setdefault(entry.category, []).append(entry.word)
    return MappingProxyType({category: tuple(words) for category, words in found.items()})


@functools.cache
def stop_words() -> frozenset[str]:
    """English function words, without apostrophes, that a clue check passes over."""
    return frozenset(_text("stop_words.txt").split())


def _rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in _text(name).splitlines()[1:]]  # the first line names the columns


def _text(name: str) -> str:
    return resources.files("games").joinpath("resources", name).read_text("utf-8")
