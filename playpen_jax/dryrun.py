"""What a run would need, before anything is loaded: `python -m playpen_jax.train --config=... --dry-run [--topology=NAME]`.

Shapes alone are looked at, so neither hardware nor weights need be there: of a Hugging Face folder only config.json is read.
With the topology of a TPU slice the real programs are compiled for it too, where libtpu is installed (aot.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType

from playpen_jax import aot, model, optim, policy, sharding, update
from playpen_jax import config as configs
from playpen_jax.losses import tokens
from playpen_jax.sampler import ahead

GIB = 2**30
FITS = 0.92  # share of a device's memory that a run may fill: the rest is the runtime's and lost between buffers


# what only the plays need, and what only the update needs
PLAYS = ("KV cache", "sampler's weights")
UPDATE = ("gradients", "weights as computed", "the head", "activations kept", "a layer at work", "a chunk of logits")


class Hardware(NamedTuple):
    """One kind of accelerator, by its maker's data sheet: memory of a device in GiB, bfloat16 TFLOP/s, memory's GB/s.

    Of a TPU also its clock, which its products of a cycle follow from, in GHz; and the GB/s that come in over two of its links.
    """

    memory: float
    tflops: float
    bandwidth: float
    clock: float = 0.0
    links: float = 0.0


HARDWARE = {
    "v4": Hardware(32, 275, 1228, 1.05, 100),
    "v5e": Hardware(16, 197, 819, 1.5, 100),
    "v5p": Hardware(95, 459, 2765, 1.75, 200),
    "v6e": Hardware(32, 918, 1640, 1.75, 200),
    "a100": Hardware(80, 312, 2039),
    "h100": Hardware(80, 989, 3350),
    "h200": Hardware(141, 989, 4800),
    "b200": Hardware(180, 2250, 8000),
    "l4": Hardware(24, 121, 300),
    "l40s": Hardware(48, 362, 864),
    "rtx4090": Hardware(24, 165, 1008),
}


class Place(NamedTuple):
    """Where a run would run: how it is called, how many devices of how many bytes, and whether it can be compiled for."""

    name: str
    devices: int
    memory: int | None
    topology: str | None = None


def place_of(topology: str | None) -> Place:
    """`v5e:4x4`, `h100:8`, or None: the devices at hand. Raises `ConfigError` for a name that is not known."""
    if topology is None:
        stats = jax.local_devices()[0].memory_stats() or {}
        return Place(f"{jax.default_backend()} at hand", len(jax.devices()), stats.get("bytes_limit"))
    kind, _, shape = topology.partition(":")
    sizes = shape.split("x")
    if kind not in HARDWARE or not all(size.isdigit() and int(size) for size in sizes):
        names = ", ".join(HARDWARE)
        raise configs.ConfigError(f"--topology={topology}: a kind ({names}) and its devices, such as v5e:4x4 or h100:8")
    hardware = HARDWARE[kind]
    return Place(topology, math.prod(map(int, sizes)), int(hardware.memory * GIB), topology if hardware.clock else None)


def model_of(config: configs.Config, there: Hardware | None) -> model.ModelConfig:
    """The model that the run would train, with what `auto` would mean `there`; None: at hand."""
    m = config.model
    c = policy.fresh_config(m, m.vocab) if m.path is None else policy.planned(m.path, config.lora)
    dtype = m.dtype if m.dtype != "auto" else "bfloat16" if there else policy.compute_dtype("auto")
    kernel = policy.attention(m.attention)
    if m.attention == "auto" and there and there.clock:
        kernel = "splash"
    return dataclasses.replace(c, dtype=dtype, remat=m.remat, attention=kernel)


def held(tree: Any, at: Any) -> int:
    """Bytes of a tree of arrays on one device, with these shardings."""
    sizes = jax.tree.map(lambda x, s: math.prod(s.shard_shape(x.shape)) * x.dtype.itemsize, tree, at)
    return sum(jax.tree.leaves(sizes))


def needs(config: configs.Config, c: model.ModelConfig, way: ModuleType, mesh: AbstractMesh) -> dict[str, int]:
    """Bytes on each device, by what they are for; those of UPDATE but the gradients are estimates of what XLA makes of it."""
    tx = optim.make(config.optim, config.steps)
    at, weights = update.state_shardings(c, tx, mesh), aot.weights_of(c)
    trained, lies = model.split(weights)[0], model.split(at.params)[0]
    size = held(trained, lies)
    found = {
        "weights": held(weights, at.params),
        "optimizer": held(jax.eval_shape(tx.init, trained), at.opt_state),
        "weights at the start": size,  # a reference, or what the run tells at its end of how far it went
    }
    if config.algorithm == "grpo":
        found |= {"a moving reference": size} if way.moves(config) else {}
        found |= sampler_needs(config, c, mesh)
    found["gradients"] = 2 * size  # their sum, and those of a micro-batch
    return found | computed(c, weights, at.params, mesh) | activations(config, c, mesh)


def computed(c: model.ModelConfig, weights: Any, at: Any, mesh: AbstractMesh) -> dict[str, int]:
    """Copies in the computing type: of all weights where they lie, and of the head whole, with its gradient in float32."""
    size, head = np.dtype(c.dtype).itemsize, c.vocab * c.dim // mesh.shape["tensor"]
    matrices = [(x, s) for x, s in zip(jax.tree.leaves(weights), jax.tree.leaves(at)) if x.dtype == np.float32 and x.ndim > 2]
    copies = size * sum(math.prod(s.shard_shape(x.shape)) for x, s in matrices) if c.dtype != "float32" else 0
    gradient = 0 if c.lora else 4 * head
    return {"weights as computed": copies, "the head": head * size + gradient}


def peak(bytes_of: dict[str, int]) -> int:
    """What is there at once: the plays give their memory back before the update, which gives back its own."""
    parts = [sum(bytes_of.get(name, 0) for name in names) for names in (PLAYS, UPDATE)]
    return sum(bytes_of.values()) - min(parts)


def sampler_needs(config: configs.Config, c: model.ModelConfig, mesh: AbstractMesh) -> dict[str, int]:
    """The cache of keys and values, and the sampler's copy of the weights in the computing type."""
    layers, cache = ahead.layers(c, mesh), aot.abstract_cache(config, c, mesh)
    return {"KV cache": held(cache, places(cache)), "sampler's weights": held(layers, places(layers))}


def places(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.sharding, tree)


def activations(config: configs.Config, c: model.ModelConfig, mesh: AbstractMesh) -> dict[str, int]:
    """What one micro-batch keeps for the way back (the input of every layer), one layer at work, and a chunk of logits."""
    rows = -(-config.batch.micro // (mesh.shape["data"] * mesh.shape["fsdp"]))
    T, tensor, size = config.batch.length, mesh.shape["tensor"], np.dtype(c.dtype).itemsize
    block = min(T, max(128, -(-T // 8)))
    scores = rows * -(-c.heads // tensor) * block * T * (4 + size)
    wide = rows * T * (3 * -(-c.mlp // tensor) + 2 * c.dim + (c.heads + 2 * c.kv_heads) * c.head_dim // tensor) * size
    return {
        "activations kept": rows * T * c.dim * size * c.layers,
        "a layer at work": 2 * (scores + wide),
        "a chunk of logits": 3 * rows * min(tokens.CHUNK, T) * -(-c.vocab // tensor) * 4,
    }


def shape_of_mesh(config: configs.Config, place: Place) -> AbstractMesh:
    sizes = sharding.mesh_shape(config.mesh, place.devices)
    return AbstractMesh(sizes, sharding.AXES, axis_types=(AxisType.Auto,) * 3)


def report(config: configs.Config, way: ModuleType, topology: str | None, only: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that `--dry-run` tells, as plain data; raises `ConfigError` for settings that cannot run there.

    only: the programs to be compiled; (): all of the run.
    """
    place = place_of(topology)
    mesh = shape_of_mesh(config, place)
    config = sharding.dealt(config, mesh)
    chip = HARDWARE[topology.partition(":")[0]] if topology else None
    c = model_of(config, chip)
    bytes_of = needs(config, c, way, mesh)
    total, limit = peak(bytes_of), place.memory
    found: dict[str, Any] = {
        "place": place.name,
        "devices": place.devices,
        "mesh": dict(mesh.shape),
        "parameters": model.param_count(c),
        "bytes_per_device": bytes_of | {"total": total},
        "memory_per_device": limit,
        "fits": None if limit is None else total <= FITS * limit,
    }
    if chip and limit and place.topology:
        found["compiled"] = aot.compile_run(config, c, way, place.topology, limit, only)
        for program in found["compiled"].values():
            program |= seconds(program, chip)
    return found


def seconds(program: dict[str, Any], chip: Hardware) -> dict[str, float]:
    """The compiler's cycles, and what comes in over two links, as times: of the whole program, and of a turn of its loop."""
    if "cycles" not in program:
        return {}
    rates = {"cycles": chip.clock * 1e9, "link_bytes": chip.links * 1e9}
    names = {"cycles": "seconds", "link_bytes": "link_seconds"}
    return {of + names[key]: program[of + key] / rate for of in ("", "turn_") for key, rate in rates.items()}


def show(config: configs.Config, found: dict[str, Any]) -> None:
    """Print a report for people, after the resolved config."""
    print("\n".join(configs.describe(config)))
    mesh = " x ".join(f"{axis}={size}" for axis, size in found["mesh"].items())
    print(f"\n{found['parameters']:,} weights on {found['devices']} devices ({found['place']}), mesh {mesh}\n")
    print("bytes per device, by arithmetic")
    for name, size in found["bytes_per_device"].items():
        print(f"  {name:20} {size / GIB:10.3f} GiB")
    limit = found["memory_per_device"]
    print(verdict(found["fits"], limit))
    for name, program in found.get("compiled", {}).items():
        print(f"\n{name}, compiled for {found['place']}")
        for key, value in program.items():
            print(f"  {key:20} {aot.shown(key, value)}")


def verdict(fits: bool | None, limit: int | None) -> str:
    if limit is None:
        return "the memory of a device is not known here: name one by --topology"
    return f"  {'fits' if fits else 'DOES NOT FIT'} in {limit / GIB:.0f} GiB"


def run(config: configs.Config, way: ModuleType, topology: str | None) -> bool:
    """`--dry-run`: print what a run would need, a line of JSON last; whether it fits, as far as is known."""
    found = report(config, way, topology)
    show(config, found)
    print(json.dumps(found))
    return found["fits"] is not False and all(each["fits"] for each in found.get("compiled", {}).values())
