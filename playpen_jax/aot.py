"""The programs of a run compiled for a TPU slice that is not there: memory, time and collectives as the compiler sees them.

libtpu holds the whole TPU compiler and needs no TPU; it is best installed in an environment of its own (extra `tpu-aot`).
"""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from playpen_jax import config as configs
from playpen_jax import hlo, model, optim, sharding, update
from playpen_jax.sampler import ahead, sampler, store
from playpen_jax.sampler.sample import Sampling
from playpen_jax.state import Batch, TrainState

QUIET = {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "true"}  # no TPU is asked for, none is taken


def devices(topology: str) -> list:
    """The devices of a TPU slice; raises `ConfigError` in one line without libtpu, or if it does not know the slice."""
    from jax.experimental import topologies

    os.environ |= QUIET
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)
    except Exception as error:  # libtpu and JAX raise several kinds for what is missing or unknown
        why = " ".join(str(error).split())[:160]
        needed = "libtpu is needed to compile for it (extra tpu-aot, in an environment of its own)"
        raise configs.ConfigError(f"--topology={topology}: {needed}: {why}") from None


def compile_run(
    config: configs.Config, c: model.ModelConfig, way: ModuleType, topology: str, limit: int, only: Sequence[str] = ()
) -> dict[str, dict]:
    """Name of each program of the run, or of those in `only` -> what the compiler says of it."""
    mesh = sharding.make_mesh(config.mesh, devices(topology))
    return {name: compiled(lowered, limit) for name, lowered in programs(config, c, way, mesh, only)}


def programs(
    config: configs.Config, c: model.ModelConfig, way: ModuleType, mesh: Mesh, only: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """The update, and where episodes are played the sampler's prefill and decode, lowered from shapes alone."""
    for name in only or (("update", "prefill", "decode") if config.algorithm == "grpo" else ("update",)):
        yield name, lower_update(config, c, way, mesh) if name == "update" else lower_sampler(config, c, mesh, name)


def placed(tree: Any, at: Any) -> Any:
    """Shapes with shardings."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, at)


def weights_of(c: model.ModelConfig) -> Any:
    """Shapes of the weights as a run keeps them: what adapters stand beside is loaded in the computing type."""
    weights = model.abstract(c)
    trained, frozen = model.split(weights)
    kept = lambda x: x if model.is_quantised(x) else jax.ShapeDtypeStruct(x.shape, c.dtype)
    return model.join(trained, jax.tree.map(kept, frozen, is_leaf=model.is_quantised))


def lower_update(config: configs.Config, c: model.ModelConfig, way: ModuleType, mesh: Mesh) -> Any:
    """The step that `train` makes, for one micro-batch a call (further ones are turns of the same loop)."""
    tx = optim.make(config.optim, config.steps * way.updates(config))
    moving = config.algorithm == "grpo" and way.moves(config)  # a reference that is part of the state
    at = update.state_shardings(c, tx, mesh, moving)
    weights = weights_of(c)
    step: Any = jax.ShapeDtypeStruct((), jnp.int32)
    trained = model.split(weights)[0]
    state = TrainState(weights, jax.eval_shape(tx.init, trained), step, trained if moving else None)
    state = placed(state, at)
    place = NamedSharding(mesh, PartitionSpec(None, sharding.RULES["batch"]))

    def whole(dtype: Any) -> Any:
        return jax.ShapeDtypeStruct((1, config.batch.micro, config.batch.length), dtype, sharding=place)

    ints, floats = ("tokens", "positions", "segment_ids"), ("mask", "advantages", "logps")
    fields = {**dict.fromkeys(ints, whole(jnp.int32)), **dict.fromkeys(floats, whole(jnp.float32))}
    batch = Batch(**fields)
    if config.algorithm == "dpo" and config.dpo.shared_prefix:
        batch = dataclasses.replace(batch, branches=whole(jnp.int32))
    if config.algorithm == "grpo":
        batch = dataclasses.replace(batch, weights=whole(jnp.float32))
    ref = model.split(state.params)[0] if way.has_reference(config) and not moving else None
    return way.program(config, c, tx, mesh, at).lower(state, ref, batch, placed(step, sharding.replicated(mesh)))


def lines_of(config: configs.Config, mesh: sharding.AnyMesh) -> int:
    """Rows of the sampler on one shard of those that speak at once."""
    r, shards = config.rollout, store.shard_count(mesh)
    return -(-r.rows // (shards * r.cohorts))


def cache_size(config: configs.Config, mesh: sharding.AnyMesh) -> tuple[int, int]:
    """Pages and seats of a shard of the sampler."""
    r, shards, lines = config.rollout, store.shard_count(mesh), lines_of(config, mesh)
    seats, span = -(-r.dialogues // shards) or 4 * lines * r.cohorts, -(-r.context // store.PAGE)
    return r.pages or min(seats, 2 * lines * r.cohorts) * span + 1, seats


def abstract_cache(config: configs.Config, c: model.ModelConfig, mesh: sharding.AnyMesh) -> Any:
    """The sampler's pages and seats, and the windows of those who speak; shards over data and fsdp, heads over tensor."""
    r, rows = config.rollout, lines_of(config, mesh) * store.shard_count(mesh)
    pages, seats = cache_size(config, mesh)
    span = -(-r.context // store.PAGE) * store.PAGE
    windows = [store.abstract_window(c, rows, span, mesh) for _ in range(r.cohorts)]
    return store.abstract(c, pages, store.PAGE, seats, mesh), windows


def lower_sampler(config: configs.Config, c: model.ModelConfig, mesh: Mesh, name: str) -> Any:
    """The widest call of the sampler's prefill, or one of its decoding: `rollout.chunk` tokens of every row of a cohort."""
    r, width = config.rollout, sampler.PREFILL_WIDTHS[-1]
    how, rows = Sampling(r.temperature, r.top_k, r.top_p), lines_of(config, mesh) * store.shard_count(mesh)
    new = sampler.PREFILL // width, width
    return ahead.lowered(c, how, rows, r.context, r.chunk, mesh, new, *cache_size(config, mesh), (name,))[name]


# ---------------------------------------------------------------------------------------------- what the compiler says


def compiled(lowered: Any, limit: int) -> dict[str, Any]:
    """Bytes on each device, the compiler's estimate of the time, and its collectives; only the need, if it does not fit."""
    began = time.perf_counter()
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:  # the compiler refuses a program that needs more than the device has
        if "memory" not in str(error):
            raise
        return {"fits": False, "refused": refusal(str(error)), "compile_seconds": round(time.perf_counter() - began, 1)}
    m = program.memory_analysis()
    total = m.argument_size_in_bytes + m.output_size_in_bytes - m.alias_size_in_bytes + m.temp_size_in_bytes
    text = program.as_text()
    done, turn = hlo.work(text)
    found = {
        "arguments": m.argument_size_in_bytes,
        "outputs": m.output_size_in_bytes,
        "aliased": m.alias_size_in_bytes,
        "temporaries": m.temp_size_in_bytes,
        "total": total,
        "fits": total <= limit,
        "cycles": done.cycles,
        "link_bytes": done.link_bytes,
        "turn_cycles": turn.cycles,  # of one micro-batch, or of one token decoded
        "turn_link_bytes": turn.link_bytes,
        "collectives": hlo.collectives(text),
    }
    return found | {"compile_seconds": round(time.perf_counter() - began, 1)}


def refusal(message: str) -> str:
    """What the compiler says about memory, in one line."""
    found = re.search(r"Used \S+ of \S+ \S+ Exceeded \S+ capacity by \S+", message)
    return " ".join((found.group() if found else message).split())[:200]


def shown(key: str, value: Any) -> str:
    """A number of a report for people."""
    if isinstance(value, (bool, str, dict)):
        return str(value)
    if "cycles" in key:
        return f"{value:.4g}"
    return f"{value:.4g} s" if "seconds" in key else f"{value / 2**30:.3f} GiB"
