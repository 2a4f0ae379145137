"""Rotary positions, norms and attention: the arithmetic that one layer is made of, in float32 inside."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from playpen_jax.model.config import ModelConfig


def rms_norm(x: Float[Array, "B T D"], scale: Float[Array, "D"], eps: float) -> Float[Array, "B T D"]:
    """Each token to unit root mean square, times a learned scale."""
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)
    return (y * scale[None, None].astype(jnp.float32)).astype(x.dtype)


def frequencies(c: ModelConfig) -> Float[Array, "H2"]:
    """Radians per position of each of the H/2 rotary pairs."""
    base = c.rope_theta ** (-jnp.arange(0, c.head_dim, 2, dtype=jnp.float32) / c.head_dim)
    r = c.rope_scaling
    if r is None:
        return base
    # slow pairs (few turns in the original context) are stretched by `factor`, fast ones kept, those between are mixed
    turns = r.original_max_positions * base / (2 * math.pi)
    kept = jnp.clip((turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor), 0.0, 1.0)
    return base * (kept + (1 - kept) / r.factor)


def rope(c: ModelConfig, positions: Int[Array, "B T"]) -> tuple[Float[Array, "B T 1 H2"], Float[Array, "B T 1 H2"]]:
    """Cosines and sines for `rotate`."""
    angles = positions[:, :, None, None] * frequencies(c)[None, None, None]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Float[Array, "B T N H"], cos: Float[Array, "B T 1 H2"], sin: Float[Array, "B T 1 H2"]) -> Float[Array, "B T N H"]:
    """Turns the pairs (i, i + H/2) of every head by the angle of its position."""
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def _scores(q: Float[Array, "B K R H"], k: Float[Array, "B K S H"]) -> Float[Array, "B K R S"]:
    """Float32 products of queries and keys."""
    if q.shape[2] > 32:
        return jnp.einsum("bkrh,bksh->bkrs", q, k, preferred_element_type=jnp.float32)
    # few queries, as in decoding: XLA multiplies [S, H] x [H, R] up to five times faster on a CPU than [R, H] x [H, S],
    # and the barrier keeps it from turning the one into the other
    scores = jnp.einsum("bksh,bkrh->bksr", k, q, preferred_element_type=jnp.float32)
    return jax.lax.optimization_barrier(scores).swapaxes(2, 3)


def attend(
    q: Float[Array, "B T N H"], k: Float[Array, "B K S H"], v: Float[Array, "B K S H"], mask: Bool[Array, "B T S"]
) -> Float[Array, "B T N H"]:
    """Softmax attention where `mask` is True.

    Query heads share the kv heads in groups: a group's queries are the rows of one matrix product, so keys and values are
    never repeated in memory.
    """
    B, T, N, H = q.shape
    K, S = k.shape[1:3]
    G = N // K
    q = q.reshape(B, T, K, G, H).transpose(0, 2, 3, 1, 4).reshape(B, K, G * T, H)
    scores = _scores(q, k).reshape(B, K, G, T, S) * H**-0.5
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
) -> Float[Array, "B T N H"]:
    """Causal attention inside equal segment ids, in blocks of queries: scores of keys after a block are never computed.

    Of a segment that has branches, each sees itself and the common part (branch 0), not the other one.
    """
    T = q.shape[1]
    k, v = k.swapaxes(1, 2), v.swapaxes(1, 2)
    block = max(128, -(-T // 8))  # at most 8 blocks keep the program small

    def one(i: int) -> Array:
        j = min(i + block, T)
        before = jnp.arange(i, j)[:, None] >= jnp.arange(j)[None]
        mask = (segment_ids[:, i:j, None] == segment_ids[:, None, :j]) & before[None]
        if branches is not None:
            mask &= (branches[:, None, :j] == 0) | (branches[:, i:j, None] == branches[:, None, :j])
        return attend(q[:, i:j], k[:, :, :j], v[:, :, :j], mask)

    return jnp.concatenate([one(i) for i in range(0, T, block)], axis=1)
