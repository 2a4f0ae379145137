"""All that a run learns from, in memory: read, selected, and mixed with general instruction data."""

from __future__ import annotations

import random
from typing import Any

from playpen_jax import config as configs
from playpen_jax.chat import Message
from playpen_jax.data.read import Dialogue, Pair, Reader, Row
from playpen_jax.data.select import Account, filters, game_of, select
from playpen_jax.data.stream import Stream, sources


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
    rng = random.Random(f"{seed}/general")
    drawn: list[list[Message]] = []
    while len(drawn) < wanted:
        drawn += rng.sample(pool, min(len(pool), wanted - len(drawn)))
    print(f"data: {len(drawn):,} general dialogues ({len(pool):,} there, {reader.reasons.total():,} bad)")
    return drawn, {"paths": list(settings.general), **reader.account(), "mixed_in": len(drawn)}


NEED_ALL = {"unique": False, "best_models": 0, "per_game": 0, "per_experiment": 0}  # rules that compare rows -> their off


def stream(settings: configs.Data, seed: int) -> Stream:
    """The dialogues left on disk, in a seeded order, general ones mixed in by weight; every row was read and checked once."""
    for name, off in NEED_ALL.items():
        if getattr(settings, name) != off:
            raise configs.ConfigError(f"data.{name}={getattr(settings, name)} compares rows, which data.stream does not keep")
    reader, account, tests = Reader(settings.bad == "skip", settings.largest), Account(), filters(settings)

    def keep(row: Row) -> bool:
        account.seen[game_of(row)] += 1
        why = next((why for why, test in tests.items() if not test(row.meta)), None)
        account.kept.update([] if why else [game_of(row)])
        if why:
            account.drop(row, why)
        return not why

    try:
        parts = sources(settings.paths, reader, keep)
        weights = [(1 - settings.general_weight * bool(settings.general)) * len(part) for part in parts]
        weights = [weight / sum(map(len, parts)) for weight in weights]
        others = sources(settings.general, reader, lambda row: True) if settings.general else []
        weights += [settings.general_weight * len(part) / sum(map(len, others)) for part in others]
        found = Stream(parts + others, weights, seed, {})
    except (ValueError, OSError) as error:  # a row, a file or a package, named in the message
        raise configs.ConfigError(str(error)) from None
    found.account |= {"paths": list(settings.paths), **reader.account(), "selection": account.to_json()}
    print("\n".join([f"data: {reader.read:,} rows read, {reader.reasons.total():,} bad", *account.lines()]))
    return found
