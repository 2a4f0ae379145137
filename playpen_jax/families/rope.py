"""Rotary settings of config.json to ours and back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from playpen_jax.model import DynamicRope, LinearRope, Llama3Rope, LongRope, ModelConfig, YarnRope

# rope_type -> its class, and (our field, their key, value where it is missing); a key without one must be there
NEEDED = object()
SCALINGS = {
    "linear": (LinearRope, (("factor", "factor", NEEDED),)),
    "dynamic": (DynamicRope, (("growth", "factor", NEEDED),)),
    "llama3": (
        Llama3Rope,
        (
            ("factor", "factor", NEEDED),
            ("low_freq_factor", "low_freq_factor", NEEDED),
            ("high_freq_factor", "high_freq_factor", NEEDED),
            ("original_max_positions", "original_max_position_embeddings", NEEDED),
        ),
    ),
    "yarn": (
        YarnRope,
        (
            ("factor", "factor", NEEDED),
            ("original_max_positions", "original_max_position_embeddings", NEEDED),
            ("attention_factor", "attention_factor", None),
            ("beta_fast", "beta_fast", 32.0),
            ("beta_slow", "beta_slow", 1.0),
            ("truncate", "truncate", True),
        ),
    ),
    "longrope": (
        LongRope,
        (
            ("short", "short_factor", NEEDED),
            ("long", "long_factor", NEEDED),
            ("original_max_positions", "original_max_position_embeddings", NEEDED),
            ("attention_factor", "attention_factor", None),
        ),
    ),
}
AS_IT_IS = ("original_max_positions", "truncate", "short", "long")  # fields that are no single float


def parameters(config: Mapping[str, Any], theta: float = 10_000.0) -> dict[str, Any]:
    """The rotary settings: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).

    theta: the base of a family whose config names none.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    outside = {key: config[key] for key in ("rope_theta", "partial_rotary_factor") if config.get(key) is not None}
    return {"rope_theta": theta, "rope_type": rope.get("type", "default"), **outside, **rope}


def read_rope(rope: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from `parameters` to fields of a `ModelConfig`; raises `ValueError` for what the decoder cannot follow."""
    kind = rope["rope_type"]
    if kind != "default" and kind not in SCALINGS:
        raise ValueError(f"rope_type {kind!r} is not supported: default, {', '.join(SCALINGS)}")
    found = {"rope_theta": float(rope["rope_theta"]), "rope_scaling": None}
    if kind != "default":
        found["rope_scaling"] = _scaling(kind, rope, config)
    part = rope.get("partial_rotary_factor") or 1.0
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return found | {"rotary": None if part == 1 else int(size * part)}


def _scaling(kind: str, rope: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    cls, keys = SCALINGS[kind]
    original = config.get("original_max_position_embeddings")
    if kind == "yarn":
        original = original or config.get("max_position_embeddings")
    given = {key: value for key, value in rope.items() if value is not None}
    if original:
        given = {"original_max_position_embeddings": original} | given
    values = {theirs: given.get(theirs, missing) for _, theirs, missing in keys}
    if lacking := [key for key, value in values.items() if value is NEEDED]:
        raise ValueError(f"the {kind} rope has no {', '.join(lacking)}")
    if "attention_factor" in values and values["attention_factor"] is None:
        values["attention_factor"] = (_yarn_factor if kind == "yarn" else _long_factor)(given, config)
    plain = lambda value: tuple(map(float, value)) if isinstance(value, list | tuple) else value
    return cls(**{ours: plain(values[key]) if ours in AS_IT_IS else float(values[key]) for ours, key, _ in keys})


def _yarn_factor(rope: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    """What yarn multiplies cosines and sines with where the config does not say."""
    grown = lambda weight: 1.0 if rope["factor"] <= 1 else 0.1 * weight * math.log(rope["factor"]) + 1.0
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return grown(rope["mscale"]) / grown(rope["mscale_all_dim"])
    return grown(1.0)


def _long_factor(rope: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    """The same for longrope."""
    original = rope["original_max_position_embeddings"]
    factor = rope.get("factor") or config["max_position_embeddings"] / original
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))


def write_rope(c: ModelConfig) -> dict[str, Any]:
    """`rope_parameters` of transformers 5."""
    found = {"rope_theta": c.rope_theta, "rope_type": "default"}
    if c.rope_scaling:
        kind, keys = next((kind, keys) for kind, (cls, keys) in SCALINGS.items() if isinstance(c.rope_scaling, cls))
        values = dataclasses.asdict(c.rope_scaling)
        plain = lambda value: list(value) if isinstance(value, tuple) else value
        found |= {"rope_type": kind} | {theirs: plain(values[ours]) for ours, theirs, _ in keys}
    return found if c.rotary is None else found | {"partial_rotary_factor": c.rotary / c.head_dim}
