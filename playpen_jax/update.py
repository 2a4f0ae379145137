"""The one update step: per-token losses of any kind, summed over micro-batches and devices, one optimizer step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from playpen_jax import model, optim, sharding
from playpen_jax.losses import tokens
from playpen_jax.state import Batch, TrainState

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
    Where the batch has `weights`, the loss is the sum of the tokens' losses times them. Metrics are means over the learner
    tokens, those whose name ends in /max or /min their largest and smallest value.
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
        own = micro.weights
        value = (per_token * micro.mask).sum() / total if own is None else (per_token * own).sum()
        told = {k: reduce(k, x, micro.mask, total) for k, x in (found | {"entropy": entropy}).items()}
        return value, told | {"loss": value}

    def add(i, carry):
        grads, metrics = carry
        micro = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), batch)
        (_, new), grad = jax.value_and_grad(one, has_aux=True)(trained, micro, i)
        return jax.tree.map(jnp.add, grads, grad), {k: REDUCE.get(last(k), jnp.add)(metrics[k], new[k]) for k in metrics}

    first = jax.tree.map(lambda x: x[0], batch)
    shapes = jax.eval_shape(one, trained, first, 0)[1]
    nothing = {k: jnp.full(x.shape, EMPTY.get(last(k), 0.0), x.dtype) for k, x in shapes.items()}
    return jax.lax.fori_loop(0, used, add, (jax.tree.map(jnp.zeros_like, trained), nothing))


REDUCE = {"max": jnp.maximum, "min": jnp.minimum}  # how metrics of these names are joined; all others are means
EMPTY = {"max": -jnp.inf, "min": jnp.inf}


def last(name: str) -> str:
    return name.rpartition("/")[2]


def reduce(name: str, x: Float[Array, "B T"], mask: Float[Array, "B T"], total: Any) -> Float[Array, ""]:
    """What a per-token metric says of the learner's tokens."""
    if last(name) in REDUCE:
        return getattr(jnp.where(mask > 0, x, EMPTY[last(name)]), last(name))()
    return (x * mask).sum() / total


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled update `(state, ref_params, batch [A, B, T], used[, second batch, its used]) -> (state, metrics)`.

    What is trained of the state is donated; what is frozen is not, so that others may go on using it.
    """

    jitted: Any

    def __call__(self, *given: Any) -> tuple[TrainState, dict[str, Array]]:
        frozen = model.split(given[0].params)[1]
        new, metrics = self.jitted(*self._arguments(*given))
        return dataclasses.replace(new, params=model.join(new.params, frozen)), metrics

    def lower(self, *given: Any) -> Any:
        """As `jax.jit`'s: the program before it is compiled."""
        return self.jitted.lower(*self._arguments(*given))

    @staticmethod
    def _arguments(
        state: TrainState, ref_params: Any, batch: Batch, used: Any, other: Batch | None = None, others: Any = 0
    ) -> tuple:
        trained, frozen = model.split(state.params)
        return dataclasses.replace(state, params=trained), frozen, ref_params, batch, used, other, others


def make(
    c: model.ModelConfig,
    loss: Loss,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    state_shardings: TrainState,
    temperature: float = 1.0,
    noise: Noise | None = None,
    beside: tuple[Loss, float] | None = None,
    moving: tuple[int, float] | None = None,
) -> Program:
    """The update of a model under a loss.

    `beside`: a second loss and its weight, whose own batch and its `used` follow as two more arguments; both losses make one
    gradient. Where loss or gradient are not finite, weights and optimizer stay as they are and `skipped` is 1. moving: (every,
    decay) of a reference that is part of the state: reference <- decay reference + (1 - decay) weights every so many updates.
    """
    everywhere = sharding.replicated(mesh)
    rows = NamedSharding(mesh, PartitionSpec(None, sharding.RULES["batch"]))

    def update(state: TrainState, frozen: Any, ref_params: Any, batch: Batch, used: Any, other: Batch | None, others: Any):
        batch, other = jax.lax.with_sharding_constraint((batch, other), rows)
        params = model.join(state.params, frozen)
        ref_params = ref_params if state.reference is None else state.reference
        drawn = None if noise is None else lambda micro, i: noise.draw(c, micro, state.step, i)
        drop = jax.random.fold_in(jax.random.key(0), state.step) if c.lora and c.lora.dropout else None
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # kernels work on the shards of a device
            grads, metrics = gradients(c, loss, params, ref_params, batch, used, temperature, drawn, drop)
            if beside is not None:
                second, found = gradients(c, beside[0], params, None, other, others)
                grads = jax.tree.map(lambda a, b: a + beside[1] * b, grads, second)
                metrics |= {f"replay/{name}": x for name, x in found.items()}
        changes, opt_state = tx.update(grads, state.opt_state, state.params)
        metrics["grad_norm"] = optax.tree.norm(grads)
        metrics["update_norm"] = optax.tree.norm(changes)
        finite = jnp.isfinite(metrics["grad_norm"]) & jnp.isfinite(metrics["loss"])
        metrics["skipped"] = 1.0 - finite
        new, old = (optax.apply_updates(state.params, changes), opt_state), (state.params, state.opt_state)
        trained, opt_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
        reference = follow(state.reference, trained, state.step + 1, *moving) if moving else state.reference
        return TrainState(trained, opt_state, state.step + 1, reference), metrics

    kept = dataclasses.replace(state_shardings, params=model.split(state_shardings.params)[0])
    return Program(jax.jit(update, donate_argnums=0, out_shardings=(kept, everywhere)))


def follow(reference: Any, params: Any, step: Any, every: int, decay: float) -> Any:
    """The moving average after update `step`."""
    return jax.tree.map(lambda a, b: jnp.where(step % every == 0, decay * a + (1 - decay) * b, a), reference, params)


def make_scores(c: model.ModelConfig, mesh: Mesh, temperature: float = 1.0) -> Callable[[Any, Batch], Float[Array, "A B T"]]:
    """The compiled `(params, batch [A, B, T]) -> log-probabilities` of all tokens."""
    rows = NamedSharding(mesh, PartitionSpec(None, sharding.RULES["batch"]))

    def scores(params: Any, batch: Batch):
        batch = jax.lax.with_sharding_constraint(batch, rows)
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # kernels work on the shards of a device
            return jax.lax.map(lambda micro: tokens.token_logps(c, params, micro, temperature)[0], batch)

    return jax.jit(scores, out_shardings=rows)


def weight_shardings(c: model.ModelConfig, mesh: sharding.AnyMesh) -> Any:
    """Where the weights lie on the mesh."""
    return sharding.shardings(model.logical_axes(c), model.abstract(c), mesh)


def fresh_weights(c: model.ModelConfig, seed: int, mesh: Mesh) -> Any:
    """Random weights, each created in the parts in which it will lie: no device ever holds a whole one that is cut."""
    return jax.jit(partial(model.init, c), out_shardings=weight_shardings(c, mesh))(jax.random.key(seed))


def state_shardings(
    c: model.ModelConfig, tx: optax.GradientTransformation, mesh: sharding.AnyMesh, reference: bool = False
) -> TrainState:
    """Where weights, optimizer state and step lie on the mesh, and a reference that follows the weights if there is one."""
    abstract, params = model.abstract(c), weight_shardings(c, mesh)
    trained = model.split(params)[0]
    opt_state = optim.state_shardings(tx, model.split(abstract)[0], trained, mesh)
    step: Any = sharding.replicated(mesh)
    return TrainState(params, opt_state, step, trained if reference else None)


def fresh_state(tx: optax.GradientTransformation, params: Any, at: TrainState) -> TrainState:
    """The state before the first update; the optimizer's part is created where it will lie."""
    params = sharding.put(params, at.params)
    trained = model.split(params)[0]
    opt_state = jax.jit(tx.init, out_shardings=at.opt_state)(trained)
    reference = None if at.reference is None else jax.tree.map(jnp.copy, trained)
    return TrainState(params, opt_state, sharding.put(jnp.zeros((), jnp.int32), at.step), reference)


def moved(before: Any, after: Any) -> dict[str, float]:
    """How far each block of trained weights moved, relative to its size: 0 everywhere means that nothing was trained."""

    def change(a, b):
        size = jnp.linalg.norm(a.ravel())  # what began as 0 is measured by what became of it
        return jnp.linalg.norm((b - a).ravel()) / jnp.maximum(jnp.where(size > 0, size, jnp.linalg.norm(b.ravel())), 1e-12)

    before, after = model.split(before)[0], model.split(after)[0]
    changes = jax.tree_util.tree_leaves_with_path(jax.tree.map(change, before, after))
    return {jax.tree_util.keystr(path, simple=True, separator="."): float(x) for path, x in changes}


def moved_layers(before: Any, after: Any) -> dict[str, float]:
    """The same layer by layer: a stack's layers bear its name and their number in it."""

    def change(path, a, b):
        axes = tuple(range(path[0].key == "layers", a.ndim))
        size, far = (jnp.sqrt((x.astype(jnp.float32) ** 2).sum(axes)) for x in (a, b - a))
        return far / jnp.maximum(jnp.where(size > 0, size, far), 1e-12)  # what began as 0 is measured by what became of it

    before, after = model.split(before)[0], model.split(after)[0]
    changes = jax.device_get(jax.jit(lambda a, b: jax.tree.map_with_path(change, a, b))(before, after))
    found: dict[str, float] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(changes):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        found |= {f"{name}.{i}": float(value) for i, value in enumerate(x)} if x.ndim else {name: float(x)}
    return found
