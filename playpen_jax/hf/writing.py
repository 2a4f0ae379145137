"""Writes a folder that transformers loads."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from playpen_jax import families, model
from playpen_jax.families import FAMILIES, Layout
from playpen_jax.hf.reading import INDEX, WEIGHTS, json_of

ASSETS = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
SHARD = 2 << 30  # bytes of one file at most, unless a single tensor is larger: about what lies in host memory at once


def save(
    folder: str | Path,
    c: model.ModelConfig,
    params: model.Params,
    dtype: str = "float32",
    assets_from: str | Path | None = None,
) -> None:
    """Writes a folder that transformers loads: config.json and model.safetensors (or shards of it), its tensors in `dtype`.

    Adapters are merged into the weights that they stand beside, and quantised weights written as what they stand for.
    assets_from: a folder whose tokenizer files are copied, with the ids of special tokens in its config.json. Raises
    `ValueError` if `params` are not the weights that `c` describes, or if the family cannot express `c`.
    """
    folder, family = Path(folder), FAMILIES[c.family]
    shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
    if shapes(params) != shapes(model.abstract(c)):
        raise ValueError(f"{folder}: the weights are not those of the config: {shapes(params)}")
    c, params = model.merge(c, params)
    families.write(family, c)  # refuses before anything is written
    parts: dict[str, list[tuple[Layout, jax.Array, int]]] = {}
    weights = {layout.key: (layout, w) for layout, w in zip(families.layouts(c, family), jax.tree.leaves(params))}
    for key in family.tensors:  # the order in which joined tensors are joined
        if key in weights:
            layout, weight = weights[key]
            for i, name in enumerate(layout.names):
                parts.setdefault(name, []).append((layout, weight, i))
    save_config(folder, c, dtype, assets_from)
    files = _files({name: math.prod(some[0][0].their_shape) * jnp.dtype(dtype).itemsize for name, some in parts.items()})
    for file, names in files.items():
        _write(folder, file, {name: _join(parts[name], jnp.dtype(dtype)) for name in names})
    stale = {path.name for path in folder.glob("model*.safetensors*")} - files.keys()
    if len(files) > 1:
        index = {"metadata": {}, "weight_map": {name: file for file, names in files.items() for name in names}}
        (folder / f"{INDEX}.part").write_text(json.dumps(index, indent=2) + "\n", "utf-8")
        os.replace(folder / f"{INDEX}.part", folder / INDEX)
        stale -= {INDEX}
    for name in stale if jax.process_index() == 0 else ():  # of weights that lay here before: a reader would take them
        (folder / name).unlink()


def _files(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """Which tensors of these sizes in bytes go into which file."""
    groups: list[list[str]] = [[]]
    for name, size in sizes.items():
        if groups[-1] and sum(sizes[x] for x in groups[-1]) + size > SHARD:
            groups.append([])
        groups[-1].append(name)
    if len(groups) == 1:
        return {WEIGHTS: groups[0]}
    return {f"model-{i:05}-of-{len(groups):05}.safetensors": names for i, names in enumerate(groups, 1)}


def _join(parts: Sequence[tuple[Layout, jax.Array, int]], dtype: np.dtype) -> np.ndarray:
    """One of their tensors, from the weights that it joins."""
    arrays = []
    for layout, weight, i in parts:
        one = weight[np.unravel_index(i, layout.lead)] if layout.lead else weight
        arrays.append(layout.write(np.asarray(one).astype(dtype)))
    return np.concatenate(arrays, axis=1).reshape(parts[0][0].their_shape)


def _write(folder: Path, name: str, tensors: dict[str, np.ndarray]) -> None:
    save_file(tensors, folder / f"{name}.part", metadata={"format": "pt"})
    shutil.copymode(folder / "config.json", folder / f"{name}.part")  # safetensors makes files for the owner's eyes only
    os.replace(folder / f"{name}.part", folder / name)  # never half a file under the final name


def save_config(
    folder: str | Path,
    c: model.ModelConfig,
    dtype: str = "float32",
    assets_from: str | Path | None = None,
    ids: Mapping[str, int | None] | None = None,
) -> None:
    """Writes config.json of a model whose tensors are in `dtype`, and copies the tokenizer files of `assets_from`.

    ids: of the special tokens, by the names in TOKEN_IDS; None: as `assets_from` has them.
    """
    folder, family = Path(folder), FAMILIES[c.family]
    assets = None if assets_from is None else Path(assets_from)
    if ids is None:
        ids = json_of(assets / "config.json") if assets and (assets / "config.json").exists() else {}
    config = {"architectures": [family.architecture], "model_type": c.family, "dtype": dtype, **families.write(family, c.plain)}
    config |= {key: ids.get(key) for key in TOKEN_IDS}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ASSETS if assets else ():
        if assets and (assets / name).exists() and assets.resolve() != folder.resolve():
            shutil.copyfile(assets / name, folder / name)
    (folder / "config.json.part").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    os.replace(folder / "config.json.part", folder / "config.json")
