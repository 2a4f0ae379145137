"""Low-rank adapters (LoRA, arXiv 2106.09685) beside frozen projections, as weights of the same tree."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from playpen_jax.model.config import ModelConfig
from playpen_jax.model.quant import dense, is_quantised
from playpen_jax.model.weights import DOWN, UP, Params

KEY = "dropout"  # the name beside a layer's weights under which its dropout draws


def is_adapter(name: str) -> bool:
    return name.endswith((DOWN, UP))


def split(params: Params) -> tuple[Params, Params]:
    """What is trained, and what stays as it is: the adapters and the rest, or all and nothing where there are no adapters."""
    layers = params["layers"]
    trained = {name: w for name, w in layers.items() if is_adapter(name)}
    if not trained:
        return params, {}
    return {"layers": trained}, {**params, "layers": {name: w for name, w in layers.items() if not is_adapter(name)}}


def join(trained: Params, frozen: Params) -> Params:
    """The whole tree again."""
    return {**frozen, **trained, "layers": {**frozen.get("layers", {}), **trained["layers"]}}


def fork(params: Params) -> Params:
    """The same weights, of which the trained ones are copies: an update may give the others away."""
    trained, frozen = split(params)
    return join(jax.tree.map(jnp.copy, trained), frozen)


def adapters_off(params: Params) -> Params:
    """The trained part of weights whose adapters write nothing: with it the model is the one that they stand beside."""
    return jax.tree.map(jnp.zeros_like, split(params)[0])


def adapt(c: ModelConfig, w: Params, name: str, x: Float[Array, "B T *fan"], axes: int) -> Array:
    """What the adapter of a projection adds to its output; `axes`: how many axes of x it reads."""
    assert c.lora, "there are adapters"
    if KEY in w and c.lora.dropout:
        key = jax.random.fold_in(jax.random.wrap_key_data(w[KEY]), sorted(c.lora.targets).index(name))
        kept = jax.random.bernoulli(key, 1 - c.lora.dropout, x.shape)
        x = jnp.where(kept, x / (1 - c.lora.dropout), 0).astype(x.dtype)
    low = jnp.tensordot(x, w[name + DOWN].astype(c.dtype), axes)
    return c.lora.scale * jnp.tensordot(low, w[name + UP].astype(c.dtype), 1)


def merge(c: ModelConfig, params: Params) -> tuple[ModelConfig, Params]:
    """The same model as plain weights: adapters are added to what they stand beside, nothing is quantised."""
    trained, frozen = split(params)
    layers = dict((frozen or trained)["layers"])
    for name, w in layers.items():
        layers[name] = dense(w, jnp.float32) if is_quantised(w) else w
    scale = c.lora.scale if c.lora else 1.0
    for name in c.lora.targets if c.lora else ():
        down, up = (trained["layers"][name + end].astype(jnp.float32) for end in (DOWN, UP))
        added = jax.vmap(lambda a, b: jnp.tensordot(a, b, 1))(down, up)
        layers[name] = (layers[name] + scale * added).astype(layers[name].dtype)
    return dataclasses.replace(c, lora=None, base=None), {**(frozen or trained), "layers": layers}
