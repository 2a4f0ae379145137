"""Which episodes are played: training groups of a step, held-out episodes, scripted dialogues. Pure functions of the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

import games
from games.core import lesson
from playpen_jax import config as configs
from playpen_jax import curriculum, players
from playpen_jax.chat import Message
from playpen_jax.rollout import Job


def training_jobs(
    config: configs.Config, step: int, memory: Mapping[str, Any] = MappingProxyType({}), part: int = 0, count: int | None = None
) -> list[Job]:
    """The groups of one step: `count` (default: `instances`) x `plays` jobs, the plays of an instance side by side.

    part: 0 for the first groups of a step, then one for each round that replaces groups. memory: what the curriculum knows.
    """
    first = step * config.grpo.instances
    groups = range(first, first + (config.grpo.instances if count is None else count))
    return [job for group in groups for job in group_jobs(config, step, group, memory, part)]


def group_jobs(config: configs.Config, step: int, group: int, memory: Mapping[str, Any], part: int) -> list[Job]:
    """The plays of one instance; a seat with several possible partners has the same one in all of them."""
    again = f"/again{part}" if part else ""
    name, level, number = curriculum.place(config, group, memory, again)
    game, instance = games.make(name), training_instance(config, name, number, level, again)
    seed = f"{config.seed}/{step}/{name}/{number}{again}"
    rng, specs = random.Random(f"{seed}/partners"), players.parse(config.players, config.games)[name]
    seats = players.seating(game, {seat: players.draw(spec, rng) for seat, spec in specs.items()})
    return [Job(game, instance, seats, sample, seed, config.form) for sample in range(config.grpo.plays)]


def training_instance(config: configs.Config, name: str, number: int, level: str | None = None, again: str = "") -> dict:
    """The `number`-th instance of the training split: each is drawn anew; without a level the levels take turns."""
    game = games.make(name)
    level = level or game.levels[number % len(game.levels)]
    rng = random.Random(f"{config.seed}/{name}/{level}/{number}{again}")
    return {"game_id": number, **game.generate(rng, level, "train"), "level": level}


def held_out_jobs(config: configs.Config) -> list[Job]:
    """The episodes of an evaluation: the same at every step, so that differences are paired.

    Of the games that are trained and of those that are only evaluated; of several partners the first one named plays.
    """
    names = (*config.games, *config.eval.games)
    specs = players.parse(config.players, names)
    jobs = []
    for name in names:
        seats = players.seating(games.make(name), {seat: players.first(spec) for seat, spec in specs[name].items()})
        for i, instance in enumerate(games.make(name).instances(config.eval.split, config.eval.episodes, config.eval.seed)):
            seed = f"{config.eval.seed}/{name}/{i}"
            jobs += [Job(games.make(name), instance, seats, n, seed, config.form) for n in range(config.eval.plays)]
    return jobs


def epoch_order(count: int, seed: int, first: int, n: int) -> np.ndarray:
    """Which of `count` examples are the `first`-th and the n - 1 after it, int [n]: every epoch has an order of its own."""
    places = np.arange(first, first + n)
    orders = {e: np.random.default_rng([seed, int(e)]).permutation(count) for e in set(places // count)}
    return np.array([orders[place // count][place % count] for place in places])


def scripted_dialogue(config: configs.Config, number: int) -> Sequence[Sequence[Message]]:
    """What each learner's seat saw and said in the scripted episode `number`: one list of messages per seat.

    The strength is drawn from `sft.strengths`; with probability `sft.broken` one of the seats breaks the format.
    """
    rng = random.Random(f"{config.seed}/scripted/{number}")
    name = config.games[number % len(config.games)]
    game, specs = games.make(name), players.parse(config.players, config.games)[name]
    seats = players.seating(game, {seat: players.first(spec) for seat, spec in specs.items()})
    taught = [seat for seat in game.seats if seats[seat] == players.LEARNER]
    cast = {seat: players.scripted(game, seat, spec) for seat, spec in seats.items() if spec != players.LEARNER}
    cast |= {seat: players.scripted(game, seat, f"scripted:{rng.choice(config.sft.strengths)}") for seat in taught}
    if rng.random() < config.sft.broken:
        cast[taught[rng.randrange(len(taught))]] = players.scripted(game, rng.choice(taught), "broken")
    play = game.start(training_instance(config, name, number // len(config.games)), form=config.form)
    while play.ask is not None:
        play.reply(cast[play.ask.seat].reply(play, f"{config.seed}/{number}"))
    return [found for seat in taught if (found := lesson(play.history, seat))]
