"""The decoder: its config, its weights, and the pure functions that run it.

Letters: B rows, T tokens, S cache slots, P lines and C tokens of one call of `extend`, D model, N query heads, K kv heads,
H head size (H2 half of what is rotated), F mlp, E experts, V vocabulary, L layers; of delta layers J key heads, M value
heads, X and Y sizes of their keys and values, W taps.
"""

from playpen_jax.model.config import (
    Delta,
    Experts,
    LinearRope,
    Llama3Rope,
    ModelConfig,
    YarnRope,
    config_from_json,
)
from playpen_jax.model.decoder import Cache, block, empty_cache, extend, hidden, logits, put_back, shorten
from playpen_jax.model.weights import STACKS, Params, abstract, init, logical_axes, members, param_count, sizes, unstack

__all__ = [
    "STACKS",
    "Cache",
    "Delta",
    "Experts",
    "LinearRope",
    "Llama3Rope",
    "ModelConfig",
    "Params",
    "YarnRope",
    "abstract",
    "block",
    "config_from_json",
    "empty_cache",
    "extend",
    "hidden",
    "init",
    "logical_axes",
    "logits",
    "members",
    "param_count",
    "put_back",
    "shorten",
    "sizes",
    "unstack",
]
