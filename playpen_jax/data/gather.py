"""All that a run learns from, in memory: read, selected, and mixed with general instruction data."""

from __future__ import annotations

import random
from typing import Any

from playpen_jax import config as configs
from playpen_jax.chat import Message
from playpen_jax.data.read import Dialogue, Pair, Reader, Row
from playpen_jax.data.select import select


class Gathered(list):
    """Dialogues (lists of messages) or rows, with the account of where they come from, for data.json."""

    account: dict[str, Any]


def rows(settings: configs.Data, seed: int) -> tuple[list[Row], dict[str, Any]]:
    """The rows that the settings keep, and the account; raises `ConfigError` if none is left."""
    reader = Reader(settings.bad == "skip", settings.largest)
    try:
        kept, selection = select(reader.rows(settings.paths), settings, seed)
    except (ValueError, OSError) as error:  # a row or a file that cannot be read, named in the message
        raise configs.ConfigError(str(error)) from None
    print("\n".join([f"data: {reader.read:,} rows read, {reader.reasons.total():,} bad", *selection.lines()]))
    account = {"paths": list(settings.paths), **reader.account(), "selection": selection.to_json()}
    if not kept:
        raise configs.ConfigError("data: no row is left: " + "; ".join(selection.lines()[1:]))
    return kept, account


def dialogues(settings: configs.Data, seed: int) -> Gathered:
    """The messages of all dialogues kept, and of general ones so many that they are `general_weight` of the whole."""
    kept, account = rows(settings, seed)
    found = Gathered(list(row.messages) for row in kept if isinstance(row, Dialogue))
    if len(found) < len(kept):
        found += [[*row.prompt, *row.chosen] for row in kept if isinstance(row, Pair)]
    if settings.general:
        general, account["general"] = general_dialogues(settings, len(found), seed)
        found += general
    found.account = account
    return found


def general_dialogues(settings: configs.Data, count: int, seed: int) -> tuple[list[list[Message]], dict[str, Any]]:
    """General dialogues beside `count` of the games': drawn anew, and again where there are too few."""
    if not 0 < settings.general_weight < 1:
        raise configs.ConfigError(f"data.general_weight={settings.general_weight} is not between 0 and 1")
    reader = Reader(settings.bad == "skip", settings.largest)
    try:
        pool = [list(row.messages) for row in reader.rows(settings.general) if isinstance(row, Dialogue)]
    except (ValueError, OSError) as error:
        raise configs.ConfigError(str(error)) from None
    if not pool:
        raise configs.ConfigError(f"data.general: {', '.join(settings.general)}: no dialogues")
    wanted = max(round(count * settings.general_weight / (1 - settings.general_weight)), 1)
    rng, drawn = random.Random(f"{seed}/general"), []
    while len(drawn) < wanted:
        drawn += rng.sample(pool, min(len(pool), wanted - len(drawn)))
    print(f"data: {len(drawn):,} general dialogues ({len(pool):,} there, {reader.reasons.total():,} bad)")
    return drawn, {"paths": list(settings.general), **reader.account(), "mixed_in": len(drawn)}
