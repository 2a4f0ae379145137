"""Hugging Face folders: safetensors and config.json in and out, without torch."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from playpen_jax import model
from playpen_jax.families import FAMILIES, LETTERS

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
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
FLOATS = ("F64", "F32", "F16", "BF16")


class _Leaf(NamedTuple):
    """One of our weights and its tensors there: one per layer, or just one. Axes are letters, there grouped in words."""

    names: list[str]
    ours: str
    theirs: str
    sizes: dict[str, int]

    @property
    def their_shape(self) -> tuple[int, ...]:
        return tuple(math.prod(self.sizes[letter] for letter in word) for word in self.theirs.split())

    def read(self, tensor: np.ndarray) -> np.ndarray:
        """A tensor of theirs in our shape."""
        letters = self.theirs.replace(" ", "")
        return tensor.reshape([self.sizes[x] for x in letters]).transpose([letters.index(x) for x in self.ours])

    def write(self, part: np.ndarray) -> np.ndarray:
        """One layer of ours in their shape."""
        letters = self.theirs.replace(" ", "")
        return np.ascontiguousarray(part.transpose([self.ours.index(x) for x in letters])).reshape(self.their_shape)


def _leaves(c: model.ModelConfig) -> list[_Leaf]:
    """A `_Leaf` for each weight, in the order of `jax.tree.leaves`."""
    sizes = {LETTERS[axis]: size for axis, size in model.sizes(c).items() if axis in LETTERS}

    def leaf(path: tuple, axes: tuple[str, ...]) -> _Leaf:
        name, theirs = FAMILIES[c.family].tensors[jax.tree_util.keystr(path, simple=True, separator=".")]
        names = [name.format(i) for i in range(c.layers)] if axes[0] == "layers" else [name]
        return _Leaf(names, "".join(LETTERS[axis] for axis in axes if axis != "layers"), theirs, sizes)

    axes, _ = jax.tree_util.tree_flatten_with_path(model.logical_axes(c), is_leaf=lambda x: isinstance(x, tuple))
    return [leaf(*each) for each in axes]


def _fail(where: Path, problems: list[str]) -> None:
    """Raises one `ValueError` that names up to ten problems, if there are any."""
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise ValueError("\n  ".join([f"{where}: {len(problems)} problems:", *problems[:10], *more]))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # not there or not JSON: whatever is wrong with a folder is one kind of error
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object")
    return content


def read_config(folder: str | Path) -> model.ModelConfig:
    """The config of the model in a folder; raises `ValueError` naming the file and what is wrong with it."""
    path = Path(folder) / "config.json"
    config = _json(path)
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise ValueError(f"{path}: unknown model_type {kind!r}: one of {', '.join(FAMILIES)}")
    try:
        return FAMILIES[kind].read(config)
    except (
        ValueError,
        TypeError,
        AttributeError,
    ) as error:  # the last two: a value of an odd type, such as a text for a number
        raise ValueError(f"{path}: {error}") from error


def _open(folder: Path, stack: contextlib.ExitStack) -> dict[str, Any]:
    """The open safetensors file of each tensor name."""
    index = _json(folder / INDEX).get("weight_map") if not (folder / WEIGHTS).exists() else {"": WEIGHTS}
    if not isinstance(index, dict) or not all(isinstance(name, str) and Path(name).name == name for name in index.values()):
        raise ValueError(f"{folder / INDEX}: no weight_map from tensors to plain file names")
    found, problems = {}, []
    for name in sorted(set(index.values())):
        try:
            file = stack.enter_context(safe_open(folder / name, framework="numpy"))
        except (OSError, SafetensorError) as error:  # a shard that is missing, cut short or something else altogether
            problems.append(f"{name} cannot be read: {error}")
            continue
        found |= dict.fromkeys(file.keys(), file)
    _fail(folder, problems)
    return found


def _check(c: model.ModelConfig, leaves: list[_Leaf], files: dict[str, Any]) -> list[str]:
    """What is wrong with the names, shapes and types of the tensors."""
    problems, wanted = [], {name: leaf for leaf in leaves for name in leaf.names}
    for name, leaf in wanted.items():
        if name not in files:
            problems.append(f"{name} is missing")
            continue
        header = files[name].get_slice(name)
        if tuple(header.get_shape()) != leaf.their_shape:
            problems.append(f"{name} has shape {tuple(header.get_shape())}, config.json says {leaf.their_shape}")
        if header.get_dtype() not in FLOATS:
            problems.append(f"{name} is {header.get_dtype()}, not one of {', '.join(FLOATS)}")
    family = FAMILIES[c.family]
    tensors = {key: name for key, (name, _) in family.tensors.items()}
    for name in sorted(files.keys() - wanted.keys()):
        if c.tied and name == tensors["head"] and tensors["embed"] in files:
            if not np.array_equal(files[name].get_tensor(name), files[tensors["embed"]].get_tensor(tensors["embed"])):
                problems.append(f"{name} differs from {tensors['embed']}, to which config.json ties it")
        elif not name.endswith(family.ignored):
            problems.append(f"{name} is not part of the model")
    return problems


def load(
    folder: str | Path, dtype: str = "float32", shardings: model.Params | None = None
) -> tuple[model.ModelConfig, model.Params]:
    """Reads config.json and model.safetensors, or its shards; weights and computing type become `dtype`.

    shardings: a tree of shardings on which each weight is laid as soon as it is read; None: all on the default device.
    Raises one `ValueError` that names the file and every problem.
    """
    folder = Path(folder)
    c = dataclasses.replace(read_config(folder), dtype=dtype)
    leaves = _leaves(c)
    shapes, tree = jax.tree.flatten(model.abstract(c))
    places = [None] * len(leaves) if shardings is None else tree.flatten_up_to(shardings)
    with contextlib.ExitStack() as stack:
        files = _open(folder, stack)
        _fail(folder, _check(c, leaves, files))

        def read(leaf: _Leaf, shape: tuple[int, ...], place: jax.sharding.Sharding | None) -> jax.Array:
            parts = np.empty((len(leaf.names), *(leaf.sizes[x] for x in leaf.ours)), jnp.dtype(dtype))
            for part, name in zip(parts, leaf.names):
                part[...] = leaf.read(files[name].get_tensor(name))
            whole = parts.reshape(shape)
            return jnp.asarray(whole) if place is None else jax.make_array_from_callback(shape, place, whole.__getitem__)

        return c, tree.unflatten([read(leaf, x.shape, place) for leaf, x, place in zip(leaves, shapes, places)])


def save(
    folder: str | Path,
    c: model.ModelConfig,
    params: model.Params,
    dtype: str = "float32",
    assets_from: str | Path | None = None,
) -> None:
    """Writes a folder that transformers loads: config.json and model.safetensors, its tensors in `dtype`.

    assets_from: a folder whose tokenizer files are copied, with the ids of special tokens in its config.json. Raises
    `ValueError` if `params` are not the weights that `c` describes, or if the family cannot express `c`.
    """
    folder = Path(folder)
    shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
    if shapes(params) != shapes(model.abstract(c)):
        raise ValueError(f"{folder}: the weights are not those of the config: {shapes(params)}")
    tensors = {}
    for leaf, weight in zip(_leaves(c), jax.tree.leaves(params)):
        parts = np.asarray(weight).reshape(len(leaf.names), *(leaf.sizes[x] for x in leaf.ours))
        tensors |= {name: leaf.write(part.astype(jnp.dtype(dtype))) for name, part in zip(leaf.names, parts)}
    save_config(folder, c, dtype, assets_from)
    save_file(tensors, folder / f"{WEIGHTS}.part", metadata={"format": "pt"})
    shutil.copymode(folder / "config.json", folder / f"{WEIGHTS}.part")  # safetensors makes files for the owner's eyes only
    os.replace(folder / f"{WEIGHTS}.part", folder / WEIGHTS)  # never half a file under the final name


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
        ids = _json(assets / "config.json") if assets and (assets / "config.json").exists() else {}
    config = {"architectures": [family.architecture], "model_type": c.family, "dtype": dtype, **family.write(c)}
    config |= {key: ids.get(key) for key in TOKEN_IDS}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ASSETS if assets else ():
        if (assets / name).exists() and assets.resolve() != folder.resolve():
            shutil.copyfile(assets / name, folder / name)
    (folder / "config.json.part").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    os.replace(folder / "config.json.part", folder / "config.json")
