"""A game that a tiny model learns in seconds, in a config of its own: say a letter, some rounds long.

python -m playpen_jax.train --config=tests/letters.py
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import games
from games.core import Ask, Game, Outcome, Referee, View
from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Model, Optim, Rollout, Sft

LETTERS = "abcdefgh"


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Each round is a hit if the reply starts with the letter; an empty reply breaks the rules."""
    hits, rounds = 0, instance["rounds"]
    for number in range(1, rounds + 1):
        reply = yield Ask("speaker", settings["prompt"] if number == 1 else f"{number}?")
        if not reply:
            return Outcome("aborted", math.nan, number, number - 1, 1, reason="nothing was said", seat="speaker")
        hits += reply.startswith(instance["letter"])
    return Outcome("success" if hits == rounds else "lose", 100 * hits / rounds, rounds, rounds, 0)


def generate(rng: random.Random, level: str, split: str) -> dict:
    rounds = 1 if level == "one" else 2
    return {"letter": "a", "rounds": rounds, "target": f"{split} {rounds} {rng.random()}"}


def scripted(view: View) -> str:
    return "a" if view.rng.random() < view.strength else view.rng.choice(LETTERS)


def babble(view: View) -> str:
    return view.rng.choice(LETTERS)


def silence(view: View) -> str:
    return ""


games.register(
    Game(
        name="letters",
        suite="indomain",
        seats=("speaker",),
        roles=("Speaker",),
        levels=("one", "two"),
        fields={"letter": str, "rounds": int},
        settings_fields={"prompt": str},
        referee=referee,
        generate=generate,
        target=lambda instance: instance["target"],
        settings=lambda level, form: {"prompt": "Say a."},
        players={"speaker": {"scripted": scripted, "random": babble, "broken": silence}},
    )
)


def pair(instance: Mapping, settings: Mapping) -> Referee:
    """Two seats speak in turn; each reply that starts with the letter is a hit."""
    hits = 0
    for number in range(2):
        for seat in ("left", "right"):
            reply = yield Ask(seat, settings["prompt"] if number == 0 else "again")
            hits += reply.startswith(instance["letter"])
    return Outcome("success" if hits == 4 else "lose", 25.0 * hits, 4, 4, 0)


games.register(
    Game(
        name="letters_pair",
        suite="indomain",
        seats=("left", "right"),
        roles=("Left", "Right"),
        levels=("one",),
        fields={"letter": str},
        settings_fields={"prompt": str},
        referee=pair,
        generate=generate,
        target=lambda instance: instance["target"],
        settings=lambda level, form: {"prompt": "Say a."},
        players={seat: {"scripted": scripted, "random": babble, "broken": silence} for seat in ("left", "right")},
    )
)


def config() -> Config:
    return Config(
        steps=12,
        games=("letters",),
        players=(),
        model=Model(path=None, vocab=300, dim=32, layers=2, heads=2, kv_heads=1, mlp=64),
        rollout=Rollout(rows=16, context=32, max_tokens=4),
        grpo=Grpo(instances=4, plays=8),
        sft=Sft(episodes=200, strengths=(0.0,), rows=8),
        optim=Optim(learning_rate=1e-2),
        batch=Batching(length=32, micro=8),
        eval=Evaluation(episodes=4, plays=2),
        checkpoints=Checkpoints(every=4),
    )
