"""The cache on the device: pages of all dialogues, and windows of whole rows that the decoder reads and writes.

A window is what `model.extend` works on: one row of `span` tokens for each line of a call. It is gathered from the pages
once a call, and what the call appended goes back to the pages at its end, so decoding reads plain arrays, and the pages may
lie anywhere. Leaves of the model's cache that grow with the tokens are paged along that axis, whichever it is, and must be
addressed by absolute position; a leaf that does not grow is a dialogue's state (linear attention): one per seat, kept whole.

Letters: Z shards of the rows, each with pages and seats of its own, W pages of a window, R lines of a shard; others: `model`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int

from playpen_jax import model
from playpen_jax.sharding import RULES, AnyMesh

PAGE = 32  # tokens
Store = Any  # the model's cache, every leaf with a first axis of shards: [Z, pages, ..., size, ...] or [Z, seats, ...]


class Where(NamedTuple):
    """Where the rows of a call lie: pages [Z, R, W] (those that are not there yet may be any) and seats [Z, R]."""

    pages: Any  # integers, on the host or on the device, or their shapes where a program is only compiled
    seats: Any


@cache
def axes(c: model.ModelConfig) -> tuple[int, ...]:
    """For each leaf of the cache the axis of tokens; 0 if it has none."""
    one, two = (jax.tree.leaves(jax.eval_shape(partial(model.empty_cache, c, 1, span))) for span in (1, 2))
    return tuple(next((i for i, (n, m) in enumerate(zip(a.shape, b.shape)) if n != m), 0) for a, b in zip(one, two))


def stateful(c: model.ModelConfig) -> bool:
    """Whether some layers keep a state in place of keys and values: such a prefix cannot be cut anywhere."""
    return not all(axes(c))


def shard_count(mesh: AnyMesh | None) -> int:
    return 1 if mesh is None else mesh.shape["data"] * mesh.shape["fsdp"]


def placed(mesh: AnyMesh | None, heads: int, rank: int) -> NamedSharding | None:
    """Shards over data (and fsdp), heads (axis 2) over tensor if they divide."""
    if mesh is None:
        return None
    tensor = "tensor" if heads % mesh.shape["tensor"] == 0 and mesh.shape["tensor"] > 1 else None
    return NamedSharding(mesh, PartitionSpec(RULES["batch"], None, tensor, *(None,) * (rank - 3)))


def _zeros(c: model.ModelConfig, pages: int, size: int, seats: int, shards: int) -> Store:
    paged, states = (jax.tree.leaves(model.empty_cache(c, rows, size)) for rows in (pages, seats))
    leaves = [page if axis else state for page, state, axis in zip(paged, states, axes(c))]
    return tree(c, [jnp.broadcast_to(x[None], (shards, *x.shape)) for x in leaves])


def abstract(c: model.ModelConfig, pages: int, size: int, seats: int, mesh: AnyMesh | None) -> Store:
    """Shapes and places of pages and seats of every shard."""
    shapes = jax.eval_shape(partial(_zeros, c, pages, size, seats, shard_count(mesh)))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed(mesh, x.shape[2], x.ndim)), shapes)


def empty(c: model.ModelConfig, pages: int, size: int, seats: int, mesh: Mesh | None) -> Store:
    """Pages and seats of every shard, all zero; made where they lie."""
    return _empty(c, pages, size, seats, mesh)()


@cache
def _empty(c: model.ModelConfig, pages: int, size: int, seats: int, mesh: Mesh | None) -> Callable[[], Store]:
    at = None if mesh is None else jax.tree.map(lambda x: x.sharding, abstract(c, pages, size, seats, mesh))
    return jax.jit(partial(_zeros, c, pages, size, seats, shard_count(mesh)), out_shardings=at)


def tree(c: model.ModelConfig, leaves: list) -> Any:
    """Leaves as the model's cache."""
    return jax.tree.unflatten(jax.tree.structure(jax.eval_shape(partial(model.empty_cache, c, 1, 1))), leaves)


def window(c: model.ModelConfig, store: Store, where: Where) -> model.Cache:
    """The rows of a call as the model wants them: [Z * R, ..., W * size, ...]."""

    def read(kept: Array, axis: int) -> Array:
        index = where.pages if axis else where.seats
        rows = jax.vmap(lambda x, i: x.at[i].get(mode="clip"))(kept, index)  # [Z, R, (W,) ...]
        if axis:
            rows = jnp.moveaxis(rows, 2, axis + 1)
            rows = rows.reshape(*rows.shape[: axis + 1], -1, *rows.shape[axis + 3 :])
        return rows.reshape(-1, *rows.shape[2:])

    return tree(c, [read(kept, axis) for kept, axis in zip(jax.tree.leaves(store), axes(c), strict=True)])


def abstract_window(c: model.ModelConfig, rows: int, span: int, mesh: AnyMesh | None) -> model.Cache:
    """Shapes and places of a window of all rows of a cohort: [B, ...]."""

    def place(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        at = placed(mesh, x.shape[1], x.ndim + 1)
        spec = PartitionSpec(at.spec[0], *at.spec[2:]) if at else PartitionSpec()  # it has no axis of pages
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(at.mesh, spec) if at else None)

    return jax.tree.map(place, jax.eval_shape(partial(model.empty_cache, c, rows, span)))


def empty_window(c: model.ModelConfig, rows: int, span: int, mesh: Mesh | None) -> model.Cache:
    """A window for `load` to fill; made where it lies."""
    at = None if mesh is None else jax.tree.map(lambda x: x.sharding, abstract_window(c, rows, span, mesh))
    return jax.jit(partial(model.empty_cache, c, rows, span), out_shardings=at)()


def load(c: model.ModelConfig, store: Store, rows: model.Cache, where: Where, lanes: Int[Array, "Z n"]) -> model.Cache:
    """The window with some of its rows, `lanes` of each shard, read anew; lanes outside are left out."""
    Z = lanes.shape[0]

    def put(old: Array, new: Array) -> Array:
        old, new = old.reshape(Z, -1, *old.shape[1:]), new.reshape(Z, -1, *new.shape[1:])
        return jax.vmap(lambda x, i, y: x.at[i].set(y, mode="drop"))(old, lanes, new).reshape(-1, *old.shape[2:])

    return jax.tree.map(put, rows, window(c, store, where))


def keep(
    c: model.ModelConfig, store: Store, rows: model.Cache, where: Where, positions: Int[Array, "B C"], real: Bool[Array, "B C"]
) -> Store:
    """Writes what a call appended to its window, at `positions` where `real`, back to the pages; states whole."""
    Z, R = where.seats.shape

    def write(old: Array, new: Array, axis: int) -> Array:
        if not axis:
            seats = jnp.where(real.any(1).reshape(Z, R), where.seats, old.shape[1])
            return jax.vmap(lambda x, i, y: x.at[i].set(y, mode="drop"))(old, seats, new.reshape(Z, R, *new.shape[1:]))
        size = old.shape[axis + 1]
        index = jnp.expand_dims(positions, tuple(i for i in range(1, new.ndim) if i != axis))
        added = jnp.moveaxis(jnp.take_along_axis(new, index, axis, mode="clip"), axis, 1)  # [B, C, ...]
        pages = jnp.take_along_axis(where.pages.reshape(Z * R, -1), positions // size, 1, mode="clip")
        pages = jnp.where(real, pages, old.shape[1]).reshape(Z, R, -1)
        slots = (positions % size).reshape(Z, R, -1)
        between = (slice(None),) * (axis - 1)
        put = jax.vmap(lambda x, i, j, y: x.at[(i, *between, j)].set(y, mode="drop"))
        return put(old, pages, slots, added.reshape(Z, R, *added.shape[1:]))

    leaves = zip(jax.tree.leaves(store), jax.tree.leaves(rows), axes(c), strict=True)
    return tree(c, [write(old, new, axis) for old, new, axis in leaves])


def copy(c: model.ModelConfig, store: Store, source: Int[Array, "Z n"], target: Int[Array, "Z n"]) -> Store:
    """Pages `source` as pages `target`; targets outside are left out."""

    def one(x: Array, axis: int) -> Array:
        return jax.vmap(lambda y, i, j: y.at[j].set(y.at[i].get(mode="clip"), mode="drop"))(x, source, target) if axis else x

    return tree(c, [one(x, axis) for x, axis in zip(jax.tree.leaves(store), axes(c), strict=True)])
