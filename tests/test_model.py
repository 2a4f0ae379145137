import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import model
from playpen_jax.model.attention import attend_packed, frequencies
from playpen_jax.model.config import BIASED

GROUPED = model.ModelConfig("llama", vocab=50, dim=24, layers=2, heads=4, kv_heads=2, head_dim=8, mlp=40)
PLAIN = dataclasses.replace(GROUPED, kv_heads=4, tied=False, biases=BIASED)


init = jax.jit(model.init, static_argnums=0)
hidden = jax.jit(model.hidden, static_argnums=0)
logits = jax.jit(model.logits, static_argnums=0)
unstack = jax.jit(model.unstack, static_argnums=0)
extend = jax.jit(model.extend, static_argnums=(0, 7))


@pytest.fixture(autouse=True)
def strict_ranks():
    with jax.numpy_rank_promotion("raise"):
        yield


def weights(c: model.ModelConfig) -> model.Params:
    """Weights in which nothing is zero or one."""
    rng = np.random.default_rng(0)

    def draw(path, x):
        centre = "norm" in jax.tree_util.keystr(path)
        return (centre + 0.25 * rng.normal(size=x.shape)).astype(np.float32)

    return jax.tree.map_with_path(draw, model.abstract(c))


def tokens(c: model.ModelConfig, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, c.vocab, shape, dtype=np.int32)


def whole(c: model.ModelConfig, params: model.Params, ids: np.ndarray) -> np.ndarray:
    """`hidden` of rows of one dialogue each."""
    positions = np.broadcast_to(np.arange(ids.shape[1], dtype=np.int32), ids.shape)
    return np.asarray(hidden(c, params, ids, positions, np.ones_like(ids)))


def test_config_refuses_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="5 query heads cannot share 2 kv heads; head_dim 7 is not even"):
        dataclasses.replace(GROUPED, heads=5, head_dim=7)
    with pytest.raises(ValueError, match="dtype 'float64'"):
        dataclasses.replace(GROUPED, dtype="float64")
    with pytest.raises(ValueError, match="no bias for norm"):
        dataclasses.replace(GROUPED, biases=("norm",))
    with pytest.raises(ValueError, match="layers is 0"):
        dataclasses.replace(GROUPED, layers=0)


@pytest.mark.parametrize("c", [GROUPED, PLAIN])
def test_every_weight_has_axes_of_its_shape(c):
    sizes, is_leaf = model.sizes(c), lambda x: isinstance(x, tuple)
    shapes = jax.tree.map(lambda axes: tuple(sizes[a] for a in axes), model.logical_axes(c), is_leaf=is_leaf)
    assert shapes == jax.tree.map(lambda x: x.shape, model.abstract(c))
    assert model.logical_axes(c)["layers"]["q"] == ("attention_layers", "embed", "heads", "head")
    assert ("head" in shapes) == (not c.tied)


def test_param_count_by_hand():
    attention = 24 * 4 * 8 * 2 + 24 * 2 * 8 * 2
    assert model.param_count(GROUPED) == 50 * 24 + 2 * (attention + 3 * 24 * 40 + 2 * 24) + 24
    attention, biases = 4 * 24 * 4 * 8, 3 * 4 * 8 + 24 + 2 * 40 + 24
    assert model.param_count(PLAIN) == 2 * 50 * 24 + 2 * (attention + 3 * 24 * 40 + 2 * 24 + biases) + 24


def test_fresh_weights_are_repeatable_and_predict_almost_evenly():
    c = PLAIN
    params, again = init(c, jax.random.key(3)), init(c, jax.random.key(3))
    typed = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert typed(params) == typed(model.abstract(c))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again)))
    assert not np.array_equal(params["layers"]["gate"], params["layers"]["up"])
    h = whole(c, params, tokens(c, 4, 20))
    assert abs((h**2).mean() - 1) < 0.05  # norms start at one
    assert np.asarray(logits(c, params, h)).std() < 0.2


@pytest.mark.parametrize("c", [GROUPED, PLAIN])
def test_cached_pass_equals_whole_pass_at_every_position(c):
    """Four rows of lengths 13, 0, 9, 17: prefilled in two padded chunks on some rows only, then decoded one by one."""
    params = weights(c)
    lengths, chunk, B, S = np.array([13, 0, 9, 17]), 6, 4, 20
    ids = tokens(c, B, S)
    wanted = whole(c, params, ids)
    layers = unstack(c, params)
    cache = model.empty_cache(c, B, S)
    got = np.full_like(wanted, np.nan)
    done = np.zeros(B, np.int32)

    for rows, counts in (([2, 3, -1, 0], [3, 6, 2, 6]), ([3, 99, 0, 2], [5, 6, 1, 2])):
        start = np.array([done[r] if 0 <= r < B else 0 for r in rows], np.int32)
        lines = np.stack([ids[r % B, s : s + chunk] for r, s in zip(rows, start)])
        h, cache = extend(c, layers, cache, lines, start, np.array(counts, np.int32), np.array(rows, np.int32), 18)
        for p, (r, n) in enumerate(zip(rows, counts)):
            if 0 <= r < B:
                got[r, done[r] : done[r] + n] = h[p, :n]
                done[r] += n
    assert done.tolist() == [7, 0, 5, 11]

    while (done < lengths).any():
        live = (done < lengths).astype(np.int32)
        h, cache = extend(c, layers, cache, ids[np.arange(B), done][:, None], done.copy(), live, None, 18)
        for r in np.flatnonzero(live):
            got[r, done[r]] = h[r, 0]
        done += live

    for r, n in enumerate(lengths):
        np.testing.assert_allclose(got[r, :n], wanted[r, :n], rtol=1e-4, atol=1e-5)
    assert not np.any(cache[0]["k"][1])  # the row that was never used
    one, other = logits(c, layers, got[3, :17]), logits(c, params, wanted[3, :17])
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_dropped_writes_leave_the_cache_alone():
    c = GROUPED
    layers = unstack(c, weights(c))
    cache = jax.tree.map(lambda x: np.full(x.shape, 7, x.dtype), model.empty_cache(c, 2, 5))
    changed = lambda x: (np.asarray(x) != 7).any((1, 3)).tolist()
    start, length, rows = np.int32([[1, 0, 0], [2, 3, 3], [1, -1, 2]])
    _, after = extend(c, layers, cache, tokens(c, 3, 3), start, length, rows, 5)
    for kept in after:
        assert changed(kept["k"]) == changed(kept["v"]) == [[False] * 5, [False, True, True, False, False]]
    start, length = np.int32([[3, 4], [3, 0]])
    _, after = extend(c, layers, cache, tokens(c, 2, 3), start, length, None, 5)
    assert changed(after[1]["v"]) == [[False, False, False, True, True], [False] * 5]  # beyond the end is dropped too


def test_packed_rows_equal_separate_rows_and_padding_does_not_leak():
    c, params = GROUPED, weights(GROUPED)
    a, b = tokens(c, 1, 7, seed=1), tokens(c, 1, 5, seed=2)
    segments = np.int32([[1] * 7 + [2] * 5 + [0] * 4])
    positions = np.int32([[*range(7), *range(5), 0, 0, 0, 0]])
    row = np.concatenate([a, b, np.full((1, 4), 3, np.int32)], axis=1)
    packed = np.asarray(hidden(c, params, row, positions, segments))
    alone = whole(c, params, np.concatenate([np.pad(a, ((0, 0), (0, 9))), np.pad(b, ((0, 0), (0, 11)))]))
    np.testing.assert_allclose(packed[0, :7], alone[0, :7], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(packed[0, 7:12], alone[1, :5], rtol=1e-4, atol=1e-5)
    row[:, 12:] = 9
    other = np.asarray(hidden(c, params, row, positions, segments))
    assert np.array_equal(other[:, :12], packed[:, :12])
    assert not np.array_equal(other[:, 12:], packed[:, 12:])
    assert np.isfinite(other).all()
    row[:, 11] = (row[:, 11] + 1) % c.vocab  # a token changes nothing before it
    later = np.asarray(hidden(c, params, row, positions, segments))
    assert np.array_equal(later[:, :11], other[:, :11])
    assert not np.array_equal(later[:, 11], other[:, 11])


def test_attention_in_blocks_equals_the_textbook():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 300, n, 4)).astype(np.float32) for n in (6, 2, 2))
    segments = np.sort(rng.integers(0, 4, (2, 300)), axis=1)
    got = jax.jit(attend_packed)(q, k, v, segments)
    mask = (segments[:, :, None] == segments[:, None]) & np.tril(np.ones((300, 300), bool))
    scores = np.einsum("bthd,bshd->bhts", q, k.repeat(3, axis=2)) / 2  # heads share keys in groups of three
    scores = np.where(mask[:, None], np.exp(scores), 0)
    wanted = np.einsum("bhts,bshd->bthd", scores / scores.sum(-1, keepdims=True), v.repeat(3, axis=2))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_only_distances_between_positions_matter():
    c, params, ids = GROUPED, weights(GROUPED), tokens(GROUPED, 1, 16)
    near, ones = np.arange(16, dtype=np.int32)[None], np.ones((1, 16), np.int32)
    one, moved, stretched = (np.asarray(hidden(c, params, ids, at, ones)) for at in (near, near + 500, near * 2))
    np.testing.assert_allclose(one, moved, rtol=1e-3, atol=1e-3)
    assert np.abs(one - stretched).max() > 0.05


def test_llama3_rope_keeps_fast_pairs_and_stretches_slow_ones():
    scaling = model.Llama3Rope(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_positions=64)
    c = dataclasses.replace(GROUPED, head_dim=16, rope_theta=100.0)
    plain, scaled = (np.asarray(frequencies(x)[0]) for x in (c, dataclasses.replace(c, rope_scaling=scaling)))
    turns = 64 * plain / (2 * np.pi)
    np.testing.assert_allclose(scaled[turns > 4], plain[turns > 4])
    np.testing.assert_allclose(scaled[turns < 1], plain[turns < 1] / 8)
    between = (turns > 1) & (turns < 4)
    assert between.any() and (turns > 4).any() and (turns < 1).any()
    assert np.all((scaled[between] < plain[between]) & (scaled[between] > plain[between] / 8))


def test_gradients_reach_every_weight_and_are_the_same_with_and_without_remat():
    c, params, ids = PLAIN, weights(PLAIN), tokens(PLAIN, 2, 12)
    positions = np.broadcast_to(np.arange(12, dtype=np.int32), ids.shape)
    segments = np.int32([[1] * 6 + [2] * 6, [1] * 8 + [0] * 4])

    def loss(c, params):
        scores = logits(c, params, hidden(c, params, ids, positions, segments))
        logps = jnp.take_along_axis(jax.nn.log_softmax(scores), ids[:, :, None], axis=-1)[..., 0]
        return -(logps * (segments > 0)).mean()

    grad = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)
    kept, *again = (jax.tree.map(np.asarray, grad(dataclasses.replace(c, remat=x), params)) for x in ("none", "all", "dots"))
    for other in again:
        for (path, a), b in zip(jax.tree_util.tree_flatten_with_path(kept)[0], jax.tree.leaves(other)):
            assert np.isfinite(a).all() and a.any(), path
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_bfloat16_computes_from_float32_masters():
    c = dataclasses.replace(GROUPED, dtype="bfloat16")
    params, ids = weights(c), tokens(c, 2, 16)
    full, rough = whole(GROUPED, params, ids), whole(c, params, ids)
    assert rough.dtype == jnp.bfloat16
    assert 0 < np.abs(full - rough.astype(np.float32)).max() < 0.3
    layers = unstack(c, params)
    assert layers["layers"][1]["q"].dtype == jnp.bfloat16
    assert layers["layers"][1]["attn_norm"].dtype == jnp.float32
    cache = model.empty_cache(c, 2, 16)
    assert cache[1]["v"].dtype == jnp.bfloat16
    h, _ = extend(c, layers, cache, ids, np.zeros(2, np.int32), np.full(2, 16, np.int32), None, 16)
    assert h.dtype == jnp.bfloat16
    assert np.abs(np.asarray(h, np.float32) - rough.astype(np.float32)).max() < 0.15
    assert logits(c, params, h).dtype == jnp.float32


HYBRID = dataclasses.replace(
    GROUPED, layers=3, kinds=("delta", "window", "delta"), window=4, delta=model.Delta(2, 4, 8, 6, 4), gated=True
)


def test_memories_and_windows_keep_segments_and_branches_apart():
    """A row of [one | common first second | padding], more than a chunk of the delta rule long, against rows of their own."""
    c, params = HYBRID, weights(HYBRID)
    one, common, first, second = (tokens(c, 1, n, seed=n) for n in (37, 30, 11, 9))
    row = np.concatenate([one, common, first, second, np.full((1, 3), 3, np.int32)], axis=1)
    segments = np.int32([[1] * 37 + [2] * 50 + [0] * 3])
    branches = np.int32([[0] * 67 + [1] * 11 + [2] * 9 + [0] * 3])
    positions = np.int32([[*range(37), *range(41), *range(30, 39), 0, 0, 0]])
    packed = np.asarray(hidden(c, params, row, positions, segments, branches))[0]
    parts = (one, np.concatenate([common, first], axis=1), np.concatenate([common, second], axis=1))
    alone = whole(c, params, np.concatenate([np.pad(x, ((0, 0), (0, 41 - x.shape[1]))) for x in parts]))
    np.testing.assert_allclose(packed[:37], alone[0, :37], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(packed[37:78], alone[1, :41], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(packed[78:87], alone[2, 30:39], rtol=1e-3, atol=1e-4)


def test_a_row_that_begins_anew_remembers_nothing_of_the_dialogue_before():
    c = HYBRID
    layers, cache = unstack(c, weights(c)), model.empty_cache(c, 2, 24)
    ids = tokens(c, 2, 20)
    wanted = whole(c, weights(c), ids)
    whole_rows, start = np.arange(2, dtype=np.int32), np.zeros(2, np.int32)
    for _ in range(2):  # the same rows twice, each in two calls, the first with places to spare
        h, cache = extend(c, layers, cache, ids[:, :12], start, np.int32([9, 12]), whole_rows, 24)
        got = [h[0, :9], h[1, :12]]
        for at, line in ((9, 0), (12, 1)):
            rest = np.pad(ids[line : line + 1, at:], ((0, 0), (0, 12 - 20 + at)))
            h, cache = extend(c, layers, cache, rest, np.int32([at]), np.int32([20 - at]), np.int32([line]), 24)
            np.testing.assert_allclose(np.concatenate([got[line], h[0, : 20 - at]]), wanted[line], rtol=1e-3, atol=1e-4)
