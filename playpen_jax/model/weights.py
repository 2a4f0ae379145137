"""The weights: declared once, as a Flax module with logical axes, and handed on as a plain nested dict."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from playpen_jax.model.config import ModelConfig

Params = dict[str, Any]  # {"embed", "layers": {name: [L, ...]}, "norm"[, "head"]}


def sizes(c: ModelConfig) -> dict[str, int]:
    """The size of each logical axis."""
    return {
        "vocab": c.vocab,
        "embed": c.dim,
        "norm": c.dim,
        "layers": c.layers,
        "heads": c.heads,
        "kv_heads": c.kv_heads,
        "head": c.head_dim,
        "mlp": c.mlp,
    }


def _weight(c: ModelConfig, axes: str, init: nnx.Initializer, rngs: nnx.Rngs) -> nnx.Param:
    names = tuple(axes.split())
    return nnx.Param(init(rngs.params(), tuple(sizes(c)[name] for name in names), jnp.float32), axes=names)


class Layers(nnx.Module):
    """All layers, stacked along the first axis; the projections write to the residual stream with 1/sqrt(2L) of unit gain."""

    def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
        ones, normal = nnx.initializers.ones, nnx.initializers.normal
        reads = normal(c.dim**-0.5)
        depth = (2 * c.layers) ** -0.5
        self.attn_norm = _weight(c, "layers norm", ones, rngs)
        self.q = _weight(c, "layers embed heads head", reads, rngs)
        self.k = _weight(c, "layers embed kv_heads head", reads, rngs)
        self.v = _weight(c, "layers embed kv_heads head", reads, rngs)
        self.o = _weight(c, "layers heads head embed", normal(depth * (c.heads * c.head_dim) ** -0.5), rngs)
        self.mlp_norm = _weight(c, "layers norm", ones, rngs)
        self.gate = _weight(c, "layers embed mlp", reads, rngs)
        self.up = _weight(c, "layers embed mlp", reads, rngs)
        self.down = _weight(c, "layers mlp embed", normal(depth * c.mlp**-0.5), rngs)
        outputs = {"q": "heads head", "k": "kv_heads head", "v": "kv_heads head", "gate": "mlp", "up": "mlp"}
        for name in c.biases:
            axes = f"layers {outputs.get(name, 'norm')}"
            setattr(self, f"{name}_bias", _weight(c, axes, nnx.initializers.zeros, rngs))


class Weights(nnx.Module):
    """A whole decoder."""

    def __init__(self, c: ModelConfig, rngs: nnx.Rngs):
        small = nnx.initializers.normal(0.02)
        self.embed = _weight(c, "vocab embed", small, rngs)
        self.layers = Layers(c, rngs)
        self.norm = _weight(c, "norm", nnx.initializers.ones, rngs)
        if not c.tied:
            self.head = _weight(c, "embed vocab", small, rngs)


def init(c: ModelConfig, key: jax.Array) -> Params:
    """Fresh float32 weights; call it under jit with out_shardings, so that no whole copy lies on one device."""
    return nnx.to_pure_dict(nnx.state(Weights(c, nnx.Rngs(key))))


def abstract(c: ModelConfig) -> Params:
    """The tree of `init` as shapes and types; computes nothing."""
    return jax.eval_shape(partial(init, c), jax.random.key(0))


def logical_axes(c: ModelConfig) -> Params:
    """The tree of `init` as tuples of axis names, such as ("layers", "embed", "heads", "head")."""
    declared = nnx.state(nnx.eval_shape(lambda: Weights(c, nnx.Rngs(0))))
    return nnx.to_pure_dict(jax.tree.map(lambda w: w.axes, declared, is_leaf=lambda w: isinstance(w, nnx.Variable)))


def param_count(c: ModelConfig) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(c)))


def unstack(c: ModelConfig, params: Params) -> Params:
    """The layout for decoding: "layers" as a list of dicts, matrices in the computing type. Call it once, under jit."""

    def compute(path: tuple, w: jax.Array) -> jax.Array:
        return w if "norm" in jax.tree_util.keystr(path) else w.astype(c.dtype)

    cast = jax.tree.map_with_path(compute, params)
    return cast | {"layers": [{name: w[i] for name, w in cast["layers"].items()} for i in range(c.layers)]}
