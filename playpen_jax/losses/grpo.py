"""Group relative policy optimisation (arXiv 2402.03300), at the level of tokens, for groups of plays of one instance.

Rewards become advantages inside (instance, role); the clipped surrogate of each learner token is averaged over the token count
of the whole batch (arXiv 2503.14476), not per episode, so that no token weighs more for standing in a short dialogue.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from playpen_jax.types import Batch


@dataclasses.dataclass(frozen=True)
class Clip:
    """The surrogate's settings: ratio within [1 - low, 1 + high]; `beta` weighs the KL to the reference."""

    low: float = 0.2
    high: float = 0.2
    beta: float = 0.0


def advantages(rewards: np.ndarray, scale: bool = True) -> np.ndarray:
    """Rewards [G] of one group to advantages [G]: minus their mean, and over their deviation if `scale`; 0 if all are equal."""
    centred = rewards - rewards.mean()
    if np.ptp(rewards) < 1e-9:
        return np.zeros_like(centred)
    return centred / (rewards.std() + 1e-4) if scale else centred


def loss(
    batch: Batch, logps: Float[Array, "B T"], ref_logps: Float[Array, "B T"] | None, clip: Clip
) -> tuple[Float[Array, "B T"], dict[str, Float[Array, "B T"]]]:
    """Loss of each token, -min(r A, clip(r) A) + beta k3, and per-token metrics; r is policy over sampler."""
    log_ratio = (logps - batch.logps) * batch.mask
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - clip.low, 1 + clip.high)
    per_token = -jnp.minimum(ratio * batch.advantages, clipped * batch.advantages)
    low = (ratio < 1 - clip.low) & (batch.advantages < 0)
    high = (ratio > 1 + clip.high) & (batch.advantages > 0)
    off = jnp.abs(jax.lax.stop_gradient(log_ratio))
    metrics = {
        "clip_ratio/low_mean": low.astype(jnp.float32),
        "clip_ratio/high_mean": high.astype(jnp.float32),
        "clip_ratio/region_mean": (low | high).astype(jnp.float32),
        "sampling/sampling_logp_difference/mean": off,
        "sampling/sampling_logp_difference/max": off,
        "sampling/importance_sampling_ratio/mean": ratio,
    }
    if ref_logps is not None:
        kl = k3(logps * batch.mask, ref_logps * batch.mask)  # a prompt token's may overflow, and inf * 0 is NaN
        per_token = per_token + clip.beta * kl
        metrics["kl"] = kl
    return per_token, metrics


def k3(logps: Float[Array, "B T"], ref_logps: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """Schulman's low-variance estimate of KL(policy || reference): e^d - d - 1 with d = log reference - log policy."""
    d = ref_logps - logps
    return jnp.exp(d) - d - 1
