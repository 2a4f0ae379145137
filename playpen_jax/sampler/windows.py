"""The rows of a cohort as plain arrays, from one chunk to the next, and where their pages lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from playpen_jax import model
from playpen_jax.sampler import programs, store
from playpen_jax.sampler.schedule import Dialogue
from playpen_jax.sampler.store import PAGE, Where

LOADS = 8  # rows of each shard that one call brings into a window


def blank(shards: int, height: int, span: int, seats: int) -> Where:
    """`height` rows of each shard that are nobody's."""
    return Where(np.zeros((shards, height, span // PAGE), np.int32), np.full((shards, height), seats, np.int32))


def point(where: Where, shard: int, row: int, d: Dialogue) -> None:
    """Make this row the dialogue's."""
    places = d.places[: where.pages.shape[2]]
    where.pages[shard, row, : len(places)] = places
    where.seats[shard, row] = d.seat


class Window:
    """`rows`: the cache of a cohort, [B, ...], of `span` tokens each; it knows which turn of which dialogue a row holds."""

    def __init__(self, c: model.ModelConfig, shards: int, height: int, span: int, mesh: Mesh | None):
        self.c, self.shards, self.height, self.span = c, shards, height, span
        self.rows: Any = store.empty_window(c, shards * height, span, mesh)
        self._holds: list[tuple | None] = [None] * (shards * height)

    def bring(self, kept: store.Store, speakers: Sequence[Dialogue | None], seats: int) -> None:
        """A row for every speaker; those that spoke there a chunk ago are in it already."""
        missing: list[list[tuple[int, Dialogue]]] = [[] for _ in range(self.shards)]
        for i, d in enumerate(speakers):
            if d and self._holds[i] != (turn := (d, d.ticket, d.pauses)):
                missing[i // self.height].append((i % self.height, d))
                self._holds[i] = turn
        for at in range(0, max(map(len, missing)), LOADS):
            where = blank(self.shards, LOADS, self.span, seats)
            lanes = np.full((self.shards, LOADS), self.height, np.int32)
            for z, each in enumerate(missing):
                for k, (i, d) in enumerate(each[at : at + LOADS]):
                    lanes[z, k] = i
                    point(where, z, k, d)
            self.rows = programs.load(self.c)(kept, self.rows, where, lanes)
