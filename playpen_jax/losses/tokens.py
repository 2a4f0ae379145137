"""Log-probabilities of given tokens, in chunks: no [B, T, V] array of logits is ever whole in memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from playpen_jax import model
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
    """Log-probability of each token given those before it, and the entropy of its distribution, at `temperature`.

    Both describe the token at its own place; the first place of a row is 0. noise: added to the embeddings.
    dropout: the key of the adapters' dropout.
    """
    extra = {"branches": batch.branches, "noise": noise, "dropout": dropout}
    x = model.hidden(c, params, batch.tokens, batch.positions, batch.segment_ids, **extra)
    targets = jnp.pad(batch.tokens[:, 1:], ((0, 0), (0, 1)))
    width = min(max(LOGITS // c.vocab, 16), CHUNK, x.shape[1])
    short = -x.shape[1] % width
    x, targets = jnp.pad(x, ((0, 0), (0, short), (0, 0))), jnp.pad(targets, ((0, 0), (0, short)))

    @jax.checkpoint
    def one(part):
        x, targets = part
        scores = model.logits(c, params, x) / temperature
        total = jax.nn.logsumexp(scores, axis=-1)
        # a sum over a mask, not a look-up: its gradient is computed along with that of the total, and needs no array of its own
        said = jnp.where(jnp.arange(c.vocab)[None, None] == targets[..., None], scores, 0.0).sum(-1)
        fixed = jax.lax.stop_gradient(scores)
        expected = (jax.nn.softmax(fixed) * fixed).sum(-1)
        return said - total, jax.lax.stop_gradient(total) - expected

    def cut(array):
        return jnp.moveaxis(array.reshape(array.shape[0], -1, width, *array.shape[2:]), 1, 0)

    chosen, entropy = jax.lax.map(one, (cut(x), cut(targets)))

    def join(parts):  # back to [B, T], one place to the right
        whole = jnp.moveaxis(parts, 0, 1).reshape(x.shape[0], -1)[:, : batch.tokens.shape[1] - 1]
        return jnp.pad(whole, ((0, 0), (1, 0)))

    return join(chosen), join(entropy)
