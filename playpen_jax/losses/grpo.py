"""Policy gradients of groups of plays: GRPO and its kin, as rows of one table over short pure functions.

A variant is how rewards become advantages (losses/advantages.py), which ratio is taken, how it is bounded, and by what the sum
over tokens is divided. With A the advantage of a token, pi the policy, mu the sampler, r = pi / old and G plays of N tokens:

    grpo         -min(r A, clip(r) A), mean over each dialogue, then over dialogues; A = (R - mean) / std    arXiv 2402.03300
    grpo_tokens  the same, divided by the token count of the whole batch: no token weighs more for standing in a short dialogue
    dr_grpo      A = R - mean, divided by a constant: neither length nor spread biases the gradient          arXiv 2503.20783
    dapo         grpo_tokens with the upper bound raised, groups without variance played anew                arXiv 2503.14476
    gspo         r = exp(mean over the dialogue of log pi - log old), bounded tightly                        arXiv 2507.18071
    cispo        -sg(min(r, 5)) A log pi: the weight is bounded, no token loses its gradient                 arXiv 2506.13585
    rloo         -r A, A = R - mean of the other plays of the group                                          arXiv 2402.14740
    reinforce    -r A, A = R - mean of the batch                                                  (Williams 1992)
    rae          clipped, A = R - running mean of the (game, role), for self-play                            arXiv 2506.24119
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from playpen_jax.state import Batch


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the table; `refill`: how often groups without variance are played anew."""

    advantage: str = "group"
    ratio: str = "token"
    surrogate: str = "clip"
    normalise: str = "tokens"
    low: float = 0.2
    high: float = 0.2
    refill: int = 0


FAR = 20.0  # log-ratios beyond this are cut off: their exponentials would overflow
FREE: dict[str, Any] = dict(low=math.inf, high=math.inf)  # the ratio is not bounded
VARIANTS = {
    "grpo": Variant(normalise="dialogues"),
    "grpo_tokens": Variant(),
    "dr_grpo": Variant("centred", normalise="constant"),
    "dapo": Variant(high=0.28, refill=3),
    "gspo": Variant(ratio="sequence", normalise="dialogues", low=3e-4, high=4e-4),
    "cispo": Variant(surrogate="cispo", low=math.inf, high=4.0),
    "rloo": Variant("leave_one_out", normalise="constant", **FREE),
    "reinforce": Variant("batch", normalise="constant", **FREE),
    "rae": Variant("role", normalise="constant"),
}


@dataclasses.dataclass(frozen=True)
class Clip:
    """The loss of a token: which ratio, within [1 - low, 1 + high], the KL to the reference, and the sampler's correction.

    correction: what `old` is. "clip": the sampler, so that its gap to the learner stands in the ratio itself. Else the learner
    before the first update, and the gap rho = old / mu is "none" (logged alone), "truncate" (each token's loss times
    min(rho, cap)) or "mask" (times rho, 0 where it is not within [1 / cap, cap]).
    kl_gradient: "unbiased" is that of KL(policy || reference) for every estimate; "direct" differentiates the estimate: in
    expectation that is 0 for k1, and for k3 the gradient of KL(reference || policy).
    """

    low: float = 0.2
    high: float = 0.2
    beta: float = 0.0
    ratio: str = "token"
    surrogate: str = "clip"
    kl: str = "k3"
    kl_gradient: str = "unbiased"
    correction: str = "clip"
    cap: float = 2.0


def loss(
    batch: Batch, logps: Float[Array, "B T"], ref_logps: Float[Array, "B T"] | None, clip: Clip
) -> tuple[Float[Array, "B T"], dict[str, Float[Array, "B T"]]]:
    """Loss of each token and per-token metrics."""
    now = jax.lax.stop_gradient(logps)
    learner = now if batch.old is None else batch.old
    old = batch.logps if clip.correction == "clip" else learner
    log_ratio = jnp.clip((logps - old) * batch.mask, -FAR, FAR)
    each = jnp.exp(log_ratio)
    ratio = each if clip.ratio == "token" else jnp.exp(unit_means(log_ratio, batch, clip.ratio))
    per_token = SURROGATES[clip.surrogate](ratio, batch.advantages, logps * batch.mask, clip)
    low = (ratio < 1 - clip.low) & (batch.advantages < 0)
    high = (ratio > 1 + clip.high) & (batch.advantages > 0)
    gap = (learner - batch.logps) * batch.mask
    rho, kept = jnp.exp(gap), correct(jnp.exp(gap), clip)
    metrics = {
        "clip_ratio/low_mean": low.astype(jnp.float32),
        "clip_ratio/high_mean": high.astype(jnp.float32),
        "clip_ratio/region_mean": (low | high).astype(jnp.float32),
        "sampling/sampling_logp_difference/mean": jnp.abs(gap),
        "sampling/sampling_logp_difference/max": jnp.abs(gap),
        "sampling/importance_sampling_ratio/mean": rho,
        "sampling/importance_sampling_ratio/min": rho,
        "sampling/importance_sampling_ratio/max": rho,
        "sampling/corrected": (kept != rho).astype(jnp.float32),
        "ratio/mean": jax.lax.stop_gradient(ratio),
    }
    if ref_logps is not None:
        value, term = divergence(logps * batch.mask, ref_logps * batch.mask, each, clip)  # inf * 0 of a prompt is NaN
        per_token = per_token + clip.beta * term
        metrics["kl"] = jax.lax.stop_gradient(value)
    weighted = per_token if clip.correction in ("clip", "none") else per_token * kept
    return weighted, metrics


# ---------------------------------------------------------------------------------------------- surrogates


def clipped(r: Float[Array, "B T"], a: Float[Array, "B T"], logps: Float[Array, "B T"], clip: Clip) -> Float[Array, "B T"]:
    """-min(r A, clip(r, 1 - low, 1 + high) A): no gradient where the ratio has gone far enough (PPO, arXiv 1707.06347)."""
    return -jnp.minimum(r * a, jnp.clip(r, 1 - clip.low, 1 + clip.high) * a)


def cispo(r: Float[Array, "B T"], a: Float[Array, "B T"], logps: Float[Array, "B T"], clip: Clip) -> Float[Array, "B T"]:
    """-sg(clip(r)) A log pi: REINFORCE whose importance weight is bounded."""
    return -jax.lax.stop_gradient(jnp.clip(r, 1 - clip.low, 1 + clip.high)) * a * logps


SURROGATES = {"clip": clipped, "cispo": cispo}


def unit_means(x: Float[Array, "B T"], batch: Batch, unit: str) -> Float[Array, "B T"]:
    """The mean of `x` over the learner's tokens of each token's dialogue ("sequence") or reply ("turn"); 0 outside the mask."""
    ids = batch.segment_ids if unit == "sequence" else replies(batch.mask)

    def one(x, mask, ids):
        total, count = (jax.ops.segment_sum(y, ids, len(ids) + 1) for y in (x * mask, mask))
        return (total / jnp.maximum(count, 1.0))[ids] * mask

    return jax.vmap(one)(x, batch.mask, ids)


def replies(mask: Float[Array, "B T"]) -> Int[Array, "B T"]:
    """Numbers the unbroken runs of learner tokens in each row from 1; what stands between belongs to the run before it."""
    before = jnp.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    return jnp.cumsum((mask > 0) & (before == 0), axis=1, dtype=jnp.int32)


def correct(rho: Float[Array, "B T"], clip: Clip) -> Float[Array, "B T"]:
    """The weight that a token gets for the gap between sampler and learner."""
    if clip.correction == "mask":
        return jnp.where((rho >= 1 / clip.cap) & (rho <= clip.cap), rho, 0.0)
    return jnp.minimum(rho, clip.cap)


# ---------------------------------------------------------------------------------------------- divergence


def k1(d: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """-d, with d = log reference - log policy: unbiased, of any sign."""
    return -d


def k2(d: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """d^2 / 2: low variance, biased; its derivative is that of the KL."""
    return d * d / 2


def k3(d: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """e^d - d - 1: unbiased and never negative (Schulman, "Approximating KL divergence", 2020)."""
    return jnp.exp(d) - d - 1


ESTIMATES = {"k1": k1, "k2": k2, "k3": k3}


def divergence(
    logps: Float[Array, "B T"], ref_logps: Float[Array, "B T"], ratio: Float[Array, "B T"], clip: Clip
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """The estimate of KL(policy || reference) at each token, and the term of the loss, which has this value.

    The unbiased gradient is r (log pi - log reference) grad log pi, that of r k2 with r held fixed: its mean over what the
    sampler draws is the gradient of the KL itself, as the mean of grad log pi is 0.
    """
    d = ref_logps - logps
    value = ESTIMATES[clip.kl](d)
    if clip.kl_gradient == "direct":
        return value, value
    slope = jax.lax.stop_gradient(ratio) * k2(d)
    return value, jax.lax.stop_gradient(value - slope) + slope
