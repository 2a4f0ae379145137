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
    """The weights as decoding wants them: whole on every shard of rows, heads over tensor."""
    at = sharding.shardings(model.logical_axes(c), model.abstract(c), mesh, sharding.GATHERED)
    shapes = jax.eval_shape(partial(model.unstack, c), model.abstract(c))
    cut = lambda place: NamedSharding(mesh, PartitionSpec(*place.spec[1:]))
    of_one = lambda layer: {name: jax.tree.map(cut, at["layers"][name]) for name in layer}
    places = {**at, "layers": [of_one(layer) for layer in shapes["layers"]]}
    return jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, places)


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
