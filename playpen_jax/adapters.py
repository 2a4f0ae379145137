"""Low-rank adapters: which projections a pattern names, and folders in PEFT's format, in and out.

A tensor that joins several of our weights (such as Phi-3's qkv_proj) gets one adapter there, whose rank is the sum of ours.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from playpen_jax import families, model
from playpen_jax.families import FAMILIES, Layout
from playpen_jax.model import DOWN, PROJECTIONS, UP, Lora, ModelConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TENSOR = re.compile(r"layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")
ONLY = {"peft_type": "LORA", "bias": "none", "use_dora": False, "modules_to_save": None, "layers_to_transform": None}


def modules(c: ModelConfig) -> dict[str, list[Layout]]:
    """The modules of a layer that an adapter can stand beside, such as "self_attn.q_proj": the weights that each joins."""
    found: dict[str, list[Layout]] = {}
    by_key = {layout.key: layout for layout in families.layouts(c.plain, FAMILIES[c.family])}
    for key, (name, _) in FAMILIES[c.family].tensors.items():
        own = key.removeprefix("layers.")
        if key in by_key and own in PROJECTIONS and len(by_key[key].lead) == 1:
            found.setdefault(re.sub(r".*\.\{\}\.|\.weight$", "", name), []).append(by_key[key])
    return found


def targets(c: ModelConfig, pattern: str) -> tuple[str, ...]:
    """Our names of the projections whose module matches a pattern as a whole; raises `ValueError` if there are none."""
    known = modules(c)
    try:
        chosen = [layout for module, layouts in known.items() if re.fullmatch(pattern, module) for layout in layouts]
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    if not chosen:
        raise ValueError(f"{pattern!r} matches no projection of {c.family}: {', '.join(known)}")
    return tuple(_name(layout) for layout in chosen)


def _name(layout: Layout) -> str:
    return layout.key.removeprefix("layers.")


def _up_layout(layout: Layout, rank: int) -> Layout:
    """Of the matrix that writes: its rows are the outputs of the module."""
    outputs = "".join(x for x in layout.ours if x in layout.theirs[0])
    return dataclasses.replace(layout, ours="R" + outputs, theirs=(layout.theirs[0], "R"), sizes={**layout.sizes, "R": rank})


def save(folder: str | Path, c: ModelConfig, params: model.Params, base: str, dtype: str = "float32") -> None:
    """Writes the adapters as PEFT does; base: the path or name of the model that they belong to."""
    if c.lora is None:
        raise ValueError(f"{folder}: the model has no adapters")
    folder, layers, ranks = Path(folder), params["layers"], {}
    tensors: dict[str, np.ndarray] = {}
    for module, layouts in modules(c).items():
        if _name(layouts[0]) not in c.lora.targets:
            continue
        ranks[module] = c.lora.rank * len(layouts)
        pairs = [[np.asarray(layers[_name(x) + end], np.float32) for end in (DOWN, UP)] for x in layouts]
        for place, tensor in enumerate(layouts[0].names):
            there = f"base_model.model.{tensor.removesuffix('.weight')}"
            down, up = _to_peft(layouts, [(down[place], up[place]) for down, up in pairs], c.lora.rank)
            tensors |= {f"{there}.lora_A.weight": down, f"{there}.lora_B.weight": up}
    config = ONLY | {
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": c.lora.rank,
        "lora_alpha": c.lora.alpha,
        "lora_dropout": c.lora.dropout,
        "target_modules": sorted(ranks),
        "rank_pattern": {module: rank for module, rank in ranks.items() if rank != c.lora.rank},
        "alpha_pattern": {module: c.lora.scale * rank for module, rank in ranks.items() if rank != c.lora.rank},
        "use_rslora": False,
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: x.astype(jnp.dtype(dtype)) for name, x in tensors.items()}, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _to_peft(
    layouts: Sequence[Layout], pairs: Sequence[tuple[np.ndarray, np.ndarray]], rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """One layer of one module: A [R, inputs] and B [outputs, R]; of several weights, each has its own ranks."""
    ups = []
    for i, (layout, (_, up)) in enumerate(zip(layouts, pairs)):
        part = _up_layout(layout, rank).write(up)
        ups.append(np.pad(part, ((0, 0), (0, 0), (i * rank, (len(layouts) - 1 - i) * rank))))
    whole = np.concatenate(ups, axis=1)
    down = np.concatenate([down.reshape(-1, rank).T for down, _ in pairs])
    return np.ascontiguousarray(down), np.ascontiguousarray(whole.reshape(-1, whole.shape[-1]))


def read_config(folder: str | Path) -> dict[str, Any]:
    """adapter_config.json; raises `ValueError` for kinds of adapters that are not ours."""
    path = Path(folder) / CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # not there or not JSON
        raise ValueError(f"{path}: cannot be read: {error}") from error
    wrong = [f"{key} {config[key]!r} is not supported" for key, only in ONLY.items() if config.get(key, only) not in (only, [])]
    if wrong:
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    return config


def base(folder: Path) -> Path:
    """The folder of the weights that adapters belong to; raises `ValueError` if it is not there."""
    name = str(read_config(folder).get("base_model_name_or_path"))
    found = next((path for path in (Path(name), folder / name) if path.exists()), None)
    if found is None:
        raise ValueError(f"{folder / CONFIG}: base_model_name_or_path {name!r} is no folder here")
    return found


def load(folder: str | Path, c: ModelConfig) -> tuple[ModelConfig, model.Params]:
    """The config with these adapters, and their weights, to be joined with those of the base; raises one `ValueError`."""
    folder, config = Path(folder), read_config(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS}: cannot be read: {error}") from error
    pairs: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for name, x in tensors.items():
        if not (found := TENSOR.search(name)):
            raise ValueError(f"{folder / WEIGHTS}: {name} is not part of an adapter")
        layer, module, which = found.groups()
        pairs.setdefault(module, {}).setdefault(int(layer), {})[which] = x.astype(np.float32)
    known = modules(c)
    problems = [f"{module} is no projection of {c.family}" for module in pairs if module not in known]
    for module in pairs.keys() & known.keys():
        problems += _problems(c, module, known[module], pairs[module])
    if problems:
        raise ValueError("\n  ".join([f"{folder}: {len(problems)} problems:", *problems[:10]]))
    ours = {name: pair for module, each in pairs.items() for name, pair in _from_peft(known[module], each).items()}
    rank = max(down.shape[-1] for down, _ in ours.values())
    scales = {module: _scale(config, module, each) for module, each in pairs.items()}
    scale = next(iter(scales.values()))
    lora = Lora(rank, scale * rank, tuple(ours), float(config.get("lora_dropout") or 0.0))
    layers = {}
    for module in pairs:
        for layout in known[module]:
            down, up = ours[_name(layout)]
            short = rank - down.shape[-1]
            layers[_name(layout) + DOWN] = np.pad(down, ((0, 0),) * (down.ndim - 1) + ((0, short),))
            up = np.pad(up, ((0, 0), (0, short)) + ((0, 0),) * (up.ndim - 2))
            layers[_name(layout) + UP] = up * np.float32(scales[module] / scale)
    return dataclasses.replace(c, lora=lora), {"layers": jax.tree.map(jnp.asarray, layers)}


def _scale(config: Mapping[str, Any], module: str, each: Mapping[int, Mapping[str, np.ndarray]]) -> float:
    """What a module's adapter is multiplied with."""
    rank = next(iter(each.values()))["A"].shape[0]
    alpha = next((x for key, x in (config.get("alpha_pattern") or {}).items() if _matches(key, module)), config["lora_alpha"])
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _matches(pattern: str, module: str) -> bool:
    return re.match(rf"(.*\.)?({pattern})$", f"model.layers.0.{module}") is not None


def _problems(
    c: ModelConfig, module: str, layouts: Sequence[Layout], each: Mapping[int, Mapping[str, np.ndarray]]
) -> list[str]:
    """What is wrong with the adapters of one module in all layers."""
    there = {int(number) for name in layouts[0].names for number in re.findall(r"layers\.(\d+)\.", name)[:1]}
    problems = [f"{module} of layer {i} has no adapter" for i in sorted(there - each.keys())]
    problems += [f"{module} of layer {i} is not part of the model" for i in sorted(each.keys() - there)]
    outputs, inputs = layouts[0].their_shape
    for i in sorted(there & each.keys()):
        rank = each[i]["A"].shape[0] if "A" in each[i] else -1
        shapes = {which: x.shape for which, x in each[i].items()}
        if shapes != {"A": (rank, inputs), "B": (outputs, rank)} or rank != next(iter(each.values()))["A"].shape[0]:
            problems.append(f"{module} of layer {i} has an adapter of shapes {shapes} beside {outputs} x {inputs}")
    return problems


def _from_peft(
    layouts: Sequence[Layout], each: Mapping[int, Mapping[str, np.ndarray]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The stacked pairs of the weights of one module; those of a joined tensor share its A."""
    found = {}
    for layout in layouts:
        downs, ups = [], []
        for i in sorted(each):
            a, b = each[i]["A"], each[i]["B"]
            up = _up_layout(layout, len(a))
            downs.append(a.T.reshape(*(layout.sizes[x] for x in layout.theirs[1]), len(a)))
            ups.append(up.read(b.__getitem__, (slice(None),) * len(up.ours)))
        pair = np.stack(downs), np.stack(ups)
        found[_name(layout)] = _without_idle(*pair) if len(layouts) > 1 else pair
    return found


def _without_idle(down: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the ranks that write nothing in any layer, as those of the other weights in an adapter that we joined."""
    used = np.abs(up).sum((0, *range(2, up.ndim))) > 0
    used = used if used.any() else np.ones_like(used)
    return down[..., used], up[:, used]
