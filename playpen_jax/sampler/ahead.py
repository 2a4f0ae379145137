"""A sampler's programs lowered from shapes alone: to compile them for hardware that is not there, or before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from playpen_jax import model, sharding
from playpen_jax.sampler import programs, store
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.store import PAGE, Where


def layers(c: model.ModelConfig, mesh: sharding.AnyMesh) -> Any:
    """Shapes and places of the weights as decoding wants them."""
    shapes = jax.eval_shape(partial(model.unstack, c), model.abstract(c))
    place = lambda x, at: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at)
    return jax.tree.map(place, shapes, programs.places(c, mesh))


def lowered(
    c: model.ModelConfig,
    how: Sampling,
    rows: int,
    context: int,
    chunk: int,
    mesh: Mesh,
    new: tuple[int, int],
    pages: int = 0,
    seats: int = 0,
    names: Sequence[str] = ("prefill", "decode"),
) -> dict[str, jax.stages.Lowered]:
    """`decode`: a chunk of all rows, each `context` long. `prefill`: `new` (lines, tokens) in each shard, seen to the end.

    pages, seats: of each shard; 0: what its rows fill.
    """
    shards, span = store.shard_count(mesh), -(-context // PAGE)
    height = rows // shards
    kept = store.abstract(c, pages or height * span, PAGE, seats or height, mesh)
    weights, whole = layers(c, mesh), sharding.replicated(mesh)
    split = NamedSharding(mesh, PartitionSpec(sharding.RULES["batch"]))
    ints = lambda *shape, place=split: jax.ShapeDtypeStruct(shape, jnp.int32, sharding=place)
    where = lambda lines: Where(ints(shards, lines, span), ints(shards, lines))

    def prefill() -> jax.stages.Lowered:
        lines, tokens = new
        line = ints(shards, lines)
        return programs.prefill(c).lower(weights, kept, ints(shards, lines, tokens), line, line, where(lines))

    def decode() -> jax.stages.Lowered:
        window, each = store.abstract_window(c, rows, span * PAGE, mesh), ints(rows, place=whole)
        keys = jax.ShapeDtypeStruct((rows, 2), jnp.uint32, sharding=whole)
        program = programs.decode(c, how, (0,), chunk, mesh)
        return program.lower(weights, kept, window, where(height), *[each] * 5, keys)

    makes = {"prefill": prefill, "decode": decode}
    return {name: makes[name]() for name in names}
