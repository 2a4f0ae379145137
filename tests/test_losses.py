"""Log-probabilities in chunks against the whole log-softmax."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import model
from playpen_jax.losses import tokens
from playpen_jax.state import Batch

C = model.ModelConfig("llama", vocab=61, dim=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp=64)


def params(c: model.ModelConfig = C, seed: int = 0) -> model.Params:
    """Weights whose logits are far from even."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: (rng.normal(size=x.shape) * 0.3).astype(np.float32), model.abstract(c))


def batch(rng: np.random.Generator, shape: tuple[int, int] = (3, 12), vocab: int = C.vocab, dialogues: int = 1) -> Batch:
    """Random rows, each of `dialogues` dialogues, about half of whose tokens are the learner's."""
    segments = np.sort(rng.integers(1, dialogues + 1, shape), axis=1)
    first = np.diff(segments, axis=1, prepend=0) > 0
    starts = np.maximum.accumulate(np.where(first, np.arange(shape[1]), 0), axis=1)
    mask = ((rng.random(shape) < 0.5) & ~first).astype(np.float32)
    return Batch(
        tokens=rng.integers(0, vocab, shape, dtype=np.int32),
        positions=(np.arange(shape[1]) - starts).astype(np.int32),
        segment_ids=segments.astype(np.int32),
        mask=mask,
        advantages=(rng.normal(size=shape) * mask).astype(np.float32),
        logps=(-3 * rng.random(shape) * mask).astype(np.float32),
    )


# ---------------------------------------------------------------------------------------------- log-probabilities


def whole(c: model.ModelConfig, params: model.Params, b: Batch, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and entropies by the log-softmax of all logits, in float64."""
    run = jax.jit(lambda p: model.logits(c, p, model.hidden(c, p, b.tokens, b.positions, b.segment_ids)))
    logits = np.asarray(run(params), np.float64)[:, :-1] / temperature
    logits -= logits.max(-1, keepdims=True)
    logps = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(logps, b.tokens[:, 1:, None], -1)[..., 0]
    first = ((0, 0), (1, 0))
    return np.pad(chosen, first), np.pad(-(np.exp(logps) * logps).sum(-1), first)


@pytest.mark.parametrize("said", ["some", "all"])
@pytest.mark.parametrize("length, chunk, temperature", [(12, 128, 1.0), (37, 16, 1.0), (32, 16, 0.7), (150, 128, 1.6)])
def test_chunks_give_the_log_softmax_of_the_whole(monkeypatch, length, chunk, temperature, said):
    monkeypatch.setattr(tokens, "CHUNK", chunk)
    b, weights = batch(np.random.default_rng(0), (2, length), dialogues=3), params()
    if said == "all":
        b = dataclasses.replace(b, mask=(np.arange(length) > 0) * np.ones((2, 1), np.float32))
    logps, entropy = jax.jit(tokens.token_logps, static_argnums=(0, 3))(C, weights, b, temperature)
    wanted, spread = whole(C, weights, b, temperature)
    assert logps.shape == entropy.shape == (2, length)
    for found in (logps, entropy):
        np.testing.assert_array_equal(found[:, 0], 0.0)
        np.testing.assert_array_equal(np.asarray(found)[b.mask == 0], 0.0)
    np.testing.assert_allclose(logps, wanted * b.mask, atol=1e-5)
    np.testing.assert_allclose(entropy, spread * b.mask, atol=1e-5)
    assert spread[b.mask > 0].std() > 0.01 and wanted[b.mask > 0].std() > 0.1


def test_logits_are_computed_of_chunks_that_hold_a_learners_token_alone(monkeypatch):
    computed, inner = [], model.logits

    def counting(c, params, x):
        jax.debug.callback(lambda: computed.append(x.shape))
        return inner(c, params, x)

    monkeypatch.setattr(model, "logits", counting)
    monkeypatch.setattr(tokens, "CHUNK", 16)
    b, weights = batch(np.random.default_rng(0), (2, 128)), params()
    run = jax.jit(lambda weights, b: tokens.token_logps(C, weights, b))
    for said, chunks in ((0, 0), (1, 1), (16, 1), (17, 2), (127, 8)):
        mask = np.zeros((2, 128), np.float32)
        mask[1, np.random.default_rng(said).permutation(127)[:said] + 1] = 1
        computed.clear()
        jax.block_until_ready(run(weights, dataclasses.replace(b, mask=mask)))
        jax.effects_barrier()
        assert computed == [(2, 16, C.dim)] * chunks


def test_gradients_of_chunks_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(tokens, "CHUNK", 8)
    b, weights = batch(np.random.default_rng(0), (2, 21)), params()

    def plain(weights):
        x = model.hidden(C, weights, b.tokens, b.positions, b.segment_ids)
        logps = jax.nn.log_softmax(model.logits(C, weights, x) / 0.8)
        return (jnp.take_along_axis(logps[:, :-1], b.tokens[:, 1:, None], -1)[..., 0] * b.mask[:, 1:]).sum()

    def chunked(weights):
        return (tokens.token_logps(C, weights, b, 0.8)[0] * b.mask).sum()

    found, wanted = jax.jit(jax.grad(chunked))(weights), jax.jit(jax.grad(plain))(weights)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, wanted)


def test_entropy_of_an_even_and_of_a_certain_distribution():
    b = batch(np.random.default_rng(0), (1, 9))
    run = jax.jit(lambda weights: tokens.token_logps(C, weights, b))
    logps, entropy = run(jax.tree.map(np.zeros_like, params()))
    assert b.mask.any()
    np.testing.assert_allclose(entropy, b.mask * np.log(C.vocab), rtol=1e-6)
    np.testing.assert_allclose(logps, -b.mask * np.log(C.vocab), rtol=1e-6)
    certain = params() | {"norm": params()["norm"] * 1e4}
    np.testing.assert_allclose(run(certain)[1], 0.0, atol=1e-6)


def test_no_program_holds_the_logits_of_all_places():
    c = dataclasses.replace(C, vocab=2**15, layers=1, kinds=(), heads=1, kv_heads=1)
    b = batch(np.random.default_rng(0), (1, 2048), c.vocab)

    def total(weights, b):
        logps, entropy = tokens.token_logps(c, weights, b)
        return (logps * b.mask).sum(), entropy

    program = jax.jit(jax.grad(total, has_aux=True)).trace(model.abstract(c), b)
    assert max(_sizes(program.jaxpr.jaxpr)) == tokens.CHUNK * c.vocab, "the largest array is the logits of one chunk"
    whole = 4 * b.tokens.size * c.vocab  # bytes of [B, T, V] in float32
    assert program.lower().compile().memory_analysis().temp_size_in_bytes < whole / 2


def _sizes(jaxpr: jax.extend.core.Jaxpr):
    """The size of every array that a program computes, inner programs included."""
    for eqn in jaxpr.eqns:
        yield from (x.aval.size for x in eqn.outvars if hasattr(x.aval, "size"))
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from _sizes(inner)
