"""One update is the same however its rows are split, packed and ordered; learner and sampler agree before the first one."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import config as configs
from playpen_jax import draws, model, optim, rollout, sharding, update
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.learn import credit
from playpen_jax.losses import grpo, sft, tokens
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.state import Batch
from playpen_jax.types import TokenRow

C = model.ModelConfig("llama", vocab=61, dim=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp=64)
CLIP = grpo.Clip(0.2, 0.2, beta=0.1)
LENGTH = 24


def params(c: model.ModelConfig = C, seed: int = 0) -> model.Params:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: (rng.normal(size=x.shape) * 0.3).astype(np.float32), model.abstract(c))


def dialogues(count: int = 11) -> list[Weighted]:
    """Dialogues of 4 to 12 tokens, each with an advantage of its own; some of their log-probabilities are far off."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        n = int(rng.integers(4, 13))
        mask = rng.random(n) < 0.6
        mask[0], mask[-1] = False, True
        logps = np.where(mask, -5 * rng.random(n), 0).astype(np.float32)
        row = TokenRow(rng.integers(0, C.vocab, n).astype(np.int32), mask, logps, logps)
        found.append(Weighted(row, float(rng.normal())))
    return found


def one_a_row(rows: list[Weighted], length: int = LENGTH) -> Batch:
    """The same rows, not packed."""
    batches = [pack([row], length)[0] for row in rows]
    return jax.tree.map(lambda *x: np.concatenate(x), *batches)


def grpo_loss(batch, logps, ref):
    return grpo.loss(batch, logps, ref, CLIP)


@jax.jit
def _gradients(weights, ref, batch, used):
    return update.gradients(C, grpo_loss, weights, ref, batch, used, temperature=0.8)


def gradients(batch: Batch, size: int, used: int | None = None, ref: int = 1) -> tuple[np.ndarray, dict[str, float]]:
    """The gradient as one long vector, and the metrics; `ref` is the seed of the reference, 0 the policy itself."""
    folded, full = micro_batches(batch, size)
    grads, metrics = _gradients(params(), params(seed=ref), folded, full if used is None else used)
    return flat(grads), {name: float(x) for name, x in metrics.items()}


def flat(tree) -> np.ndarray:
    return np.asarray(jax.flatten_util.ravel_pytree(tree)[0])


def assert_same(found: tuple[np.ndarray, dict], wanted: tuple[np.ndarray, dict], tolerance: float = 1e-5) -> None:
    assert np.linalg.norm(wanted[0]) > 1e-2
    assert np.linalg.norm(found[0] - wanted[0]) < tolerance * np.linalg.norm(wanted[0])
    assert found[1] == pytest.approx(wanted[1], rel=tolerance)


@pytest.fixture(scope="module")
def whole() -> tuple[np.ndarray, dict[str, float]]:
    """Gradient and metrics of the rows side by side in one batch."""
    return gradients(one_a_row(dialogues()), 11)


# ---------------------------------------------------------------------------------------------- the gradient


def test_it_is_the_gradient_of_the_mean_over_all_learner_tokens(whole):
    rows = dialogues()
    batch = one_a_row(rows)
    total = sum(row.row.mask.sum() for row in rows)
    assert total == batch.mask.sum()

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def plain(weights):
        logps = tokens.token_logps(C, weights, batch, 0.8)[0]
        ref = tokens.token_logps(C, params(seed=1), batch, 0.8)[0]
        per_token, found = grpo_loss(batch, logps, ref)
        return (per_token * batch.mask).sum() / total, {k: (x * batch.mask).sum() / total for k, x in found.items()}

    (loss, found), grads = plain(params())
    means = {name: value for name, value in whole[1].items() if name in found and not name.endswith(("/max", "/min"))}
    assert_same((whole[0], means | {"loss": whole[1]["loss"]}), (
        np.asarray(jax.flatten_util.ravel_pytree(grads)[0]),
        {name: float(found[name]) for name in means} | {"loss": float(loss)},
    ))  # fmt: skip
    assert whole[1]["clip_ratio/low_mean"] > 0 and whole[1]["clip_ratio/high_mean"] > 0


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_any_split_into_micro_batches_gives_the_same_gradient(whole, size):
    folded, used = micro_batches(one_a_row(dialogues()), size)
    assert folded.tokens.shape == (16 if size == 1 else 8, size, LENGTH) and used == -(-11 // size)
    assert_same(gradients(one_a_row(dialogues()), size), whole)


def test_padding_micro_batches_add_nothing(whole):
    assert_same(gradients(one_a_row(dialogues()), 1, used=16), gradients(one_a_row(dialogues()), 1), tolerance=1e-7)


def test_packed_rows_give_the_gradient_of_rows_apart(whole):
    batch, left_out = pack(dialogues(), LENGTH, multiple=4)
    assert left_out == 0 and batch.segment_ids.max() >= 3 and len(batch.tokens) == 4
    assert_same(gradients(batch, 4), whole)


def test_the_order_of_rows_does_not_matter(whole):
    rows = dialogues()
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(rows))
        shuffled = [rows[i] for i in order]
        assert_same(gradients(one_a_row(shuffled), 2), whole)
        assert_same(gradients(pack(shuffled, LENGTH, 4)[0], 4), whole)


def on_policy() -> Batch:
    """Rows whose log-probabilities are those of the policy itself."""
    batch = one_a_row(dialogues())
    logps = jax.jit(lambda: tokens.token_logps(C, params(), batch, 0.8)[0])()
    return dataclasses.replace(batch, logps=np.asarray(logps) * batch.mask)


def test_every_token_weighs_the_same_in_short_and_in_long_dialogues():
    """The normaliser is the token count of the whole batch: not one per dialogue, per row or per micro-batch."""
    batch, rows = on_policy(), dialogues()
    loss = -sum(row.row.mask.sum() * row.advantage for row in rows) / sum(row.row.mask.sum() for row in rows)
    assert abs(loss + np.mean([row.advantage for row in rows])) > 0.03, "the mean over dialogues must not be the same"
    for size in (1, 4, 11):
        _, metrics = gradients(batch, size, ref=0)
        assert metrics["loss"] == pytest.approx(loss, rel=1e-5)  # the ratio is 1 and the KL 0
        assert metrics["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-5)
        assert metrics["kl"] == 0 == metrics["clip_ratio/region_mean"]


def test_on_policy_grpo_is_weighted_maximum_likelihood_of_the_model():
    batch = on_policy()
    folded, used = micro_batches(batch, 11)

    def weighted(batch, logps, ref):
        return sft.loss(batch, logps)[0] * batch.advantages, {}

    likelihood = jax.jit(lambda p: update.gradients(C, weighted, p, None, folded, used, 0.8)[0])(params())
    assert_same((gradients(batch, 11, ref=0)[0], {}), (flat(likelihood), {}))


def test_what_stands_beside_tokens_that_the_learner_did_not_sample_changes_no_bit():
    batch, _ = pack(dialogues(), LENGTH, 4)
    rng = np.random.default_rng(0)
    noise = (100 * rng.normal(size=batch.mask.shape)).astype(np.float32)
    changed = dataclasses.replace(
        batch,
        advantages=np.where(batch.mask > 0, batch.advantages, noise),
        logps=np.where(batch.mask > 0, batch.logps, -np.abs(noise)),
    )
    clean, noisy = gradients(batch, 4), gradients(changed, 4)
    np.testing.assert_array_equal(clean[0], noisy[0])
    assert clean[1] == noisy[1]


def test_max_metrics_are_the_largest_of_all_tokens_and_means_are_means():
    batch = one_a_row(dialogues())
    off = np.abs(on_policy().logps - batch.logps)[batch.mask > 0]
    for size in (1, 4):
        _, metrics = gradients(batch, size)
        assert metrics["sampling/sampling_logp_difference/max"] == pytest.approx(off.max(), rel=1e-5)
        assert metrics["sampling/sampling_logp_difference/mean"] == pytest.approx(off.mean(), rel=1e-5)


# ---------------------------------------------------------------------------------------------- the step


def make_step(settings: configs.Optim):
    """The state on one device and the compiled update of it."""
    mesh = sharding.make_mesh(configs.Mesh(), jax.devices()[:1])
    tx = optim.make(settings, 10)
    at = update.state_shardings(C, tx, mesh)
    state = update.fresh_state(tx, jax.tree.map(jnp.asarray, params()), at)
    return state, update.make(C, grpo_loss, tx, mesh, at, temperature=0.8)


def test_the_step_is_the_optimizers_and_gives_the_old_state_away():
    state, apply = make_step(configs.Optim(learning_rate=1e-2, warmup=2, weight_decay=0.1, clip=0.25))
    old, before = state, jax.tree.map(np.array, state.params)
    folded, used = micro_batches(one_a_row(dialogues()), 4)
    state, metrics = apply(state, params(seed=1), folded, used)
    assert all(x.is_deleted() for x in jax.tree.leaves(old))

    grads = jax.tree.map(np.asarray, _gradients(params(), params(seed=1), folded, used)[0])
    norm = np.linalg.norm(flat(grads))
    assert norm > 0.3, "nothing is clipped"
    rate, decay = 1e-2 / 2, 0.1  # the first of two updates of warm-up; Adam's first step is the sign of the gradient

    def first_step(path, p, g):
        g = g * 0.25 / norm
        return p - rate * (g / (np.abs(g) + 1e-8) + (0.0 if "norm" in jax.tree_util.keystr(path) else decay) * p)

    wanted = jax.tree.map_with_path(first_step, before, grads)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), state.params, wanted)
    assert int(state.step) == 1
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-5)
    assert float(metrics["update_norm"]) == pytest.approx(np.linalg.norm(flat(state.params) - flat(before)), rel=1e-4)
    moved = update.moved(before, state.params)
    assert set(moved) == {"embed", "norm", *(f"layers.{name}" for name in before["layers"])}
    assert min(moved.values()) > 1e-3


def test_learning_rate_zero_changes_no_bit_of_the_weights_and_moved_says_so():
    state, apply = make_step(configs.Optim(learning_rate=0.0, weight_decay=0.1))
    before = jax.tree.map(np.array, state.params)
    folded, used = micro_batches(one_a_row(dialogues()), 4)
    for _ in range(2):
        state, metrics = apply(state, params(seed=1), folded, used)
    assert int(state.step) == 2 and float(metrics["grad_norm"]) > 0 == float(metrics["update_norm"])
    jax.tree.map(np.testing.assert_array_equal, before, state.params)
    assert set(update.moved(before, state.params).values()) == {0.0}


def test_moved_by_hand():
    before = {"a": jnp.array([3.0, 4.0]), "layers": {"c": jnp.ones((2, 2)), "d": jnp.zeros(2), "e": jnp.zeros(2)}}
    after = {"a": jnp.array([3.0, 4.5]), "layers": {"c": jnp.ones((2, 2)), "d": jnp.full(2, 1e-9), "e": jnp.zeros(2)}}
    moved = {"a": pytest.approx(0.1), "layers.c": 0.0, "layers.d": pytest.approx(1.0), "layers.e": 0.0}
    assert update.moved(before, after) == moved


@pytest.mark.parametrize(
    "schedule, wanted",
    [("constant", [2, 2, 2, 2]), ("linear", [2, 1.5, 1, 0.5]), ("cosine", [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])],
)
def test_learning_rates_by_hand(schedule, wanted):
    """Six updates: two of warm-up, then from the peak to what would be 0 at the seventh."""
    rate = optim.schedule(configs.Optim(learning_rate=2.0, warmup=2, schedule=schedule), 6)
    assert [float(rate(i)) for i in range(6)] == pytest.approx([1.0, 1.5, *wanted])


# ---------------------------------------------------------------------------------------------- learner and sampler


def test_rows_without_an_advantage_can_be_left_out():
    """Without a KL a row of an equal group adds nothing but its tokens to the count; left out, the gradient stays."""
    clip = grpo.Clip()
    rows = [dataclasses.replace(row, advantage=row.advantage * (i % 3 > 0)) for i, row in enumerate(dialogues())]
    total = sum(row.row.mask.sum() for row in rows)
    rows = [dataclasses.replace(row, weight=1 / total) for row in rows]
    kept = credit.teaching(rows)
    assert len(kept) == 7 < len(rows)
    run = jax.jit(lambda b, n: update.gradients(C, lambda b, x, r: grpo.loss(b, x, r, clip), params(), None, b, n)[0])
    every, few = (flat(run(*micro_batches(pack(x, LENGTH, 4)[0], 4))) for x in (rows, kept))
    assert_same((few, {}), (every, {}))
    equal = [dataclasses.replace(row, advantage=0.0) for row in rows]
    assert credit.teaching(equal) == equal


@pytest.mark.parametrize("how", [Sampling(), Sampling(temperature=0.7, top_k=40, top_p=0.9)], ids=["plain", "filtered"])
def test_before_the_first_update_the_learner_gives_the_samplers_log_probabilities(how):
    """A real rollout of a random model, by way of the cache, scored by the learner's pass over packed rows."""
    chat = Chat(ByteTokenizer())
    c = dataclasses.replace(C, vocab=chat.tokenizer.size)
    config = configs.Config(games=("taboo", "guesswhat"), form="short", grpo=configs.Grpo(instances=4, plays=3))
    sampler = Sampler(c, 6, 384, how, chat.stops)
    sampler.load(params(c))
    player = rollout.Rollout({"learner": sampler}, chat, rollout.Limits(16, 8))
    mine = credit.samples(config, [credit.Group(player.play(draws.training_jobs(config, 0)))])
    rows = [Weighted(sample.row, float(i % 3 - 1)) for i, sample in enumerate(mine)]  # rewards of a random model are all alike
    batch, left_out = pack(rows, 384, 4)
    folded, used = micro_batches(batch, 4)
    assert left_out == 0 and len(rows) >= 12 and batch.segment_ids.max() >= 2

    run = jax.jit(lambda p: update.gradients(c, grpo_loss, p, p, folded, used, how.temperature)[1])
    metrics = {name: float(x) for name, x in run(params(c)).items()}
    assert metrics["sampling/sampling_logp_difference/max"] < 1e-4  # float32, log-probabilities down to -20
    assert metrics["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-5)
    assert metrics["clip_ratio/low_mean"] == metrics["clip_ratio/high_mean"] == metrics["clip_ratio/region_mean"] == 0
    assert metrics["kl"] == 0
