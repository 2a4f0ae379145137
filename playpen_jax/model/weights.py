"""The weights: declared once, as a Flax module with logical axes, and handed on as a plain nested dict."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from playpen_jax.model.config import ModelConfig
from playpen_jax.model.quant import PROJECTIONS, is_quantised, quantise

Params = dict[str, Any]  # {"embed", "layers": {name: [layers that have it, ...]}, "norm"[, "head"]}

DOWN, UP = "_lora_a", "_lora_b"  # endings of the two matrices of an adapter
STACKS = ("layers", "attention_layers", "delta_layers")  # first axes of the weights in "layers"


def members(c: ModelConfig, stack: str) -> list[int]:
    """The numbers of the layers whose weights lie along an axis of STACKS."""
    wanted = {"layers": lambda kind: True, "attention_layers": lambda kind: kind != "delta"}
    return [i for i, kind in enumerate(c.kinds) if wanted.get(stack, lambda kind: kind == "delta")(kind)]


def sizes(c: ModelConfig) -> dict[str, int]:
    """The size of each logical axis."""
    found = {
        "vocab": c.vocab,
        "embed": c.dim,
        "norm": c.dim,
        "heads": c.heads,
        "kv_heads": c.kv_heads,
        "head": c.head_dim,
        "mlp": c.mlp,
        **{stack: len(members(c, stack)) for stack in STACKS},
    }
    if c.lora:
        found["rank"] = c.lora.rank
    if c.experts:
        found["experts"] = c.experts.count
    if d := c.delta:
        found |= {"delta_keys": d.key_heads, "delta_values": d.value_heads}
        found |= {"delta_key": d.key_dim, "delta_value": d.value_dim, "taps": d.taps}
    return found


def _weight(c: ModelConfig, axes: str, init: nnx.Initializer, rngs: nnx.Rngs) -> nnx.Param:
    names = tuple(axes.split())
    return nnx.Param(init(rngs.params(), tuple(sizes(c)[name] for name in names), jnp.float32), axes=names)


OUTPUTS = {"q": "heads head", "k": "kv_heads head", "v": "kv_heads head", "gate": "mlp", "up": "mlp"}


class Layers(nnx.Module):
    """All layers, stacked along the first axis; the projections write to the residual stream with 1/sqrt(2L) of unit gain."""

    def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
        declared = {}

        def declare(name: str, axes: str, init: nnx.Initializer) -> None:
            setattr(self, name, _weight(c, axes, init, rngs))
            declared[name] = axes.split()

        scale = nnx.initializers.constant(1 - c.norm_offset)
        for place in ("attn", "mlp"):
            if c.norms != "after":
                declare(f"{place}_norm", "layers norm", scale)
            if c.norms != "before":
                declare(f"{place}_post_norm", "layers norm", scale)
        reads = nnx.initializers.normal(c.dim**-0.5)
        writes = lambda fan: nnx.initializers.normal((2 * c.layers * fan) ** -0.5)
        if members(c, "attention_layers"):
            self._attention(c, declare, scale, reads, writes)
        if c.delta:
            self._delta(c.delta, declare, reads, writes)
        rows = "layers experts" if c.experts else "layers"
        if c.experts:
            declare("router", "layers embed experts", reads)
        declare("gate", f"{rows} embed mlp", reads)
        declare("up", f"{rows} embed mlp", reads)
        declare("down", f"{rows} mlp embed", writes(c.mlp))
        for name in c.biases:
            stack = "attention_layers" if name in ("q", "k", "v", "o") else "layers"
            declare(f"{name}_bias", f"{stack} {OUTPUTS.get(name, 'norm')}", nnx.initializers.zeros)
        for name in c.lora.targets if c.lora else ():
            if c.experts and name in ("gate", "up", "down") or name not in PROJECTIONS or name not in declared:
                raise ValueError(f"no adapter can stand beside {name}")
            stack, *axes = declared[name]
            reads, outputs = axes[: PROJECTIONS[name]], axes[PROJECTIONS[name] :]
            bound = math.prod(sizes(c)[axis] for axis in reads) ** -0.5
            even = lambda key, shape, dtype, bound=bound: jax.random.uniform(key, shape, dtype, -bound, bound)
            declare(name + DOWN, " ".join([stack, *reads, "rank"]), even)
            declare(name + UP, " ".join([stack, "rank", *outputs]), nnx.initializers.zeros)

    def _attention(
        self, c: ModelConfig, declare: Callable, scale: nnx.Initializer, reads: nnx.Initializer, writes: Callable
    ) -> None:
        declare("q", "attention_layers embed heads head", reads)
        declare("k", "attention_layers embed kv_heads head", reads)
        declare("v", "attention_layers embed kv_heads head", reads)
        declare("o", "attention_layers heads head embed", writes(c.heads * c.head_dim))
        if c.gated:
            declare("q_gate", "attention_layers embed heads head", reads)
        if c.qk_norm != "none":
            own = {"head": ("head", "head"), "all": ("heads head", "kv_heads head")}[c.qk_norm]
            declare("q_norm", f"attention_layers {own[0]}", scale)
            declare("k_norm", f"attention_layers {own[1]}", scale)

    def _delta(self, d: Any, declare: Callable, reads: nnx.Initializer, writes: Callable) -> None:
        """Decay rates start evenly spread over 1 .. 16, as in Mamba 2."""
        taps = nnx.initializers.normal(d.taps**-0.5)
        rates = lambda key, shape, dtype: jnp.log(jax.random.uniform(key, shape, dtype, 1.0, 16.0))
        for name, size in (("q", "delta_keys delta_key"), ("k", "delta_keys delta_key"), ("v", "delta_values delta_value")):
            declare(f"delta_{name}", f"delta_layers embed {size}", reads)
            declare(f"conv_{name}", f"delta_layers {size} taps", taps)
        declare("delta_gate", "delta_layers embed delta_values delta_value", reads)
        declare("delta_write", "delta_layers embed delta_values", reads)
        declare("delta_decay", "delta_layers embed delta_values", reads)
        declare("decay_bias", "delta_layers delta_values", nnx.initializers.ones)
        declare("decay_rate_bias", "delta_layers delta_values", rates)
        declare("delta_norm", "delta_layers delta_value", nnx.initializers.ones)
        declare("delta_o", "delta_layers delta_values delta_value embed", writes(d.value_heads * d.value_dim))


class Weights(nnx.Module):
    """A whole decoder."""

    def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
        small = nnx.initializers.normal(0.02)
        self.embed = _weight(c, "vocab embed", small, rngs)
        self.layers = Layers(c, rngs)
        self.norm = _weight(c, "norm", nnx.initializers.constant(1 - c.norm_offset), rngs)
        if not c.tied:
            self.head = _weight(c, "embed vocab", small, rngs)


def init(c: ModelConfig, key: jax.Array) -> Params:
    """Fresh float32 weights; call it under jit with out_shardings, so that no whole copy lies on one device."""
    params = nnx.to_pure_dict(nnx.state(Weights(c, nnx.Rngs(key))))
    return params | {"layers": {name: quantise(c.base, name, w) for name, w in params["layers"].items()}}


def abstract(c: ModelConfig) -> Params:
    """The tree of `init` as shapes and types; computes nothing."""
    return jax.eval_shape(partial(init, c), jax.random.key(0))


def logical_axes(c: ModelConfig) -> Params:
    """The tree of `init` as tuples of axis names, such as ("attention_layers", "embed", "heads", "head").

    The scales of a quantised weight have the axes of the weight, some of them shorter.
    """
    declared = nnx.state(nnx.eval_shape(lambda: Weights(c, nnx.Rngs(0))))
    axes = nnx.to_pure_dict(jax.tree.map(lambda w: w.axes, declared, is_leaf=lambda w: isinstance(w, nnx.Variable)))
    if c.base is None:
        return axes
    shapes = abstract(c)["layers"]
    return axes | {"layers": {name: jax.tree.map(lambda _, one=one: one, shapes[name]) for name, one in axes["layers"].items()}}


def param_count(c: ModelConfig) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(c)))


def places(c: ModelConfig, layers: int) -> list[dict[str, int]]:
    """For each of the first layers: which of its weights stands where along the first axis of its stack."""
    plain = dataclasses.replace(c, base=None)
    stacks = {name: axes[0] for name, axes in logical_axes(plain)["layers"].items()}
    at = {stack: {i: place for place, i in enumerate(members(c, stack))} for stack in STACKS}
    return [{name: at[stack][i] for name, stack in stacks.items() if i in at[stack]} for i in range(layers)]


def pick(w: Any, i: Any) -> Any:
    """One layer of a stack."""
    return jax.tree.map(lambda x: x[i], w)


def unstack(c: ModelConfig, params: Params) -> Params:
    """The layout for decoding: "layers" as a list of dicts, matrices in the computing type. Call it once, under jit."""

    def compute(path: tuple, w: Any) -> Any:
        name = jax.tree_util.keystr(path)
        return w if "norm" in name or "decay_" in name else w.astype(c.dtype)  # these are computed with in float32

    cast = jax.tree.map_with_path(compute, params, is_leaf=is_quantised)
    return cast | {"layers": [{name: pick(cast["layers"][name], i) for name, i in at.items()} for at in places(c, c.layers)]}
