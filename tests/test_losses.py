"""The losses against arithmetic written a second time in float64, and log-probabilities against the whole log-softmax."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import model
from playpen_jax.losses import grpo, sft, tokens
from playpen_jax.types import Batch

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


# ---------------------------------------------------------------------------------------------- advantages


def test_advantages_by_hand():
    rewards = np.array([1.0, 0.0, 0.0, 1.0])  # mean 1/2, deviation 1/2
    np.testing.assert_array_equal(grpo.advantages(rewards, scale=False), [0.5, -0.5, -0.5, 0.5])
    np.testing.assert_allclose(grpo.advantages(rewards), np.array([1, -1, -1, 1]) * 0.5 / 0.5001, rtol=1e-12)
    np.testing.assert_allclose(grpo.advantages(np.array([0.0, 0.0, 0.9]), scale=False), [-0.3, -0.3, 0.6], rtol=1e-12)
    np.testing.assert_allclose(grpo.advantages(np.array([0.0, 0.0, 0.9])), np.array([-1, -1, 2]) / 2**0.5, rtol=3e-4)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("reward", [0.0, 1.0, 1 / 3, 0.1])
def test_equal_rewards_teach_nothing(reward, scale):
    np.testing.assert_array_equal(grpo.advantages(np.full(7, reward), scale), np.zeros(7))
    np.testing.assert_array_equal(grpo.advantages(np.array([reward]), scale), [0.0])


# ---------------------------------------------------------------------------------------------- GRPO


def reference(b: Batch, logps, ref_logps, clip: grpo.Clip) -> tuple[float, dict[str, float]]:
    """Mean loss and metrics over the learner's tokens, token by token in float64."""
    found = {"loss": [], "low": [], "high": [], "off": [], "ratio": [], "kl": []}
    for i, j in np.argwhere(b.mask > 0):
        advantage, ratio = float(b.advantages[i, j]), np.exp(float(logps[i, j]) - float(b.logps[i, j]))
        if advantage >= 0:
            surrogate = min(ratio, 1 + clip.high) * advantage
        else:
            surrogate = max(ratio, 1 - clip.low) * advantage
        gap = float(ref_logps[i, j]) - float(logps[i, j])
        kl = np.expm1(gap) - gap
        found["loss"].append(clip.beta * kl - surrogate)
        found["low"].append(advantage < 0 and ratio < 1 - clip.low)
        found["high"].append(advantage > 0 and ratio > 1 + clip.high)
        found["off"].append(abs(np.log(ratio)))
        found["ratio"].append(ratio)
        found["kl"].append(kl)
    return float(np.mean(found["loss"])), {name: float(np.mean(x)) for name, x in found.items()}


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_metrics_are_those_of_the_reference(seed):
    rng = np.random.default_rng(seed)
    b, clip = batch(rng, (4, 50)), grpo.Clip(0.2, 0.3, beta=0.1)
    logps = b.logps + rng.normal(size=b.logps.shape).astype(np.float32) * 0.4 * b.mask
    ref_logps = b.logps + rng.normal(size=b.logps.shape).astype(np.float32) * 0.4 * b.mask
    wanted, metrics = reference(b, logps, ref_logps, clip)
    assert min(metrics["low"], metrics["high"]) > 0.05, "the case clips on one side only"

    per_token, found = jax.jit(lambda x, ref: grpo.loss(b, x, ref, clip))(logps, ref_logps)
    mean = lambda x: float((np.asarray(x, np.float64) * b.mask).sum() / b.mask.sum())
    assert mean(per_token) == pytest.approx(wanted, rel=1e-5)
    names = {
        "low": "clip_ratio/low_mean",
        "high": "clip_ratio/high_mean",
        "off": "sampling/sampling_logp_difference/mean",
        "ratio": "sampling/importance_sampling_ratio/mean",
        "kl": "kl",
    }
    assert {name: mean(found[theirs]) for name, theirs in names.items()} == pytest.approx(
        {name: metrics[name] for name in names}, rel=1e-5
    )
    assert mean(found["clip_ratio/region_mean"]) == pytest.approx(metrics["low"] + metrics["high"], rel=1e-5)


def test_k3_is_zero_for_equal_policies_and_positive_for_any_other():
    rng = np.random.default_rng(0)
    a, b = -5 * rng.random((8, 100)).astype(np.float32), -5 * rng.random((8, 100)).astype(np.float32)
    np.testing.assert_array_equal(grpo.k3(jnp.asarray(a), jnp.asarray(a)), np.zeros_like(a))
    assert float(grpo.k3(jnp.asarray(a), jnp.asarray(b)).min()) >= 0
    assert float(grpo.k3(jnp.full((1, 1), -2.0), jnp.full((1, 1), -1.0))[0, 0]) == pytest.approx(np.e - 2, rel=1e-6)


def test_gradient_of_a_three_token_policy_is_its_finite_difference():
    """Every token of a row is drawn from softmax(theta); theta is off the sampler's policy, so that tokens are clipped."""
    rng, clip = np.random.default_rng(1), grpo.Clip(0.2, 0.2, beta=0.2)
    theta, ref, old = np.array([0.6, -0.5, 0.1]), np.array([0.1, 0.3, -0.2]), np.array([0.0, 0.0, 0.05])
    ids = rng.integers(0, 3, (2, 40))
    at = lambda logits: (logits - np.log(np.exp(logits).sum()))[ids]
    b = batch(rng, ids.shape)
    b = dataclasses.replace(b, logps=at(old) * b.mask)
    assert 0.1 < reference(b, at(theta), at(ref), clip)[1]["low"] + reference(b, at(theta), at(ref), clip)[1]["high"] < 0.9

    def ours(theta):
        logps = jax.nn.log_softmax(theta)[ids]
        per_token, _ = grpo.loss(b, logps, at(ref), clip)
        return (per_token * b.mask).sum() / b.mask.sum()

    with jax.enable_x64(True):
        found = np.asarray(jax.jit(jax.grad(ours))(theta))
    step = 1e-6 * np.eye(3)
    slope = [
        (reference(b, at(theta + d), at(ref), clip)[0] - reference(b, at(theta - d), at(ref), clip)[0]) / 2e-6 for d in step
    ]
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-9)
    assert np.abs(slope).min() > 1e-3


def test_a_clipped_token_has_no_gradient_and_only_on_its_side():
    ratios, advantages = np.meshgrid([0.5, 0.79, 0.81, 1.29, 1.31, 2.0], [-1.0, 1.0])
    b = batch(np.random.default_rng(0), ratios.shape)
    b = dataclasses.replace(b, mask=np.ones_like(b.mask), advantages=advantages, logps=np.zeros_like(b.logps))
    clip = grpo.Clip(0.2, 0.3)
    grad = jax.jit(jax.grad(lambda x: grpo.loss(b, x, None, clip)[0].sum()))(np.log(ratios))
    np.testing.assert_allclose(grad, [[0, 0, 0.81, 1.29, 1.31, 2.0], [-0.5, -0.79, -0.81, -1.29, 0, 0]], rtol=1e-6)


def test_on_policy_the_gradient_is_weighted_maximum_likelihood():
    b = batch(np.random.default_rng(2))
    ours = jax.jit(jax.grad(lambda x: (grpo.loss(b, x, None, grpo.Clip())[0] * b.mask).sum()))(b.logps)
    weighted = jax.jit(jax.grad(lambda x: (sft.loss(b, x)[0] * b.advantages * b.mask).sum()))(b.logps)
    np.testing.assert_array_equal(ours, weighted)
    np.testing.assert_array_equal(ours, -b.advantages)


def test_tokens_that_the_learner_did_not_sample_have_no_gradient_however_unlikely_they_are():
    rng = np.random.default_rng(3)
    b = batch(rng)
    outside = b.mask == 0
    logps = np.where(outside, -300, b.logps + 0.1).astype(np.float32)  # so thinks a policy of a prompt that it never says
    ref_logps = np.where(outside, -1, b.logps).astype(np.float32)

    def total(x):
        return (grpo.loss(b, x, ref_logps, grpo.Clip(beta=0.1))[0] * b.mask).sum()

    value, grad = jax.jit(jax.value_and_grad(total))(logps)
    assert np.isfinite(value)
    np.testing.assert_array_equal(np.asarray(grad)[outside], 0.0)
    assert (np.asarray(grad)[~outside] != 0).all()


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


@pytest.mark.parametrize("length, chunk, temperature", [(12, 128, 1.0), (37, 16, 1.0), (32, 16, 0.7), (150, 128, 1.6)])
def test_chunks_give_the_log_softmax_of_the_whole(monkeypatch, length, chunk, temperature):
    monkeypatch.setattr(tokens, "CHUNK", chunk)
    b, weights = batch(np.random.default_rng(0), (2, length), dialogues=3), params()
    logps, entropy = jax.jit(tokens.token_logps, static_argnums=(0, 3))(C, weights, b, temperature)
    wanted, spread = whole(C, weights, b, temperature)
    assert logps.shape == entropy.shape == (2, length)
    np.testing.assert_array_equal(logps[:, 0], 0.0)
    np.testing.assert_array_equal(entropy[:, 0], 0.0)
    np.testing.assert_allclose(logps, wanted, atol=1e-5)
    np.testing.assert_allclose(entropy, spread, atol=1e-5)
    assert spread[:, 1:].std() > 0.01 and wanted[:, 1:].std() > 0.1


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
    np.testing.assert_allclose(entropy[:, 1:], np.log(C.vocab), rtol=1e-6)
    np.testing.assert_allclose(logps[:, 1:], -np.log(C.vocab), rtol=1e-6)
    certain = params() | {"norm": params()["norm"] * 1e4}
    np.testing.assert_allclose(run(certain)[1], 0.0, atol=1e-6)


def test_no_program_holds_the_logits_of_all_places():
    c = dataclasses.replace(C, vocab=2**15, layers=1, heads=1, kv_heads=1)
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
