"""Where metrics are shown: TensorBoard files, and the services of packages that users bring themselves."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from absl import logging

SERVICES = ("wandb", "trackio")  # packages of one interface: init, log, finish


def check(name: str) -> None:
    """Raise `ValueError` for a service whose package is not there."""
    if name in SERVICES and not _installed(name):
        raise ValueError(f"tracker={name} needs the package {name}: pip install {name}")


def _installed(name: str) -> bool:
    return sys.modules[name] is not None if name in sys.modules else importlib.util.find_spec(name) is not None


class Tracker(Protocol):
    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `DIR/tensorboard`; what older ones hold from `first` on is hidden."""

    def __init__(self, directory: Path, first: int):
        from tensorboardX import SummaryWriter

        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=first)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None and not self._board.file_writer.event_writer._worker.is_alive():
            logging.warning("TensorBoard's writer has died (is the disk full?): no more event files are written")
            self._board = None  # its queue would fill up, and the run wait for it for ever
        for name, value in values.items() if self._board is not None else ():
            if math.isfinite(value):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


class Service:
    """wandb or trackio: one run of project `playpen_jax` for each working directory, taken up again when it is resumed."""

    def __init__(self, name: str, directory: Path, config: Mapping[str, Any]):
        self._module = importlib.import_module(name)
        place = directory.absolute()
        options = {"project": "playpen_jax", "name": place.name, "config": dict(config), "resume": "allow"}
        if name == "wandb":
            options |= {"id": hashlib.sha256(str(place).encode()).hexdigest()[:16], "dir": str(directory)}
        self._module.init(**options)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log({name: value for name, value in values.items() if math.isfinite(value)}, step=step)

    def close(self) -> None:
        self._module.finish()
