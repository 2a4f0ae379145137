"""How near decoding comes to what the memory and the matrix units allow, both measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from playpen_jax import model, policy
from playpen_jax.sampler import programs, store
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.store import PAGE, Where

SIZES: dict[str, dict[str, Any]] = {
    "10m": dict(vocab=4096, dim=256, layers=8, heads=8, kv_heads=2, head_dim=32, mlp=1280),
    "1b": dict(vocab=128_256, dim=2048, layers=16, heads=32, kv_heads=8, head_dim=64, mlp=8192),
    "8b": dict(vocab=128_256, dim=4096, layers=32, heads=32, kv_heads=8, head_dim=128, mlp=14_336, tied=False),
}


def config(size: str) -> model.ModelConfig:
    """A Llama of about this size, in the computing type of the platform."""
    return model.ModelConfig("llama", **SIZES[size], dtype=policy.compute_dtype("auto"))


def weights(c: model.ModelConfig) -> Any:
    """Random weights in the layout of training, in the computing type."""
    cast = lambda x: x.astype(c.dtype)
    return jax.jit(lambda key: jax.tree.map(cast, model.init(c, key)))(jax.random.key(0))


def best(call, repeats: int = 5) -> float:
    """The least seconds that a call took until its result was there; the first call compiles.

    On a CPU, which others may use too, these are seconds of the processor, in all threads: shares of a limit that was measured
    by the same clock can be trusted, and are those of one core.
    """
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    jax.block_until_ready(call())
    found = []
    for _ in range(repeats):
        began = clock()
        jax.block_until_ready(call())
        found.append(clock() - began)
    return min(found)


def machine(dtype: str) -> dict[str, float]:
    """Measured by `best`: bytes a second of copying (read and written), and operations a second of a matrix product."""
    small = jax.default_backend() == "cpu"
    x = jnp.ones((64 if small else 1024) * 2**18, jnp.float32)
    bump = jax.jit(lambda x: x + 1, donate_argnums=0)

    def copy():
        nonlocal x
        x = bump(x)
        return x

    n = 1024 if small else 8192
    a = jnp.ones((n, n), dtype)
    product = jax.jit(lambda a: a @ a)
    return {"bytes_per_second": 2 * x.nbytes / best(copy), "operations_per_second": 2 * n**3 / best(lambda: product(a))}


def decode(c: model.ModelConfig, layers: Any, batch: int, context: int, chunk: int, limit: Mapping[str, float]) -> dict:
    """Decoding alone: `batch` full rows of `context` tokens, a chunk of steps again and again."""
    pages = context // PAGE
    kept = store.empty(c, batch * pages, PAGE, batch, None)
    where = Where(np.arange(batch * pages, dtype=np.int32).reshape(1, batch, pages), np.arange(batch, dtype=np.int32)[None])
    program, window = programs.decode(c, Sampling(1.0), (), chunk), store.empty_window(c, batch, context, None)
    full = partial(np.full, batch, dtype=np.int32)
    keys = np.zeros((batch, 2), np.uint32)

    def call():
        nonlocal kept, window
        kept, window, out = program(
            layers, kept, window, where, full(5), full(context - chunk), full(1), full(0), full(2 * chunk), keys
        )
        return out

    seconds = best(call) / chunk
    head = c.vocab * c.dim
    matrices = model.param_count(c) - (0 if c.tied else head)  # a table of embeddings is not read as a whole
    read = matrices * layers["embed"].dtype.itemsize + sum(x.nbytes for x in jax.tree.leaves(kept))
    operations = 2 * batch * matrices + 4 * batch * context * c.layers * c.heads * c.head_dim
    shares = {
        "of_bandwidth": read / seconds / limit["bytes_per_second"],
        "of_matrix_rate": operations / seconds / limit["operations_per_second"],
    }
    shares["of_limit"] = max(shares.values())
    line = {"what": "decode", "parameters": model.param_count(c), "batch": batch, "context": context, "chunk": chunk}
    return line | {"ms_per_step": 1e3 * seconds, "tokens_per_second": batch / seconds, "bytes_per_step": read} | shares
