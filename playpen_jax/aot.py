"""The programs of a run compiled for a TPU slice that is not there: memory, time and collectives as the compiler sees them.

libtpu holds the whole TPU compiler and needs no TPU; it is best installed in an environment of its own (extra `tpu-aot`).
"""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from playpen_jax import config as configs
from playpen_jax import model, optim, sharding, update
from playpen_jax.sampler import programs as programs_of
from playpen_jax.sampler import sampler, store
from playpen_jax.sampler.sample import Sampling
from playpen_jax.types import Batch, TrainState

COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute", "all-to-all")
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


def compile_run(config: configs.Config, c: model.ModelConfig, way: ModuleType, topology: str, limit: int) -> dict[str, dict]:
    """Name of each program of the run -> what the compiler says of it."""
    mesh = sharding.make_mesh(config.mesh, devices(topology))
    return {name: compiled(lowered, limit) for name, lowered in programs(config, c, way, mesh)}


def programs(config: configs.Config, c: model.ModelConfig, way: ModuleType, mesh: Mesh) -> Iterator[tuple[str, Any]]:
    """The update, and where episodes are played the sampler's prefill and decode, lowered from shapes alone."""
    yield "update", lower_update(config, c, way, mesh)
    if config.algorithm == "grpo":
        yield "prefill", lower_prefill(config, c, mesh)
        yield "decode", lower_decode(config, c, mesh)


def placed(tree: Any, at: Any) -> Any:
    """Shapes with shardings."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, at)


def lower_update(config: configs.Config, c: model.ModelConfig, way: ModuleType, mesh: Mesh) -> Any:
    """The step that `train` makes, for one micro-batch a call (further ones are turns of the same loop)."""
    tx = optim.make(config.optim, config.steps * way.updates(config))
    at = update.state_shardings(c, tx, mesh)
    weights = model.abstract(c)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    state = placed(TrainState(weights, jax.eval_shape(tx.init, model.split(weights)[0]), step), at)
    place = NamedSharding(mesh, PartitionSpec(None, sharding.RULES["batch"]))
    whole = lambda dtype: jax.ShapeDtypeStruct((1, config.batch.micro, config.batch.length), dtype, sharding=place)
    ints, floats = ("tokens", "positions", "segment_ids"), ("mask", "advantages", "logps")
    batch = Batch(**dict.fromkeys(ints, whole(jnp.int32)), **dict.fromkeys(floats, whole(jnp.float32)))
    if config.algorithm == "dpo" and config.dpo.shared_prefix:
        batch = dataclasses.replace(batch, branches=whole(jnp.int32))
    ref = state.params if way.has_reference(config) else None
    return way.program(config, c, tx, mesh, at).lower(state, ref, batch, placed(step, sharding.replicated(mesh)))


def lines_of(config: configs.Config, mesh: Mesh | AbstractMesh) -> int:
    """Rows of the sampler on one shard."""
    r, shards = config.rollout, store.shard_count(mesh)
    return -(-r.rows // (shards * r.cohorts)) * r.cohorts


def abstract_store(config: configs.Config, c: model.ModelConfig, mesh: Mesh | AbstractMesh) -> Any:
    """The sampler's pages and seats: shards over data and fsdp, heads over tensor."""
    r, shards, lines = config.rollout, store.shard_count(mesh), lines_of(config, mesh)
    seats = -(-max(r.dialogues or 4 * lines * shards, lines * shards) // shards)
    pages = r.pages or min(seats, 2 * lines) * -(-r.context // store.PAGE) + 1
    one = jax.eval_shape(lambda: store.empty(c, pages, store.PAGE, seats, None))

    def place(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((shards, *x.shape[1:]), x.dtype, sharding=store.placed(mesh, x.shape[2], x.ndim))

    return jax.tree.map(place, one)


def abstract_layers(c: model.ModelConfig, mesh: Mesh | AbstractMesh) -> Any:
    """The sampler's weights: layer by layer, in the computing type, whole on every shard but for heads over tensor."""
    tensor = {axis: place for axis, place in sharding.RULES.items() if place == "tensor"}
    layers = jax.eval_shape(lambda params: model.unstack(c, params), model.abstract(c))
    at = sharding.shardings(model.logical_axes(c), model.abstract(c), mesh, tensor)

    def cut(name: str, x: jax.ShapeDtypeStruct) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*(*at["layers"][name].spec, *[None] * x.ndim)[1 : x.ndim + 1]))

    places = {name: place for name, place in at.items() if name != "layers"}
    return placed(layers, places | {"layers": [{name: cut(name, x) for name, x in one.items()} for one in layers["layers"]]})


def where(height: int, context: int, shards: int) -> store.Where:
    ints = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.int32)
    return store.Where(ints(shards, height, -(-context // store.PAGE)), ints(shards, height))


def lower_prefill(config: configs.Config, c: model.ModelConfig, mesh: Mesh) -> Any:
    """One call of the sampler's prefill at its widest, seeing the whole context."""
    shards, width = store.shard_count(mesh), sampler.PREFILL_WIDTHS[-1]
    height = sampler.PREFILL // width
    line = jax.ShapeDtypeStruct((shards, height), jnp.int32)
    tokens = jax.ShapeDtypeStruct((shards, height, width), jnp.int32)
    at = where(height, config.rollout.context, shards)
    return programs_of.prefill(c).lower(abstract_layers(c, mesh), abstract_store(config, c, mesh), tokens, line, line, at)


def lower_decode(config: configs.Config, c: model.ModelConfig, mesh: Mesh) -> Any:
    """One call of the sampler's decoding: `rollout.chunk` tokens of every row, seeing the whole context."""
    r, shards = config.rollout, store.shard_count(mesh)
    lines = lines_of(config, mesh) // r.cohorts
    each = jax.ShapeDtypeStruct((shards * lines,), jnp.int32)
    state = dict.fromkeys(("token", "position", "active", "count", "budget"), each)
    keys = jax.ShapeDtypeStruct((shards * lines, 2), jnp.uint32)
    program = programs_of.decode(c, Sampling(r.temperature, r.top_k, r.top_p), (0,), r.chunk, mesh)
    layers, kept = abstract_layers(c, mesh), abstract_store(config, c, mesh)
    return program.lower(layers, kept, where(lines, r.context, shards), **state, keys=keys)


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
    cost = program.cost_analysis() or {}
    found = {
        "arguments": m.argument_size_in_bytes,
        "outputs": m.output_size_in_bytes,
        "aliased": m.alias_size_in_bytes,
        "temporaries": m.temp_size_in_bytes,
        "total": total,
        "fits": total <= limit,
        "flops": cost.get("flops", 0.0),
        "bytes_accessed": cost.get("bytes accessed", 0.0),
        "optimal_seconds": cost.get("optimal_seconds"),  # libtpu's; an operation that it cannot tell counts as -1 there
        "collectives": collectives(program.as_text()),
    }
    return found | {"compile_seconds": round(time.perf_counter() - began, 1)}


def refusal(message: str) -> str:
    """What the compiler says about memory, in one line."""
    found = re.search(r"Used \S+ of \S+ \S+ Exceeded \S+ capacity by \S+", message)
    return " ".join((found.group() if found else message).split())[:200]


def collectives(text: str) -> dict[str, int]:
    """How often each kind of collective stands in a compiled program; one inside a loop stands there once."""
    names = "|".join(COLLECTIVES)
    return dict(Counter(re.findall(rf" = .*? ({names})(?:-start)?\(", text)).most_common())


def shown(key: str, value: Any) -> str:
    """A number of a report for people."""
    if isinstance(value, (bool, str, dict)):
        return str(value)
    if key in ("flops", "bytes_accessed"):
        return f"{value:.4g}"
    return f"{value:.4g} s" if "seconds" in key else f"{value / 2**30:.3f} GiB"
