"""Hugging Face folders: safetensors and config.json in and out, without torch."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from playpen_jax import families, model
from playpen_jax.families import FAMILIES, WRAPPED, Layout

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
SHARD = 2 << 30  # bytes of one file at most, unless a single tensor is larger: about what lies in host memory at once


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
    if kind in WRAPPED:
        kind, config = WRAPPED[kind][0], {**config, **(config.get("text_config") or {})}
    if kind not in FAMILIES:
        raise ValueError(f"{path}: unknown model_type {kind!r}: one of {', '.join([*FAMILIES, *WRAPPED])}")
    try:
        return families.read(kind, FAMILIES[kind], config)
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
    prefixes = WRAPPED.get(_json(folder / "config.json").get("model_type", ""), ("", {"": ""}))[1]
    found: dict[str, _Tensor] = {}
    problems: list[str] = []
    for name in sorted(set(index.values())):
        try:
            file = stack.enter_context(safe_open(folder / name, framework="numpy"))
        except (OSError, SafetensorError) as error:  # a shard that is missing, cut short or something else altogether
            problems.append(f"{name} cannot be read: {error}")
            continue
        for key in file.keys():
            old = next((old for old in prefixes if key.startswith(old)), None)
            if old is not None:
                found[prefixes[old] + key.removeprefix(old)] = _Tensor(file, key)
    _fail(folder, problems)
    return found


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor of an open file, of which nothing is read yet."""

    file: Any
    key: str

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.file.get_slice(self.key)[index]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.file.get_slice(self.key).get_shape())

    @property
    def dtype(self) -> str:
        return self.file.get_slice(self.key).get_dtype()


def _check(c: model.ModelConfig, layouts: Sequence[Layout], tensors: Mapping[str, _Tensor]) -> list[str]:
    """What is wrong with the names, shapes and types of the tensors."""
    problems, wanted = [], {name: layout for layout in layouts for name in layout.names}
    for name, layout in wanted.items():
        if name not in tensors:
            problems.append(f"{name} is missing")
            continue
        if tensors[name].shape != layout.their_shape:
            problems.append(f"{name} has shape {tensors[name].shape}, config.json says {layout.their_shape}")
        if tensors[name].dtype not in FLOATS:
            problems.append(f"{name} is {tensors[name].dtype}, not one of {', '.join(FLOATS)}")
    family = FAMILIES[c.family]
    names = {key: name for key, (name, _) in family.tensors.items()}
    for name in sorted(tensors.keys() - wanted.keys()):
        if c.tied and name == names["head"] and names["embed"] in tensors:
            if not _same(tensors[name], tensors[names["embed"]]):
                problems.append(f"{name} differs from {names['embed']}, to which config.json ties it")
        elif not name.endswith(family.ignored):
            problems.append(f"{name} is not part of the model")
    return problems


def _same(a: _Tensor, b: _Tensor, rows: int = 1024) -> bool:
    """Whether two matrices are equal, a few rows at a time."""
    parts = (slice(i, min(i + rows, a.shape[0])) for i in range(0, a.shape[0], rows))
    return a.shape == b.shape and all(np.array_equal(a[part], b[part]) for part in parts)


def load(
    folder: str | Path,
    dtype: str = "float32",
    shardings: model.Params | None = None,
    base: Literal["int8", "nf4"] | None = None,
) -> tuple[model.ModelConfig, model.Params]:
    """Reads config.json and model.safetensors, or its shards; weights and computing type become `dtype`.

    shardings: a tree of shardings on which each weight is laid as soon as it is read; None: all on the default device.
    base: what projections are turned into at once (`ModelConfig.base`). Raises one `ValueError` that names the file and every
    problem.
    """
    folder = Path(folder)
    c = dataclasses.replace(read_config(folder), dtype=dtype)
    layouts = families.layouts(c, FAMILIES[c.family])
    shapes, tree = jax.tree.flatten(model.abstract(c))
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    places = [here] * len(layouts) if shardings is None else jax.tree.leaves(shardings)
    with contextlib.ExitStack() as stack:
        tensors = _open(folder, stack)
        _fail(folder, _check(c, layouts, tensors))
        weights = []
        for layout, x, place in zip(layouts, shapes, places, strict=True):
            w = _read(tensors, layout, x.shape, place, jnp.dtype(dtype))
            weights.append(_quantise(base, layout.key.removeprefix("layers."))(w) if base else w)
        return dataclasses.replace(c, base=base), jax.tree.unflatten(tree, weights)


@cache
def _quantise(base: str, name: str) -> Callable[[jax.Array], Any]:
    return jax.jit(lambda w: model.quantise(base, name, w))


def _read(
    tensors: Mapping[str, _Tensor], layout: Layout, shape: tuple[int, ...], place: jax.sharding.Sharding, dtype: np.dtype
) -> jax.Array:
    """One weight, layer by layer onto its shards: no more than a shard of one layer is in host memory."""

    def part(names: Sequence[str], index: tuple[slice, ...]) -> np.ndarray:
        """A shard of one layer: of one tensor, or of those of its experts."""
        own = index[len(index) - len(layout.ours) :]
        read = [layout.read(tensors[name].__getitem__, own).astype(dtype) for name in names[index[0]]]
        return np.stack(read) if len(layout.lead) > 1 else read[0]

    if not layout.lead:
        return jax.make_array_from_callback(shape, place, lambda index: part(layout.names, (slice(None), *(index or ()))))
    experts = math.prod(layout.lead[1:])
    layer = _without_first(place, len(shape))
    whole, put = _zeros(shape, dtype, place)(), _put(place)
    for i in range(layout.lead[0]):
        names = layout.names[i * experts : (i + 1) * experts]
        index = (lambda index: index) if len(layout.lead) > 1 else (lambda index: (slice(None), *index))
        one = jax.make_array_from_callback(shape[1:], layer, lambda at: part(names, index(at)))  # noqa: B023 used at once
        whole = put(whole, one, i)
    return whole


def _without_first(place: jax.sharding.Sharding, axes: int) -> jax.sharding.Sharding:
    """Where one layer of a stack of layers lies, that is never cut along its first axis."""
    if not isinstance(place, jax.sharding.NamedSharding):
        return place
    spec = (*place.spec, *[None] * (axes - len(place.spec)))
    return place.update(spec=jax.sharding.PartitionSpec(*spec[1:]))


@cache
def _zeros(shape: tuple[int, ...], dtype: np.dtype, place: jax.sharding.Sharding) -> Callable[[], jax.Array]:
    return jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=place)


@cache
def _put(place: jax.sharding.Sharding) -> Callable[[jax.Array, jax.Array, int], jax.Array]:
    put = lambda whole, one, i: jax.lax.dynamic_update_index_in_dim(whole, one, i, 0)
    return jax.jit(put, out_shardings=place, donate_argnums=0)


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
        ids = _json(assets / "config.json") if assets and (assets / "config.json").exists() else {}
    config = {"architectures": [family.architecture], "model_type": c.family, "dtype": dtype, **families.write(family, c.plain)}
    config |= {key: ids.get(key) for key in TOKEN_IDS}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ASSETS if assets else ():
        if assets and (assets / name).exists() and assets.resolve() != folder.resolve():
            shutil.copyfile(assets / name, folder / name)
    (folder / "config.json.part").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    os.replace(folder / "config.json.part", folder / "config.json")
