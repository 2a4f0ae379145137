"""Made-up dialogues for EQ-Bench: an event, somebody who hears of it, and what that one feels."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

from games.core import split_of

EMOTIONS = {"two": 2, "four": 4}
NAMES = "Ada Bela Carl Dora Emil Frida Gita Hugo Ines Jon Kira Luis Mara Nils Olga Piet".split()
OPENINGS = (
    "Have you a minute?",
    "You look tired.",
    "Sit down, please.",
    "There you are at last.",
    "I have to tell you something.",
)
ANSWERS = ("Say it.", "What is it?", "I am listening.", "Go on.", "Is it about yesterday?")


@functools.cache
def scenes() -> Mapping[str, Mapping[str, int]]:
    """event -> emotion -> how strongly one feels it who hears of the event."""
    lines = resources.files("games").joinpath("resources", "eqbench_scenes.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]  # the first line names the columns
    pairs = {event: [feeling.split(" ") for feeling in feelings.split("|")] for event, feelings in rows}
    return MappingProxyType({event: {name: int(score) for name, score in found} for event, found in pairs.items()})


def generate(rng: random.Random, level: str, split: str) -> dict:
    while True:
        event = rng.choice(list(scenes()))
        teller, hearer = rng.sample(NAMES, 2)
        emotions = rng.sample(list(scenes()[event]), EMOTIONS[level])
        target = {emotion: scenes()[event][emotion] for emotion in emotions}
        text = (
            f"{teller}: {hearer}! {rng.choice(OPENINGS)}\n{hearer}: {rng.choice(ANSWERS)}\n{teller}: {event}\n\n"
            f"What {hearer} feels now:\n" + "\n".join(emotions)
        )
        if any(target.values()) and split_of(text) == split:
            return {"input": text, "target": target}
