"""Dialogue games as pure functions of (instance, replies): text in, text out, no JAX.

`games.make("wordle")` gives a `Game`: `.instances("train")`, `.start(instance) -> Play`.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import runpy
from pathlib import Path

from games.core import Ask, Game, InstanceError, Outcome, Play, View, play_out

__all__ = ["Ask", "Game", "InstanceError", "Outcome", "Play", "TABLE", "View", "make", "names", "play_out", "register"]

# name -> "module:attribute" of its Game; a module is imported when its game is asked for
TABLE: dict[str, str] = {
    "wordle": "games.wordle:WORDLE",
    "wordle_withclue": "games.wordle:WITHCLUE",
    "wordle_withcritic": "games.wordle:WITHCRITIC",
    "taboo": "games.taboo:TABOO",
    "guesswhat": "games.guesswhat:GUESSWHAT",
    "adventuregame": "games.adventuregame:ADVENTUREGAME",
    "textmapworld": "games.textmapworld:TEXTMAPWORLD",
    "textmapworld_graphreasoning": "games.textmapworld:GRAPHREASONING",
    "textmapworld_specificroom": "games.textmapworld:SPECIFICROOM",
    "matchit_ascii": "games.matchit_ascii:MATCHIT_ASCII",
    "privateshared": "games.privateshared:PRIVATESHARED",
    "codenames": "games.codenames:CODENAMES",
    "referencegame": "games.referencegame:REFERENCEGAME",
    "imagegame": "games.imagegame:IMAGEGAME",
    "dond": "games.dond:DOND",
    "clean_up": "games.clean_up:CLEAN_UP",
    "st_clean_up": "games.clean_up:ST_CLEAN_UP",
    "wordle-crazy": "games.wordle:CRAZY",
    "wordle-crazy_withclue": "games.wordle:CRAZY_WITHCLUE",
    "wordle-crazy_withcritic": "games.wordle:CRAZY_WITHCRITIC",
    "cryptolect": "games.cryptolect:CRYPTOLECT",
    "clockwork_courier": "games.clockwork_courier:CLOCKWORK_COURIER",
    "toh_multi_turn": "games.toh_multi_turn:TOH_MULTI_TURN",
    "get_to_the_point": "games.get_to_the_point:GET_TO_THE_POINT",
    "ta_mastermind": "games.ta_mastermind:TA_MASTERMIND",
    "ta_blackjack": "games.ta_blackjack:TA_BLACKJACK",
    "bbh": "games.bbh:BBH",
    "cladder": "games.cladder:CLADDER",
    "eqbench": "games.eqbench:EQBENCH",
    "mmlu_pro": "games.mmlu_pro:MMLU_PRO",
    "chronicle": "games.chronicle:CHRONICLE",
    "ta_frozen_lake": "games.ta_frozen_lake:TA_FROZEN_LAKE",
    "ifeval": "games.ifeval:IFEVAL",
    "ta_sokoban": "games.ta_sokoban:TA_SOKOBAN",
}
# prefix -> "module:function" that makes the games called prefix:NAME
HOUSES = {"textarena": "playpen_jax.bridges.textarena:game", "clem": "playpen_jax.bridges.clembench:named"}
_REGISTERED: dict[str, Game] = {}


def register(game: Game) -> Game:
    """Make a game of your own known by its name, beside the built-in ones."""
    if game.name in TABLE:
        raise ValueError(f"a built-in game is called {game.name!r} already")
    _REGISTERED[game.name] = game
    return game


def make(name: str) -> Game:
    """The game called `name`, or "FILE.py:NAME": one that a file of yours registers.

    An unknown name raises `KeyError` with the nearest one, and so does a file without the game.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    if ".py:" in name:
        return _of_file(*name.rsplit(":", 1))
    if name.partition(":")[0] in HOUSES and ":" in name:
        return _guest(*name.split(":", 1))
    if name not in TABLE:
        near = difflib.get_close_matches(name, names(), 1)
        raise KeyError(
            f"unknown game {name!r}" + (f": did you mean {near[0]!r}?" if near else f": one of {', '.join(names())}")
        )
    return _load(name)


def _of_file(path: str, name: str) -> Game:
    """A game that the file registers when it is run; it is run once."""
    if not Path(path).is_file():
        raise KeyError(f"{path}:{name}: no file {path}")
    _run(Path(path).resolve())
    if name not in _REGISTERED:
        raise KeyError(
            f"{path} registers no game {name!r}: " + (f"only {', '.join(_REGISTERED)}" if _REGISTERED else "none at all")
        )
    return _REGISTERED[name]


@functools.cache
def _run(path: Path) -> None:
    try:
        runpy.run_path(str(path))
    except Exception as error:  # whatever a user's file may do
        raise KeyError(f"{path} cannot be run: {type(error).__name__}: {error}") from error


@functools.cache
def _guest(house: str, name: str) -> Game:
    module, function = HOUSES[house].split(":")
    return getattr(importlib.import_module(module), function)(name)


@functools.cache
def _load(name: str) -> Game:
    module, attribute = TABLE[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def names(suite: str | None = None) -> list[str]:
    """Names of all games, or of those of one suite."""
    every = [*TABLE, *_REGISTERED]
    return every if suite is None else [name for name in every if make(name).suite == suite]
