"""How fast an update is, against the rate of matrix products that the same machine reaches in the same minutes.

Shares are given by the clock and by the processor's time: on a machine that others use too, only the latter can be compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from playpen_jax import adapters, bench_decode, model, optim, policy, sharding, update
from playpen_jax import config as configs
from playpen_jax.data.pack import micro_batches
from playpen_jax.losses import sft
from playpen_jax.state import Batch

SIZES = bench_decode.SIZES | {"11m": dict(vocab=4096, dim=512, layers=3, heads=8, kv_heads=4, head_dim=64, mlp=1536)}


def config(options: argparse.Namespace) -> model.ModelConfig:
    """The model that is trained."""
    from playpen_jax import hf  # only a folder needs it

    c = hf.read_config(options.model) if options.model else model.ModelConfig("llama", **SIZES[options.size])
    how = {"dtype": policy.compute_dtype(options.dtype), "remat": options.remat, "attention": options.attention}
    lora = model.Lora(options.lora, 2.0 * options.lora, adapters.targets(c, ".*_proj.*")) if options.lora else None
    return dataclasses.replace(c, **how, lora=lora, base=options.base)


def operations(c: model.ModelConfig, rows: int, length: int, recomputed: bool = False) -> float:
    """Floating-point operations of the matrix products of one forward and backward pass, each product once.

    Of frozen weights only the gradient of their input is needed. Attention is counted as causal. `recomputed` adds the
    forward pass that is run again: what the hardware does, not what the model asks for.
    """
    plain = dataclasses.replace(c, lora=None, base=None)
    weights = model.param_count(plain) - (0 if c.tied else c.vocab * c.dim)  # the table is looked up, not multiplied
    if c.experts:
        weights -= (c.experts.count - c.experts.active) * 3 * c.layers * c.dim * c.mlp
    attending = len(model.members(c, "attention_layers"))
    scores = 4 * c.heads * c.head_dim * length / 2 * attending  # per token
    backward = 1 if c.lora else 2
    tokens = rows * length
    adapted = model.param_count(dataclasses.replace(c, base=None)) - model.param_count(plain)
    forward = tokens * (2 * (weights + adapted) + scores)
    return forward * (1 + recomputed) + tokens * (2 * backward * weights + 4 * adapted + 2 * scores)


class Timer:
    """Seconds of calls by the clock and by the processor, and the best of each."""

    def __init__(self, call: Callable[[], Any]):
        self.call = call
        self.clock: list[float] = []
        self.processor: list[float] = []
        jax.block_until_ready(call())  # compiles

    def run(self) -> None:
        clock, processor = time.perf_counter(), time.process_time()
        jax.block_until_ready(self.call())
        self.clock.append(time.perf_counter() - clock)
        self.processor.append(time.process_time() - processor)

    def rate(self, operations: float) -> dict[str, float]:
        return {
            "per_second": operations / min(self.clock),
            "per_processor_second": operations / float(np.median(self.processor)),
        }


def products(dtype: str) -> tuple[Callable[[], Any], float]:
    """A call that multiplies square matrices a few times, and its operations."""
    n, times = (1536, 4) if jax.default_backend() == "cpu" else (8192, 10)
    a = jnp.ones((n, n), dtype) / n
    run = jax.jit(lambda a: jax.lax.fori_loop(0, times, lambda _, x: x @ a, a))
    return lambda: run(a), 2.0 * n**3 * times


def updates(c: model.ModelConfig, options: argparse.Namespace) -> Callable[[], Any]:
    """A call that makes one update on a full batch."""
    mesh = sharding.make_mesh(configs.Mesh())
    tx = optim.make(configs.Optim(), 100)
    at = update.state_shardings(c, tx, mesh)

    def fresh(key: jax.Array) -> Any:
        params = model.init(c, key)
        if not c.lora:
            return params
        frozen = jax.tree.map(lambda x: x.astype(c.dtype), params, is_leaf=model.is_quantised)
        return model.join(model.split(params)[0], frozen)

    state = update.fresh_state(tx, jax.jit(fresh, out_shardings=at.params)(jax.random.key(0)), at)
    apply = update.make(c, lambda batch, logps, ref: sft.loss(batch, logps), tx, mesh, at)
    shape = (options.rows * options.micro, options.length)
    tokens: Any = np.random.default_rng(0).integers(0, c.vocab, shape).astype(np.int32)
    places: Any = np.broadcast_to(np.arange(options.length, dtype=np.int32), shape)
    ones: Any = np.ones(shape, np.float32)
    batch, used = micro_batches(Batch(tokens, places, np.ones_like(tokens), ones, ones, np.zeros_like(ones)), options.rows)

    def call() -> Any:
        nonlocal state
        state, metrics = apply(state, None, batch, used)
        return metrics

    return call


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line: tokens a second, and the share of the measured matrix rate; products and updates take turns."""
    c = config(options)
    call, asked = products(c.dtype)
    limit, step = Timer(call), Timer(updates(c, options))
    for _ in range(options.steps):
        limit.run()
        step.run()
        limit.run()
    tokens = options.rows * options.micro * options.length
    own = options.micro * operations(c, options.rows, options.length)
    most, reached = limit.rate(asked), step.rate(own)
    yield {
        "parameters": model.param_count(c),
        "rows": options.rows,
        "length": options.length,
        "micro": options.micro,
        "dtype": c.dtype,
        "remat": c.remat,
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "seconds": min(step.clock),
        "tokens_per_second": tokens / min(step.clock),
        "matrix_rate": most["per_second"],
        "operations_per_second": reached["per_second"],
        "share_of_matrix_rate": reached["per_second"] / most["per_second"],
        "share_by_processor_time": reached["per_processor_second"] / most["per_processor_second"],
    }
