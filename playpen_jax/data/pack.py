"""Token rows to packed batches: several dialogues in a row of fixed length, told apart by segment ids."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from playpen_jax.state import Batch
from playpen_jax.types import TokenRow

SLOTS = 8  # micro-batches that an update has room for at least: how many are used is not compiled in


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A token row with its advantage, one for all its learner tokens or one for each token of the row [T].

    weight: of each learner token in the loss; None: as much as every other.
    """

    row: TokenRow
    advantage: float | np.ndarray = 1.0
    weight: float | None = None


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Bins of at most `room`, longest first, each into the fullest bin that still takes it; the order is deterministic."""
    bins: list[list[int]] = []
    left: list[tuple[int, int]] = []  # (room left, bin), sorted
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        at = bisect.bisect_left(left, (lengths[i], -1))
        space, b = left.pop(at) if at < len(left) else (room, len(bins))
        if b == len(bins):
            bins.append([])
        bins[b].append(i)
        bisect.insort(left, (space - lengths[i], b))
    return bins


def pieces(whole: Weighted, length: int, alone: bool = False) -> list[Weighted]:
    """A row with asides as several, if it is longer than `length`; each learner token is learned in one of them.

    One has the history, the others as many branches as fit, each with the history before them. alone: never two branches in a
    row, whatever its length, for layers that must not meet the one on their way to the other.
    """
    row = whole.row
    if row.branches is None or len(row.ids) <= length and not alone:
        return [whole]
    history = row.branches == 0
    found = [_piece(whole, history, history)] if row.mask[history].any() else []
    group = seen = np.zeros(len(row.ids), bool)
    for number in range(1, row.branches.max() + 1):
        block = row.branches == number
        before = history & (np.arange(len(block)) < np.argmax(block))
        if group.any() and (alone or (group | block | before).sum() > length):
            found.append(_piece(whole, group, seen))
            group = np.zeros(len(row.ids), bool)
        group, seen = group | block, group | block | before
    return [*found, _piece(whole, group, seen)]


def _piece(whole: Weighted, taught: np.ndarray, seen: np.ndarray) -> Weighted:
    """The tokens `seen` of a row; of them only those `taught` are learned."""
    row, mask = whole.row, (whole.row.mask & taught)[seen]
    branches = None if row.branches is None or len(np.unique(row.branches[seen])) <= 2 else row.branches[seen]
    piece = TokenRow(row.ids[seen], mask, row.logps[seen] * mask, row.sampled_logps[seen] * mask, branches)
    advantage = whole.advantage[seen] if isinstance(whole.advantage, np.ndarray) else whole.advantage
    return Weighted(piece, advantage, whole.weight)


def pack(rows: Sequence[Weighted], length: int, multiple: int = 1, alone: bool = False) -> tuple[Batch, int]:
    """A batch [B, length] with B a multiple of `multiple`, and the number of rows left out because they are too long.

    Rows with asides are taken apart if they have to be; `alone`: as in `pieces`.
    """
    rows = [piece for row in rows for piece in pieces(row, length, alone)]
    fitting = [w for w in rows if len(w.row.ids) <= length]
    bins = best_fit([len(w.row.ids) for w in fitting], length)
    count = -(-max(len(bins), 1) // multiple) * multiple
    ints: dict[str, Any] = {name: np.zeros((count, length), np.int32) for name in ("tokens", "positions", "segment_ids")}
    if any(w.row.branches is not None for w in fitting):
        ints["branches"] = np.zeros((count, length), np.int32)
    weighed = any(w.weight is not None for w in fitting)
    names = ("mask", "advantages", "logps", *(["weights"] if weighed else []))
    floats: dict[str, Any] = {name: np.zeros((count, length), np.float32) for name in names}
    for b, members in enumerate(bins):
        at = 0
        for segment, i in enumerate(members, 1):
            row, n = fitting[i].row, len(fitting[i].row.ids)
            here = slice(at, at + n)
            ints["tokens"][b, here] = row.ids
            ints["positions"][b, here] = row.positions
            ints["segment_ids"][b, here] = segment
            if row.branches is not None:
                ints["branches"][b, here] = row.branches
            floats["mask"][b, here] = row.mask
            floats["advantages"][b, here] = row.mask * fitting[i].advantage
            floats["logps"][b, here] = row.logps
            if weighed:
                floats["weights"][b, here] = row.mask * fitting[i].weight
            at += n
    return Batch(**ints, **floats), len(rows) - len(fitting)


def micro_batches(batch: Batch, size: int) -> tuple[Batch, int]:
    """Fold [B, T] into [A, size, T] with A a power of two, at least 8 (few shapes to compile); and how many are not empty."""
    count, length = batch.tokens.shape
    used = -(-count // size)
    slots = max(1 << (used - 1).bit_length(), SLOTS)

    def fold(x: np.ndarray) -> np.ndarray:
        out = np.zeros((slots * size, length), x.dtype)
        out[:count] = x
        return out.reshape(slots, size, length)

    return jax.tree.map(fold, batch), used
