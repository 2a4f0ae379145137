"""Learning by playing: groups of plays become advantages, and the clipped surrogate follows them (losses/grpo.py)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax

from playpen_jax import config as configs
from playpen_jax import draws, metrics, rewards, update
from playpen_jax.chat import Chat
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.learn.run import NothingToLearn, Run, Step
from playpen_jax.losses import grpo
from playpen_jax.sampler.sample import Sampling
from playpen_jax.types import Episode, TokenRow, TrainState


def gather(config: configs.Config) -> list:
    """Nothing is read: the episodes are played."""
    return []


def prepare(config: configs.Config, chat: Chat, gathered: list) -> None:
    """Raise `ConfigError` for sizes with which dialogues could be played but not learned from."""
    if config.batch.length < config.rollout.context:
        sizes = f"batch.length={config.batch.length} is less than rollout.context={config.rollout.context}"
        raise configs.ConfigError(f"{sizes}: longer dialogues could be played but not learned from")


def updates(config: configs.Config) -> int:
    """Updates of one step."""
    return config.grpo.updates


def learner(run: Run, tx: optax.GradientTransformation, at: TrainState, before: Any, data: None) -> Step:
    """The step of this run; `before`: the weights that the KL refers to."""
    config, g = run.config, run.config.grpo
    clip = grpo.Clip(g.epsilon, g.epsilon if g.epsilon_high is None else g.epsilon_high, g.beta)
    temperature = config.rollout.temperature or 1.0
    apply = update.make(run.c, lambda batch, logps, ref: grpo.loss(batch, logps, ref, clip), tx, run.mesh, at, temperature)
    ref_params = before if g.beta else None
    how = Sampling(config.rollout.temperature, config.rollout.top_k, config.rollout.top_p)

    def step(state: TrainState, number: int) -> tuple[TrainState, dict[str, float]]:
        """One rollout, its transcripts, and the updates made on it."""
        began = time.perf_counter()
        episodes, sampler = run.play(state.params, draws.training_jobs(config, number), how, f"step {number + 1}")
        played = time.perf_counter()
        write_episodes(run.workdir, number + 1, episodes)
        rows, found = weighted_rows(config, episodes)
        if not rows:
            why = episodes[0].outcome.reason
            raise NothingToLearn(f"step {number + 1}: the learner said nothing in any of {len(episodes)} episodes ({why})")
        batch, left_out = pack(rows if g.beta else teaching(rows), config.batch.length)
        folded, used = micro_batches(batch, config.batch.micro)
        for _ in range(g.updates):
            state, learned = apply(state, ref_params, folded, used)
        learned = {name: float(x) for name, x in learned.items()}
        done = time.perf_counter()
        counts = sampler.counters
        found |= learned | metrics.episode_metrics(episodes) | counts.metrics()
        found |= {
            "rows_left_out": left_out,
            "num_tokens": float((batch.segment_ids > 0).sum()),
            "rollout/tokens_per_second": counts.sampled / (played - began),
            "time/rollout": played - began,
            "time/update": done - played,
            "step_time": done - began,
        }
        return state, found

    return step


def weighted_rows(config: configs.Config, episodes: Sequence[Episode]) -> tuple[list[Weighted], dict[str, float]]:
    """Advantages inside (instance, seat), one weighted row per learner's seat, and what TRL's users watch."""
    reward = rewards.chosen(config.grpo.reward, config.grpo.role_rewards)
    groups: dict[tuple[int, str], list[tuple[TokenRow, float]]] = defaultdict(list)
    for number, episode in enumerate(episodes):
        for seat, row in episode.rows.items():
            value = reward(episode.game, seat)(episode.outcome, seat)
            groups[number // config.grpo.plays, seat].append((row, value))
    rows, deviations = [], []
    for members in groups.values():
        values = np.array([value for _, value in members])
        deviations.append(values.std())
        for (row, _), advantage in zip(members, grpo.advantages(values, config.grpo.scale_rewards == "group")):
            rows.append(Weighted(row, float(advantage)))
    lengths = np.array([row.mask.sum() for members in groups.values() for row, _ in members] or [0])
    replies = [turn for episode in episodes for turn in episode.turns if turn.stop != "text"]
    found = {
        "reward": float(np.mean([value for members in groups.values() for _, value in members] or [0.0])),
        "reward_std": float(np.mean(deviations or [0.0])),
        "frac_reward_zero_std": float(np.mean([d < 1e-9 for d in deviations] or [1.0])),
        "completions/mean_length": float(lengths.mean()),
        "completions/min_length": float(lengths.min()),
        "completions/max_length": float(lengths.max()),
        "completions/clipped_ratio": sum(turn.stop == "length" for turn in replies) / max(len(replies), 1),
    }
    return rows, found


def teaching(rows: list[Weighted]) -> list[Weighted]:
    """Only the rows with an advantage; the gradient stays as it is for all of them.

    A row of a zero-variance group adds nothing but its tokens to the count by which the loss is divided, so the other rows'
    advantages are scaled by their share of the tokens.
    """
    kept = [w for w in rows if w.advantage]
    share = sum(w.row.mask.sum() for w in kept) / max(sum(w.row.mask.sum() for w in rows), 1)
    return [Weighted(w.row, float(w.advantage * share)) for w in kept] or rows


def write_episodes(workdir: Path, step: int, episodes: Sequence[Episode]) -> None:
    folder = workdir / "episodes"
    folder.mkdir(exist_ok=True)
    text = "".join(metrics.json_text(episode.to_json()) + "\n" for episode in episodes)
    metrics.replace(folder / f"step_{step:06d}.jsonl", text)
