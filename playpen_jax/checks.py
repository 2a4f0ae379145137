"""Whether the games, seats, players and rewards that a config names exist, before anything is loaded."""

from __future__ import annotations

import dataclasses
import re

import games
from playpen_jax import config as configs
from playpen_jax import curriculum, players, rewards


def named(config: configs.Config) -> configs.Config:
    """The config in which games of files ("FILE.py:NAME") are called by their own names, or a `ConfigError`."""
    own = lambda names: tuple(games.make(name).name if ".py:" in name else name for name in names)
    try:
        evaluation = dataclasses.replace(config.eval, games=own(config.eval.games))
        return dataclasses.replace(config, games=own(config.games), eval=evaluation)
    except KeyError as error:
        raise configs.ConfigError(str(error.args[0])) from None


def check(config: configs.Config) -> None:
    """Raise `ConfigError` for games, seats and players that do not exist, before anything is loaded."""
    try:
        players.check(config.players, (*config.games, *config.eval.games))
        rewards.chosen(config.grpo.reward, config.grpo.role_rewards)
        curriculum.check(config)
        if config.pool.every < 1 or config.pool.keep < 1:
            raise ValueError("pool.every and pool.keep are at least 1")
        if config.grpo.credit == "fork" and config.grpo.plays < 2:
            raise ValueError("grpo.credit=fork compares several ways on: grpo.plays is at least 2")
        check_evaluation(config)
    except (KeyError, ValueError) as error:
        raise configs.ConfigError(str(error.args[0])) from None


def check_evaluation(config: configs.Config) -> None:
    """Raise `ValueError` for a game that is evaluated twice, and for floors of games that are not evaluated."""
    names = (*config.games, *config.eval.games)
    if len(set(names)) < len(names):
        raise ValueError("eval.games names a game that is evaluated already")
    for entry in config.eval.floor:
        game, _, bound = entry.partition("=")
        if game not in names or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", bound):
            raise ValueError(f"eval.floor: {entry!r} is not game=score or game=-points with a game that is evaluated")
