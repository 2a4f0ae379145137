"""One decoder for all families: pure functions over the dict of weights, a whole pass and a cached one.

Both passes share `block`, so that log-probabilities of learner and sampler agree up to rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from playpen_jax.model.attention import attend, attend_packed, rms_norm, rope, rotate
from playpen_jax.model.config import ModelConfig
from playpen_jax.model.weights import Params

Cache = list[dict[str, Array]]  # of each layer, k and v: [B, K, S, H]


def _project(c: ModelConfig, w: Params, name: str, x: Array, axes: int = 1) -> Array:
    """One projection: the last `axes` axes of x against the first of the weight, plus a bias if the config has one."""
    y = jnp.tensordot(x, w[name].astype(c.dtype), axes)  # einsum would sort the axes of `o` and so copy it in every step
    return y + w[f"{name}_bias"].astype(c.dtype)[None, None] if name in c.biases else y


def block(
    c: ModelConfig, w: Params, x: Float[Array, "B T D"], turn: Callable[[Array], Array], mix: Callable[..., tuple[Array, Any]]
) -> tuple[Float[Array, "B T D"], Any]:
    """One layer. `turn` rotates queries and keys; `mix(q, k, v)` attends and may hand something on, such as a cache."""
    project = partial(_project, c, w)
    h = rms_norm(x, w["attn_norm"], c.norm_eps)
    mixed, kept = mix(turn(project("q", h)), turn(project("k", h)), project("v", h))
    x = x + project("o", mixed, axes=2)
    h = rms_norm(x, w["mlp_norm"], c.norm_eps)
    return x + project("down", jax.nn.silu(project("gate", h)) * project("up", h)), kept


def hidden(
    c: ModelConfig,
    params: Params,
    tokens: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    segment_ids: Int[Array, "B T"],
    remat: bool = True,
    branches: Int[Array, "B T"] | None = None,
    noise: Float[Array, "B T D"] | None = None,
) -> Float[Array, "B T D"]:
    """Packed rows through all layers and the final norm.

    A token sees the tokens before it in its own segment. Segment 0 is padding, seen by padding only. With `remat` a layer is
    computed again on the way back instead of keeping its activations. branches: see `attend_packed`. noise: added to the
    embeddings.
    """
    cos, sin = rope(c, positions)

    def layer(x, w):
        def mix(q, k, v):
            return attend_packed(q, k, v, segment_ids, branches), None

        return block(c, w, x, lambda y: rotate(y, cos, sin), mix)

    x = params["embed"][tokens].astype(c.dtype)
    x = x if noise is None else x + noise.astype(c.dtype)
    x, _ = jax.lax.scan(jax.checkpoint(layer, prevent_cse=False) if remat else layer, x, params["layers"])
    return rms_norm(x, params["norm"], c.norm_eps)


def logits(c: ModelConfig, params: Params, hidden: Float[Array, "*rows D"]) -> Float[Array, "*rows V"]:
    """Float32 logits from what `hidden` or `extend` returned; `params` in either layout."""
    pattern, head = ("...d,vd->...v", "embed") if c.tied else ("...d,dv->...v", "head")
    return jnp.einsum(pattern, hidden, params[head].astype(c.dtype), preferred_element_type=jnp.float32)


def empty_cache(c: ModelConfig, rows: int, span: int, dtype: str | None = None) -> Cache:
    """A cache for `rows` dialogues of up to `span` tokens; dtype None: the computing type."""
    zeros = partial(jnp.zeros, (rows, c.kv_heads, span, c.head_dim), dtype or c.dtype)
    return [{"k": zeros(), "v": zeros()} for _ in range(c.layers)]


def extend(
    c: ModelConfig,
    layers: Params,
    cache: Cache,
    tokens: Int[Array, "P C"],
    start: Int[Array, "P"],
    length: Int[Array, "P"],
    rows: Int[Array, "P"] | None,
    span: int,
) -> tuple[Float[Array, "P C D"], Cache]:
    """Appends C tokens to P rows of the cache: the prefill of a message (C large) and the decoding of one token (C = 1).

    layers: from `unstack`. Line p holds `length[p]` real tokens, at positions start[p], start[p] + 1, ...; the rest of it is
    neither written nor meant to be read. rows: which row of the cache a line belongs to, each row at most once; a number
    outside the cache marks an unused line; None: line p is row p. span: only the first `span` slots of a row are attended to.
    Returns the hidden states after the final norm, and the cache (donate the old one).
    """
    P, C = tokens.shape
    B, _, S, _ = cache[0]["k"].shape
    steps = jnp.arange(C, dtype=jnp.int32)[None]
    positions = start[:, None] + steps
    lines = jnp.arange(P, dtype=jnp.int32) if rows is None else jnp.where((rows >= 0) & (rows < B), rows, B)
    slots = jnp.where(steps < length[:, None], positions, S)  # a slot S is outside, so the write is dropped
    mask = jnp.arange(span, dtype=jnp.int32)[None, None] <= positions[:, :, None]
    cos, sin = rope(c, positions)

    def write(old: Array, new: Array) -> Array:
        return old.at[lines[:, None], :, slots].set(new.astype(old.dtype), mode="drop")

    def read(kept: Array) -> Array:
        kept = kept[:, :, :span] if rows is None else kept[:, :, :span].at[lines].get(mode="clip")
        return kept.astype(c.dtype)

    x = layers["embed"][tokens].astype(c.dtype)
    grown = []
    for w, old in zip(layers["layers"], cache, strict=True):

        def mix(q, k, v, old=old):
            new = {"k": write(old["k"], k), "v": write(old["v"], v)}
            return attend(q, read(new["k"]), read(new["v"]), mask), new

        x, new = block(c, w, x, lambda y: rotate(y, cos, sin), mix)
        grown.append(new)
    return rms_norm(x, layers["norm"], c.norm_eps), grown
