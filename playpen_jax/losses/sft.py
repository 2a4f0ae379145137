"""Supervised fine-tuning: maximum likelihood of the learner's tokens."""

from __future__ import annotations

from jaxtyping import Array, Float

from playpen_jax.state import Batch


def loss(batch: Batch, logps: Float[Array, "B T"]) -> tuple[Float[Array, "B T"], dict[str, Float[Array, "B T"]]]:
    """Negative log-likelihood of each token, and per-token metrics; the update takes the mean over the mask."""
    return -logps, {"nll": -logps}
