"""One step ahead: on devices of their own the plays of the next step go on while the learner makes its update.

The plays of step n + 1 are made by the weights from before update n: one step off, which the ratio to the sampler tells and its
correction mends. A checkpoint waits for the plays under way, so that their journal holds them all and a killed run finds them.
"""

from __future__ import annotations

import copy
import threading
import time
from typing import Any

import jax

from playpen_jax import config as configs
from playpen_jax import model, sharding
from playpen_jax.learn import plays
from playpen_jax.learn.interrupts import Hanging, Preempted
from playpen_jax.learn.journal import fingerprint
from playpen_jax.learn.pool import Pool
from playpen_jax.learn.run import Run

MEMORY = "ahead"  # the name under which a run remembers which plays were under way


def split(settings: configs.Mesh, devices: list) -> tuple[list, list]:
    """The devices of the learner, and the last `mesh.rollout` for the plays; all are the learner's where that is 0."""
    n = settings.rollout
    if not 0 <= n < len(devices):
        raise configs.ConfigError(f"mesh.rollout={n} leaves the learner none of {len(devices)} devices")
    return devices[: len(devices) - n], devices[len(devices) - n :]


class Ahead:
    """The plays under way of one run."""

    def __init__(self, run: Run, pool: Pool):
        self.run, self.pool = run, pool
        _, devices = split(run.config.mesh, jax.devices())
        mesh = sharding.make_mesh(configs.Mesh(data=1, tensor=len(devices)), devices)
        self.at = sharding.shardings(model.logical_axes(run.c), model.abstract(run.c), mesh)
        self._thread: threading.Thread | None = None
        self._found: plays.Played | BaseException | None = None
        run.settle, run.apart = self.settle, mesh

    def start(self, params: Any, number: int) -> None:
        """Begin the plays of step `number` with a copy of these weights."""
        copied = jax.device_put(params, self.at)
        memory = {name: copy.deepcopy(x) for name, x in self.run.memory.items() if name != MEMORY}
        weights, partners = fingerprint(copied), self.pool.partners(params, number)
        self.run.memory[MEMORY] = {"step": number, "weights": weights, "memory": memory}

        def work() -> None:
            try:
                self._found = plays.play(plays.Table(self.run, copied, number, memory, partners, weights))
            except BaseException as error:  # it is raised again where the plays are taken
                self._found = error

        self._found, self._thread = None, threading.Thread(target=work, daemon=True)
        self._thread.start()

    def take(self, params: Any, number: int) -> plays.Played:
        """The plays of step `number`: those under way, those in a killed run's journal, or else of the weights of now."""
        if self._thread is not None:
            self.settle()
            found, self._thread = self._found, None
            if isinstance(found, BaseException):
                raise found
            assert found is not None, "its thread has ended"
            return found
        known = self.run.memory.get(MEMORY, {})
        known = known if known.get("step") == number else {}
        memory, weights = known.get("memory", self.run.memory), known.get("weights")
        here = jax.device_put(params, self.at)
        return plays.play(plays.Table(self.run, here, number, memory, self.pool.partners(params, number), weights))

    def settle(self) -> None:
        """Wait for the plays under way; raises `Hanging` if nothing has ended for `rollout.patience` seconds."""
        patience = self.run.config.rollout.patience
        with self.run.interrupts.breakable():
            while self._thread is not None and self._thread.is_alive():
                self._thread.join(0.2)
                if patience and time.monotonic() - self.run.interrupts.newest > patience:
                    raise Hanging
        if isinstance(self._found, Preempted):
            raise self._found
