"""Learning by imitation: one update on the next packed rows of dialogues (losses/sft.py)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from tqdm import tqdm

from playpen_jax import config as configs
from playpen_jax import draws, update
from playpen_jax.chat import Chat, Message
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.learn.run import Run, Step
from playpen_jax.losses import sft
from playpen_jax.types import Batch, TokenRow, TrainState


def gather(config: configs.Config) -> list[list[Message]]:
    """The dialogues of all learner's seats in `sft.episodes` scripted episodes."""
    numbers = tqdm(range(config.sft.episodes), desc="scripted episodes", unit="episode", leave=False, disable=None)
    return [dialogue for number in numbers for dialogue in draws.scripted_dialogue(config, number)]


def prepare(config: configs.Config, chat: Chat, dialogues: Sequence[Sequence[Message]]) -> Batch:
    """All dialogues, packed once: [rows, T]; raises `ConfigError` if none is left to imitate."""
    rows = []
    for dialogue in dialogues:
        ids, mask = chat.dialogue(dialogue)
        zeros = np.zeros(len(ids), np.float32)
        rows.append(Weighted(TokenRow(ids, mask, zeros, zeros)))
    bins, left_out = pack(rows, config.batch.length)
    print(f"{len(rows)} dialogues in {len(bins.tokens)} rows of {config.batch.length} tokens, {left_out} left out as too long")
    if not bins.mask.any():
        raise configs.ConfigError("no dialogue is left to imitate: batch.length or sft.episodes is too small")
    return bins


def updates(config: configs.Config) -> int:
    """Updates of one step."""
    return 1


def learner(run: Run, tx: optax.GradientTransformation, at: TrainState, before: Any, bins: Batch) -> Step:
    """The step of this run: one update on the next `sft.rows` packed rows; every epoch has an order of its own."""
    apply = update.make(run.c, lambda batch, logps, ref: sft.loss(batch, logps), tx, run.mesh, at)
    count, n = len(bins.tokens), run.config.sft.rows

    def step(state: TrainState, number: int) -> tuple[TrainState, dict[str, float]]:
        began = time.perf_counter()
        places = np.arange(number * n, (number + 1) * n)
        orders = {e: np.random.default_rng([run.config.seed, e]).permutation(count) for e in set(places // count)}
        chosen = np.array([orders[place // count][place % count] for place in places])
        batch = jax.tree.map(lambda x: x[chosen], bins)
        folded, used = micro_batches(batch, run.config.batch.micro)
        state, learned = apply(state, None, folded, used)
        found = {name: float(x) for name, x in learned.items()}
        found |= {"epoch": (number + 1) * n / count, "num_tokens": float((batch.segment_ids > 0).sum())}
        return state, found | {"step_time": time.perf_counter() - began}

    return step
