"""The programs of the sampler: compiled once for each shape, all of them donate the cache."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped

from playpen_jax import config as configs
from playpen_jax import model, processes, sharding
from playpen_jax.sampler import store
from playpen_jax.sampler.sample import Sampling, sample, uniforms
from playpen_jax.sampler.store import PAGE


@cache
def unstack(c: model.ModelConfig, mesh: Mesh | None) -> Wrapped:
    """From the layout of training to that of decoding, on the device: whole on every shard of rows, heads over tensor."""
    program = partial(model.unstack, c)
    if mesh is None:
        return jax.jit(program)
    laid = partial(sharding.shardings, model.logical_axes(c), mesh=mesh, rules=sharding.GATHERED)
    return jax.jit(lambda params: program(jax.lax.with_sharding_constraint(params, laid(params))))


@cache
def places(c: model.ModelConfig, mesh: sharding.AnyMesh) -> Any:
    """Where the weights lie while they decode."""
    at = sharding.shardings(model.logical_axes(c), model.abstract(c), mesh, sharding.GATHERED)
    shapes = jax.eval_shape(partial(model.unstack, c), model.abstract(c))
    cut = lambda place: NamedSharding(mesh, PartitionSpec(*place.spec[1:]))
    of_one = lambda layer: {name: jax.tree.map(cut, at["layers"][name]) for name in layer}
    return {**at, "layers": [of_one(layer) for layer in shapes["layers"]]}


def layers(c: model.ModelConfig, mesh: Mesh | None, params: Any) -> Any:
    """The weights laid out for decoding on the devices of `mesh` (None: of this process's first), wherever they lie."""
    if processes.here(params):
        return unstack(c, mesh)(params)
    own = mesh or sharding.make_mesh(configs.Mesh(), jax.local_devices()[:1])
    return processes.local(unstack(c, None)(params), places(c, own))


@cache
def copy(c: model.ModelConfig) -> Wrapped:
    """Copies pages `source` to pages `target`, both [Z, n], in every shard; targets outside are left out."""

    @partial(jax.jit, donate_argnums=0)
    def program(kept, source, target):
        return store.copy(c, kept, source, target)

    return program


@cache
def prefill(c: model.ModelConfig) -> Wrapped:
    """Appends `length` of the `tokens` [Z, R, C] to each line, from `start` [Z, R] on."""

    @partial(jax.jit, donate_argnums=1)
    def program(layers, kept, tokens, start, length, where):
        tokens, start, length = tokens.reshape(-1, tokens.shape[-1]), start.reshape(-1), length.reshape(-1)
        rows = store.window(c, kept, where)
        _, rows = model.extend(c, layers, rows, tokens, start, length, None, where.pages.shape[2] * PAGE)
        steps = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
        return store.keep(c, kept, rows, where, start[:, None] + steps, steps < length[:, None])

    return program


@cache
def load(c: model.ModelConfig) -> Wrapped:
    """Reads some rows of a window, `lanes` [Z, n] of each shard, from the pages."""

    @partial(jax.jit, donate_argnums=1)
    def program(kept, window, where, lanes):
        return store.load(c, kept, window, where, lanes)

    return program


@cache
def decode(c: model.ModelConfig, how: Sampling, stops: tuple[int, ...], chunk: int, mesh: Mesh | None = None) -> Wrapped:
    """Up to `chunk` steps for all active rows in their window; stops when none is left. What was said is whole everywhere."""

    @partial(jax.jit, donate_argnums=(1, 2))
    def program(layers, kept, window, where, token, position, active, count, budget, keys):
        rows, span = token.shape[0], where.pages.shape[2] * PAGE
        ends = jnp.asarray(stops, jnp.int32)
        before = position

        def step(carry):
            i, window, token, position, active, count, ids, logps, sampled = carry
            x, window = model.extend(c, layers, window, token[:, None], position, active, None, span)
            u = uniforms(keys, count)
            new, logp, drawn = sample(model.logits(c, layers, x[:, 0]), u, how)
            new = jnp.where(active > 0, new, token).astype(jnp.int32)
            ids = jax.lax.dynamic_update_index_in_dim(ids, new, i, 1)
            logps = jax.lax.dynamic_update_index_in_dim(logps, logp, i, 1)
            sampled = jax.lax.dynamic_update_index_in_dim(sampled, drawn, i, 1)
            position, count = position + active, count + active
            done = (new[:, None] == ends[None]).any(-1) | (count >= budget)
            return i + 1, window, new, position, jnp.where(done, 0, active), count, ids, logps, sampled

        def more(carry):
            return (carry[0] < chunk) & (carry[4] > 0).any()

        zeros = jnp.zeros((rows, chunk), jnp.float32)
        start = (jnp.int32(0), window, token, position, active, count, jnp.zeros((rows, chunk), jnp.int32), zeros, zeros)
        i, window, token, position, active, count, ids, logps, sampled = jax.lax.while_loop(more, step, start)
        written = before[:, None] + jnp.arange(chunk, dtype=jnp.int32)[None]
        kept = store.keep(c, kept, window, where, written, written < position[:, None])
        out = (ids, logps, sampled, i, active, count)
        return kept, window, out if mesh is None else jax.lax.with_sharding_constraint(out, sharding.replicated(mesh))

    return program
