"""Log-probabilities of the learner's tokens, in chunks: no [B, T, V] array of logits is ever whole in memory.

What the learner did not say has no loss: the places before its tokens come first, and chunks without any are left out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from playpen_jax import model, sharding
from playpen_jax.state import Batch

CHUNK = 128  # places of a row whose logits are in memory at once, at most
LOGITS = 1 << 24  # logits of a row that are in memory at once, about: fewer places where the vocabulary is large


def token_logps(
    c: model.ModelConfig,
    params: Any,
    batch: Batch,
    temperature: float = 1.0,
    noise: Float[Array, "B T D"] | None = None,
    dropout: Array | None = None,
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """Log-probability of each learner's token given those before it, and the entropy of its distribution, at `temperature`.

    Both describe the token at its own place; where `batch.mask` is 0 they are 0. noise: added to the embeddings.
    dropout: the key of the adapters' dropout.
    """
    extra = {"branches": batch.branches, "noise": noise, "dropout": dropout}
    x = model.hidden(c, params, batch.tokens, batch.positions, batch.segment_ids, **extra)
    targets, said = (jnp.pad(array[:, 1:], ((0, 0), (0, 1))) for array in (batch.tokens, batch.mask > 0))
    order = jnp.argsort(~said, axis=1, stable=True)  # those whose next token is the learner's come first
    heads = _heads(c, params, len(x))
    width = min(max(LOGITS // c.vocab, 16), CHUNK, max(x.shape[1] // 4, 16), x.shape[1])
    short = -x.shape[1] % width

    def one(part):
        x, targets = part
        scores = jax.vmap(partial(model.logits, c))(heads, x) / temperature
        scores = sharding.constrain(scores, "batch", None, None, "vocab")
        total = jax.nn.logsumexp(scores, axis=-1)
        # a sum over a mask, not a look-up: its gradient is computed along with that of the total, and needs no array of its own
        said = jnp.where(jnp.arange(c.vocab)[None, None, None] == targets[..., None], scores, 0.0).sum(-1)
        fixed = jax.lax.stop_gradient(scores)
        expected = (jax.nn.softmax(fixed) * fixed).sum(-1)
        return said - total, jax.lax.stop_gradient(total) - expected

    @jax.checkpoint
    def some(part):
        any_said, x, targets = part
        nothing = jnp.zeros(targets.shape, jnp.float32)
        return jax.lax.cond(any_said, one, lambda _: (nothing, nothing), (x, targets))

    def cut(array):  # [B, T, ...] in the new order to [chunks, Z, B / Z, width, ...]
        shards, rest = jax.tree.leaves(heads)[0].shape[0], array.shape[2:]
        array = jnp.take_along_axis(array, order.reshape(*order.shape, *[1] * len(rest)), axis=1)
        array = jnp.pad(array, ((0, 0), (0, short), *[(0, 0)] * len(rest)))
        return jnp.moveaxis(array.reshape(shards, array.shape[0] // shards, -1, width, *rest), 2, 0)

    chosen, entropy = jax.lax.map(some, (cut(said).any((1, 2, 3)), cut(x), cut(targets)))
    back = jnp.argsort(order, axis=1)

    def join(parts):  # back to [B, T], one place to the right
        whole = jnp.moveaxis(parts, 0, 2).reshape(x.shape[0], -1)[:, : batch.tokens.shape[1]]
        whole = jnp.where(said, jnp.take_along_axis(whole, back, axis=1), 0.0)
        return jnp.pad(whole[:, :-1], ((0, 0), (1, 0)))

    return join(chosen), join(entropy)


def _heads(c: model.ModelConfig, params: Any, rows: int) -> dict[str, Array]:
    """The head, once for each of the Z shards of the rows: [Z, ...], every shard with its own.

    So no chunk has to gather it, and what a shard's chunks add to its gradient (in float32) is summed over the shards once.
    """
    name, axes = ("embed", ("vocab", "embed")) if c.tied else ("head", ("embed", "vocab"))
    shards = sharding.parts("batch", rows)
    whole = sharding.constrain(params[name].astype(c.dtype), *axes, rules=sharding.GATHERED).astype(jnp.float32)
    each = jnp.broadcast_to(whole[None], (shards, *whole.shape))
    return {name: sharding.constrain(each, "batch", *axes, rules=sharding.GATHERED | {"batch": sharding.RULES["batch"]})}
