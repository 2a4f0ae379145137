"""Scripted players of Chronicle: they tell and recognise the events of our table by its sentences."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping

from games.chronicle_events import Event, events, tokens, violation
from games.core import View
from games.templates import invert

LEGAL = 0.3  # share of replies of the broken players that keep the form
_VAGUE = (
    "It is remembered to this day and has changed what came after it.",
    "Books, paintings and films tell of it.",
    "Some of those who took part in it became famous by it.",
    "It could have ended in another way.",
)


def narrate(view: View) -> str:
    """The next sentence of the table, the best one first; a weak player is often vague and at times says a forbidden word."""
    shown = invert(view.settings["narrator_initial_prompt"], view.seen[0]) or {}
    forbidden = shown.get("FORBIDDEN_KEYWORDS", "").split(", ")
    event = events().get(shown.get("TARGET_EVENT", ""))
    slack, choice = 1 - view.strength, view.rng.random()
    if choice < 0.3 * slack:
        return f"PARAGRAPH: This has to do with {forbidden[0]}. {view.rng.choice(_VAGUE)}"
    hints = [hint for hint in (event.hints if event else ()) if violation(hint, forbidden) is None] + list(_VAGUE)
    return f"PARAGRAPH: {view.rng.choice(_VAGUE) if choice < slack else hints[len(view.said) % len(hints)]}"


@functools.cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    """word of a sentence or title -> {title of an event it occurs with: how much it tells}."""
    titles: dict[str, list[str]] = {}
    for event in events().values():
        for word in sorted(_words(event)):
            titles.setdefault(word, []).append(event.title)
    return {word: dict.fromkeys(found, math.log(len(events()) / len(found))) for word, found in titles.items()}


def _words(event: Event) -> frozenset[str]:
    return tokens(" ".join([*event.hints, *event.keywords, event.title]))


def ranking(text: str) -> list[str]:
    """The titles of all events, those first that share most with a text."""
    score = dict.fromkeys(events(), 0.0)
    for word in sorted(tokens(text) & _weights().keys()):
        for title, weight in _weights()[word].items():
            score[title] += weight
    return sorted(score, key=lambda title: -score[title])


def detect(view: View) -> str:
    """The event that fits all paragraphs best, none twice; a weak player often takes one further down the list."""
    told = [text.partition("]\n")[2] for text in (view.seen[0][view.seen[0].rfind("[Sentence ") :], *view.seen[1:])]
    said = {title for reply in view.said for title in re.findall(r"GUESS: (.*)", reply)}
    titles = [title for title in ranking("\n".join(told)) if title not in said] or list(events())
    if view.rng.random() >= view.strength:
        titles = [view.rng.choice(titles[: 2 + round(40 * (1 - view.strength))])]
    return f"ANALYSIS: The words fit an event of the {events()[titles[0]].category} kind.\nGUESS: {titles[0]}"


def _any(view: View) -> Event:
    return view.rng.choice(list(events().values()))


def narrate_anything(view: View) -> str:
    """A sentence about another event, whatever it may be."""
    return f"PARAGRAPH: {view.rng.choice(_any(view).hints)}"


def guess_anything(view: View) -> str:
    return f"GUESS: {_any(view).title}"


def break_paragraph(view: View) -> str:
    """A sentence without its tag, under another tag or in bold and JSON, or the tag alone; at times a good one."""
    hint = view.rng.choice(_any(view).hints)
    if view.rng.random() < LEGAL:
        return f"PARAGRAPH: {hint}"
    return view.rng.choice(
        (
            hint,
            f"SENTENCE: {hint}",
            f"**PARAGRAPH**: {hint}",
            f'{{"paragraph": "{hint}"}}',
            "PARAGRAPH:",
            f"Paragraph 2: {hint}",
        )
    )


def break_guess(view: View) -> str:
    """An analysis that never ends in a guess, a guess without its tag or in bold, or the tag alone; at times a good one."""
    title = _any(view).title
    if view.rng.random() < LEGAL:
        return f"GUESS: {title}"
    return view.rng.choice(
        (
            f"ANALYSIS: The sentence contradicts what I know of {title}, so that it must be something else, or perhaps",
            f"ANALYSIS: I think of {title}.",
            f"**GUESS**: {title}",
            f"My guess is {title}.",
            "ANALYSIS: hard to tell.\nGUESS:",
            title,
        )
    )
