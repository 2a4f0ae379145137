"""What every way to learn is given: the run, its samplers, and how it plays."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from playpen_jax import config as configs
from playpen_jax import model, processes, rollout, sharding
from playpen_jax.chat import Chat
from playpen_jax.learn.disk import insist
from playpen_jax.learn.interrupts import Hanging, Interrupts
from playpen_jax.learn.journal import Journal, fingerprint
from playpen_jax.players import LEARNER
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Counters, Sampler
from playpen_jax.sampler.store import shard_count
from playpen_jax.state import Batch, TrainState
from playpen_jax.types import Episode

Step = Callable[[TrainState, int], tuple[TrainState, dict[str, float]]]


class NothingToLearn(RuntimeError):
    """A run that trains nothing; the message says in one line why."""


@dataclasses.dataclass(frozen=True)
class Partner:
    """A policy beside the learner: its weights never move."""

    c: model.ModelConfig
    params: Any
    chat: Chat


@dataclasses.dataclass
class Rolled:
    """Episodes in the order of their jobs, None for those that hung; what the learner's sampler did for them."""

    episodes: list[Episode | None]
    counters: Counters

    @property
    def ended(self) -> list[Episode]:
        return [episode for episode in self.episodes if episode is not None]


@dataclasses.dataclass
class Run:
    """Everything that stays the same during a run; `memory` is plain JSON that a way to learn keeps with each checkpoint."""

    config: configs.Config
    workdir: Path  # what this process writes alone
    saved: Path  # the checkpoints, which all processes write together
    c: model.ModelConfig
    chat: Chat
    mesh: jax.sharding.Mesh
    samplers: dict[tuple, Sampler] = dataclasses.field(default_factory=dict)
    memory: dict[str, Any] = dataclasses.field(default_factory=dict)
    interrupts: Interrupts = dataclasses.field(default_factory=Interrupts)
    describe: Callable[[], None] = lambda: None  # writes what a run's folder says of it: config.json, model/
    seconds: float = 0.0  # spent on evaluations that no metric has told of yet
    settle: Callable[[], None] = lambda: None  # waits for what goes on beside the learner
    apart: jax.sharding.Mesh | None = None  # where plays go on beside the learner

    def take_seconds(self) -> float:
        """The seconds, which then are told of."""
        told, self.seconds = self.seconds, 0.0
        return told

    def write(self, name: str, write: Callable[[Path], Any]) -> None:
        """`write(DIR / name)`, in its folder, waiting for a disk that refuses it."""
        file = self.workdir / name

        def once() -> None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write(file)

        insist(once, str(file), self.config.checkpoints.patience, self.interrupts)

    def keep_culprit(self, step: int, batch: Batch, found: Mapping[str, float]) -> None:
        """Keep a batch whose loss or gradient was not finite, as `culprits/step_N.npz`."""
        if found["skipped"]:
            fields = {name: x for name, x in vars(batch).items() if x is not None}
            self.write(f"culprits/step_{step:06d}.npz", lambda file: np.savez_compressed(file, **fields))

    def _own_devices(self) -> jax.sharding.Mesh:
        """The devices of this process: heads over as many of them as the settings say and there are."""
        devices = jax.local_devices()
        return sharding.make_mesh(configs.Mesh(tensor=math.gcd(self.config.mesh.tensor, len(devices))), devices)

    def sampler(self, how: Sampling, name: str, policy: Partner) -> Sampler:
        """The sampler of this policy and these settings where its weights lie, made once, with the weights of now."""
        lies = frozenset(jax.tree.leaves(policy.params)[0].devices())
        key = name, how, lies
        if key not in self.samplers:
            r = self.config.rollout
            there = self.apart if self.apart and lies == frozenset(self.apart.devices.flat) else self.mesh
            own = there if jax.process_count() == 1 else self._own_devices()
            mesh = own if own.size > 1 else None
            parts = shard_count(mesh) * r.cohorts
            rows = -(-r.rows // parts) * parts  # every part has as many
            self.samplers[key] = Sampler(
                policy.c,
                rows,
                r.context,
                how,
                policy.chat.stops,
                r.chunk,
                dialogues=r.dialogues or 4 * rows,
                pages=r.pages or None,
                cohorts=r.cohorts,
                mesh=mesh,
            )
        self.samplers[key].load(policy.params)
        return self.samplers[key]

    def play(
        self,
        params: Any,
        jobs: Sequence[rollout.Job],
        how: Sampling,
        label: str,
        journal: Path | None = None,
        partners: Mapping[str, Partner] | None = None,
        weights: list[float] | None = None,
    ) -> Rolled:
        """All jobs, under a progress bar; `journal`: a file that remembers those that ended if the run is killed.

        weights: the fingerprint of those that began the journal; None: of these.

        Episodes that have not ended when nothing has ended for `rollout.patience` seconds are given up. Of several processes
        each plays a share, and all get all episodes; the counters are the sums.
        """
        mine = processes.share(len(jobs))
        rolled = self._play_here(params, [jobs[i] for i in mine], how, label, journal, partners, weights)
        parts = processes.gather([rolled])
        counters = (dataclasses.astuple(part.counters) for part in parts)
        return Rolled([e for part in parts for e in part.episodes], Counters(*map(sum, zip(*counters))))

    def _play_here(
        self,
        params: Any,
        jobs: Sequence[rollout.Job],
        how: Sampling,
        label: str,
        journal: Path | None,
        partners: Mapping[str, Partner] | None,
        weights: list[float] | None,
    ) -> Rolled:
        """The share of this process."""
        policies = {LEARNER: Partner(self.c, params, self.chat)} | dict(partners or {})
        samplers = {name: self.sampler(how, name, policy) for name, policy in policies.items()}
        book = Journal(journal, jobs, weights or fingerprint(params)) if journal else None
        found, r = dict(book.found) if book else {}, self.config.rollout
        todo = [number for number in range(len(jobs)) if number not in found]
        places = {(id(jobs[number].instance), jobs[number].sample): number for number in todo}

        def done(episode: Episode) -> None:
            number = places[id(episode.instance), episode.sample]
            found[number] = episode
            if book:
                book.add(number, episode)
            self.interrupts.alive()
            bar.update()

        chats = {name: policy.chat for name, policy in policies.items()}
        with tqdm(total=len(jobs), initial=len(found), desc=label, unit="episode", leave=False, disable=None) as bar:
            try:
                with self.interrupts.breakable(r.patience):
                    player = rollout.Rollout(samplers, chats, rollout.Limits(r.max_tokens, r.max_turns))
                    player.play([jobs[number] for number in todo], done)
            except Hanging:
                self.samplers.clear()  # their rows still hold the dialogues
                left = [jobs[number] for number in todo if number not in found]
                names = ", ".join(sorted({job.game.name for job in left}))
                why = f"no episode of {names} has ended for {r.patience:g} seconds: {len(left)} of {len(jobs)} are given up"
                tqdm.write(f"warning: {label}: {why}", file=sys.stderr)
            else:
                for sampler in samplers.values() if self.apart is None else ():
                    sampler.rest()  # the update needs the room
        return Rolled([found.get(number) for number in range(len(jobs))], samplers[LEARNER].counters)
