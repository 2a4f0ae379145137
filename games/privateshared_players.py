"""Scripted answerers of privateshared: they tell what they are asked, and remember what they told."""

from __future__ import annotations

import random
import re

from games.core import View
from games.privateshared_make import wordings

_FACTS = re.compile(r"^WHAT: .*\n((?:[^\n:]+: .+\n)+)", re.MULTILINE)
_FORMS = ("{}.", "It is {}.", "That would be {}.", "{}, please.")


def _facts(view: View) -> dict[str, str]:
    """The own facts, read in the briefing."""
    found = _FACTS.search(view.seen[0])
    lines = found[1].splitlines() if found else []
    return {slot.lower(): value for slot, _, value in (line.partition(": ") for line in lines)}


def _aside(message: str) -> str | None:
    """The question of the game master at the end of a message, or None if somebody else asks."""
    start = 0 if message.startswith("ME: ") else message.rfind("\nME: ") + 1
    return message[start:] if message.startswith("ME: ", start) else None


def _slot(texts: dict[str, list[str]], message: str) -> str | None:
    """The slot that a message is about."""
    return next((slot for slot in texts for text in texts[slot] if f" {text}" in message), None)


def _shared(view: View, facts: dict[str, str]) -> set[str]:
    """Slots that the questioner has asked for so far, or whose value slipped out."""
    asks, _ = wordings(view.settings, facts)
    known: set[str] = set()
    for message, reply in zip(view.seen, view.said):
        if _aside(message) is None:
            known |= {slot} if (slot := _slot(asks, message)) else set()
            known |= {slot for slot, value in facts.items() if value.lower() in reply.lower()}
    return known


def scripted(view: View) -> str:
    """Tell the fact asked for, and know what was told; a weak player is evasive now and then, and guesses aside."""
    facts, rng, message = _facts(view), view.rng, view.seen[-1]
    asks, probes = wordings(view.settings, facts)
    aside = _aside(message)
    if aside is None:
        value = facts.get(_slot(asks, message) or "")
        if value is None or rng.random() < (1 - view.strength) / 2:
            return "ANSWER: " + rng.choice(("I am not sure.", "Let me think about that.", "I would rather not say."))
        return "ANSWER: " + rng.choice(_FORMS).format(value)
    told = _slot(probes, aside) in _shared(view, facts)
    if rng.random() < (1 - view.strength) / 2:
        told = not told
    return "ASIDE: " + rng.choice(("yes", "Yes.") if told else ("no", "No."))


def random_player(view: View) -> str:
    """The right tag, and then anything."""
    if _aside(view.seen[-1]) is None:
        return "ANSWER: " + view.rng.choice([*_facts(view).values(), "Yes."])
    return view.rng.choice(("ASIDE: yes", "ASIDE: no"))


def broken(view: View) -> str:
    """Mixes up the tags; one in two such players never says ASIDE at all, which ends the game."""
    good, rng = scripted(view), view.rng
    aside = _aside(view.seen[-1]) is not None
    if aside and random.Random(view.seen[0]).random() < 0.5:
        return rng.choice((good.removeprefix("ASIDE: "), good.replace("ASIDE", "ANSWER"), good.lower()))
    if rng.random() < 0.8:
        return good
    return (
        good.replace("ANSWER", "ASIDE")
        if not aside
        else rng.choice(("ASIDE: perhaps", f"\n{good}", good + "\nIs that all?", ""))
    )


PLAYERS = {"scripted": scripted, "random": random_player, "broken": broken}
