"""Reads the config and the weights of a Hugging Face folder, each straight onto its device."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from playpen_jax import families, model
from playpen_jax.families import FAMILIES, WRAPPED, Layout

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = ("F64", "F32", "F16", "BF16")


def _fail(where: Path, problems: list[str]) -> None:
    """Raises one `ValueError` that names up to ten problems, if there are any."""
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise ValueError("\n  ".join([f"{where}: {len(problems)} problems:", *problems[:10], *more]))


def json_of(path: Path) -> Mapping[str, Any]:
    """The object in a file; raises `ValueError` that names the file."""
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
    config = json_of(path)
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
    index = json_of(folder / INDEX).get("weight_map") if not (folder / WEIGHTS).exists() else {"": WEIGHTS}
    if not isinstance(index, dict) or not all(isinstance(name, str) and Path(name).name == name for name in index.values()):
        raise ValueError(f"{folder / INDEX}: no weight_map from tensors to plain file names")
    prefixes = WRAPPED.get(json_of(folder / "config.json").get("model_type", ""), ("", {"": ""}))[1]
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
