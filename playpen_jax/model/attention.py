"""Rotary positions, norms and attention: the arithmetic that one layer is made of, in float32 inside."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from playpen_jax.model.config import DynamicRope, LinearRope, Llama3Rope, LongRope, ModelConfig, YarnRope


def rms_norm(
    x: Float[Array, "*places"], scale: Float[Array, "*normed"], eps: float, offset: float = 0.0
) -> Float[Array, "*places"]:
    """The last axes, as many as `scale` has, to unit root mean square, times a learned scale plus `offset`."""
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=tuple(range(-scale.ndim, 0)), keepdims=True) + eps)
    scale = offset + scale.astype(jnp.float32)
    return (y * scale.reshape((1,) * (x.ndim - scale.ndim) + scale.shape)).astype(x.dtype)


def capped(scores: Float[Array, "*places"], cap: float | None) -> Float[Array, "*places"]:
    """Squashed smoothly into -cap .. cap; None: as they are."""
    return scores if cap is None else cap * jnp.tanh(scores / cap)


def frequencies(c: ModelConfig, kind: str = "full") -> tuple[Float[Array, "H2"], float]:
    """Radians per position of each rotated pair in layers of a kind, and a factor of cosines and sines."""
    local = kind == "window" and c.window_theta is not None
    size = c.rotary or c.head_dim
    theta = c.rope_theta if c.window_theta is None or not local else c.window_theta
    base = theta ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    match None if local else c.rope_scaling:
        case LinearRope(factor):
            return base / factor, 1.0
        case DynamicRope(growth):
            longer = growth * max(c.context / c.max_positions, 1.0) - (growth - 1)
            return base * longer ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / (size - 2)), 1.0
        case Llama3Rope() as r:
            # slow pairs (few turns in the original context) are stretched, fast ones kept, those between are mixed
            turns = r.original_max_positions * base / (2 * math.pi)
            kept = jnp.clip((turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor), 0.0, 1.0)
            return base * (kept + (1 - kept) / r.factor), 1.0
        case YarnRope() as r:
            first, last = _yarn_ramp(r, size, c.rope_theta)
            stretched = jnp.clip((jnp.arange(size // 2) - first) / max(last - first, 1e-3), 0.0, 1.0)
            return base * (1 - stretched + stretched / r.factor), r.attention_factor
        case LongRope() as r:
            factors = r.long if c.context > r.original_max_positions else r.short
            return base / jnp.asarray(factors, jnp.float32), r.attention_factor
    return base, 1.0


def _yarn_ramp(r: YarnRope, size: int, theta: float) -> tuple[float, float]:
    """The last pair that is kept and the first that is stretched by the whole factor, counted by their turns."""
    at = lambda turns: size * math.log(r.original_max_positions / (turns * 2 * math.pi)) / (2 * math.log(theta))
    first, last = at(r.beta_fast), at(r.beta_slow)
    if r.truncate:
        first, last = math.floor(first), math.ceil(last)
    return max(first, 0), min(last, size - 1)


Angles = tuple[Float[Array, "B T 1 H2"], Float[Array, "B T 1 H2"]]


def rope(c: ModelConfig, positions: Int[Array, "B T"], kind: str = "full") -> Angles:
    """Cosines and sines for `rotate` in layers of a kind."""
    radians, factor = frequencies(c, kind)
    angles = positions[:, :, None, None] * radians[None, None, None]
    return factor * jnp.cos(angles), factor * jnp.sin(angles)


def rotate(x: Float[Array, "B T N H"], angles: Angles) -> Float[Array, "B T N H"]:
    """Turns the pairs (i, i + H2) of the leading 2 H2 places of every head by the angle of its position."""
    cos, sin = angles
    half = cos.shape[-1]
    y = x.astype(jnp.float32)
    a, b, rest = y[..., :half], y[..., half : 2 * half], y[..., 2 * half :]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1).astype(x.dtype)


def _scores(q: Float[Array, "B K R H"], k: Float[Array, "B K S H"]) -> Float[Array, "B K R S"]:
    """Float32 products of queries and keys."""
    if q.shape[2] > 32:
        return jnp.einsum("bkrh,bksh->bkrs", q, k, preferred_element_type=jnp.float32)
    # few queries, as in decoding: XLA multiplies [S, H] x [H, R] up to five times faster on a CPU than [R, H] x [H, S],
    # and the barrier keeps it from turning the one into the other
    scores = jnp.einsum("bksh,bkrh->bksr", k, q, preferred_element_type=jnp.float32)
    return jax.lax.optimization_barrier(scores).swapaxes(2, 3)


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B K S H"],
    v: Float[Array, "B K S H"],
    mask: Bool[Array, "B T S"],
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "B T N H"]:
    """Softmax attention where `mask` is True; scores are scaled (None: by H ** -0.5) and then capped.

    Query heads share the kv heads in groups: a group's queries are the rows of one matrix product, so keys and values are
    never repeated in memory.
    """
    B, T, N, H = q.shape
    K, S = k.shape[1:3]
    G = N // K
    q = q.reshape(B, T, K, G, H).transpose(0, 2, 3, 1, 4).reshape(B, K, G * T, H)
    scores = capped(_scores(q, k).reshape(B, K, G, T, S) * (scale or H**-0.5), cap)
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype).reshape(B, K, G * T, S)
    mixed = jnp.einsum("bkrs,bksh->bkrh", weights, v)
    return mixed.reshape(B, K, G, T, H).transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)


def attend_packed(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B T K H"],
    v: Float[Array, "B T K H"],
    segment_ids: Int[Array, "B T"],
    branches: Int[Array, "B T"] | None = None,
    positions: Int[Array, "B T"] | None = None,
    window: int | None = None,
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "B T N H"]:
    """Causal attention inside equal segment ids, to the newest `window` tokens (None: to all).

    Goes in blocks of queries: scores of keys after a block, or before its window, are never computed. Of a segment that has
    branches, each sees itself and what stands before it of the common part (branch 0); their window needs `positions`.
    """
    T = q.shape[1]
    k, v = k.swapaxes(1, 2), v.swapaxes(1, 2)
    block = max(128, -(-T // 8))  # at most 8 blocks keep the program small

    def one(i: int) -> Array:
        j = min(i + block, T)
        first = 0 if window is None or branches is not None else max(0, i - window + 1)
        before = jnp.arange(i, j)[:, None] >= jnp.arange(first, j)[None]
        mask = (segment_ids[:, i:j, None] == segment_ids[:, None, first:j]) & before[None]
        if branches is not None:
            mask &= (branches[:, None, first:j] == 0) | (branches[:, i:j, None] == branches[:, None, first:j])
        if window is not None:
            at = jnp.arange(T)[None] if branches is None or positions is None else positions
            mask &= at[:, i:j, None] - at[:, None, first:j] < window
        return attend(q[:, i:j], k[:, :, first:j], v[:, :, first:j], mask, scale, cap)

    return jnp.concatenate([one(i) for i in range(0, T, block)], axis=1)
