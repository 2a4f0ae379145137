"""Log-probabilities of a reference policy for given rows, computed once and kept on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from playpen_jax import model, processes, update
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.types import TokenRow


def digest(c: model.ModelConfig, params: Any, rows: Sequence[TokenRow]) -> str:
    """Names rows and policy: other rows, or a weight that differs, give another name."""
    found = hashlib.blake2b(repr(c).encode(), digest_size=12)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(processes.whole(leaf).tobytes())
    for row in rows:
        found.update(row.ids.tobytes() + row.mask.tobytes() + (b"" if row.branches is None else row.branches.tobytes()))
    return found.hexdigest()


def with_logps(
    c: model.ModelConfig, params: Any, rows: Sequence[TokenRow], length: int, micro: int, mesh: Mesh, folder: Path
) -> list[TokenRow]:
    """The rows with the reference's log-probabilities in `logps`, read from `folder` or computed and written there.

    A file that was cut or belongs to something else is never read: it bears the digest in its name and is written whole. What
    the first of several processes finds is for all; each writes to its own folder.
    """
    file = folder / f"{digest(c, params, rows)}.npy"
    flat = processes.of_first(np.load(file) if file.exists() else None)
    if flat is not None:
        print(f"reference: log-probabilities of {len(rows):,} rows read from {file}")
    else:
        flat = np.concatenate(_logps(c, params, rows, length, micro, mesh))
        folder.mkdir(parents=True, exist_ok=True)
        with open(file.with_suffix(".part"), "wb") as part:
            np.save(part, flat)
        os.replace(file.with_suffix(".part"), file)
        print(f"reference: log-probabilities of {len(rows):,} rows written to {file}")
    cuts = np.cumsum([len(row.ids) for row in rows])[:-1]
    parts = np.split(flat, cuts)
    return [dataclasses.replace(row, logps=part, sampled_logps=part) for row, part in zip(rows, parts, strict=True)]


def _logps(
    c: model.ModelConfig, params: Any, rows: Sequence[TokenRow], length: int, micro: int, mesh: Mesh
) -> list[np.ndarray]:
    """For each row float32 [T], 0 outside the mask."""
    run = update.make_scores(c, mesh)
    found: list[np.ndarray] = []
    for first in range(0, len(rows), 16 * micro):
        some = rows[first : first + 16 * micro]
        batch, left_out = pack([Weighted(row, i + 1.0) for i, row in enumerate(some)], length)
        assert not left_out, "rows longer than `length` were to be left out before"
        folded, _ = micro_batches(batch, micro)
        logps = processes.whole(run(params, folded)).reshape(-1, length)
        # of which row a place is: known by the advantages, which number the rows where there is a mask
        numbers = folded.advantages.reshape(-1, length)
        for i, row in enumerate(some):
            whole = np.zeros(len(row.ids), np.float32)
            whole[row.mask] = logps[numbers == i + 1]
            found.append(whole)
    return found
