"""Episodes of a rollout on disk as they end, tokens included, so that a killed run does not play them again.

A journal's first line names the weights that played; one of other weights is not read. Arrays are kept to the bit.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from playpen_jax import metrics, model
from playpen_jax.rollout import Job
from playpen_jax.types import Episode, TokenRow, episode_from_json

TYPES = {"ids": "<i4", "mask": "|b1", "logps": "<f4", "sampled_logps": "<f4", "branches": "<i2"}


@jax.jit
def _sums(params: Any) -> tuple[jax.Array, jax.Array]:
    leaves = [x.astype(jnp.float32) for x in jax.tree.leaves(model.split(params)[0])]
    return sum(x.sum() for x in leaves), sum((x * x).sum() for x in leaves)


def fingerprint(params: Any) -> list[float]:
    """Two numbers by which what is trained of weights is known again."""
    return [float(x) for x in _sums(params)]


class Journal:
    """One rollout's file; `found` are the episodes that it held at the start, by the number of their job.

    A disk that refuses it is no reason to stop: then the episodes are merely not remembered.
    """

    def __init__(self, path: Path, jobs: Sequence[Job], weights: list[float]):
        head, *lines = _lines(path)
        self.found: dict[int, Episode] = {}
        if head == {"weights": weights, "jobs": len(jobs)}:
            self.found = {line["job"]: episode(line, jobs[line["job"]].instance) for line in lines}
        kept = [entry(number, each) for number, each in self.found.items()]
        self._path: Path | None = path
        with self._forgiving():
            path.parent.mkdir(parents=True, exist_ok=True)
            metrics.replace(path, "\n".join([metrics.json_text({"weights": weights, "jobs": len(jobs)}), *kept, ""]))

    def add(self, number: int, episode: Episode) -> None:
        """Write the episode of job `number`; a kill loses it whole or not at all."""
        if self._path:
            with self._forgiving(), open(self._path, "a", encoding="utf-8") as file:
                file.write(entry(number, episode) + "\n")

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            logging.warning("%s cannot be written (%s): after a kill this step is played again", self._path, error)
            self._path = None


def entry(number: int, episode: Episode) -> str:
    """One line of a journal."""
    rows = {seat: _fields(row) for seat, row in episode.rows.items()}
    said = episode.to_json()
    kept = {name: said[name] for name in ("game", "sample", "outcome", "stop", "turns")}
    return metrics.json_text({"job": number, **kept, "rows": rows})


def episode(line: Mapping[str, Any], instance: Mapping) -> Episode:
    """The episode of a line; its instance is that of its job."""
    said = episode_from_json({**line, "instance": instance})
    outcome = dataclasses.replace(said.outcome, progress=tuple(said.outcome.progress))
    rows = {
        seat: TokenRow(**{name: _array(text, TYPES[name]) for name, text in fields.items()})
        for seat, fields in line["rows"].items()
    }
    return dataclasses.replace(said, outcome=outcome, rows=rows)


def _lines(path: Path) -> list[Any]:
    """The objects of a journal, at least one; a damaged one has nothing to say."""
    try:
        return (metrics.read(path) if path.exists() else []) or [None]
    except ValueError as error:  # a line in its midst is broken: the episodes are played again
        logging.warning("%s: the step is played again", error)
        return [None]


def _fields(row: TokenRow) -> dict[str, str]:
    arrays = {name: getattr(row, name) for name in TYPES}
    return {name: _text(array, TYPES[name]) for name, array in arrays.items() if array is not None}


def _text(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def _array(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).astype(np.dtype(kind).newbyteorder("="))


def path(workdir: Path, step: int, part: str) -> Path:
    return workdir / "journal" / f"step_{step:06d}.{part}.jsonl"


def forget(workdir: Path, step: int) -> None:
    """Delete the journals of the steps up to `step`: a checkpoint holds what came of them."""
    for file in (workdir / "journal").glob("step_*.jsonl"):
        if int(file.name[5:].partition(".")[0]) <= step:
            file.unlink(missing_ok=True)
