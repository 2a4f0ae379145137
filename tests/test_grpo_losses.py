"""Every variant of the policy gradient against arithmetic written a second time in float64, token by token."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax.losses import advantages, grpo, sft
from playpen_jax.state import Batch
from tests.test_losses import batch

DEFAULT = grpo.Clip()


def clip_of(name: str, **changes) -> grpo.Clip:
    v = grpo.VARIANTS[name]
    return grpo.Clip(v.low, v.high, ratio=v.ratio, surrogate=v.surrogate, **changes)


# ---------------------------------------------------------------------------------------------- advantages


def test_advantages_by_hand():
    rewards = np.array([1.0, 0.0, 0.0, 1.0])  # mean 1/2, deviation 1/2
    np.testing.assert_array_equal(advantages.centred(rewards), [0.5, -0.5, -0.5, 0.5])
    np.testing.assert_allclose(advantages.group(rewards), np.array([1, -1, -1, 1]) * 0.5 / 0.5001, rtol=1e-12)
    np.testing.assert_allclose(advantages.group(np.array([0.0, 0.0, 0.9])), np.array([-1, -1, 2]) / 2**0.5, rtol=3e-4)
    np.testing.assert_allclose(advantages.leave_one_out(np.array([0.0, 0.3, 0.9])), [-0.6, -0.15, 0.75], rtol=1e-12)


@pytest.mark.parametrize("name", sorted(advantages.GROUPED))
@pytest.mark.parametrize("reward", [0.0, 1.0, 1 / 3, 0.1])
def test_equal_rewards_teach_nothing(reward, name):
    np.testing.assert_array_equal(advantages.GROUPED[name](np.full(7, reward)), np.zeros(7))
    np.testing.assert_array_equal(advantages.GROUPED[name](np.array([reward])), [0.0])


def test_a_roles_baseline_is_the_one_from_before_the_play_and_lives_on():
    known = {}
    made = advantages.Baselines(known, decay=0.5).advantages("taboo/guesser", np.array([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(made, [1.0, -0.5, 0.75])  # baselines 0, 1/2, 1/4
    assert known == {"taboo/guesser": 0.625}
    again = advantages.Baselines(known, decay=0.5)
    assert again.advantages("taboo/guesser", np.array([1.0]))[0] == 0.375
    assert again.advantages("taboo/describer", np.array([1.0]))[0] == 1.0


# ---------------------------------------------------------------------------------------------- the loss


def units(b: Batch, i: int, j: int, kind: str) -> list[int]:
    """The learner's places of row i that share their ratio with place j."""
    if kind == "token":
        return [j]
    places = [k for k in range(b.mask.shape[1]) if b.mask[i, k] and b.segment_ids[i, k] == b.segment_ids[i, j]]
    if kind == "turn":
        places = [k for k in places if all(b.mask[i, min(j, k) : max(j, k) + 1])]
    return places


def reference(b: Batch, logps, ref, clip: grpo.Clip) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Losses and metrics of the learner's tokens, in their order, in float64; `old` is the batch's own."""
    sampler, old = (b.logps, b.logps) if clip.correction == "clip" else (b.logps, b.old)
    losses, found = [], {"low": [], "high": [], "rho": [], "kl": []}
    for i, j in np.argwhere(b.mask > 0):
        gaps = {k: float(logps[i, k]) - float(old[i, k]) for k in units(b, i, j, clip.ratio)}
        r = np.exp(np.mean(list(gaps.values())))
        a = float(b.advantages[i, j])
        if clip.surrogate == "cispo":
            loss = -min(max(r, 1 - clip.low), 1 + clip.high) * a * float(logps[i, j])
        else:
            loss = -(min(r, 1 + clip.high) if a >= 0 else max(r, 1 - clip.low)) * a
        d = float(ref[i, j]) - float(logps[i, j])
        kl = {"k1": -d, "k2": d * d / 2, "k3": np.expm1(d) - d}[clip.kl]
        rho = np.exp(float((b.logps if b.old is None else b.old)[i, j]) - float(sampler[i, j]))
        weight = {
            "clip": 1.0,
            "none": 1.0,
            "truncate": min(rho, clip.cap),
            "mask": rho if 1 / clip.cap <= rho <= clip.cap else 0.0,
        }[clip.correction]
        losses.append(weight * (loss + clip.beta * kl))
        found["low"].append(a < 0 and r < 1 - clip.low)
        found["high"].append(a > 0 and r > 1 + clip.high)
        found["rho"].append(rho)
        found["kl"].append(kl)
    return np.array(losses), {name: np.array(x, float) for name, x in found.items()}


def case(seed: int, spread: float = 0.4) -> tuple[Batch, np.ndarray, np.ndarray]:
    """A batch of packed dialogues with a policy, a reference, and the policy before the first update."""
    rng = np.random.default_rng(seed)
    b = batch(rng, (4, 50), dialogues=3)
    off = lambda: b.logps + rng.normal(size=b.logps.shape).astype(np.float32) * spread * b.mask
    return dataclasses.replace(b, old=off()), off(), off()


@pytest.mark.parametrize("seed", [0])
@pytest.mark.parametrize("name", sorted(grpo.VARIANTS))
def test_every_variant_is_that_of_the_reference(name, seed):
    b, logps, ref = case(seed, 0.004 if name == "gspo" else 1.2 if name == "cispo" else 0.4)
    clip = clip_of(name, beta=0.1)
    wanted, metrics = reference(b, logps, ref, clip)
    found, said = grpo.loss(b, logps, ref, clip)
    there = b.mask > 0
    np.testing.assert_allclose(np.asarray(found)[there], wanted, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(said["kl"])[there], metrics["kl"], rtol=1e-4, atol=1e-6)
    for side in ("low", "high"):
        np.testing.assert_array_equal(np.asarray(said[f"clip_ratio/{side}_mean"])[there], metrics[side])
    if np.isfinite(clip.high):
        assert 0.02 < metrics["high"].mean() < 0.9, "a case that is never bounded shows nothing"
    else:
        assert not np.asarray(said["clip_ratio/region_mean"]).any()


@pytest.mark.parametrize("correction", ["clip", "none", "truncate", "mask"])
@pytest.mark.parametrize("ratio", ["token", "turn", "sequence"])
@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
def test_every_correction_ratio_and_estimate_is_that_of_the_reference(correction, ratio, kl):
    b, logps, ref = case(7)
    clip = grpo.Clip(0.2, 0.3, 0.1, ratio, "clip", kl, "direct", correction, cap=1.5)
    wanted, metrics = reference(b, logps, ref, clip)
    found, said = grpo.loss(b, logps, ref, clip)
    there = b.mask > 0
    np.testing.assert_allclose(np.asarray(found)[there], wanted, rtol=2e-5, atol=1e-6)
    if correction != "clip":
        np.testing.assert_allclose(
            np.asarray(said["sampling/importance_sampling_ratio/mean"])[there], metrics["rho"], rtol=1e-5
        )
        share = {"none": None, "truncate": metrics["rho"] > 1.5, "mask": (metrics["rho"] > 1.5) | (metrics["rho"] < 1 / 1.5)}
        if share[correction] is not None:
            np.testing.assert_array_equal(np.asarray(said["sampling/corrected"])[there], share[correction])
            assert 0.05 < share[correction].mean() < 0.5


def test_without_old_log_probabilities_the_policy_is_its_own_and_the_ratio_is_one():
    b, logps, _ = case(1)
    b = dataclasses.replace(b, old=None)
    clip = grpo.Clip(correction="truncate", cap=1.2)
    value, grad = jax.value_and_grad(lambda x: (grpo.loss(b, x, None, clip)[0] * b.mask).sum())(logps)
    rho = np.minimum(np.exp((logps - b.logps) * b.mask), 1.2)
    np.testing.assert_allclose(grad, -rho * b.advantages, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(value, -(rho * b.advantages).sum(), rtol=1e-4)


@pytest.mark.parametrize("name", sorted(grpo.VARIANTS))
def test_on_policy_every_variant_has_the_gradient_of_weighted_maximum_likelihood(name):
    b = batch(np.random.default_rng(2), (3, 12), dialogues=2)
    if grpo.VARIANTS[name].ratio == "sequence":  # the tokens of a dialogue share ratio and advantage: so does its gradient
        means = grpo.unit_means(jnp.asarray(b.advantages), b, "sequence")
        b = dataclasses.replace(b, advantages=np.asarray(means))
    ours = jax.grad(lambda x: (grpo.loss(b, x, None, clip_of(name))[0] * b.mask).sum())(b.logps)
    weighted = jax.grad(lambda x: (sft.loss(b, x)[0] * b.advantages * b.mask).sum())(b.logps)
    np.testing.assert_allclose(ours, weighted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours, -b.advantages, rtol=1e-5, atol=1e-6)


def test_a_clipped_token_has_no_gradient_and_only_on_its_side():
    ratios, given = np.meshgrid([0.5, 0.79, 0.81, 1.29, 1.31, 2.0], [-1.0, 1.0])
    b = batch(np.random.default_rng(0), ratios.shape)
    b = dataclasses.replace(b, mask=np.ones_like(b.mask), advantages=given, logps=np.zeros_like(b.logps))
    slope = lambda clip: jax.grad(lambda x: grpo.loss(b, x, None, clip)[0].sum())(np.log(ratios))
    np.testing.assert_allclose(
        slope(grpo.Clip(0.2, 0.3)), [[0, 0, 0.81, 1.29, 1.31, 2], [-0.5, -0.79, -0.81, -1.29, 0, 0]], 1e-6
    )
    bounded = slope(grpo.Clip(np.inf, 0.3, surrogate="cispo"))  # the weight stops at 1.3, the gradient does not
    np.testing.assert_allclose(bounded[1], -np.minimum(ratios[1], 1.3), rtol=1e-6)


def test_tokens_that_the_learner_did_not_sample_have_no_gradient_however_unlikely_they_are():
    b = batch(np.random.default_rng(3))
    outside = b.mask == 0
    logps = np.where(outside, -300, b.logps + 0.1).astype(np.float32)  # so thinks a policy of a prompt that it never says
    ref_logps = np.where(outside, -1, b.logps).astype(np.float32)
    for name, kl in itertools.product(sorted(grpo.VARIANTS), ("k1", "k2", "k3")):
        clip = clip_of(name, beta=0.1, kl=kl)
        total = lambda x, clip=clip: (grpo.loss(b, x, ref_logps, clip)[0] * b.mask).sum()
        value, grad = jax.value_and_grad(total)(logps)
        assert np.isfinite(value)
        np.testing.assert_array_equal(np.asarray(grad)[outside], 0.0)
        assert np.abs(np.asarray(grad)[~outside]).max() > 0.01


def test_replies_are_numbered_in_each_row():
    mask = np.array([[0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1]], np.float32)
    np.testing.assert_array_equal(grpo.replies(mask), [[0, 1, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]])


# ---------------------------------------------------------------------------------------------- a policy of three tokens

THETA, REF, OLD = np.array([0.6, -0.5, 0.1]), np.array([0.1, 0.3, -0.2]), np.array([0.0, 0.0, 0.05])


def log_policy(theta):
    return theta - np.log(np.exp(theta).sum())


@pytest.mark.parametrize("name", sorted(grpo.VARIANTS))
def test_the_gradient_of_a_three_token_policy_is_its_finite_difference(name):
    """Every token of a row is drawn from softmax(theta); theta is off the sampler's policy, so that tokens are clipped."""
    rng = np.random.default_rng(1)
    near = name == "gspo"  # its bounds are narrow
    old = THETA - np.array([4e-4, -4e-4, 0]) if near else OLD
    ids = rng.integers(0, 3, (2, 40))
    b = batch(rng, ids.shape, dialogues=4)
    b = dataclasses.replace(b, logps=log_policy(old)[ids] * b.mask)
    clip = clip_of(name, beta=0.2, kl_gradient="direct")
    total = lambda theta: reference(b, log_policy(theta)[ids], log_policy(REF)[ids], clip)[0].mean()

    def ours(theta):
        per_token, _ = grpo.loss(b, jax.nn.log_softmax(theta)[ids], log_policy(REF)[ids], clip)
        return (per_token * b.mask).sum() / b.mask.sum()

    with jax.enable_x64(True):
        found = np.asarray(jax.grad(ours)(THETA))
    step = 1e-7 if near else 1e-6
    slope = [(total(THETA + d) - total(THETA - d)) / (2 * step) for d in step * np.eye(3)]
    if grpo.VARIANTS[name].surrogate == "cispo":  # its weight is held fixed: differences of log pi alone
        ratios = np.exp((log_policy(THETA)[ids] - b.logps) * b.mask)
        weight = np.minimum(ratios, 5.0) * b.advantages * b.mask
        d = log_policy(REF)[ids]

        def fixed(theta):
            at = log_policy(theta)[ids]
            kl = np.exp(d - at) - (d - at) - 1
            return ((-weight * at + 0.2 * kl) * b.mask).sum() / b.mask.sum()

        slope = [(fixed(THETA + d) - fixed(THETA - d)) / (2 * step) for d in step * np.eye(3)]
    np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-7)
    assert np.abs(slope).min() > 1e-4


@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
@pytest.mark.parametrize("sampler", [THETA, OLD], ids=["on policy", "off policy"])
def test_the_mean_of_the_unbiased_gradients_is_that_of_the_divergence_itself(kl, sampler):
    """All three tokens with their probabilities in place of a sample: the mean is exact."""
    ids = np.array([[0, 1, 2]])
    chance = np.exp(log_policy(sampler))
    b = batch(np.random.default_rng(0), ids.shape)
    b = dataclasses.replace(b, mask=np.ones((1, 3)), advantages=np.zeros((1, 3)), logps=log_policy(sampler)[ids])
    divergence = lambda theta: (np.exp(log_policy(theta)) * (log_policy(theta) - log_policy(REF))).sum()

    def mean(theta, how):
        clip = grpo.Clip(beta=1.0, kl=kl, kl_gradient=how)
        return (grpo.loss(b, jax.nn.log_softmax(theta)[ids], log_policy(REF)[ids], clip)[0] * chance[None]).sum()

    with jax.enable_x64(True):
        found = np.asarray(jax.grad(mean)(THETA, "unbiased"))
        direct = np.asarray(jax.grad(mean)(THETA, "direct"))
    slope = [(divergence(THETA + d) - divergence(THETA - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-9)
    if sampler is THETA:
        backward = lambda theta: (np.exp(log_policy(REF)) * (log_policy(REF) - log_policy(theta))).sum()
        other = [(backward(THETA + d) - backward(THETA - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
        np.testing.assert_allclose(direct, {"k1": np.zeros(3), "k2": slope, "k3": other}[kl], rtol=1e-6, atol=1e-9)


def test_estimates_are_zero_for_equal_policies_and_k3_is_never_negative():
    rng = np.random.default_rng(0)
    d = jnp.asarray(5 * rng.normal(size=(8, 100)).astype(np.float32))
    for estimate in grpo.ESTIMATES.values():
        np.testing.assert_array_equal(estimate(jnp.zeros((2, 3))), np.zeros((2, 3)))
    assert float(grpo.k3(d).min()) >= 0 and float(grpo.k2(d).min()) >= 0
    assert float(grpo.k3(jnp.ones((1, 1)))[0, 0]) == pytest.approx(np.e - 2, rel=1e-6)
