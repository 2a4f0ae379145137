"""Checkpoints: Orbax, asynchronous, atomic; weights and optimizer apart, so that weights load alone.

`DIR/checkpoints/STEP/` holds the items params, optimizer and meta (JSON: step, model config), and digests.json: Orbax would
read a flipped bit as a weight. `DIR/model/` holds config.json and the tokenizer. A half-written or corrupt newest checkpoint is
passed over for the one before, and said so.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from playpen_jax import metrics, model
from playpen_jax.state import TrainState

DIGESTS = "digests.json"
DAMAGED = "damaged-"  # before the step, in the name of a checkpoint that could not be read


class CheckpointError(ValueError):
    """No checkpoint can be read; the message says which folder and why."""


class Checkpoints:
    """The checkpoints of one training run; at least the newest is kept.

    Of a model with adapters they hold the adapters alone; `base` names what these belong to.
    """

    def __init__(self, folder: Path, keep: int = 2, base: str | None = None):
        self.folder, self.base, self._saving = Path(folder).absolute(), base, 0
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max(keep, 1),
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, c: model.ModelConfig, memory: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Begin to write the state under its step; returns before it is on disk. A step that exists is left alone.

        `memory` is plain JSON that belongs to it. Raises `OSError` where the disk refuses it, or refused the one before.
        """
        step = int(state.step)
        self.wait()  # `_seal` must have found the step before by its number
        if (self.folder / str(step)).exists():
            return
        meta = {"step": step, "model": dataclasses.asdict(c), "base": self.base, "memory": dict(memory)}
        items = {
            "params": ocp.args.StandardSave(model.split(state.params)[0]),
            "optimizer": ocp.args.StandardSave({"opt_state": state.opt_state, "step": state.step}),
            "meta": ocp.args.JsonSave(copy.deepcopy(meta)),
        }
        if state.reference is not None:
            items["reference"] = ocp.args.StandardSave(state.reference)
        self._saving = step
        with self._refusals():
            self._manager.save(step, args=ocp.args.Composite(**items))

    def wait(self) -> None:
        """Until what was begun is on disk; raises `OSError` if the disk refused it."""
        with self._refusals():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Everything that a full disk or a folder that is gone makes Orbax and TensorStore raise, as `OSError`."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._manager.reload()  # it believes that the step is there
            raise OSError(_line(error)) from error

    def _seal(self) -> None:
        """Write the digests of the checkpoint whose files are all there, but which does not bear its final name yet."""
        if jax.process_index() == 0:
            folder = next(self.folder.glob(f"{self._saving}.*"), self.folder / str(self._saving))
            metrics.replace(folder / DIGESTS, json.dumps(digests(folder), indent=1))

    def restore(self, like: TrainState) -> TrainState | None:
        """The newest readable state, laid out as `like` (arrays or shapes with shardings); None if there are no checkpoints."""
        steps, damaged = self.steps(), []
        for step in reversed(steps):
            try:
                state = self._read(step, like)
            except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files: any means "not this one"
                logging.warning("%s/%d cannot be read (%s): trying the one before", self.folder, step, _line(error))
                damaged.append(step)
                continue
            self._set_aside(damaged)
            return state
        if steps:
            raise CheckpointError(f"{self.folder}: none of the checkpoints {steps} can be read")
        return None

    def _set_aside(self, steps: list[int]) -> None:
        """Take damaged checkpoints out of the count: a step that exists would not be saved again."""
        for step in steps if jax.process_index() == 0 else ():
            (self.folder / str(step)).rename(_unused(self.folder / f"{DAMAGED}{step}"))
        if steps:
            multihost_utils.sync_global_devices("damaged checkpoints are set aside")
            self._manager.reload()

    def _read(self, step: int, like: TrainState) -> TrainState:
        check_digests(self.folder / str(step))
        trained, frozen = model.split(like.params)
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, dataclasses.replace(like, params=trained))
        items = {
            "params": ocp.args.StandardRestore(abstract.params),
            "optimizer": ocp.args.StandardRestore({"opt_state": abstract.opt_state, "step": abstract.step}),
        }
        if like.reference is not None:
            items["reference"] = ocp.args.StandardRestore(abstract.reference)
        found = self._manager.restore(step, args=ocp.args.Composite(**items))
        params, rest = model.join(found["params"], frozen), found["optimizer"]
        return TrainState(params, rest["opt_state"], rest["step"], found.get("reference"))

    def memory(self, step: int) -> dict[str, Any]:
        """What was saved with the state of this step."""
        meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        return meta.get("memory", {})

    def close(self) -> None:
        """Wait until everything is on disk."""
        self.wait()
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        """As `close`; where something has been raised already, a disk that refuses is not told of again."""
        try:
            self.close()
        except Exception:
            if kind is None:
                raise


def digests(folder: Path) -> dict[str, int]:
    """The CRC-32 of every file of a checkpoint's items, by its path in the folder."""
    files = sorted(path for path in folder.glob("*/**/*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _crc(path) for path in files}


def check_digests(folder: Path, items: tuple[str, ...] = ("params", "optimizer", "meta", "reference")) -> None:
    """Raise `CheckpointError` for the first file of these items that is not as it was written."""
    if not (folder / DIGESTS).exists():  # written by a program that knows none
        return
    for name, digest in json.loads((folder / DIGESTS).read_text()).items():
        if name.split("/")[0] in items:
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder / name} is missing")
            if _crc(folder / name) != digest:
                raise CheckpointError(f"{folder / name} is not as it was written")


def _crc(path: Path) -> int:
    digest = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 24):
            digest = zlib.crc32(part, digest)
    return digest


def _unused(path: Path) -> Path:
    """The path, or the first of path.1, path.2, ... that does not exist."""
    others = (path.with_name(f"{path.name}.{i}") for i in itertools.count(1))
    return path if not path.exists() else next(other for other in others if not other.exists())


def find(path: Path) -> Path | None:
    """The folder `checkpoints/STEP` that a path means: itself, or the newest of a training directory; None if it means none."""
    if (path / "params").is_dir():
        return path
    inside = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    steps = [p for p in inside.glob("*") if p.name.isdigit() and (p / "params").is_dir()] if inside.is_dir() else []
    return max(steps, key=lambda p: int(p.name)) if steps else None


def load_params(path: Path, shardings: Any = None) -> tuple[model.ModelConfig, Any]:
    """Model config and trained weights of the folder `checkpoints/STEP`; raises `CheckpointError` in one line."""
    path, c = path.absolute(), read_config(path)
    try:
        check_digests(path, ("params",))
        abstract = model.split(model.abstract(c))[0]
        if shardings is None:
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            shardings = jax.tree.map(lambda _: here, abstract)
        abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, shardings)
        with ocp.StandardCheckpointer() as reader:
            return c, reader.restore(path / "params", abstract)
    except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
        raise CheckpointError(f"{path}: not a readable checkpoint: {_line(error)}") from error


def read_config(path: Path) -> model.ModelConfig:
    """Model config of the folder `checkpoints/STEP`; raises `CheckpointError` in one line."""
    path = path.absolute()
    try:
        check_digests(path, ("meta",))
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            return model.config_from_json(reader.restore(path / "meta")["model"])
    except Exception as error:  # Orbax raises many kinds for damaged files
        raise CheckpointError(f"{path}: not a readable checkpoint: {_line(error)}") from error


def write(folder: Path, c: model.ModelConfig, params: Any) -> None:
    """A checkpoint of step 0 that holds all these weights, adapters merged, and no optimizer."""
    c, params = model.merge(c, params)
    with contextlib.closing(Checkpoints(folder)) as saved:
        saved.save(TrainState(params, {}, jnp.int32(0)), c)


def base(path: Path) -> str | None:
    """What the adapters in `checkpoints/STEP` belong to; None if the checkpoint holds all weights."""
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(path.absolute() / "meta").get("base")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
