"""Token rows to packed batches: nothing lost, nothing mixed."""

from __future__ import annotations

import numpy as np
import pytest

from playpen_jax.data.pack import Weighted, best_fit, micro_batches, pack, pieces
from playpen_jax.types import TokenRow


def row(n: int, seed: int = 0) -> TokenRow:
    """A row of `n` tokens, about half of them sampled."""
    rng = np.random.default_rng([n, seed])
    mask = rng.random(n) < 0.5
    mask[0], mask[-1] = False, True
    logps = np.where(mask, -rng.random(n), 0).astype(np.float32)
    return TokenRow(rng.integers(5, 90, n).astype(np.int32), mask, logps, logps)


def test_a_batch_by_hand():
    ids = np.array([7, 8, 9], np.int32)
    a = TokenRow(ids, np.array([0, 1, 1], bool), np.array([0, -1, -2], np.float32), np.zeros(3, np.float32))
    b = TokenRow(ids[:2], np.array([0, 1], bool), np.array([0, -3], np.float32), np.zeros(2, np.float32))
    batch, left_out = pack([Weighted(b, -1.0), Weighted(a, 0.5)], 6)
    assert left_out == 0
    assert batch.tokens.tolist() == [[7, 8, 9, 7, 8, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    assert batch.segment_ids.tolist() == [[1, 1, 1, 2, 2, 0]]
    assert batch.mask.tolist() == [[0, 1, 1, 0, 1, 0]]
    assert batch.advantages.tolist() == [[0, 0.5, 0.5, 0, -1, 0]]
    assert batch.logps.tolist() == [[0, -1, -2, 0, -3, 0]]
    assert {batch.tokens.dtype, batch.positions.dtype, batch.segment_ids.dtype} == {np.dtype("int32")}
    assert {batch.mask.dtype, batch.advantages.dtype, batch.logps.dtype} == {np.dtype("float32")}


def test_every_row_is_found_again_whole():
    rows = [Weighted(row(int(n), i), float(i + 1)) for i, n in enumerate(np.random.default_rng(0).integers(2, 40, 200))]
    batch, left_out = pack(rows, 40)
    assert left_out == 0
    found = {}
    for b in range(len(batch.tokens)):
        for segment in range(1, batch.segment_ids[b].max() + 1):
            here = batch.segment_ids[b] == segment
            assert np.array_equal(batch.positions[b, here], np.arange(here.sum()))
            weights = batch.advantages[b, here]
            assert set(weights[batch.mask[b, here] == 1].tolist()) == {weights.max()}
            found[weights.max()] = batch.tokens[b, here], batch.mask[b, here], batch.logps[b, here]
    assert len(found) == 200
    for weighted in rows:
        ids, mask, logps = found[weighted.advantage]
        assert np.array_equal(ids, weighted.row.ids) and np.array_equal(mask, weighted.row.mask)
        assert np.array_equal(logps, weighted.row.logps)
    padding = batch.segment_ids == 0
    for field in (batch.tokens, batch.positions, batch.mask, batch.advantages, batch.logps):
        assert not field[padding].any()


def with_asides() -> Weighted:
    """History 0-3, 6-8 and 13-15 with asides of 2, 4 and 3 tokens between and after; the last of each block is sampled."""
    branches = np.repeat([0, 1, 0, 2, 0, 3], [4, 2, 3, 4, 3, 3]).astype(np.int16)
    mask = np.diff(branches, append=-1) != 0
    logps = np.where(mask, -np.arange(1, 20.0), 0).astype(np.float32)
    return Weighted(TokenRow(np.arange(19, dtype=np.int32), mask, logps, logps, branches), np.arange(19.0), 0.5)


def test_an_aside_stands_where_the_history_before_it_ends():
    assert with_asides().row.positions.tolist() == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 10, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(("length", "alone", "sizes"), [(19, 0, [19]), (17, 0, [10, 13, 13]), (13, 1, [10, 6, 11, 13])])
def test_rows_with_asides_are_taken_apart_so_that_each_token_is_learned_once(length, alone, sizes):
    whole = with_asides()
    found = pieces(whole, length, alone)
    assert [len(w.row.ids) for w in found] == sizes
    learned = np.concatenate([w.row.ids[w.row.mask] for w in found])
    assert sorted(learned) == np.flatnonzero(whole.row.mask).tolist()
    for w in found:
        np.testing.assert_array_equal(w.row.logps, whole.row.logps[w.row.ids] * w.row.mask)
        np.testing.assert_array_equal(w.advantage, whole.advantage[w.row.ids])
        np.testing.assert_array_equal(w.row.positions, whole.row.positions[w.row.ids])
        assert w.weight == 0.5 and (w.row.branches is None or len(sizes) == 1 or not alone)
    batch, left_out = pack([whole], length, alone=alone)
    assert left_out == 0 and batch.mask.sum() == whole.row.mask.sum()


def test_rows_that_are_too_long_are_left_out_and_counted():
    batch, left_out = pack([Weighted(row(9)), Weighted(row(8)), Weighted(row(30))], 8)
    assert left_out == 2 and batch.tokens.shape == (1, 8)
    batch, left_out = pack([Weighted(row(9))], 8, multiple=4)
    assert left_out == 1 and batch.tokens.shape == (4, 8) and not batch.segment_ids.any()


def test_best_fit_fills_the_fullest_bin_that_still_takes_it():
    assert best_fit([5, 3, 4, 2, 1], 6) == [[0, 4], [2, 3], [1]]
    assert best_fit([3, 3, 3], 6) == [[0, 1], [2]]
    assert best_fit([], 6) == []
    lengths = np.random.default_rng(1).integers(1, 256, 500).tolist()
    bins = best_fit(lengths, 256)
    assert sorted(sum(bins, [])) == list(range(500))
    assert all(sum(lengths[i] for i in each) <= 256 for each in bins)
    assert len(bins) <= -(-sum(lengths) // 256) * 1.05, "hardly a row more than the tokens need"
    assert bins == best_fit(lengths, 256)


@pytest.mark.parametrize(
    ("count", "size", "slots", "used"), [(1, 4, 8, 1), (4, 4, 8, 1), (5, 4, 8, 2), (20, 4, 8, 5), (33, 4, 16, 9)]
)
def test_micro_batches_come_in_powers_of_two(count, size, slots, used):
    batch, _ = pack([Weighted(row(8, i), i + 1.0) for i in range(count)], 8)
    folded, full = micro_batches(batch, size)
    assert folded.tokens.shape == (slots, size, 8) and full == used
    assert np.array_equal(folded.tokens.reshape(-1, 8)[:count], batch.tokens)
    assert np.array_equal(folded.advantages.reshape(-1, 8)[:count], batch.advantages)
    assert folded.segment_ids[:used].any((1, 2)).all() and not folded.segment_ids[used:].any()
    assert not folded.mask.reshape(-1, 8)[count:].any()
