"""Draw one token per row from logits: temperature, top-k, top-p, inverse CDF with one uniform number a row."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How replies are drawn; static under jit. temperature 0 is greedy, top_k 0 and top_p 1 are off."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"sampling wants temperature >= 0, top_k >= 0 and 0 < top_p <= 1, not {self}")


def uniforms(keys: UInt32[Array, "B 2"], counts: Int[Array, "B"]) -> Float[Array, "B"]:
    """One number in [0, 1) per row, from the row's key and the number of tokens it has drawn with it."""

    def draw(key, count):
        return jax.random.uniform(jax.random.fold_in(jax.random.wrap_key_data(key), count))

    return jax.vmap(draw)(keys, counts)


def sample(
    logits: Float[Array, "B V"], u: Float[Array, "B"], how: Sampling
) -> tuple[Int[Array, "B"], Float[Array, "B"], Float[Array, "B"]]:
    """Token, its log-probability under the policy (after temperature), and under what was sampled (after the filters too).

    Greedy: the log-probability is the policy's at temperature 1, and 0 for what was "sampled".
    """
    if how.temperature == 0:
        token = jnp.argmax(logits, -1)
        return token, _at(jax.nn.log_softmax(logits), token), jnp.zeros_like(u)
    logps = jax.nn.log_softmax(logits / how.temperature)
    keep = kept(logps, how)
    probs = jnp.where(keep, jnp.exp(logps), 0.0)
    token = inverse_cdf(probs, u)
    logp = _at(logps, token)
    return token, logp, logp - jnp.log(probs.sum(-1))


def kept(logps: Float[Array, "B V"], how: Sampling) -> Bool[Array, "B V"]:
    """Which tokens top-k and then top-p leave; ties at the border stay."""
    keep = jnp.ones_like(logps, bool)
    if 0 < how.top_k < logps.shape[-1]:
        keep = logps >= jax.lax.top_k(logps, how.top_k)[0][:, -1:]
    if how.top_p < 1:
        probs = jnp.where(keep, jnp.exp(logps), 0.0)
        probs = probs / probs.sum(-1, keepdims=True)
        keep = keep & (probs >= nucleus(probs, how.top_p))
    return keep


def nucleus(probs: Float[Array, "B V"], top_p: float) -> Float[Array, "B 1"]:
    """The largest threshold t for which the tokens with probability >= t hold `top_p`: bisection on the bits, no sort."""

    def halve(_, bounds):
        low, high = bounds  # holds at low, fails at high
        middle = (low + high) // 2
        t = jax.lax.bitcast_convert_type(middle, jnp.float32)
        enough = jnp.where(probs >= t, probs, 0.0).sum(-1, keepdims=True) >= top_p
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    shape = (*probs.shape[:-1], 1)
    one = jax.lax.bitcast_convert_type(jnp.full(shape, 1.5, jnp.float32), jnp.int32)
    low, _ = jax.lax.fori_loop(0, 31, halve, (jnp.zeros(shape, jnp.int32), one))
    return jax.lax.bitcast_convert_type(low, jnp.float32)


def inverse_cdf(probs: Float[Array, "B V"], u: Float[Array, "B"], block: int = 64) -> Int[Array, "B"]:
    """The token at quantile `u` of (unnormalised) `probs`, found block by block: two short scans in place of a long one."""
    rows, size = probs.shape
    padded = jnp.pad(probs, ((0, 0), (0, -size % block))).reshape(rows, -1, block)
    masses = padded.sum(-1)
    sums = jnp.cumsum(masses, -1)
    target = u * sums[:, -1]
    at = _passing(masses, sums, target)
    before = jnp.where(at > 0, jnp.take_along_axis(sums, jnp.maximum(at - 1, 0)[:, None], 1)[:, 0], 0.0)
    inside = jnp.take_along_axis(padded, at[:, None, None], 1)[:, 0]
    return at * block + _passing(inside, jnp.cumsum(inside, -1), target - before)


def _passing(masses: Float[Array, "B N"], sums: Float[Array, "B N"], target: Float[Array, "B"]) -> Int[Array, "B"]:
    """The first place with mass where the running sum passes `target`, else the last with mass.

    A parallel scan rounds every running sum in its own way, so that sums alone may pass at a place without mass, or nowhere.
    """
    found = (sums > target[:, None]) & (masses > 0)
    last = masses.shape[-1] - 1 - jnp.argmax(masses[:, ::-1] > 0, -1)
    return jnp.where(found.any(-1), jnp.argmax(found, -1), last)


def _at(logps: Float[Array, "B V"], token: Int[Array, "B"]) -> Float[Array, "B"]:
    return jnp.take_along_axis(logps, token[:, None], -1)[:, 0]
