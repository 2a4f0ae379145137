"""Model families: how each reads and writes a Hugging Face config, and what its tensors are called. One family, one entry."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from playpen_jax.model import Llama3Rope, ModelConfig

# our logical axes -> the letters in which the tables below spell the axes of a tensor
LETTERS = {"vocab": "V", "embed": "D", "norm": "D", "heads": "N", "kv_heads": "K", "head": "H", "mlp": "F"}


@dataclasses.dataclass(frozen=True)
class Family:
    """One entry of the table of families; its key there is the `model_type` of config.json.

    architecture: the class that transformers builds. read(config.json) -> ModelConfig and write(config) -> config.json; both
    raise `ValueError` for what the decoder, or the family, does not have. tensors: our weight -> (its name there, its axes
    there), with {} for the number of the layer; "NH D" is a matrix whose first axis runs over heads and within a head.
    ignored: endings of tensors that hold no weights.
    """

    architecture: str
    read: Callable[[Mapping[str, Any]], ModelConfig]
    write: Callable[[ModelConfig], dict[str, Any]]
    tensors: Mapping[str, tuple[str, str]]
    ignored: tuple[str, ...] = ()


SIZES = {
    "vocab": "vocab_size",
    "dim": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
}
ONLY = {"hidden_act": "silu", "quantization_config": None}  # settings with just one supported value
LLAMA3_ROPE = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
LLAMA_BIASES = {"attention_bias": ("q", "k", "v", "o"), "mlp_bias": ("gate", "up", "down")}


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rotary settings: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before)."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return {"rope_theta": config.get("rope_theta", 10_000.0), "rope_type": rope.get("type", "default"), **rope}


def rope_problems(config: Mapping[str, Any]) -> list[str]:
    """What of the rotary settings the decoder cannot follow."""
    rope = _rope(config)
    if rope["rope_type"] not in ("default", "llama3"):
        return [f"rope_type {rope['rope_type']!r} is not supported: default or llama3"]
    wanted = LLAMA3_ROPE if rope["rope_type"] == "llama3" else ()
    return [f"the llama3 rope has no {key}" for key in wanted if key not in rope]


def read_rope(config: Mapping[str, Any]) -> tuple[float, Llama3Rope | None]:
    """Rotary base and scaling."""
    rope = _rope(config)
    if rope["rope_type"] == "default":
        return float(rope["rope_theta"]), None
    *factors, positions = (rope[key] for key in LLAMA3_ROPE)
    return float(rope["rope_theta"]), Llama3Rope(*map(float, factors), int(positions))


def write_rope(c: ModelConfig) -> dict[str, Any]:
    """`rope_parameters` of transformers 5."""
    scaling = dict(zip(LLAMA3_ROPE, dataclasses.astuple(c.rope_scaling))) if c.rope_scaling else {}
    return {"rope_theta": c.rope_theta, "rope_type": "llama3" if c.rope_scaling else "default", **scaling}


def read_llama(config: Mapping[str, Any]) -> ModelConfig:
    problems = [f"{key} is not a whole number" for key in SIZES.values() if not isinstance(config.get(key), int)]
    problems += [f"{key} {config[key]!r} is not supported" for key, only in ONLY.items() if config.get(key, only) != only]
    problems += rope_problems(config)
    if problems:
        raise ValueError("; ".join(problems))
    sizes = {ours: config[theirs] for ours, theirs in SIZES.items()}
    theta, scaling = read_rope(config)
    return ModelConfig(
        family="llama",
        **sizes,
        kv_heads=config.get("num_key_value_heads") or sizes["heads"],
        head_dim=config.get("head_dim") or sizes["dim"] // sizes["heads"],
        rope_theta=theta,
        rope_scaling=scaling,
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        tied=bool(config.get("tie_word_embeddings", False)),
        max_positions=int(config.get("max_position_embeddings", 2048)),
        biases=tuple(name for key, names in LLAMA_BIASES.items() if config.get(key) for name in names),
    )


def write_llama(c: ModelConfig) -> dict[str, Any]:
    has = {key: set(names) <= set(c.biases) for key, names in LLAMA_BIASES.items()}
    if set(c.biases) != {name for key, names in LLAMA_BIASES.items() if has[key] for name in names}:
        raise ValueError(f"llama cannot have biases for {', '.join(c.biases)} alone")
    return {theirs: getattr(c, ours) for ours, theirs in SIZES.items()} | {
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "rope_parameters": write_rope(c),
        "rms_norm_eps": c.norm_eps,
        "tie_word_embeddings": c.tied,
        "max_position_embeddings": c.max_positions,
        **has,
    }


LLAMA_TENSORS = {
    "embed": ("model.embed_tokens.weight", "V D"),
    "layers.attn_norm": ("model.layers.{}.input_layernorm.weight", "D"),
    "layers.q": ("model.layers.{}.self_attn.q_proj.weight", "NH D"),
    "layers.k": ("model.layers.{}.self_attn.k_proj.weight", "KH D"),
    "layers.v": ("model.layers.{}.self_attn.v_proj.weight", "KH D"),
    "layers.o": ("model.layers.{}.self_attn.o_proj.weight", "D NH"),
    "layers.q_bias": ("model.layers.{}.self_attn.q_proj.bias", "NH"),
    "layers.k_bias": ("model.layers.{}.self_attn.k_proj.bias", "KH"),
    "layers.v_bias": ("model.layers.{}.self_attn.v_proj.bias", "KH"),
    "layers.o_bias": ("model.layers.{}.self_attn.o_proj.bias", "D"),
    "layers.mlp_norm": ("model.layers.{}.post_attention_layernorm.weight", "D"),
    "layers.gate": ("model.layers.{}.mlp.gate_proj.weight", "F D"),
    "layers.up": ("model.layers.{}.mlp.up_proj.weight", "F D"),
    "layers.down": ("model.layers.{}.mlp.down_proj.weight", "D F"),
    "layers.gate_bias": ("model.layers.{}.mlp.gate_proj.bias", "F"),
    "layers.up_bias": ("model.layers.{}.mlp.up_proj.bias", "F"),
    "layers.down_bias": ("model.layers.{}.mlp.down_proj.bias", "D"),
    "norm": ("model.norm.weight", "D"),
    "head": ("lm_head.weight", "V D"),
}

FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaForCausalLM", read_llama, write_llama, LLAMA_TENSORS, ignored=("rotary_emb.inv_freq",)),
}
