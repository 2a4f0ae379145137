"""Which episodes are played: training groups of a step, held-out episodes, scripted dialogues. Pure functions of the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np

import games
from games.core import Play
from playpen_jax import config as configs
from playpen_jax import players, rewards
from playpen_jax.chat import Message
from playpen_jax.rollout import Job


def check(config: configs.Config) -> None:
    """Raise `ConfigError` for games, seats and players that do not exist, before anything is loaded."""
    try:
        players.check(config.players, config.games)
        rewards.chosen(config.grpo.reward, config.grpo.role_rewards)
    except (KeyError, ValueError) as error:
        raise configs.ConfigError(str(error.args[0])) from None


def training_jobs(config: configs.Config, step: int) -> list[Job]:
    """The groups of one step: `instances` x `plays` jobs, the plays of an instance side by side; games take turns."""
    specs = players.parse(config.players, config.games)
    jobs = []
    for group in range(step * config.grpo.instances, (step + 1) * config.grpo.instances):
        name = config.games[group % len(config.games)]
        number = group // len(config.games)
        instance = training_instance(config, name, number)
        seats = players.seating(games.make(name), specs[name])
        seed = f"{config.seed}/{step}/{name}/{number}"
        jobs += [Job(games.make(name), instance, seats, sample, seed, config.form) for sample in range(config.grpo.plays)]
    return jobs


def training_instance(config: configs.Config, name: str, number: int) -> dict:
    """The `number`-th instance of the training split: each is drawn anew, the levels take turns."""
    game = games.make(name)
    level = game.levels[number % len(game.levels)]
    rng = random.Random(f"{config.seed}/{name}/{level}/{number}")
    return {"game_id": number, **game.generate(rng, level, "train"), "level": level}


def held_out_jobs(config: configs.Config) -> list[Job]:
    """The episodes of an evaluation: the same at every step, so that differences are paired."""
    specs = players.parse(config.players, config.games)
    jobs = []
    for name in config.games:
        seats = players.seating(games.make(name), specs[name])
        for i, instance in enumerate(games.make(name).instances(config.eval.split, config.eval.episodes, config.eval.seed)):
            seed = f"{config.eval.seed}/{name}/{i}"
            jobs += [Job(games.make(name), instance, seats, n, seed, config.form) for n in range(config.eval.plays)]
    return jobs


def epoch_order(count: int, seed: int, first: int, n: int) -> np.ndarray:
    """Which of `count` examples are the `first`-th and the n - 1 after it, int [n]: every epoch has an order of its own."""
    places = np.arange(first, first + n)
    orders = {e: np.random.default_rng([seed, e]).permutation(count) for e in set(places // count)}
    return np.array([orders[place // count][place % count] for place in places])


def scripted_dialogue(config: configs.Config, number: int) -> list[list[Message]]:
    """What each learner's seat saw and said in the scripted episode `number`: one list of messages per seat.

    The strength is drawn from `sft.strengths`; with probability `sft.broken` one of the seats breaks the format.
    """
    rng = random.Random(f"{config.seed}/scripted/{number}")
    name = config.games[number % len(config.games)]
    game, specs = games.make(name), players.parse(config.players, config.games)[name]
    seats = players.seating(game, specs)
    taught = [seat for seat in game.seats if seats[seat] == players.LEARNER]
    cast = {seat: players.scripted(game, seat, spec) for seat, spec in seats.items() if spec != players.LEARNER}
    cast |= {seat: players.scripted(game, seat, f"scripted:{rng.choice(config.sft.strengths)}") for seat in taught}
    if rng.random() < config.sft.broken:
        cast[taught[rng.randrange(len(taught))]] = players.scripted(game, rng.choice(taught), "broken")
    play = game.start(training_instance(config, name, number // len(config.games)), form=config.form)
    while play.ask is not None:
        play.reply(cast[play.ask.seat].reply(play, f"{config.seed}/{number}"))
    return [messages(play, seat) for seat in taught if any(ask.seat == seat for ask, _ in play.history)]


def messages(play: Play, seat: str) -> list[Message]:
    """The dialogue of one seat, as users know it."""
    found: list[Mapping[str, str]] = []
    for ask, reply in play.history:
        if ask.seat == seat:
            found += [{"role": "user", "content": ask.text}, {"role": "assistant", "content": reply}]
    return found
