"""The table of families."""

from collections.abc import Callable
from functools import partial
from typing import Any

from playpen_jax.families.family import SIZES, Config, Family
from playpen_jax.families.rope import parameters, read_rope, write_rope
from playpen_jax.families.tensors import DELTA, EXPERTS, GEMMA, LLAMA, NORMS_AFTER, PHI3, QK_NORM, without
from playpen_jax.model import Delta, Experts, ModelConfig

KINDS = {"full_attention": "full", "sliding_attention": "window", "linear_attention": "delta"}
ALL_BIASES = {"attention_bias": ("q", "k", "v", "o"), "mlp_bias": ("gate", "up", "down")}
GELU = {"hidden_activation": "gelu_pytorch_tanh"}


def layer_types(rule: Callable[[Config, int], bool], other: str = "sliding_attention") -> Callable[[Config], dict[str, Any]]:
    """Reads `layer_types`; where it is missing, layer i is of the type `other` if rule(config, i), else full attention."""

    def read(config: Config) -> dict[str, Any]:
        layers = range(config["num_hidden_layers"])
        types = config.get("layer_types") or [other if rule(config, i) else "full_attention" for i in layers]
        if unknown := sorted({str(x) for x in types} - set(KINDS)):
            raise ValueError(f"layer_types {', '.join(unknown)}: only {', '.join(KINDS)}")
        kinds = tuple(KINDS[x] for x in types)
        return {"kinds": kinds, "window": (config.get("sliding_window") or 0) if "window" in kinds else 0}

    return read


def write_types(c: ModelConfig) -> dict[str, Any]:
    names = {kind: name for name, kind in KINDS.items()}
    return {"layer_types": [names[kind] for kind in c.kinds], "sliding_window": c.window or None}


def read_window(config: Config) -> dict[str, Any]:
    """All layers have a window, or none has."""
    window = config.get("sliding_window") or 0
    return {"window": window, "kinds": ("window" if window else "full",) * config["num_hidden_layers"]}


def write_window(c: ModelConfig) -> dict[str, Any]:
    return {"sliding_window": c.window or None}


def _qwen_windows(config: Config, i: int) -> bool:
    window = config.get("use_sliding_window") and config.get("sliding_window")
    return bool(window) and i >= config.get("max_window_layers", 28)


def write_qwen(c: ModelConfig) -> dict[str, Any]:
    return write_types(c) | {"use_sliding_window": bool(c.window)}


def read_gemma(pattern: int, config: Config) -> dict[str, Any]:
    """Every so many layers one without a window, and numbers that follow from others."""
    every = config.get("sliding_window_pattern", pattern)
    scales = {"embed_scale": config["hidden_size"] ** 0.5, "query_scale": config["query_pre_attn_scalar"] ** -0.5}
    return layer_types(lambda _, i: bool((i + 1) % every))(config) | scales


def write_gemma(c: ModelConfig) -> dict[str, Any]:
    scalar = c.head_dim if c.query_scale is None else c.query_scale**-2
    scalar = round(scalar) if abs(scalar - round(scalar)) < 1e-6 else scalar
    return write_types(c) | {"query_pre_attn_scalar": scalar, "sliding_window": c.window or 4096}


def rope_gemma3(config: Config) -> dict[str, Any]:
    """Layers with a window have a rotary base of their own, and no scaling."""
    nested = config.get("rope_parameters") or {}
    old = {"rope_theta": config.get("rope_theta"), "rope_parameters": config.get("rope_scaling")}
    local = {"rope_theta": config.get("rope_local_base_freq")}
    if "full_attention" in nested:
        old, local = ({"rope_parameters": nested.get(name)} for name in ("full_attention", "sliding_attention"))
    far, near = parameters(old, 1e6), parameters(local, 1e4)
    if near["rope_type"] != "default":
        raise ValueError(f"rope_type {near['rope_type']!r} of sliding_attention is not supported: default")
    return read_rope(far, config) | {"window_theta": float(near["rope_theta"])}


def write_gemma3(c: ModelConfig) -> dict[str, Any]:
    near = {"rope_theta": c.window_theta, "rope_type": "default"}
    return write_gemma(c) | {"rope_parameters": {"full_attention": write_rope(c), "sliding_attention": near}}


def read_smollm3(config: Config) -> dict[str, Any]:
    every, layers = config.get("no_rope_layer_interval", 4), range(config["num_hidden_layers"])
    rotated = config.get("no_rope_layers") or [int((i + 1) % every != 0) for i in layers]
    return {"kinds": tuple("full" if each else "nope" for each in rotated)}


def write_smollm3(c: ModelConfig) -> dict[str, Any]:
    return {"no_rope_layers": [int(kind != "nope") for kind in c.kinds], "layer_types": ["full_attention"] * c.layers}


def rope_phi3(config: Config) -> dict[str, Any]:
    """Its scaling had other names once."""
    rope = parameters(config)
    return read_rope(rope | {"rope_type": "longrope"} if rope["rope_type"] in ("su", "yarn") else rope, config)


def write_phi3(c: ModelConfig) -> dict[str, Any]:
    original = getattr(c.rope_scaling, "original_max_positions", None)  # transformers looks for it outside the scaling first
    return write_window(c) | ({"original_max_position_embeddings": original} if original else {})


DELTA_SIZES = {
    "key_heads": "linear_num_key_heads",
    "value_heads": "linear_num_value_heads",
    "key_dim": "linear_key_head_dim",
    "value_dim": "linear_value_head_dim",
    "taps": "linear_conv_kernel_dim",
}


def read_qwen3_5(config: Config) -> dict[str, Any]:
    every = config.get("full_attention_interval", 4)
    found = layer_types(lambda _, i: bool((i + 1) % every), "linear_attention")(config)
    return found | {"delta": Delta(**{ours: int(config[theirs]) for ours, theirs in DELTA_SIZES.items()})}


def write_qwen3_5(c: ModelConfig) -> dict[str, Any]:
    sizes = {theirs: getattr(c.delta, ours) for ours, theirs in DELTA_SIZES.items()}
    return {"layer_types": write_types(c)["layer_types"]} | sizes


def read_qwen3_moe(config: Config) -> dict[str, Any]:
    normalised = bool(config.get("norm_topk_prob", False))
    count = config.get("num_local_experts") or config.get("num_experts") or 128
    experts = Experts(int(count), int(config["num_experts_per_tok"]), normalised)
    window = (config.get("use_sliding_window") or 0) and config.get("sliding_window")
    return read_window({**config, "sliding_window": window}) | {"experts": experts}


def write_qwen3_moe(c: ModelConfig) -> dict[str, Any]:
    e = c.experts
    assert e, "this family has experts"
    sizes = {"num_experts": e.count, "num_experts_per_tok": e.active, "norm_topk_prob": e.normalised}
    return sizes | {"sliding_window": c.window or None, "use_sliding_window": bool(c.window), "intermediate_size": c.mlp}


FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaForCausalLM", LLAMA, biases=ALL_BIASES),
    "mistral": Family(
        "MistralForCausalLM",
        without(LLAMA, "bias"),
        defaults={"num_key_value_heads": 8},
        read=read_window,
        write=write_window,
    ),
    "qwen2": Family(
        "Qwen2ForCausalLM",
        LLAMA,
        fixed={"biases": ("q", "k", "v")},
        read=layer_types(_qwen_windows),
        write=write_qwen,
    ),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        LLAMA | QK_NORM,
        fixed={"qk_norm": "head"},
        defaults={"head_dim": 128},
        biases={"attention_bias": ("q", "k", "v", "o")},
        read=layer_types(_qwen_windows),
        write=write_qwen,
    ),
    "qwen3_moe": Family(
        "Qwen3MoeForCausalLM",
        LLAMA | QK_NORM | EXPERTS,
        fixed={"qk_norm": "head"},
        defaults={"num_key_value_heads": 4, "num_experts_per_tok": 8},
        only={"hidden_act": "silu", "decoder_sparse_step": 1, "mlp_only_layers": []},
        biases={"attention_bias": ("q", "k", "v", "o")},
        sizes=SIZES | {"mlp": "moe_intermediate_size"},
        read=read_qwen3_moe,
        write=write_qwen3_moe,
    ),
    "qwen3_5_text": Family(
        "Qwen3_5ForCausalLM",
        without(LLAMA, "bias") | QK_NORM | DELTA,
        fixed={"qk_norm": "head", "norm_offset": 1.0, "gated": True},
        defaults={"head_dim": 256, "num_key_value_heads": 4, "partial_rotary_factor": 0.25}
        | dict(zip(DELTA_SIZES.values(), (16, 32, 128, 128, 4))),
        only={"hidden_act": "silu", "attention_bias": False},
        read=read_qwen3_5,
        write=write_qwen3_5,
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        GEMMA,
        fixed={"norms": "both", "norm_offset": 1.0, "activation": "gelu_tanh"},
        settings={"score_cap": "attn_logit_softcapping", "logit_cap": "final_logit_softcapping"},
        defaults={"num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True, "query_pre_attn_scalar": 256}
        | {"sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
        only=GELU | {"use_bidirectional_attention": None},
        biases={"attention_bias": ("q", "k", "v", "o")},
        read=partial(read_gemma, 2),
        write=write_gemma,
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        GEMMA | QK_NORM,
        fixed={"norms": "both", "norm_offset": 1.0, "activation": "gelu_tanh", "qk_norm": "head"},
        settings={"score_cap": "attn_logit_softcapping", "logit_cap": "final_logit_softcapping"},
        defaults={"num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True, "query_pre_attn_scalar": 256}
        | {"sliding_window": 4096, "vocab_size": 262_208, "num_attention_heads": 8},
        only=GELU | {"use_bidirectional_attention": False},
        biases={"attention_bias": ("q", "k", "v", "o")},
        rope=rope_gemma3,
        read=partial(read_gemma, 6),
        write=write_gemma3,
    ),
    "olmo2": Family(
        "Olmo2ForCausalLM",
        without(LLAMA, "norm") | NORMS_AFTER | QK_NORM,
        fixed={"norms": "after", "qk_norm": "all"},
        defaults={"rms_norm_eps": 1e-5},
        biases={"attention_bias": ("q", "k", "v", "o")},
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        LLAMA,
        defaults={"tie_word_embeddings": True, "num_key_value_heads": 4},
        only={"hidden_act": "silu", "use_sliding_window": False},
        biases=ALL_BIASES,
        rope=lambda config: read_rope(parameters(config, 2e6), config),
        read=read_smollm3,
        write=write_smollm3,
    ),
    "phi3": Family(
        "Phi3ForCausalLM",
        PHI3,
        defaults={"rms_norm_eps": 1e-5, "original_max_position_embeddings": 4096},
        rope=rope_phi3,
        read=read_window,
        write=write_phi3,
    ),
}

# model_type of a model of text and pictures -> the family of its text model, which is what is read of it, and the ways in
# which its tensors are called there and here; tensors that begin with none of them are left out
WRAPPED = {
    "qwen3_5": ("qwen3_5_text", {"model.language_model.": "model.", "lm_head.": "lm_head."}),
    "gemma3": (
        "gemma3_text",
        {"model.language_model.": "model.", "language_model.model.": "model.", "lm_head.": "lm_head."}
        | {"language_model.lm_head.": "lm_head."},
    ),
}
