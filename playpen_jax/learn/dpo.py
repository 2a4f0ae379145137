"""Learning by preference: one update on the next pairs of dialogues or turns (losses/dpo.py)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import optax
from jax.sharding import Mesh

from playpen_jax import config as configs
from playpen_jax import draws, metrics, model, update
from playpen_jax.chat import Chat
from playpen_jax.data import gather as data
from playpen_jax.data import pairs as pairing
from playpen_jax.data import ref_logps
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.learn.run import Run, Step
from playpen_jax.losses import dpo
from playpen_jax.state import Batch, TrainState
from playpen_jax.types import TokenRow


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One row for each pair, and what became of the pairs."""

    rows: list[TokenRow]
    account: dict[str, Any]


def preference(config: configs.Config) -> dpo.Preference:
    """The loss that the settings name; raises `ConfigError` for numbers that are none."""
    d = config.dpo
    try:
        return dpo.Preference(d.loss, d.beta, d.smoothing, d.sft, d.reference == "none")
    except ValueError as error:
        raise configs.ConfigError(f"dpo: {error}") from None


def gather(config: configs.Config) -> data.Gathered:
    """The pairs of `data.paths`: those given as such, and those made of plays of the same instance and role."""
    preference(config)
    if config.model.path is None:
        raise configs.ConfigError("algorithm=dpo starts from a model that can play: model.path is None")
    if config.dpo.reference == "off" and not config.lora.rank:
        raise configs.ConfigError("dpo.reference=off is the model without its adapters, but lora.rank is 0")
    if not config.data.paths:
        raise configs.ConfigError("algorithm=dpo learns from pairs or dialogues: data.paths names none")
    d = config.dpo
    rows, account = data.rows(config.data, config.seed)
    wanted = pairing.Wanted(d.level, d.negatives, d.kinds, d.per_game, config.seed)
    found, account["pairs"] = pairing.make(rows, wanted)
    print("pairs: " + ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in account["pairs"].items()))
    if not found:
        raise configs.ConfigError("dpo: no success has a play of the same instance and role to be preferred to")
    gathered = data.Gathered(found)
    gathered.account = account
    return gathered


def prepare(config: configs.Config, c: model.ModelConfig, chat: Chat, pairs: data.Gathered) -> Prepared:
    """The token rows of all pairs; raises `ConfigError` if none fits."""
    counts, b = pairing.Counts(), config.batch
    made = (pairing.token_row(chat, pair, b.length, config.data.too_long, counts, config.dpo.shared_prefix) for pair in pairs)
    rows = [row for row in made if row is not None]
    print(counts.line())
    if not rows:
        raise configs.ConfigError(f"dpo: no pair fits batch.length={b.length}: {counts.line()}")
    return Prepared(rows, pairs.account | {"rows": dataclasses.asdict(counts)})


def updates(config: configs.Config) -> int:
    """Updates of one step."""
    return 1


def batch_of(rows: Sequence[TokenRow], length: int) -> Batch:
    """Packed pairs, each of the same weight: a token's share is such that the mean over tokens is the mean over pairs."""
    counts = [int(row.mask.sum()) for row in rows]
    each = sum(counts) / len(rows)
    packed, _ = pack([Weighted(row, each / count) for row, count in zip(rows, counts)], length)
    return packed


def has_reference(config: configs.Config) -> bool:
    """Whether an update needs the weights of the start, too."""
    return config.dpo.reference == "frozen"


def program(
    config: configs.Config, c: model.ModelConfig, tx: optax.GradientTransformation, mesh: Mesh, at: TrainState
) -> update.Program:
    """The update of this run."""
    how = preference(config)
    return update.make(c, lambda batch, logps, ref: dpo.loss(batch, logps, ref, how), tx, mesh, at)


def learner(run: Run, tx: optax.GradientTransformation, at: TrainState, before: Any, prepared: Prepared) -> Step:
    """The step of this run: one update on the next `dpo.pairs` pairs; `before`: the weights of the reference."""
    config, n, rows = run.config, run.config.dpo.pairs, prepared.rows
    length = config.batch.length
    if config.dpo.reference == "precomputed":
        rows = ref_logps.with_logps(run.c, before, rows, length, config.batch.micro, run.mesh, run.workdir / "reference")
    ref_params = before if has_reference(config) else None
    if config.dpo.reference == "off":
        ref_params = model.adapters_off(before)
    apply = program(config, run.c, tx, run.mesh, at)
    metrics.replace(run.workdir / "data.json", metrics.json_text(prepared.account, indent=1))

    def step(state: TrainState, number: int) -> tuple[TrainState, dict[str, float]]:
        began = time.perf_counter()
        batch = batch_of([rows[i] for i in draws.epoch_order(len(rows), config.seed, number * n, n)], length)
        folded, used = micro_batches(batch, config.batch.micro)
        state, learned = apply(state, ref_params, folded, used)
        found = {name: float(x) for name, x in learned.items()}
        run.keep_culprit(number + 1, batch, found)
        found |= {"epoch": (number + 1) * n / len(rows), "num_tokens": float((batch.segment_ids > 0).sum())}
        return state, found | {"step_time": time.perf_counter() - began}

    return step
