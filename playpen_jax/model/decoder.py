"""One decoder for all families: pure functions over the dict of weights, a whole pass and a cached one.

Both passes share `block`, so that log-probabilities of learner and sampler agree up to rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from playpen_jax import sharding
from playpen_jax.model import delta, fused
from playpen_jax.model.attention import Angles, attend, attend_packed, capped, rms_norm, rope, rotate
from playpen_jax.model.config import Kind, ModelConfig
from playpen_jax.model.lora import KEY, adapt
from playpen_jax.model.quant import dense
from playpen_jax.model.rows import Rows
from playpen_jax.model.weights import Params, pick, places

# of each layer: k and v [B, K, S, H]; of a delta layer: memory [B, M, X, Y], and the newest W - 1 inputs of its convolutions
Cache = list[dict[str, Array]]

# what a layer may keep for the way back, by the name of the setting
REMAT = {
    "all": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
# how the embedding is read: every shard of its columns, for the rows of all of them
LOOKUP = {"batch": "data", "embed": "fsdp"}
ROWS = ("batch", None, None)  # logical axes of the residual stream
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"silu": jax.nn.silu, "gelu_tanh": partial(jax.nn.gelu, approximate=True)}


def _project(c: ModelConfig, w: Params, name: str, x: Array, axes: int = 1) -> Array:
    """One projection: the last `axes` axes of x against the first of the weight, plus a bias if the config has one."""
    y = jnp.tensordot(x, dense(w[name], c.dtype), axes)  # einsum would sort the axes of `o` and so copy it in every step
    if c.lora and name in c.lora.targets:
        y = y + adapt(c, w, name, x, axes)
    return y + w[f"{name}_bias"].astype(c.dtype)[None, None] if name in c.biases else y


def _norm(c: ModelConfig, w: Params, name: str, x: Array) -> Array:
    """A norm of the family, if it has one of this name."""
    return rms_norm(x, w[name], c.norm_eps, c.norm_offset) if name in w else x


def block(
    c: ModelConfig, w: Params, x: Float[Array, "B T D"], mix: Callable[[Params, Array], tuple[Array, Any]]
) -> tuple[Float[Array, "B T D"], Any]:
    """One layer. `mix(w, h)` is its `attention` or `gated_delta`; it may hand something on, such as a cache."""
    mixed, kept = mix(w, _norm(c, w, "attn_norm", x))
    x = x + _norm(c, w, "attn_post_norm", mixed)
    fed = (_experts if c.experts else _feed)(c, w, _norm(c, w, "mlp_norm", x))
    return x + _norm(c, w, "mlp_post_norm", fed), kept


def _feed(c: ModelConfig, w: Params, h: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """The feed-forward block."""
    project = partial(_project, c, w)
    return project("down", ACTIVATIONS[c.activation](project("gate", h)) * project("up", h))


def _experts(c: ModelConfig, w: Params, h: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """The likeliest experts of each token, by the router's probabilities; tokens are sorted by expert for one product."""
    assert c.experts, "there are experts"
    B, T, D = h.shape
    asked, flat = c.experts.active, h.reshape(B * T, D)
    probs = jax.nn.softmax((flat @ w["router"].astype(c.dtype)).astype(jnp.float32), axis=-1)
    shares, chosen = jax.lax.top_k(probs, asked)
    if c.experts.normalised:
        shares = shares / shares.sum(-1, keepdims=True)
    order = jnp.argsort(chosen.ravel())
    counts = jnp.bincount(chosen.ravel(), length=c.experts.count).astype(jnp.int32)
    product = lambda x, name: jax.lax.ragged_dot(x, dense(w[name], c.dtype), counts)
    rows = flat[order // asked]
    fed = product(ACTIVATIONS[c.activation](product(rows, "gate")) * product(rows, "up"), "down")
    fed = fed * shares.ravel()[order][:, None].astype(c.dtype)
    return jnp.zeros_like(flat).at[order // asked].add(fed).reshape(B, T, D)


def attention(
    c: ModelConfig,
    angles: Angles | None,
    mix: Callable[..., tuple[Array, Any]],
    w: Params,
    h: Float[Array, "B T D"],
) -> tuple[Float[Array, "B T D"], Any]:
    """Projections around `mix(q, k, v)`; angles None: without rotary positions."""
    project = partial(_project, c, w)
    q, k = _norm(c, w, "q_norm", project("q", h)), _norm(c, w, "k_norm", project("k", h))
    if angles is not None:
        q, k = rotate(q, angles), rotate(k, angles)
    mixed, kept = mix(q, k, project("v", h))
    if c.gated:
        mixed = mixed * jax.nn.sigmoid(project("q_gate", h))
    return project("o", mixed, axes=2), kept


def gated_delta(
    c: ModelConfig,
    remember: Callable[[dict[str, Array], delta.Steps], tuple[Array, Any]],
    convolve: Callable[[str, Array, Array], Array],
    real: Array | None,
    w: Params,
    h: Float[Array, "B T D"],
) -> tuple[Float[Array, "B T D"], Any]:
    """Projections around the gated delta rule.

    convolve(name, x, taps) mixes neighbours; remember(inputs of the convolutions, steps) runs the memory; real [B, T]: which
    tokens count, None: all.
    """
    project = partial(_project, c, w)
    inputs = {name: project(f"delta_{name}", h) for name in ("q", "k", "v")}
    q, k, v = (convolve(name, x, w[f"conv_{name}"]) for name, x in inputs.items())
    write = jax.nn.sigmoid(project("delta_write", h).astype(jnp.float32))
    bias, rate = (w[name].astype(jnp.float32)[None, None] for name in ("decay_bias", "decay_rate_bias"))
    decay = -jnp.exp(rate) * jax.nn.softplus(project("delta_decay", h).astype(jnp.float32) + bias)
    if real is not None:
        write, decay = (jnp.where(real[:, :, None], x, 0.0) for x in (write, decay))
    assert c.delta, "a layer of the kind delta"
    q = delta.unit(q) * c.delta.key_dim**-0.5
    read, kept = remember(inputs, delta.Steps(q, delta.unit(k), v.astype(jnp.float32), decay, write))
    read = rms_norm(read.astype(c.dtype), w["delta_norm"], c.norm_eps)
    read = (read * jax.nn.silu(project("delta_gate", h).astype(jnp.float32))).astype(c.dtype)
    return project("delta_o", read, axes=2), kept


def _embed(c: ModelConfig, params: Params, tokens: Int[Array, "B T"]) -> Float[Array, "B T D"]:
    found = params["embed"][sharding.constrain(tokens, "batch", None, rules=LOOKUP)].astype(c.dtype)
    return sharding.constrain(found, "batch", None, "embed", rules=LOOKUP) * jnp.asarray(c.embed_scale, c.dtype)


def _angles(c: ModelConfig, positions: Int[Array, "B T"]) -> dict[Kind, Angles | None]:
    """Of each kind of layer that attends."""
    return {kind: None if kind == "nope" else rope(c, positions, kind) for kind in {*c.kinds} - {"delta"}}


def hidden(
    c: ModelConfig,
    params: Params,
    tokens: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    segment_ids: Int[Array, "B T"],
    branches: Int[Array, "B T"] | None = None,
    noise: Float[Array, "B T D"] | None = None,
    dropout: jax.Array | None = None,
) -> Float[Array, "B T D"]:
    """Packed rows through all layers and the final norm.

    A token sees the tokens before it in its own segment. Segment 0 is padding, seen by padding only. branches: see
    `attend_packed`. noise: added to the embeddings. dropout: the key of the adapters' dropout; None: off.
    """
    angles = _angles(c, positions)

    rows = Rows(segment_ids, branches, positions)

    def mixer(kind: Kind) -> Callable:
        if kind != "delta":
            window = c.window if kind == "window" else None
            return partial(attention, c, angles[kind], lambda q, k, v: (_attend(c, window, rows, q, k, v), None))
        assert c.delta, "a layer of the kind delta"
        back = c.delta.taps - 1
        remember = lambda inputs, steps: (delta.run_packed(steps, rows), None)
        convolve = lambda name, x, taps: delta.convolve(x, taps, delta.within(x, rows, back))
        return partial(gated_delta, c, remember, convolve, None)

    def layer(kind: Kind, own: dict[str, int]) -> Callable:
        # its weights are picked inside: what is picked outside of it would be kept for the way back, a copy of all weights
        of_it = lambda part: {name: pick(part[name], i) for name, i in own.items()}
        run = lambda x, part: sharding.constrain(block(c, of_it(part), x, mixer(kind))[0], *ROWS)
        return run if c.remat == "none" else jax.checkpoint(run, prevent_cse=False, policy=REMAT[c.remat])

    x = _embed(c, params, tokens)
    x = sharding.constrain(x if noise is None else x + noise.astype(c.dtype), *ROWS)
    layers = params["layers"]
    if dropout is not None:
        layers = {**layers, KEY: jax.random.key_data(jax.random.split(dropout, c.layers))}
    x = _through(c, layers, x, layer)
    return sharding.constrain(rms_norm(x, params["norm"], c.norm_eps, c.norm_offset), *ROWS)


def _attend(c: ModelConfig, window: int | None, rows: Rows, q: Array, k: Array, v: Array) -> Float[Array, "B T N H"]:
    """Attention over packed rows: by the kernel that is asked for where it fits them, else the plain way."""
    scale = c.query_scale or c.head_dim**-0.5
    if c.attention == "plain" or rows.branches is not None or not fused.fits(c.attention, q, c.score_cap):
        return attend_packed(q, k, v, rows.segment_ids, rows.branches, rows.positions, window, scale, c.score_cap)
    kernel = fused.splash(window, scale, c.score_cap) if c.attention == "splash" else fused.cudnn(window, scale)
    return fused.on_shards(kernel)(q, k, v, rows.segment_ids)


def _through(
    c: ModelConfig, layers: Params, x: Float[Array, "B T D"], layer: Callable[[Kind, dict[str, int]], Callable]
) -> Array:
    """x through all layers: a scan over repetitions of their pattern, then the layers of a repetition cut short.

    layer(kind, where its weights lie in the stacks): a function of x and the stacks.
    """
    period, repeats = c.period, c.layers // c.period
    at = [{**one, KEY: i} if KEY in layers else one for i, one in enumerate(places(c, c.layers))]
    each = {name: sum(name in one for one in at[:period]) for name in layers}  # rows of a stack that a repetition holds

    def repetition(x, part):
        for kind, own in zip(c.kinds[:period], at):
            x = layer(kind, own)(x, part)
        return x, None

    def fold(name: str) -> Any:
        rows = repeats * each[name]
        return jax.tree.map(lambda x: x[:rows].reshape(repeats, each[name], *x.shape[1:]), layers[name])

    x, _ = jax.lax.scan(repetition, x, {name: fold(name) for name in layers})
    for i in range(repeats * period, c.layers):
        x = layer(c.kinds[i], at[i])(x, layers)
    return x


def logits(c: ModelConfig, params: Params, hidden: Float[Array, "*rows D"]) -> Float[Array, "*rows V"]:
    """Float32 logits from what `hidden` or `extend` returned; `params` in either layout."""
    pattern, head = ("...d,vd->...v", "embed") if c.tied else ("...d,dv->...v", "head")
    scores = jnp.einsum(pattern, hidden, params[head].astype(c.dtype), preferred_element_type=jnp.float32)
    return capped(scores, c.logit_cap)


def empty_cache(c: ModelConfig, rows: int, span: int, dtype: str | None = None) -> Cache:
    """A cache for `rows` dialogues of up to `span` tokens; dtype None: the computing type."""
    zeros = lambda *shape: jnp.zeros((rows, *shape), dtype or c.dtype)

    def one(kind: Kind) -> dict[str, Array]:
        if kind != "delta":
            return {name: zeros(c.kv_heads, span, c.head_dim) for name in ("k", "v")}
        d = c.delta
        assert d, "a layer of the kind delta"
        keys = {f"conv_{name}": zeros(d.taps - 1, d.key_heads, d.key_dim) for name in ("q", "k")}
        memory = jnp.zeros((rows, d.value_heads, d.key_dim, d.value_dim), jnp.float32)
        return keys | {"conv_v": zeros(d.taps - 1, d.value_heads, d.value_dim), "memory": memory}

    return [one(kind) for kind in c.kinds]


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
    neither written nor meant to be read. At start 0 a row begins anew. rows: which row of the cache a line belongs to, each
    row at most once; a number outside the cache marks an unused line; None: line p is row p. span: only the first `span`
    slots of a row are attended to. Returns the hidden states after the final norm, and the cache (donate the old one).
    """
    P, C = tokens.shape
    B = jax.tree.leaves(cache)[0].shape[0]
    steps = jnp.arange(C, dtype=jnp.int32)[None]
    positions, real = start[:, None] + steps, steps < length[:, None]
    lines = jnp.arange(P, dtype=jnp.int32) if rows is None else jnp.where((rows >= 0) & (rows < B), rows, B)
    ago = positions[:, :, None] - jnp.arange(span, dtype=jnp.int32)[None, None]
    angles = _angles(c, positions)

    def write(old: Array, new: Array) -> Array:
        slots = jnp.where(real, positions, old.shape[2])  # a slot outside, so the write is dropped
        return old.at[lines[:, None], :, slots].set(new.astype(old.dtype), mode="drop")

    def own(kept: Array) -> Array:
        return kept if rows is None else kept.at[lines].get(mode="clip")

    def attending(kind: Kind, old: dict[str, Array]) -> Callable:
        mask = (ago >= 0) & (ago < c.window) if kind == "window" else ago >= 0

        def mix(q, k, v):
            new = {"k": write(old["k"], k), "v": write(old["v"], v)}
            k, v = (own(x[:, :, :span]).astype(c.dtype) for x in (new["k"], new["v"]))
            return attend(q, k, v, mask, c.query_scale, c.score_cap), new

        return partial(attention, c, angles[kind], mix)

    def remembering(old: dict[str, Array]) -> Callable:
        assert c.delta, "a layer of the kind delta"
        back = c.delta.taps - 1
        fresh = lambda x: jnp.where((start == 0).reshape(-1, *[1] * (x.ndim - 1)), 0, x)
        before = {name: fresh(own(x)) for name, x in old.items()}

        def keep(name: str, new: Array) -> Array:
            """Lines with real tokens only: the others' rows stay as they were."""
            return old[name].at[jnp.where(length > 0, lines, B)].set(new.astype(old[name].dtype), mode="drop")

        def remember(inputs, s):
            read, memory = (delta.step if C == 1 else delta.run)(before["memory"], s)
            newest = length[:, None] + jnp.arange(back, dtype=jnp.int32)[None]
            new = {"memory": memory}
            for name, x in inputs.items():
                seen = jnp.concatenate([before[f"conv_{name}"].astype(c.dtype), x], axis=1)
                new[f"conv_{name}"] = jnp.take_along_axis(seen, newest[:, :, None, None], axis=1)
            return read, {name: keep(name, x) for name, x in new.items()}

        convolve = lambda name, x, taps: delta.convolve(x, taps, delta.after(x, before[f"conv_{name}"]))
        return partial(gated_delta, c, remember, convolve, real)

    x = _embed(c, layers, tokens)
    grown = []
    for w, old, kind in zip(layers["layers"], cache, c.kinds, strict=True):
        x, new = block(c, w, x, remembering(old) if kind == "delta" else attending(kind, old))
        grown.append(new)
    return rms_norm(x, layers["norm"], c.norm_eps, c.norm_offset), grown
