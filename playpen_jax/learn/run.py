"""What every way to learn is given: the run, its samplers, and how it plays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from playpen_jax import config as configs
from playpen_jax import model, rollout
from playpen_jax.chat import Chat
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.sampler.store import shard_count
from playpen_jax.types import Episode, TrainState

Step = Callable[[TrainState, int], tuple[TrainState, dict[str, float]]]


class NothingToLearn(RuntimeError):
    """A run that trains nothing; the message says in one line why."""


@dataclasses.dataclass
class Run:
    """Everything that stays the same during a run."""

    config: configs.Config
    workdir: Path
    c: model.ModelConfig
    chat: Chat
    mesh: jax.sharding.Mesh
    samplers: dict[Sampling, Sampler] = dataclasses.field(default_factory=dict)

    def sampler(self, how: Sampling, params: Any) -> Sampler:
        """The sampler of these settings, made once, with the weights of now."""
        if how not in self.samplers:
            r = self.config.rollout
            mesh = self.mesh if self.mesh.size > 1 else None
            parts = shard_count(mesh) * r.cohorts
            rows = -(-r.rows // parts) * parts  # every part has as many
            more = {"dialogues": r.dialogues or 4 * rows, "pages": r.pages or None, "cohorts": r.cohorts, "mesh": mesh}
            self.samplers[how] = Sampler(self.c, rows, r.context, how, self.chat.stops, r.chunk, **more)
        self.samplers[how].load(params)
        return self.samplers[how]

    def play(self, params: Any, jobs: list[rollout.Job], how: Sampling, label: str) -> tuple[list[Episode], Sampler]:
        """All jobs, under a progress bar; the sampler tells what it cost."""
        sampler, r = self.sampler(how, params), self.config.rollout
        with tqdm(total=len(jobs), desc=label, unit="episode", leave=False, disable=None) as bar:
            player = rollout.Rollout({"learner": sampler}, self.chat, rollout.Limits(r.max_tokens, r.max_turns))
            return player.play(jobs, lambda episode: bar.update()), sampler
