"""Preference losses against formulas written a second time in float64, their slopes, and pairs that share a prefix."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import config as configs
from playpen_jax import sharding, update
from playpen_jax.data import ref_logps
from playpen_jax.data.pack import micro_batches
from playpen_jax.data.pairs import row
from playpen_jax.learn.dpo import batch_of
from playpen_jax.losses import dpo, tokens
from playpen_jax.losses.dpo import Preference
from playpen_jax.state import Batch
from tests.test_losses import C, params

HOW = {
    "sigmoid": Preference(beta=0.3),
    "sigmoid with sft": Preference(beta=0.3, sft=0.7),
    "reference-free": Preference(beta=0.3, reference_free=True),
    "sigmoid_norm": Preference("sigmoid_norm", beta=2.0),
    "hinge": Preference("hinge", beta=0.5),
    "ipo": Preference("ipo", beta=0.4),
    "cdpo": Preference("cdpo", beta=0.3, smoothing=0.2),
    "robust": Preference("robust", beta=0.3, smoothing=0.2),
}


def sides(rng: np.random.Generator, shared: int) -> tuple:
    """Two dialogues of tokens below 61 that begin alike; in the beginning some tokens are the learner's as well."""
    trunk = rng.integers(0, C.vocab, shared)
    trunk_mask = rng.random(shared) < 0.4
    trunk_mask[[0, -1]] = False
    found = []
    for side in range(2):
        n = int(rng.integers(2, 9))
        ids = rng.integers(0, C.vocab, n)
        ids[0] = side  # they part here
        mask = np.append(True, rng.random(n - 1) < 0.6)
        mask[-1] = True
        found.append((np.concatenate([trunk, ids]), np.concatenate([trunk_mask, mask])))
    return tuple(found)


def pairs(count: int = 7, seed: int = 0) -> list:
    rng = np.random.default_rng(seed)
    return [sides(rng, int(rng.integers(2, 9))) for _ in range(count)]


def rows(shared: bool = True, count: int = 7, seed: int = 0) -> list:
    return [row(*pair, shared) for pair in pairs(count, seed)]


def with_reference(made: list, seed: int = 5) -> list:
    """The rows with log-probabilities of some reference."""
    rng, found = np.random.default_rng(seed), []
    for each in made:
        logps = (-4 * rng.random(len(each.ids)) * each.mask).astype(np.float32)
        found.append(dataclasses.replace(each, logps=logps, sampled_logps=logps))
    return found


def by_hand(batch: Batch, logps: np.ndarray, how: Preference) -> dict[str, float]:
    """Means over the pairs of a batch, pair by pair, token by token, in float64."""
    found: dict[str, list[float]] = {}
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    for b, segment in sorted({(b, int(batch.segment_ids[b, t])) for b, t in np.argwhere(batch.segment_ids > 0).tolist()}):
        total, ref, count = np.zeros(2), np.zeros(2), np.zeros(2)
        for t in np.flatnonzero((batch.segment_ids[b] == segment) & (batch.mask[b] > 0)):
            for side in (0, 1):
                if batch.branches[b, t] in (0, side + 1):
                    total[side] += float(logps[b, t])
                    ref[side] += 0.0 if how.reference_free else float(batch.logps[b, t])
                    count[side] += 1
        gain = total - ref
        d, mean = gain[0] - gain[1], gain[0] / count[0] - gain[1] / count[1]
        x, e = how.beta * d, how.smoothing
        value = {
            "sigmoid": -np.log(sigmoid(x)),
            "sigmoid_norm": -np.log(sigmoid(how.beta * mean)),
            "hinge": max(0.0, 1 - x),
            "ipo": (mean - 0.5 / how.beta) ** 2,
            "cdpo": -(1 - e) * np.log(sigmoid(x)) - e * np.log(sigmoid(-x)),
            "robust": (-(1 - e) * np.log(sigmoid(x)) + e * np.log(sigmoid(-x))) / (1 - 2 * e),
        }[how.kind]
        each = {
            "loss": value - how.sft * total[0] / count[0],
            "rewards/chosen": how.beta * gain[0],
            "rewards/rejected": how.beta * gain[1],
            "rewards/margins": x,
            "rewards/accuracies": float(gain[0] > gain[1]),
            "logps/chosen": total[0],
            "logps/rejected": total[1],
            "nll": -total[0] / count[0],
        }
        for name, y in each.items():
            found.setdefault(name, []).append(y)
    return {name: float(np.mean(x)) for name, x in found.items()}


def means(batch: Batch, logps, how: Preference) -> dict:
    per_token, found = dpo.loss(batch, logps, None, how)
    return {name: (x * batch.mask).sum() / batch.mask.sum() for name, x in (found | {"loss": per_token}).items()}


@pytest.mark.parametrize("name", HOW)
def test_losses_and_metrics_are_those_of_the_reference_formula_and_gradients_its_slopes(name):
    how, batch = HOW[name], batch_of(with_reference(rows()), 40)
    rng = np.random.default_rng(1)
    logps = batch.logps + rng.normal(size=batch.logps.shape).astype(np.float32) * batch.mask
    assert batch.tokens.shape[0] < 7 and batch.segment_ids.max() > 1, "several pairs share a row"
    wanted = by_hand(batch, logps, how)
    with jax.enable_x64(True):
        run = jax.jit(jax.value_and_grad(lambda x: (lambda m: (m["loss"], m))(means(batch, x, how)), has_aux=True))
        (_, found), grad = jax.device_get(run(jnp.asarray(logps, jnp.float64)))
    found = {name: float(x) for name, x in found.items()}
    assert found == pytest.approx(wanted, rel=1e-6)
    assert 0 < found["rewards/accuracies"] < 1
    for b, t in rng.permutation(np.argwhere(batch.segment_ids > 0))[:25]:
        step = np.zeros_like(logps, np.float64)
        step[b, t] = 1e-5
        slope = (by_hand(batch, logps + step, how)["loss"] - by_hand(batch, logps - step, how)["loss"]) / 2e-5
        assert grad[b, t] == pytest.approx(slope, rel=1e-4, abs=1e-8)
        if not batch.mask[b, t]:
            assert grad[b, t] == 0, "a token that the learner did not say"


def test_at_the_start_the_loss_is_that_of_no_preference_and_wrong_labels_pull_back():
    batch = batch_of(with_reference(rows()), 40)
    value = lambda how: float(jax.jit(lambda x: means(batch, x, how)["loss"])(batch.logps))
    assert value(Preference()) == pytest.approx(np.log(2), rel=1e-6)
    assert value(Preference("ipo", beta=0.5)) == pytest.approx(1.0, rel=1e-6)
    up = jnp.where(batch.branches == 1, batch.logps + 30, batch.logps)  # sure of the chosen side
    slope = lambda how: float(jax.jit(jax.grad(lambda x: means(batch, x, how)["loss"]))(up)[batch.branches == 1].sum())
    assert slope(Preference("cdpo", smoothing=0.2)) > 0.01 > 0 >= slope(Preference())
    for wrong in ({"kind": "dpo"}, {"beta": 0.0}, {"smoothing": 0.5}, {"sft": -1.0}):
        with pytest.raises(ValueError):
            Preference(**wrong)


def test_a_shared_prefix_gives_the_loss_and_the_gradient_of_two_whole_dialogues():
    how = HOW["sigmoid with sft"]
    loss = lambda batch, logps, ref: dpo.loss(batch, logps, ref, how)
    run = jax.jit(lambda p, ref, b, used: update.gradients(C, loss, p, ref, b, used))
    together, apart = (batch_of(rows(shared), 64) for shared in (True, False))
    assert (together.segment_ids > 0).sum() < 0.9 * (apart.segment_ids > 0).sum()
    (grad, found), (wanted, alone) = (run(params(), params(seed=1), *micro_batches(batch, 4)) for batch in (together, apart))
    for name in ("loss", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected"):
        assert float(found[name]) == pytest.approx(float(alone[name]), rel=2e-5), name
    for a, b in zip(jax.tree.leaves(grad), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert max(float(np.abs(x).max()) for x in jax.tree.leaves(grad)) > 1e-2


def test_log_probabilities_of_both_branches_are_those_of_each_dialogue_alone():
    (pair,) = pairs(1, seed=3)
    batch, every = batch_of([row(*pair)], 40), (np.arange(40) > 0).astype(np.float32)[None]
    run = jax.jit(lambda p, b: tokens.token_logps(C, p, dataclasses.replace(b, mask=every))[0])
    logps = np.asarray(run(params(), batch))[0]
    trunk = int((batch.branches[0] == 0).sum() - (batch.segment_ids[0] == 0).sum())
    for side, (ids, _) in enumerate(pair, 1):
        alone = np.zeros((1, 40), np.int32)
        alone[0, : len(ids)] = ids
        segments = (np.arange(40) < len(ids)).astype(np.int32)[None]
        whole = dataclasses.replace(
            batch, tokens=alone, positions=np.arange(40, dtype=np.int32)[None], segment_ids=segments, branches=None
        )
        wanted = np.asarray(run(params(), whole))[0, : len(ids)]
        places = np.append(np.arange(trunk), np.flatnonzero(batch.branches[0] == side))
        np.testing.assert_array_equal(batch.tokens[0, places], ids)
        np.testing.assert_array_equal(batch.positions[0, places], np.arange(len(ids)))
        known = np.arange(len(ids)) != trunk  # the last shared token is predicted in the first branch alone
        np.testing.assert_allclose(logps[places][known], wanted[known], atol=1e-5)


def test_a_precomputed_reference_is_the_frozen_one_and_is_read_back(tmp_path, capsys):
    made = rows()
    ref, mesh = params(seed=1), sharding.make_mesh(configs.Mesh(), jax.devices()[:1])
    first = ref_logps.with_logps(C, ref, made, 40, 2, mesh, tmp_path)
    loss = lambda batch, logps, ref: dpo.loss(batch, logps, ref, Preference())
    run = jax.jit(lambda p, r, b, used: update.gradients(C, loss, p, r, b, used)[1]["loss"])
    frozen = float(run(params(), ref, *micro_batches(batch_of(made, 40), 2)))
    kept = float(run(params(), None, *micro_batches(batch_of(first, 40), 2)))
    assert kept == pytest.approx(frozen, rel=1e-5) and abs(kept - np.log(2)) > 0.01
    again = ref_logps.with_logps(C, ref, made, 40, 2, mesh, tmp_path)
    assert [r.logps.tobytes() for r in again] == [r.logps.tobytes() for r in first]
    said = capsys.readouterr().out.splitlines()
    assert "written to" in said[0] and "read from" in said[1] and len(list(tmp_path.iterdir())) == 1
    assert ref_logps.digest(C, params(seed=2), made) != ref_logps.digest(C, ref, made) != ref_logps.digest(C, ref, made[1:])
