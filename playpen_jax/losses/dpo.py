"""Direct preference optimisation (arXiv 2305.18290) and its kin, on the learner's tokens alone.

A pair is one segment with two branches: what both sides share (branch 0), the chosen side (1), the rejected one (2). The
log-probability of a side is the sum over the learner's tokens of the shared part and of its branch, so that neither prompts nor
the words of other players count. With d = (log pi - log reference)(chosen) - (the same)(rejected), and d' the same of means per
token, e the share of labels that are thought wrong:

    sigmoid       -log s(beta d)                                                              arXiv 2305.18290
    sigmoid_norm  -log s(beta d')                                                             (length-normalised)
    hinge         max(0, 1 - beta d)                                                          arXiv 2305.10425
    ipo           (d' - 1 / (2 beta))^2                                                       arXiv 2310.12036
    cdpo          -(1 - e) log s(beta d) - e log s(-beta d)                                   (conservative DPO)
    robust        (-(1 - e) log s(beta d) + e log s(-beta d)) / (1 - 2 e)                     arXiv 2403.00409
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from playpen_jax.state import Batch


@dataclasses.dataclass(frozen=True)
class Preference:
    """Which loss: its kind, beta, the share e of wrong labels, and the weight of the chosen side's negative log-likelihood."""

    kind: str = "sigmoid"
    beta: float = 0.1
    smoothing: float = 0.0
    sft: float = 0.0
    reference_free: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown loss {self.kind!r}: one of {', '.join(KINDS)}")
        if self.beta <= 0 or self.sft < 0 or not 0 <= self.smoothing < 0.5:
            raise ValueError(f"beta > 0, sft >= 0 and 0 <= smoothing < 0.5 are wanted, not {self}")


def _softplus_pair(x: Array) -> tuple[Array, Array]:
    """-log s(x) and -log s(-x)."""
    return jax.nn.softplus(-x), jax.nn.softplus(x)


def _cdpo(h: Preference, d: Array, mean: Array) -> Array:
    right, wrong = _softplus_pair(h.beta * d)
    return (1 - h.smoothing) * right + h.smoothing * wrong


def _robust(h: Preference, d: Array, mean: Array) -> Array:
    right, wrong = _softplus_pair(h.beta * d)
    return ((1 - h.smoothing) * right - h.smoothing * wrong) / (1 - 2 * h.smoothing)


# kind -> loss of each pair from d and d'
KINDS: dict[str, Callable[[Preference, Array, Array], Array]] = {
    "sigmoid": lambda h, d, mean: jax.nn.softplus(-h.beta * d),
    "sigmoid_norm": lambda h, d, mean: jax.nn.softplus(-h.beta * mean),
    "hinge": lambda h, d, mean: jax.nn.relu(1 - h.beta * d),
    "ipo": lambda h, d, mean: (mean - 1 / (2 * h.beta)) ** 2,
    "cdpo": _cdpo,
    "robust": _robust,
}


def sums(batch: Batch, x: Float[Array, "B T"], other: int) -> Float[Array, "B S"]:
    """The sum of x over the learner's tokens of each segment, without the branch `other`; S counts the segments of a row."""
    kept = jnp.where((batch.mask > 0) & (batch.branches != other), x, 0.0)
    rows = jnp.arange(x.shape[0])[:, None]
    return jnp.zeros((x.shape[0], x.shape[1] + 1), x.dtype).at[rows, batch.segment_ids].add(kept)


def loss(
    batch: Batch, logps: Float[Array, "B T"], ref_logps: Float[Array, "B T"] | None, how: Preference
) -> tuple[Float[Array, "B T"], dict[str, Float[Array, "B T"]]]:
    """The loss of a pair at each of its tokens, and metrics likewise.

    `batch.advantages` is the token's share: such that the mean over all learner tokens is the mean over pairs. The reference's
    log-probabilities are `ref_logps`, or, where None, those kept in `batch.logps`.
    """
    ref = jnp.zeros_like(logps) if how.reference_free else batch.logps if ref_logps is None else ref_logps
    ones = jnp.ones_like(logps)
    counts = [jnp.maximum(sums(batch, ones, other), 1.0) for other in (2, 1)]
    of, reference = ([sums(batch, x, other) for other in (2, 1)] for x in (logps, ref))
    gains = [a - b for a, b in zip(of, reference)]
    means = [gain / count for gain, count in zip(gains, counts)]
    per_pair = KINDS[how.kind](how, gains[0] - gains[1], means[0] - means[1])
    nll = -of[0] / counts[0]
    found = {
        "rewards/chosen": how.beta * gains[0],
        "rewards/rejected": how.beta * gains[1],
        "rewards/margins": how.beta * (gains[0] - gains[1]),
        "rewards/accuracies": (gains[0] > gains[1]).astype(jnp.float32),
        "logps/chosen": of[0],
        "logps/rejected": of[1],
        "nll": nll,
    }
    at = jnp.arange(logps.shape[0])[:, None], batch.segment_ids
    spread = lambda x: x[at] * batch.advantages
    return spread(per_pair + how.sft * nll), {name: spread(jax.lax.stop_gradient(x)) for name, x in found.items()}
