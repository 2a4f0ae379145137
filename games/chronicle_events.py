"""Events of history for Chronicle: our table of them, what may not be said of each, and when a guess names one."""

from __future__ import annotations

import dataclasses
import functools
import random
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from types import MappingProxyType

from games.core import pool

CATEGORIES = ("battles", "discoveries", "political")
LEVELS = ("easy", "hard")
_SMALL = frozenset(("the", "of", "in", "a", "an", "and", "at", "on", "by", "to", "for", "its"))
# words of titles that tell the kind of an event and not which one it is
GENERIC = frozenset(
    "affair agreement assassination attack battle case compact congress crisis decipherment declaration defeat discovery end "
    "experiment expedition fall first flight invention landings last launch law peace publication rebellion revolt revolution "
    "scandal second siege structure theory tomb treaty trial trials voyage war wars with".split()
)
_LEAD = re.compile(r"(?:battle|siege|discovery|invention) of (?:the )?")


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event; `hints` are sentences that use none of `keywords` (lower case), the first one says what is known best."""

    title: str
    category: str
    difficulty: str
    answers: tuple[str, ...]
    keywords: tuple[str, ...]
    hints: tuple[str, ...]


@functools.cache
def events() -> Mapping[str, Event]:
    """title -> its event, in the order of the table."""
    text = resources.files("games").joinpath("resources", "chronicle_events.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines()[1:])  # the first line names the columns
    return MappingProxyType({row[0]: _event(*row) for row in rows})


def _event(title: str, category: str, difficulty: str, also: str, keywords: str, hints: str) -> Event:
    name = title.lower()
    answers = {name, f"the {name}", _LEAD.sub("", name), *filter(None, also.split("|"))}
    words = {word for word in re.findall(r"\w{3,}", name) if word not in GENERIC | _SMALL}
    forbidden = words | set(filter(None, keywords.split(",")))
    return Event(title, category, difficulty, tuple(sorted(answers)), tuple(sorted(forbidden)), tuple(hints.split("|")))


def clean(text: str) -> str:
    """Lower case, without all that is neither a word character nor a blank."""
    return re.sub(r"[^\w\s]", "", text.lower()).strip()


def tokens(text: str) -> frozenset[str]:
    """The words of a text that carry meaning."""
    return frozenset(word for word in clean(text).split() if len(word) >= 3 and word not in _SMALL)


def named(guess: str, answers: Iterable[str]) -> bool:
    """Does the guess name the event? One is a part of the other, as texts or as sets of words; "war" is enough at times."""
    said, said_tokens = clean(guess), tokens(guess)
    for answer in answers:
        known, known_tokens = clean(answer), tokens(answer)
        if said and known and (said in known or known in said):
            return True
        fewer, more = sorted((known_tokens, said_tokens), key=len)
        if fewer and fewer <= more:
            return True
    return False


def nearness(guess: str, answers: Iterable[str]) -> float:
    """0..1: how well the words that single an event out agree (F1), whatever the rules accept: "war" alone is worth 0."""
    return max((_agreement(_specific(guess), _specific(answer)) for answer in answers), default=0.0)


def _specific(text: str) -> frozenset[str]:
    return tokens(text) - GENERIC


def _agreement(a: frozenset[str], b: frozenset[str]) -> float:
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0


def violation(paragraph: str, keywords: Iterable[str]) -> str | None:
    """The first forbidden keyword that stands as a word of its own in a paragraph."""
    text = paragraph.lower()
    return next((word for word in keywords if re.search(rf"\b{re.escape(word)}\b", text)), None)


def generate(rng: random.Random, level: str, split: str) -> dict:
    """An event of our table, in the official schema."""
    titles = [event.title for event in events().values() if event.difficulty == level]
    event = events()[rng.choice(pool(titles, split))]
    return {
        "target_event": event.title,
        "event_category": event.category,
        "difficulty": event.difficulty,
        "event_summary": " ".join(event.hints),
        "forbidden_keywords": list(event.keywords),
        "acceptable_answers": list(event.answers),
    }
