"""The mesh of devices and the one table that lays logical axes on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from playpen_jax import config as configs

# logical axis -> mesh axis; axes that are not named here are never split
RULES: dict[str, str | tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "mlp": "tensor",
    "delta_keys": "tensor",
    "delta_values": "tensor",
    "vocab": "tensor",
}
# the same of weights that are computed with: whole on every shard of rows
GATHERED = {axis: place for axis, place in RULES.items() if place == "tensor"}

AXES = ("data", "fsdp", "tensor")
AnyMesh = Mesh | AbstractMesh


def mesh_shape(settings: configs.Mesh, devices: int) -> tuple[int, int, int]:
    """The sizes of `AXES` over so many devices; raises `ConfigError` if they do not divide."""
    inner = settings.fsdp * settings.tensor
    data = devices // max(inner, 1) if settings.data == -1 else settings.data
    if min(data, settings.fsdp, settings.tensor) < 1 or data * inner != devices:
        shape = f"data={settings.data} x fsdp={settings.fsdp} x tensor={settings.tensor}"
        raise configs.ConfigError(f"a mesh of {shape} does not fit {devices} devices")
    return data, settings.fsdp, settings.tensor


def make_mesh(settings: configs.Mesh, devices: list | None = None) -> Mesh:
    """A mesh of `AXES` over all devices; raises `ConfigError` if they do not divide."""
    devices = jax.devices() if devices is None else devices
    grid = np.asarray(devices).reshape(mesh_shape(settings, len(devices)))
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * 3)


def dealt(config: configs.Config, mesh: AnyMesh) -> configs.Config:
    """The config with at least one row of a micro-batch for each shard of rows.

    Raises `ConfigError` if the rows cannot be dealt out evenly.
    """
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    micro = max(config.batch.micro, ways)
    if micro % ways:
        raise configs.ConfigError(f"batch.micro={micro} rows cannot be dealt out to {ways} devices")
    return dataclasses.replace(config, batch=dataclasses.replace(config.batch, micro=micro))


def spec(
    axes: tuple[str | None, ...],
    shape: tuple[int, ...],
    mesh: AnyMesh,
    rules: Mapping[str, str | tuple[str, ...]] = RULES,
) -> PartitionSpec:
    """The partition of an array with these logical axes; an axis that does not divide stays whole."""

    def place(axis: str | None, size: int):
        names = rules.get(axis) if axis else None
        if names is None:
            return None
        parts = int(np.prod([mesh.shape[name] for name in ((names,) if isinstance(names, str) else names)]))
        return names if parts > 1 and size % parts == 0 else None

    return PartitionSpec(*(place(axis, size) for axis, size in zip(axes, shape, strict=True)))


def shardings(axes: Any, abstract: Any, mesh: AnyMesh, rules: Mapping[str, str | tuple[str, ...]] = RULES) -> Any:
    """A tree of `NamedSharding` for a tree of arrays and the same tree of logical axes."""
    place = lambda x, names: NamedSharding(mesh, spec(tuple(names), x.shape, mesh, rules))
    return jax.tree.map(place, abstract, axes)


def constrain(x: jax.Array, *axes: str | None, rules: Mapping[str, str | tuple[str, ...]] = RULES) -> jax.Array:
    """Inside a program whose mesh is set: x laid out by its logical axes, and its gradient likewise; elsewhere x as it is."""
    mesh = jax.sharding.get_abstract_mesh()
    return x if mesh.empty else jax.lax.with_sharding_constraint(x, spec(axes, x.shape, mesh, rules))


def parts(axis: str, size: int) -> int:
    """Inside a program whose mesh is set: into how many parts a logical axis of this size is cut."""
    mesh = jax.sharding.get_abstract_mesh()
    names = () if mesh.empty else spec((axis,), (size,), mesh)[0] or ()
    return int(np.prod([mesh.shape[name] for name in ((names,) if isinstance(names, str) else names)]))


def put(tree: Any, at: Any) -> Any:
    """Arrays that every process has whole, or that lie on the devices of all, laid out as `at`; each keeps its own parts."""
    if jax.process_count() == 1:
        return jax.device_put(tree, at)

    def part(x: Any, where: NamedSharding) -> jax.Array:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return jax.device_put(x, where)
        whole = np.asarray(x)
        return jax.make_array_from_callback(whole.shape, where, lambda index: whole[index])

    return jax.tree.map(part, tree, at)


def rows(mesh: Mesh) -> NamedSharding:
    """Arrays whose first axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(RULES["batch"]))


def replicated(mesh: AnyMesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())
