"""What an entry of the table of families says, and how a config is read and written by it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from playpen_jax.families.rope import parameters, read_rope, write_rope
from playpen_jax.model import ModelConfig

Config = Mapping[str, Any]  # the content of a config.json

SIZES = {
    "vocab": "vocab_size",
    "dim": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
}


def one_rope(config: Config) -> dict[str, Any]:
    """Rotary fields of a family that rotates all its layers alike."""
    return read_rope(parameters(config), config)


@dataclasses.dataclass(frozen=True)
class Family:
    """One entry of the table of families; its key there is the `model_type` of config.json.

    architecture: the class that transformers builds. tensors: our weight -> (its name there, its axes there); see `layout`.
    fixed: fields of `ModelConfig` that are the same in all its models. settings: field -> the key of config.json that holds
    it. defaults: what transformers takes for keys that are missing. only: keys with one supported value. biases: key -> the
    projections that have a bias where it is true. read: further fields from config.json; write: further keys from a config.
    sizes: as SIZES. ignored: endings of tensors that hold no weights.
    """

    architecture: str
    tensors: Mapping[str, tuple[str, str]]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    only: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"hidden_act": "silu"})
    biases: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    read: Callable[[Config], dict[str, Any]] = lambda config: {}
    write: Callable[[ModelConfig], dict[str, Any]] = lambda c: {}
    rope: Callable[[Config], dict[str, Any]] = one_rope
    sizes: Mapping[str, str] = dataclasses.field(default_factory=lambda: SIZES)
    ignored: tuple[str, ...] = ("rotary_emb.inv_freq",)


def read(name: str, family: Family, config: Config) -> ModelConfig:
    """The model that a config.json describes; raises `ValueError` for what the decoder does not have."""
    config = {**family.defaults, **config}
    problems = [f"{key} is not a whole number" for key in family.sizes.values() if not isinstance(config.get(key), int)]
    for key, only in {**family.only, "quantization_config": None}.items():
        if config.get(key, only) not in (only, None):
            problems.append(f"{key} {config[key]!r} is not supported")
    if problems:
        raise ValueError("; ".join(problems))
    sizes = {ours: config[theirs] for ours, theirs in family.sizes.items()}
    biases = {part for key, names in family.biases.items() if config.get(key) for part in names}
    fields: dict[str, Any] = {
        **{"biases": tuple(part for names in family.biases.values() for part in names if part in biases), **family.fixed},
        **{ours: config.get(theirs) for ours, theirs in family.settings.items()},
    }
    return ModelConfig(
        family=name,
        **sizes,
        kv_heads=config.get("num_key_value_heads") or sizes["heads"],
        head_dim=config.get("head_dim") or sizes["dim"] // sizes["heads"],
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        tied=bool(config.get("tie_word_embeddings", False)),
        max_positions=int(config.get("max_position_embeddings", 2048)),
        **family.rope(config),
        **fields,
        **family.read(config),
    )


def write(family: Family, c: ModelConfig) -> dict[str, Any]:
    """The config.json of a model; raises `ValueError` naming the fields that the family cannot express."""
    config = {theirs: getattr(c, ours) for ours, theirs in family.sizes.items()} | {
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "rope_parameters": write_rope(c),
        "rms_norm_eps": c.norm_eps,
        "tie_word_embeddings": c.tied,
        "max_position_embeddings": c.max_positions,
        **family.only,
        **{key: set(names) <= set(c.biases) for key, names in family.biases.items()},
        **{theirs: getattr(c, ours) for ours, theirs in family.settings.items()},
        **family.write(c),
    }
    ours, back = (dataclasses.asdict(x) for x in (c.plain, read(c.family, family, config)))
    if lost := [f"{name}={ours[name]!r}" for name in ours if ours[name] != back[name]]:
        raise ValueError(f"{family.architecture} cannot have {', '.join(lost)}")
    return config
