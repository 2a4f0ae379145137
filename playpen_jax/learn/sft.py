"""Learning by imitation: one update on the next samples of dialogues, packed (losses/sft.py)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from playpen_jax import config as configs
from playpen_jax import draws, metrics, model, update
from playpen_jax.chat import Chat, Message
from playpen_jax.data import gather as data
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.data.rows import Counts, samples
from playpen_jax.data.stream import Stream
from playpen_jax.learn.run import NothingToLearn, Run, Step
from playpen_jax.losses import sft
from playpen_jax.state import Batch, TrainState
from playpen_jax.types import TokenRow


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What updates are made of, and the account of what became of the dialogues.

    rows: all samples; bins: they, packed at once, [rows, T]; or a stream, from which samples are made as they are needed.
    """

    rows: list[TokenRow]
    bins: Batch | None
    stream: Stream | None
    account: dict[str, Any]


def gather(config: configs.Config) -> Sequence[Sequence[Message]] | Stream:
    """The dialogues of `data.paths`, or of all learner's seats in `sft.episodes` scripted episodes."""
    if config.data.stream:
        if not config.sft.examples or not config.data.paths:
            raise configs.ConfigError("data.stream wants data.paths and a number of sft.examples")
        return data.stream(config.data, config.seed)
    if config.data.paths:
        return data.dialogues(config.data, config.seed)
    numbers = tqdm(range(config.sft.episodes), desc="scripted episodes", unit="episode", leave=False, disable=None)
    return [dialogue for number in numbers for dialogue in draws.scripted_dialogue(config, number)]


def prepare(config: configs.Config, c: model.ModelConfig, chat: Chat, dialogues: Sequence[Sequence[Message]]) -> Prepared:
    """The token rows of all dialogues, unless they are streamed; raises `ConfigError` if none is left to imitate."""
    if isinstance(dialogues, Stream):
        return Prepared([], None, dialogues, dialogues.account)
    counts = Counts()
    rows = [row for dialogue in dialogues for row in samples_of(config, chat, dialogue, counts)]
    if not rows:
        raise configs.ConfigError("no dialogue is left to imitate: batch.length or sft.episodes is too small")
    bins = packed(config, c, rows)
    filled = counts.tokens / bins.tokens.size
    print(f"{counts.line()}; packed in {len(bins.tokens):,} rows of {config.batch.length} tokens, {filled:.0%} filled")
    account = getattr(dialogues, "account", {}) | {"samples": dataclasses.asdict(counts) | {"filled": filled}}
    return Prepared(rows, bins, None, account)


def packed(config: configs.Config, c: model.ModelConfig, rows: Sequence[TokenRow]) -> Batch:
    return pack([Weighted(row) for row in rows], config.batch.length, alone=c.delta is not None)[0]


def samples_of(config: configs.Config, chat: Chat, dialogue: Sequence[Message], counts: Counts) -> list[TokenRow]:
    return samples(chat, dialogue, config.sft.turns, config.batch.length, config.data.too_long, counts)


def updates(config: configs.Config) -> int:
    """Updates of one step."""
    return 1


def has_reference(config: configs.Config) -> bool:
    """Whether an update needs the weights of the start, too."""
    return False


def program(
    config: configs.Config, c: model.ModelConfig, tx: optax.GradientTransformation, mesh: Mesh, at: TrainState
) -> update.Program:
    """The update of this run."""
    noise = update.Noise(config.sft.neftune, config.seed) if config.sft.neftune else None
    return update.make(c, lambda batch, logps, ref: sft.loss(batch, logps), tx, mesh, at, noise=noise)


def batch(run: Run, prepared: Prepared, number: int) -> tuple[Batch, float]:
    """What the update `number` learns from, and how many epochs that makes; every epoch has an order of its own."""
    config, n = run.config, run.config.sft.examples or run.config.sft.rows
    if prepared.stream is not None:
        dialogues, counts = (prepared.stream[i] for i in range(number * n, (number + 1) * n)), Counts()
        rows = [row for dialogue in dialogues for row in samples_of(config, run.chat, dialogue, counts)]
        if not rows:
            raise NothingToLearn(f"step {number + 1}: none of its {n} dialogues fits batch.length={config.batch.length}")
        return packed(config, run.c, rows), (number + 1) * n / len(prepared.stream)
    count = len(prepared.rows) if config.sft.examples or prepared.bins is None else len(prepared.bins.tokens)
    chosen = draws.epoch_order(count, config.seed, number * n, n)
    if not config.sft.examples:
        return jax.tree.map(lambda x: x[chosen], prepared.bins), (number + 1) * n / count
    return packed(config, run.c, [prepared.rows[i] for i in chosen]), (number + 1) * n / count


def learner(run: Run, tx: optax.GradientTransformation, at: TrainState, before: Any, prepared: Prepared) -> Step:
    """The step of this run: one update on the next samples, or rows of them."""
    config = run.config
    apply = program(config, run.c, tx, run.mesh, at)
    metrics.replace(run.workdir / "data.json", metrics.json_text(prepared.account, indent=1))

    def step(state: TrainState, number: int) -> tuple[TrainState, dict[str, float]]:
        began = time.perf_counter()
        chosen, epoch = batch(run, prepared, number)
        folded, used = micro_batches(chosen, config.batch.micro)
        state, learned = apply(state, None, folded, used)
        found = {name: float(x) for name, x in learned.items()}
        run.keep_culprit(number + 1, chosen, found)
        found |= {"epoch": epoch, "num_tokens": float((chosen.segment_ids > 0).sum())}
        found["packing/filled"] = found["num_tokens"] / chosen.tokens.size
        return state, found | {"step_time": time.perf_counter() - began}

    return step
