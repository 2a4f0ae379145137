"""Makes tests/golden/*.npz: tiny random Llama models of transformers, with the logits that torch computes.

Run with a Python that has torch: `python tests/make_llama_golden.py`.
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

COMMON = dict(vocab_size=64, hidden_size=32, intermediate_size=48, max_position_embeddings=128)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500.0,
    factor=4.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
MODELS = {
    "tied": dict(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
    "llama3_rope": dict(num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1, rope_parameters=LLAMA3),
    "biased": dict(
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=12, attention_bias=True, mlp_bias=True
    ),
}


def make(name: str, settings: dict) -> None:
    torch.manual_seed(len(name))
    hf = LlamaForCausalLM(LlamaConfig(**COMMON, **settings)).eval()
    with torch.no_grad():
        for key, weight in hf.named_parameters():
            spread = torch.randn_like(weight)
            weight.copy_(1 + 0.3 * spread if "norm" in key else 0.3 * spread if key.endswith("bias") else 0.2 * spread)
        tokens = torch.randint(0, COMMON["vocab_size"], (2, 40))
        logits = hf(tokens).logits
    weights = {key: value.numpy() for key, value in hf.state_dict().items()}
    if hf.config.tie_word_embeddings:
        del weights["lm_head.weight"]  # safetensors files of tied models do not hold it
    np.savez(
        Path(__file__).parent / "golden" / f"llama_{name}.npz",
        config=json.dumps(hf.config.to_dict()),
        tokens=tokens.numpy().astype(np.int32),
        logits=logits.numpy(),
        **weights,
    )
    print(name, f"logits std {logits.std():.3f}")


if __name__ == "__main__":
    for name, settings in MODELS.items():
        make(name, settings)
