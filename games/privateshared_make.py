"""The worlds of privateshared: who asks what about which facts, in our words; fresh instances and our settings."""

from __future__ import annotations

import functools
import importlib.resources
import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

from games.core import split_of

LEVELS = ("parcel", "travel-booking", "job-interview", "restaurant", "letter-number", "things-places")
PROBES = (
    "Does the {partner} know {topic}?",
    "Have you already told the {partner} {topic}?",
    "Has the {partner} heard from you {topic}?",
    "Could the {partner} write down by now {topic}?",
)
FULL = """$ROLE$

WHAT: $WHAT$
$SLOTS$

So far the $PARTNER$ knows nothing of this.

When a message starts with $TAG$, the $PARTNER$ asks you something. Reply to that with one short sentence, like this:
ANSWER: It is the blue one.

When a message starts with ME, I ask you, and the $PARTNER$ does not hear it, whether a fact has been shared yet.
Reply to that like this:
ASIDE: no

Use the right tag each time, and write nothing else. We begin."""
SHORT = """Your secrets:
WHAT: $WHAT$
$SLOTS$

To $TAG$ say ANSWER: and the value. To ME say ASIDE: yes if $TAG$ was told already, or ASIDE: no"""
SUFFIXES = (
    "",
    "Please begin with ASIDE:",
    "Your reply has to begin with ASIDE: and then yes or no.",
    "Once more, this time as ASIDE: yes or ASIDE: no.",
    "For the last time: only ASIDE: yes, or ASIDE: no.",
)


STRANGE: dict[str, Any] = {  # a world that only its instance knows
    "what": "Facts",
    "role": "You know some facts, and only you:",
    "partner": "questioner",
    "each": {"topic": "the {slot}", "asks": ["What is the {slot}?"]},
}


@functools.cache
def _worlds() -> dict[str, dict]:
    text = importlib.resources.files("games").joinpath("resources/privateshared.json").read_text("utf-8")
    return json.loads(text)


def _world(name: str) -> dict:
    return _worlds().get(name, STRANGE)


def _about(world: Mapping, slot: str) -> tuple[str, list[str]]:
    """The topic of a slot as a clause, and the questions for it."""
    words = world.get("slots", {}).get(slot) or world.get("each") or STRANGE["each"]
    return words["topic"].replace("{slot}", slot), [ask.replace("{slot}", slot) for ask in words["asks"]]


def wordings(settings: Mapping, slots: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The questions and the probes for each slot: those of the settings, or else ours for the world they name."""
    asks, probes, world = {}, {}, _world(settings["name"])
    for slot in slots:
        topic, questions = _about(world, slot)
        frames = [probe.format(partner=world["partner"], topic=topic) for probe in PROBES]
        asks[slot] = settings.get("asks", {}).get(slot) or questions
        probes[slot] = settings.get("probes", {}).get(slot) or frames
    return asks, probes


def brief(template: str, name: str, tag: str, slots: Mapping[str, str]) -> str:
    """The first message of the answerer: who one is, the facts, and the tags."""
    world = _world(name)
    facts = "\n".join(f"{slot.upper()}: {value}" for slot, value in slots.items())
    words = {"$ROLE$": world["role"], "$WHAT$": world["what"], "$PARTNER$": world["partner"], "$TAG$": tag, "$SLOTS$": facts}
    for mark, word in words.items():
        template = template.replace(mark, word)
    return template


def settings(level: str, form: str) -> dict:
    """Our settings: the briefing, how probes are put, and in the short form questions of one word."""
    if form == "full":
        request = " Reply with yes or no, and no more."
        return {"name": level, "initial_prompt": FULL, "probe_request": request, "suffixes": list(SUFFIXES)}
    slots = _slots(level)
    return {
        "name": level,
        "initial_prompt": SHORT,
        "probe_request": "",
        "suffixes": ["", *["ASIDE:"] * 4],
        "asks": {slot: [f"{slot}?"] for slot in slots},
        "probes": {slot: [f"{slot} told?"] for slot in slots},
    }


def _slots(level: str) -> list[str]:
    world = _world(level)
    return [*world["slots"]] if "slots" in world else world["each"]["slots"]


def _values(rng: random.Random, level: str) -> dict[str, str]:
    """A value for each slot, no two the same."""
    world, slots = _world(level), _slots(level)
    if "slots" in world:
        return {slot: rng.choice(world["slots"][slot]["values"]) for slot in slots}
    values = world["each"].get("values") or [str(number) for number in range(1000, 10_000)]
    return dict(zip(slots, rng.sample(values, len(slots))))


def generate(rng: random.Random, level: str, split: str) -> dict:
    """Facts drawn from the lists of their world, asked for in a random order and in random words."""
    slots = _values(rng, level)
    while split_of(target({"slots": slots})) != split:
        slots = _values(rng, level)
    asks, probes = wordings({"name": level}, slots)
    tag = _world(level)["tag"]
    rounds = [{slot: rng.randrange(len(probes[slot])) for slot in slots} for _ in range(len(slots) + 1)]
    return {
        "tag": tag,
        "slots": slots,
        "initial_prompt": brief(FULL, level, tag, slots),
        "request_order": rng.sample([*slots], len(slots)),
        "requests": {slot: rng.randrange(len(asks[slot])) for slot in slots},
        "probes": {str(r): wording for r, wording in enumerate(rounds)},
        "lang": "en",
    }


def target(instance: Mapping) -> str:
    """All facts in one line, whatever the order they are asked in."""
    return "; ".join(f"{slot}={value}" for slot, value in sorted(instance["slots"].items()))
