"""What the tensors of the families are called, and which axes they have.

{} stands for the number of the layer (and a second one for that of the expert). Axes are spelled in the letters below: "NH D"
is a matrix whose first axis runs over heads and within a head. A bar says that a tensor joins several of our weights, in the
order of the table, along what follows it in the first word.
"""

from collections.abc import Mapping

LETTERS = {
    "vocab": "V",
    "embed": "D",
    "norm": "D",
    "heads": "N",
    "kv_heads": "K",
    "head": "H",
    "mlp": "F",
    "experts": "E",
    "delta_keys": "J",
    "delta_values": "M",
    "delta_key": "X",
    "delta_value": "Y",
    "taps": "W",
}

Tensors = Mapping[str, tuple[str, str]]
LAYER = "model.layers.{}."


def in_layers(names: Tensors) -> dict[str, tuple[str, str]]:
    return {f"layers.{ours}": (LAYER + theirs, axes) for ours, (theirs, axes) in names.items()}


def without(names: Tensors, ending: str) -> dict[str, tuple[str, str]]:
    """Those of layers that do not end so, and all the others."""
    return {ours: entry for ours, entry in names.items() if not (ours.startswith("layers.") and ours.endswith(ending))}


LLAMA = in_layers(
    {
        "attn_norm": ("input_layernorm.weight", "D"),
        "q": ("self_attn.q_proj.weight", "NH D"),
        "k": ("self_attn.k_proj.weight", "KH D"),
        "v": ("self_attn.v_proj.weight", "KH D"),
        "o": ("self_attn.o_proj.weight", "D NH"),
        "q_bias": ("self_attn.q_proj.bias", "NH"),
        "k_bias": ("self_attn.k_proj.bias", "KH"),
        "v_bias": ("self_attn.v_proj.bias", "KH"),
        "o_bias": ("self_attn.o_proj.bias", "D"),
        "mlp_norm": ("post_attention_layernorm.weight", "D"),
        "gate": ("mlp.gate_proj.weight", "F D"),
        "up": ("mlp.up_proj.weight", "F D"),
        "down": ("mlp.down_proj.weight", "D F"),
        "gate_bias": ("mlp.gate_proj.bias", "F"),
        "up_bias": ("mlp.up_proj.bias", "F"),
        "down_bias": ("mlp.down_proj.bias", "D"),
    }
) | {
    "embed": ("model.embed_tokens.weight", "V D"),
    "norm": ("model.norm.weight", "D"),
    "head": ("lm_head.weight", "V D"),
}
NORMS_AFTER = in_layers(
    {
        "attn_post_norm": ("post_attention_layernorm.weight", "D"),
        "mlp_post_norm": ("post_feedforward_layernorm.weight", "D"),
    }
)
GEMMA = LLAMA | NORMS_AFTER | in_layers({"mlp_norm": ("pre_feedforward_layernorm.weight", "D")})
# each of these norms runs over one head, or over all: the axes are those of ours
QK_NORM = in_layers({"q_norm": ("self_attn.q_norm.weight", "*"), "k_norm": ("self_attn.k_norm.weight", "*")})
PHI3 = without(LLAMA, "bias") | in_layers(
    {
        "q": ("self_attn.qkv_proj.weight", "|NH D"),
        "k": ("self_attn.qkv_proj.weight", "|KH D"),
        "v": ("self_attn.qkv_proj.weight", "|KH D"),
        "gate": ("mlp.gate_up_proj.weight", "|F D"),
        "up": ("mlp.gate_up_proj.weight", "|F D"),
    }
)
DELTA = in_layers(
    {
        "q": ("self_attn.q_proj.weight", "N|H D"),
        "q_gate": ("self_attn.q_proj.weight", "N|H D"),
        "delta_q": ("linear_attn.in_proj_qkv.weight", "|JX D"),
        "delta_k": ("linear_attn.in_proj_qkv.weight", "|JX D"),
        "delta_v": ("linear_attn.in_proj_qkv.weight", "|MY D"),
        "conv_q": ("linear_attn.conv1d.weight", "|JX 1 W"),
        "conv_k": ("linear_attn.conv1d.weight", "|JX 1 W"),
        "conv_v": ("linear_attn.conv1d.weight", "|MY 1 W"),
        "delta_gate": ("linear_attn.in_proj_z.weight", "MY D"),
        "delta_write": ("linear_attn.in_proj_b.weight", "M D"),
        "delta_decay": ("linear_attn.in_proj_a.weight", "M D"),
        "decay_bias": ("linear_attn.dt_bias", "M"),
        "decay_rate_bias": ("linear_attn.A_log", "M"),
        "delta_norm": ("linear_attn.norm.weight", "Y"),
        "delta_o": ("linear_attn.out_proj.weight", "D MY"),
    }
)
EXPERTS = in_layers(
    {
        "router": ("mlp.gate.weight", "E D"),
        "gate": ("mlp.experts.{}.gate_proj.weight", "F D"),
        "up": ("mlp.experts.{}.up_proj.weight", "F D"),
        "down": ("mlp.experts.{}.down_proj.weight", "D F"),
    }
)
