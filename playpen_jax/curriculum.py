"""Which game and level is played next: all in turn, by weights, or where groups still vary.

A group whose plays all earn the same teaches nothing. With "learnability" a (game, level) is drawn in proportion to its weight
times the share of its latest groups whose rewards differed: a running mean, 1 for what has not been played, mixed with `floor`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import games
from playpen_jax import config as configs

MEMORY = "learnability"  # the name under which a run remembers the running means


def place(config: configs.Config, group: int, memory: Mapping[str, Any], salt: str = "") -> tuple[str, str | None, int]:
    """Game, level (None: they take turns) and number of the instance of group `group`, counted over the whole run."""
    if config.curriculum.draw == "turns":
        return config.games[group % len(config.games)], None, group // len(config.games)
    table = weights(config, memory)
    rng = random.Random(f"{config.seed}/curriculum/{group}{salt}")
    (name, level), *_ = rng.choices(list(table), list(table.values()))
    return name, level, group


def weights(config: configs.Config, memory: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """(game, level) -> how often it is drawn, not normalised: a game's weight is dealt out evenly to its levels."""
    given, known, c = parse(config), memory.get(MEMORY, {}), config.curriculum
    table = {}
    for name in config.games:
        levels = games.make(name).levels
        for level in levels:
            weight = given.get(f"{name}.{level}", given.get(name, 1.0) / len(levels))
            if c.draw == "learnability":
                weight *= c.floor + (1 - c.floor) * known.get(f"{name}.{level}", 1.0)
            table[name, level] = weight
    return table


def parse(config: configs.Config) -> dict[str, float]:
    """`game=weight` and `game.level=weight` entries; raises `ValueError` for another form or what is not trained."""
    found = {}
    for entry in config.curriculum.weights:
        place, _, text = entry.partition("=")
        name, _, level = place.partition(".")
        if name not in config.games or (level and level not in games.make(name).levels):
            raise ValueError(f"curriculum.weights: {entry!r} names no game or level that is trained")
        try:
            found[place] = float(text)
        except ValueError:
            raise ValueError(f"curriculum.weights: {entry!r} is not game=weight or game.level=weight") from None
        if not 0 <= found[place] < float("inf"):
            raise ValueError(f"curriculum.weights: {entry!r} is not a weight")
    return found


def check(config: configs.Config) -> None:
    """Raise `ValueError` for weights that draw nothing, and for a game that is trained though it is held out."""
    if not sum(weights(config, {}).values()) > 0:
        raise ValueError("curriculum.weights leaves nothing to draw")
    if config.curriculum.draw == "turns" and config.curriculum.weights:
        raise ValueError("curriculum.weights needs curriculum.draw=weights or learnability")
    for name in config.held_out:
        games.make(name)
        if name in config.games:
            raise ValueError(f"{name} is held out (held_out) and trained (games)")


def remember(config: configs.Config, memory: dict[str, Any], played: Iterable[tuple[str, str, bool]]) -> None:
    """Move the running means on: (game, level, whether its rewards differed) of each group."""
    known = memory.setdefault(MEMORY, {})
    for name, level, differed in played:
        key, decay = f"{name}.{level}", config.curriculum.decay
        known[key] = decay * known.get(key, 1.0) + (1 - decay) * differed
