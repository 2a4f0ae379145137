"""Several processes as one run: each plays its own share of the episodes, all of them make the same update.

One process per host (TPU) or per GPU; `join` before anything else. Without it every function is that of a single process.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding

NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def join() -> None:
    """Meet the other processes: by the three variables `NAMES`, or as Slurm, a TPU slice, Kubernetes or Open MPI tell JAX.

    Raises `ValueError` in one line if they cannot be met.
    """
    address, count, number = map(os.environ.get, NAMES)
    try:
        if count is None and number is None:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(address, int(count or ""), int(number or ""))
    except (RuntimeError, ValueError) as error:
        told = ", ".join(f"{name}={os.environ.get(name)}" for name in NAMES)
        raise ValueError(f"--distributed: the processes cannot meet ({told}): {str(error).splitlines()[0]}") from None


def first() -> bool:
    """Whether this is the process that speaks and writes for all."""
    return jax.process_index() == 0


def folder(workdir: Path) -> Path:
    """Where this process writes what it writes alone: the working directory, or a place of its own that nobody reads."""
    return workdir if first() else Path(tempfile.mkdtemp(prefix="playpen_jax-"))


def share(count: int) -> range:
    """Which of `count` things this process takes on: a run of them, as even as they divide."""
    processes, number = jax.process_count(), jax.process_index()
    return range(count * number // processes, count * (number + 1) // processes)


def gather(items: list[Any]) -> list[Any]:
    """The items of all processes, in their order, on every process."""
    if jax.process_count() == 1:
        return items
    mine = np.frombuffer(pickle.dumps(items), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(len(mine)))
    padded = np.zeros(int(sizes.max()), np.uint8)
    padded[: len(mine)] = mine
    texts = multihost_utils.process_allgather(padded)
    return [item for text, size in zip(texts, sizes) for item in pickle.loads(text[:size].tobytes())]


def of_first(value: Any) -> Any:
    """What the first process says, on every process."""
    return gather([value])[0]


def any_says(value: bool) -> bool:
    """Whether it is so on one process at least."""
    return any(gather([value]))


def here(tree: Any) -> bool:
    """Whether this process sees the whole of every array."""
    return all(getattr(x, "is_fully_addressable", True) for x in jax.tree.leaves(tree))  # arrays of NumPy are


def whole(x: Any) -> np.ndarray:
    """An array of all processes, on this one's host; all of them ask for it."""
    return np.asarray(x) if here(x) else multihost_utils.process_allgather(x, tiled=True)


def local(tree: Any, at: Any) -> Any:
    """Arrays of all processes, on the devices of this one as `at` lays them, copied from device to device.

    Every process lays them out alike: `at` is on a mesh of all its devices, in the order of `jax.local_devices()`.
    """

    def everywhere(place: NamedSharding) -> NamedSharding:
        own = [np.asarray(jax.local_devices(process_index=i)) for i in range(jax.process_count())]
        grid = np.stack([devices.reshape(place.mesh.devices.shape) for devices in own])
        return NamedSharding(Mesh(grid, ("process", *place.mesh.axis_names)), place.spec)

    def mine(x: jax.Array, place: NamedSharding) -> jax.Array:
        return jax.make_array_from_single_device_arrays(x.shape, place, [shard.data for shard in x.addressable_shards])

    return jax.tree.map(mine, jax.device_put(tree, jax.tree.map(everywhere, at)), at)
