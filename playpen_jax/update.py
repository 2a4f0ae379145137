"""The one update step: per-token losses of any kind, summed over micro-batches and devices, one optimizer step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from playpen_jax import model, optim, sharding
from playpen_jax.losses import tokens
from playpen_jax.types import Batch, TrainState

Loss = Callable[[Batch, Any, Any], tuple[Float[Array, "B T"], dict[str, Float[Array, "B T"]]]]


@dataclasses.dataclass(frozen=True)
class Noise:
    """NEFTune (arXiv 2310.05914): even noise on the policy's embeddings, smaller in longer dialogues and wider models."""

    alpha: float
    seed: int = 0

    def draw(self, c: model.ModelConfig, batch: Batch, step: Any, micro: Any) -> Float[Array, "B T D"]:
        """Of one micro-batch: uniform in +- alpha / sqrt(L D), with L the length of the token's dialogue."""
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), step), micro)
        rows = jnp.arange(batch.tokens.shape[0])[:, None]
        lengths = jnp.zeros_like(batch.segment_ids).at[rows, batch.segment_ids].add(1)[rows, batch.segment_ids]
        size = self.alpha / jnp.sqrt(lengths.astype(jnp.float32) * c.dim)
        return size[..., None] * jax.random.uniform(key, (*batch.tokens.shape, c.dim), minval=-1.0, maxval=1.0)


def gradients(
    c: model.ModelConfig,
    loss: Loss,
    params: Any,
    ref_params: Any,
    batch: Batch,
    used: Any,
    temperature: float = 1.0,
    noise: Callable[[Batch, Any], Float[Array, "B T D"]] | None = None,
    dropout: Array | None = None,
) -> tuple[Any, dict[str, Float[Array, ""]]]:
    """Gradient and metrics of the mean loss over all learner tokens of the `used` first micro-batches of [A, B, T].

    The gradient is that of what is trained (`model.split`): where there are adapters, of them alone. ref_params: the weights
    that the loss refers to, or their trained part. dropout: the key of the adapters' dropout; None: off.
    Metrics are means over the learner tokens, those whose name ends in /max their largest value.
    """
    total = jnp.maximum(batch.mask.sum(), 1.0)

    trained, frozen = model.split(params)

    def one(trained, micro: Batch, i: Any):
        drop = None if dropout is None else jax.random.fold_in(dropout, i)
        drawn = noise(micro, i) if noise else None
        logps, entropy = tokens.token_logps(c, model.join(trained, frozen), micro, temperature, drawn, drop)
        ref = None
        if ref_params is not None:
            ref = tokens.token_logps(c, model.join(ref_params, frozen), micro, temperature)[0]
        per_token, found = loss(micro, logps, None if ref is None else jax.lax.stop_gradient(ref))
        mean = (per_token * micro.mask).sum() / total
        metrics = {
            name: (x * micro.mask).max() if name.endswith("/max") else (x * micro.mask).sum() / total
            for name, x in (found | {"entropy": entropy}).items()
        }
        return mean, metrics | {"loss": mean}

    def add(i, carry):
        grads, metrics = carry
        micro = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), batch)
        (_, new), grad = jax.value_and_grad(one, has_aux=True)(trained, micro, i)
        joined = {k: jnp.maximum(metrics[k], new[k]) if k.endswith("/max") else metrics[k] + new[k] for k in metrics}
        return jax.tree.map(jnp.add, grads, grad), joined

    first = jax.tree.map(lambda x: x[0], batch)
    shapes = jax.eval_shape(one, trained, first, 0)[1]
    start = jax.tree.map(jnp.zeros_like, trained), {k: jnp.zeros(x.shape, x.dtype) for k, x in shapes.items()}
    return jax.lax.fori_loop(0, used, add, start)


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled update `(state, ref_params, batch [A, B, T], used) -> (state, metrics)`.

    What is trained of the state is donated; what is frozen is not, so that others may go on using it.
    """

    jitted: Any

    def __call__(self, state: TrainState, ref_params: Any, batch: Batch, used: Any) -> tuple[TrainState, dict[str, Array]]:
        trained, frozen = model.split(state.params)
        new, metrics = self.jitted(dataclasses.replace(state, params=trained), frozen, ref_params, batch, used)
        return dataclasses.replace(new, params=model.join(new.params, frozen)), metrics

    def lower(self, state: TrainState, ref_params: Any, batch: Batch, used: Any) -> Any:
        """As `jax.jit`'s: the program before it is compiled."""
        trained, frozen = model.split(state.params)
        return self.jitted.lower(dataclasses.replace(state, params=trained), frozen, ref_params, batch, used)


def make(
    c: model.ModelConfig,
    loss: Loss,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    state_shardings: TrainState,
    temperature: float = 1.0,
    noise: Noise | None = None,
) -> Program:
    """The update of a model under a loss."""
    everywhere = sharding.replicated(mesh)
    rows = NamedSharding(mesh, PartitionSpec(None, sharding.RULES["batch"]))

    def update(state: TrainState, frozen: Any, ref_params: Any, batch: Batch, used: Any):
        batch = jax.lax.with_sharding_constraint(batch, rows)
        params = model.join(state.params, frozen)
        drawn = None if noise is None else lambda micro, i: noise.draw(c, micro, state.step, i)
        drop = jax.random.fold_in(jax.random.key(0), state.step) if c.lora and c.lora.dropout else None
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # kernels work on the shards of a device
            grads, metrics = gradients(c, loss, params, ref_params, batch, used, temperature, drawn, drop)
        changes, opt_state = tx.update(grads, state.opt_state, state.params)
        metrics["grad_norm"] = optax.tree.norm(grads)
        metrics["update_norm"] = optax.tree.norm(changes)
        return TrainState(optax.apply_updates(state.params, changes), opt_state, state.step + 1), metrics

    kept = dataclasses.replace(state_shardings, params=model.split(state_shardings.params)[0])
    return Program(jax.jit(update, donate_argnums=0, out_shardings=(kept, everywhere)))


def state_shardings(c: model.ModelConfig, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Where weights, optimizer state and step lie on the mesh."""
    abstract = model.abstract(c)
    params = sharding.shardings(model.logical_axes(c), abstract, mesh)
    state = optim.state_shardings(tx, model.split(abstract)[0], model.split(params)[0], mesh)
    return TrainState(params, state, sharding.replicated(mesh))


def fresh_state(tx: optax.GradientTransformation, params: Any, at: TrainState) -> TrainState:
    """The state before the first update; the optimizer's part is created where it will lie."""
    params = jax.device_put(params, at.params)
    opt_state = jax.jit(tx.init, out_shardings=at.opt_state)(model.split(params)[0])
    return TrainState(params, opt_state, jax.device_put(jnp.zeros((), jnp.int32), at.step))


def moved(before: Any, after: Any) -> dict[str, float]:
    """How far each block of trained weights moved, relative to its size: 0 everywhere means that nothing was trained."""

    def change(a, b):
        size = jnp.linalg.norm(a.ravel())  # what began as 0 is measured by what became of it
        return jnp.linalg.norm((b - a).ravel()) / jnp.maximum(jnp.where(size > 0, size, jnp.linalg.norm(b.ravel())), 1e-12)

    before, after = model.split(before)[0], model.split(after)[0]
    changes = jax.tree_util.tree_leaves_with_path(jax.tree.map(change, before, after))
    return {jax.tree_util.keystr(path, simple=True, separator="."): float(x) for path, x in changes}
