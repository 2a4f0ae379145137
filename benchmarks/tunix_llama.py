"""A Hugging Face folder of ours as Tunix's own Llama, for the scripts that stand its trainers and samplers beside ours."""

from __future__ import annotations

import json
from pathlib import Path


def load(folder: Path | str):
    """The weights in its model, float32, and its config."""
    import jax.numpy as jnp
    from tunix.models.llama3 import model, params

    known = json.loads((Path(folder) / "config.json").read_text())
    rope = model.apply_rope  # its default base is another one than the config's
    model.apply_rope = lambda x, positions, head_dim, rope_theta=1e4: rope(x, positions, head_dim, 1e4)
    shape = dict(
        num_layers=known["num_hidden_layers"],
        vocab_size=known["vocab_size"],
        embed_dim=known["hidden_size"],
        hidden_dim=known["intermediate_size"],
        num_heads=known["num_attention_heads"],
        head_dim=known["head_dim"],
        num_kv_heads=known["num_key_value_heads"],
        rope_theta=10_000,
        norm_eps=known["rms_norm_eps"],
        weight_tying=True,
    )
    c = model.ModelConfig(**shape)
    return params.create_model_from_safe_tensors(str(folder), c, dtype=jnp.float32), c
