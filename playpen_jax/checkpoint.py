"""Checkpoints: Orbax, asynchronous, atomic; weights and optimizer apart, so that weights load alone.

`DIR/checkpoints/STEP/` holds the items params, optimizer and meta (JSON: step, model config); `DIR/model/` holds config.json
and the tokenizer. A half-written or corrupt newest checkpoint is passed over for the one before, and said so.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from playpen_jax import model
from playpen_jax.types import TrainState


class CheckpointError(ValueError):
    """No checkpoint can be read; the message says which folder and why."""


class Checkpoints:
    """The checkpoints of one training run."""

    def __init__(self, folder: Path, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self.folder = Path(folder).absolute()
        self._manager = ocp.CheckpointManager(epath.Path(self.folder), options=options)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, c: model.ModelConfig) -> None:
        """Begin to write the state under its step; returns before it is on disk. A step that exists is left alone."""
        step = int(state.step)
        if step in self.steps():
            return
        items = {
            "params": ocp.args.StandardSave(state.params),
            "optimizer": ocp.args.StandardSave({"opt_state": state.opt_state, "step": state.step}),
            "meta": ocp.args.JsonSave({"step": step, "model": dataclasses.asdict(c)}),
        }
        self._manager.save(step, args=ocp.args.Composite(**items))

    def restore(self, like: TrainState) -> TrainState | None:
        """The newest readable state, laid out as `like` (arrays or shapes with shardings); None if there are no checkpoints."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self._read(step, like)
            except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files: any means "not this one"
                logging.warning("%s/%d cannot be read (%s): trying the one before", self.folder, step, _line(error))
        if steps:
            raise CheckpointError(f"{self.folder}: none of the checkpoints {steps} can be read")
        return None

    def _read(self, step: int, like: TrainState) -> TrainState:
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = {
            "params": ocp.args.StandardRestore(abstract.params),
            "optimizer": ocp.args.StandardRestore({"opt_state": abstract.opt_state, "step": abstract.step}),
        }
        found = self._manager.restore(step, args=ocp.args.Composite(**items))
        return TrainState(found["params"], found["optimizer"]["opt_state"], found["optimizer"]["step"])

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def find(path: Path) -> Path | None:
    """The folder `checkpoints/STEP` that a path means: itself, or the newest of a training directory; None if it means none."""
    if (path / "params").is_dir():
        return path
    inside = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    steps = [p for p in inside.glob("*") if p.name.isdigit() and (p / "params").is_dir()] if inside.is_dir() else []
    return max(steps, key=lambda p: int(p.name)) if steps else None


def load_params(path: Path, shardings: Any = None) -> tuple[model.ModelConfig, Any]:
    """Model config and weights of the checkpoint folder `checkpoints/STEP`; raises `CheckpointError` in one line."""
    path = path.absolute()
    try:
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            meta = reader.restore(epath.Path(path / "meta"))
        c = config_from_json(meta["model"])
        abstract = model.abstract(c)
        if shardings is None:
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            shardings = jax.tree.map(lambda _: here, abstract)
        abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, shardings)
        with ocp.StandardCheckpointer() as reader:
            return c, reader.restore(epath.Path(path / "params"), abstract)
    except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
        raise CheckpointError(f"{path}: not a readable checkpoint: {_line(error)}") from error


def config_from_json(data: dict) -> model.ModelConfig:
    """The model config that `dataclasses.asdict` wrote."""
    data = dict(data)
    if data.get("rope_scaling"):
        data["rope_scaling"] = model.Llama3Rope(**data["rope_scaling"])
    return model.ModelConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
