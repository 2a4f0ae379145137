"""The decoder: its config, its weights, and the pure functions that run it.

Letters: B rows, T tokens, S cache slots, P lines and C tokens of one call of `extend`, D model, N query heads, K kv heads,
H head size (H2 half of it), F mlp, V vocabulary, L layers.
"""

from playpen_jax.model.config import Llama3Rope, ModelConfig
from playpen_jax.model.decoder import Cache, block, empty_cache, extend, hidden, logits
from playpen_jax.model.weights import Params, abstract, init, logical_axes, param_count, sizes, unstack

__all__ = [
    "Cache",
    "Llama3Rope",
    "ModelConfig",
    "Params",
    "abstract",
    "block",
    "empty_cache",
    "extend",
    "hidden",
    "init",
    "logical_axes",
    "logits",
    "param_count",
    "sizes",
    "unstack",
]
