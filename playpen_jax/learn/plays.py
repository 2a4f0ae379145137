"""The plays of one step: its groups, forks of them, and fresh ones in place of those whose plays all earned the same."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from playpen_jax import config as configs
from playpen_jax import draws
from playpen_jax.learn import journal
from playpen_jax.learn.credit import Group, samples, setting, spreads
from playpen_jax.learn.run import Partner, Run
from playpen_jax.losses.advantages import EQUAL
from playpen_jax.players import LEARNER
from playpen_jax.rollout import Job, Past
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Counters
from playpen_jax.types import Episode


@dataclasses.dataclass
class Played:
    """What is learned from, every group that was played for it, how many episodes hung or broke, and what the sampler did."""

    groups: list[Group]
    every: list[Group]
    counters: Counters
    hung: int
    failed: int
    rounds: int
    seconds: float

    @property
    def episodes(self) -> list[Episode]:
        return [episode for group in self.every for episode in group.episodes]


@dataclasses.dataclass
class Table:
    """Where one step is played, and what that took so far; memory: what the curriculum knows, weights: as in `Run.play`."""

    run: Run
    params: Any
    step: int
    memory: Mapping[str, Any]
    partners: Mapping[str, Partner]
    weights: list[float] | None = None
    counters: Counters = dataclasses.field(default_factory=Counters)
    hung: int = 0
    failed: int = 0

    def roll(self, jobs: Sequence[Job], part: str) -> list[Episode | None]:
        """Play these jobs, whose journal is called by their part of the step."""
        r, number = self.run.config.rollout, self.step + 1
        how, file = Sampling(r.temperature, r.top_k, r.top_p), journal.path(self.run.workdir, number, part)
        rolled = self.run.play(self.params, jobs, how, f"step {number}", file, self.partners, self.weights)
        pairs = zip(dataclasses.astuple(self.counters), dataclasses.astuple(rolled.counters))
        self.counters = Counters(*(x + y for x, y in pairs))
        self.hung += rolled.episodes.count(None)
        self.failed += sum(episode.failed for episode in rolled.ended)
        return [None if episode is None or episode.failed else episode for episode in rolled.episodes]


def play(table: Table) -> Played:
    """The groups of a step; with `refill` those that cannot teach are replaced, round by round, by plays of fresh instances."""
    config, began = table.run.config, time.perf_counter()
    teaching: list[Group] = []
    idle: list[Group] = []
    for part in range(1 + setting(config, "refill")):
        jobs = draws.training_jobs(config, table.step, table.memory, part, config.grpo.instances - len(teaching))
        for group in groups_of(table, jobs, str(part)):
            (teaching if varied(config, group) else idle).append(group)
        if len(teaching) >= config.grpo.instances:
            break
    chosen = teaching + idle[: config.grpo.instances - len(teaching)]
    return Played(chosen, teaching + idle, table.counters, table.hung, table.failed, part, time.perf_counter() - began)


def groups_of(table: Table, jobs: Sequence[Job], part: str) -> list[Group]:
    """The plays of these jobs, compared from their start or, by `grpo.credit`, from a fork on."""
    config = table.run.config
    if config.grpo.credit == "fork":
        return forked(table, jobs, part)
    return [Group(plays) for plays in gather(table.roll(jobs, part), config.grpo.plays) if plays]


def gather(episodes: Sequence[Episode | None], each: int) -> list[list[Episode]]:
    """The episodes that ended, parted by `each` of one instance side by side."""
    return [[e for e in episodes[i : i + each] if e is not None] for i in range(0, len(episodes), each)]


def varied(config: configs.Config, group: Group) -> bool:
    """Whether a seat of the learner earned more in one play than in another."""
    return max(spreads(samples(config, [group])).values(), default=0.0) > EQUAL


# ---------------------------------------------------------------------------------------------- forks


def forked(table: Table, jobs: Sequence[Job], part: str) -> list[Group]:
    """Of each instance one play; a turn of the learner drawn from it is then sampled anew, and played on, `plays` - 1 times.

    A group is these and the first play: `plays` ways on from one and the same moment.
    """
    plays = table.run.config.grpo.plays
    firsts = jobs[::plays]
    trunks = [(job, trunk) for job, trunk in zip(firsts, table.roll(firsts, part)) if trunk is not None]
    places = [fork_place(job, trunk) for job, trunk in trunks]
    branches = []
    for (job, trunk), place in zip(trunks, places):
        past = Past.of(trunk, place)
        branches += [dataclasses.replace(job, sample=sample, past=past) for sample in range(1, plays)]
    played = gather(table.roll(branches, f"{part}-forks"), plays - 1)
    return [Group([trunk, *more], place) for (_, trunk), place, more in zip(trunks, places, played, strict=True)]


def fork_place(job: Job, trunk: Episode) -> int:
    """The number of a turn that the learner had, each as likely; 0 if it had none."""
    mine = [i for i, turn in enumerate(trunk.turns) if turn.player == LEARNER]
    return random.Random(f"{job.seed}/fork").choice(mine or [0])
