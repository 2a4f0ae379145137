"""The decoder: its config, its weights, and the pure functions that run it.

Letters: B rows, T tokens, S cache slots, P lines and C tokens of one call of `extend`, D model, N query heads, K kv heads,
H head size (H2 half of what is rotated), F mlp, E experts, V vocabulary, L layers; of delta layers J key heads, M value
heads, X and Y sizes of their keys and values, W taps; R rank of adapters.
"""

from playpen_jax.model.config import (
    Delta,
    DynamicRope,
    Experts,
    LinearRope,
    Llama3Rope,
    LongRope,
    Lora,
    ModelConfig,
    YarnRope,
    config_from_json,
)
from playpen_jax.model.decoder import Cache, block, empty_cache, extend, hidden, logits
from playpen_jax.model.lora import adapters_off, fork, join, merge, split
from playpen_jax.model.quant import PROJECTIONS, dense, is_quantised, quantise
from playpen_jax.model.weights import (
    DOWN,
    STACKS,
    UP,
    Params,
    abstract,
    init,
    logical_axes,
    members,
    param_count,
    sizes,
    unstack,
)

__all__ = [
    "DOWN",
    "PROJECTIONS",
    "STACKS",
    "UP",
    "Cache",
    "Delta",
    "DynamicRope",
    "Experts",
    "LinearRope",
    "Llama3Rope",
    "LongRope",
    "Lora",
    "ModelConfig",
    "Params",
    "YarnRope",
    "abstract",
    "adapters_off",
    "block",
    "config_from_json",
    "dense",
    "empty_cache",
    "extend",
    "fork",
    "hidden",
    "init",
    "is_quantised",
    "join",
    "logical_axes",
    "logits",
    "members",
    "merge",
    "param_count",
    "quantise",
    "sizes",
    "split",
    "unstack",
]
