"""A tiny model of each family, as the config.json of transformers has it, and weights for it that need not be stored."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

COMMON = dict(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    pad_token_id=0,
    tie_word_embeddings=False,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500.0,
    factor=4.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
YARN = dict(rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=32)
LONG = dict(
    rope_type="longrope",
    rope_theta=1e4,
    partial_rotary_factor=0.5,
    short_factor=[1.1, 1.7],
    long_factor=[2.0, 8.0],
    original_max_position_embeddings=128,
)
DYNAMIC = dict(rope_type="dynamic", rope_theta=1000.0, factor=3.0)
LINEAR = dict(rope_type="linear", rope_theta=1000.0, factor=3.0)
GEMMA = dict(hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=12, tie_word_embeddings=True, sliding_window=8)
DELTA = dict(
    linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=6, linear_conv_kernel_dim=4
)
# name -> (family, what differs from COMMON)
MODELS = {
    "llama_tied": ("llama", dict(tie_word_embeddings=True)),
    "llama3_rope": ("llama", dict(num_key_value_heads=1, rope_parameters=LLAMA3, num_hidden_layers=3)),
    "llama_biased": ("llama", dict(num_key_value_heads=4, head_dim=12, attention_bias=True, mlp_bias=True)),
    "llama_linear_rope": ("llama", dict(rope_parameters=LINEAR)),
    "llama_dynamic_rope": ("llama", dict(rope_parameters=DYNAMIC)),
    "mistral": ("mistral", dict(sliding_window=None)),
    "mistral_window": ("mistral", dict(sliding_window=8)),
    "qwen2": ("qwen2", dict(rope_parameters=YARN, tie_word_embeddings=True)),
    "qwen2_windows": ("qwen2", dict(use_sliding_window=True, sliding_window=8, max_window_layers=1, num_hidden_layers=3)),
    "qwen3": ("qwen3", dict(head_dim=12, attention_bias=True)),
    "qwen3_moe": ("qwen3_moe", dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True)),
    "qwen3_5": ("qwen3_5_text", DELTA | dict(num_hidden_layers=8, tie_word_embeddings=True)),
    "gemma2": ("gemma2", GEMMA | dict(num_hidden_layers=3, attn_logit_softcapping=4.0, final_logit_softcapping=3.0)),
    "gemma3": ("gemma3_text", GEMMA | dict(num_hidden_layers=8)),
    "olmo2": ("olmo2", dict()),
    "smollm3": ("smollm3", dict(num_hidden_layers=5)),
    "phi3_long": ("phi3", dict(rope_parameters=LONG, original_max_position_embeddings=128, max_position_embeddings=512)),
    "phi3": (
        "phi3",
        dict(sliding_window=8, rope_parameters=dict(rope_theta=1e4, rope_type="default", partial_rotary_factor=0.5)),
    ),
}


def settings(name: str) -> dict:
    """What the config class of transformers is made with."""
    family, own = MODELS[name]
    found = COMMON | own
    if family in ("phi3", "olmo2"):  # these derive it
        del found["head_dim"]
    return found


def weights(shapes: Mapping[str, tuple[int, ...]], config: Mapping) -> dict[str, np.ndarray]:
    """A tensor for each name: what is drawn depends on the name and the shape alone."""
    embed = 0.12 if "query_pre_attn_scalar" in config else 0.6  # the families with that setting scale their embedding up

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        spread = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)
        if "norm" in name:
            return 1 + 0.3 * spread
        return 0.3 * spread if len(shape) < 2 else embed * spread if "embed" in name else 1.5 * shape[-1] ** -0.5 * spread

    return {name: draw(name, shape) for name, shape in shapes.items()}


def write(folder: Path, config: dict, tensors: Mapping[str, np.ndarray]) -> Path:
    """A Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    return folder
