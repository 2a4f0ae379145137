"""The sampler against a plain loop over whole rows, and draws against numpy in double precision."""

from __future__ import annotations

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import model
from playpen_jax.sampler.sample import Sampling, inverse_cdf, sample, uniforms
from playpen_jax.sampler.sampler import Reply, Sampler, heights
from tests.toys import CONTEXT, ROWS, weights

EVEN, GREEDY, FILTERED = Sampling(1.0), Sampling(0.0), Sampling(0.7, top_k=20, top_p=0.9)
STOPS = tuple(range(2, 500, 9))
HOW = pytest.mark.parametrize("how", [EVEN, GREEDY, FILTERED], ids=["even", "greedy", "filtered"])


@dataclasses.dataclass(frozen=True)
class Say:
    """One turn of a dialogue: what is fed, the key of the draws, how much may be said."""

    ids: list[int]
    key: tuple[int, int]
    max_tokens: int


# ---------------------------------------------------------------------------------------------- the plain loop


def draw(logits: np.ndarray, u: float, how: Sampling) -> tuple[int, float, float]:
    """What `sample` does, for one row in double precision with a sort."""
    logits = logits.astype(np.float64)
    if how.temperature == 0:
        token = int(np.argmax(logits))
        return token, _log_softmax(logits)[token], 0.0
    logps = _log_softmax(logits / how.temperature)
    probs = np.exp(logps)
    if how.top_k:
        probs[logps < np.sort(logps)[-how.top_k]] = 0
    falling = np.sort(probs / probs.sum())[::-1]
    border = falling[min(np.searchsorted(np.cumsum(falling), how.top_p), np.count_nonzero(falling) - 1)]
    probs[probs / probs.sum() < border] = 0
    token = int(np.searchsorted(np.cumsum(probs), u * probs.sum(), side="right"))
    return token, logps[token], logps[token] - np.log(probs.sum())


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


@partial(jax.jit, static_argnums=0)
def _whole(c: model.ModelConfig, params: model.Params, row: jax.Array, length: jax.Array) -> jax.Array:
    places = jnp.arange(CONTEXT)[None]
    x = model.hidden(c, params, row[None], places, (places < length).astype(jnp.int32))
    return model.logits(c, params, x)[0]


def whole(c: model.ModelConfig, params: model.Params, ids: list[int]) -> np.ndarray:
    """Logits [T, V] after every token of a row, from one pass without a cache."""
    row = np.zeros(CONTEXT, np.int32)
    row[: len(ids)] = ids
    return np.asarray(_whole(c, params, row, len(ids)))[: len(ids)]


def plain(c: model.ModelConfig, params: model.Params, dialogue: list[Say], how: Sampling) -> list[Reply]:
    """The replies of one dialogue, token by token."""
    row, replies = [], []
    for say in dialogue:
        row += say.ids
        ids, logps, drawn = [], [], []
        while len(ids) < say.max_tokens and not (ids and ids[-1] in STOPS):
            u = float(uniforms(np.array([say.key], np.uint32), np.array([len(ids)]))[0])
            token, logp, sampled = draw(whole(c, params, row)[-1], u, how)
            row, ids, logps, drawn = [*row, token], [*ids, token], [*logps, logp], [*drawn, sampled]
        replies.append(Reply(0, ids, logps, drawn, "stop" if ids[-1] in STOPS else "length"))
    return replies


# ---------------------------------------------------------------------------------------------- dialogues


def talk(sampler: Sampler, dialogues: list[list[Say]]) -> list[list[Reply]]:
    """All dialogues through the sampler, a new one in each row that comes free; the rows are given back."""
    waiting, rows = list(range(len(dialogues)))[::-1], {}
    replies: list[list[Reply]] = [[] for _ in dialogues]

    def feed(row: int) -> None:
        say = dialogues[rows[row]][len(replies[rows[row]])]
        sampler.feed(row, say.ids, say.key, say.max_tokens)

    while waiting or rows:
        while waiting and sampler.free:
            row = sampler.take()
            rows[row] = waiting.pop()
            feed(row)
        for reply in sampler.run():
            i = rows[reply.row]
            replies[i].append(reply)
            if len(replies[i]) < len(dialogues[i]):
                feed(reply.row)
            else:
                sampler.drop(reply.row)
                del rows[reply.row]
    return replies


def some_dialogues(vocab: int, count: int = 6, seed: int = 0) -> list[list[Say]]:
    """Dialogues of two or three turns whose messages have 1 to 70 tokens."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 8, 9, 17, 33, 70]

    def say() -> Say:
        ids = rng.integers(0, vocab, int(rng.choice(lengths))).tolist()
        return Say(ids, tuple(map(int, rng.integers(0, 2**32, 2))), int(rng.integers(1, 12)))

    return [[say() for _ in range(2 + i % 2)] for i in range(count)]


def said(replies: list[list[Reply]]) -> list[list[tuple[list[int], str]]]:
    return [[(reply.ids, reply.stop) for reply in each] for each in replies]


def row_of(dialogue: list[Say], replies: list[Reply]) -> list[int]:
    """All ids of a dialogue."""
    return [i for say, reply in zip(dialogue, replies) for i in (*say.ids, *reply.ids)]


@cache
def _sampler(c: model.ModelConfig, how: Sampling, chunk: int) -> Sampler:
    return Sampler(c, ROWS, CONTEXT, how, STOPS, chunk)


@pytest.fixture
def make(toy):
    """Samplers by their settings, made once, with the toy's weights and all rows free."""

    def made(how: Sampling = EVEN, chunk: int = 4) -> Sampler:
        sampler = _sampler(toy[0], how, chunk)
        for row in set(range(ROWS)) - set(sampler._free):  # what a failed test left behind
            sampler.drop(row)
        sampler.load(toy[1])
        return sampler

    return made


# ---------------------------------------------------------------------------------------------- the sampler is the loop


@HOW
def test_batched_turns_are_those_of_the_plain_loop(make, toy, how):
    dialogues = some_dialogues(toy[0].vocab, seed=4)
    got = talk(make(how), dialogues)
    wanted = [plain(*toy, dialogue, how) for dialogue in dialogues]
    assert said(got) == said(wanted)
    for a, b in zip(sum(got, []), sum(wanted, [])):
        np.testing.assert_allclose(a.logps, b.logps, atol=1e-4)
        np.testing.assert_allclose(a.sampled_logps, b.sampled_logps, atol=1e-4)
    stops = {reply.stop for reply in sum(got, [])}
    assert stops == {"stop", "length"}, "the dialogues show both ends of a reply"


@HOW
def test_a_reply_is_the_same_in_any_row_company_and_chunk(make, toy, how):
    dialogues = some_dialogues(toy[0].vocab, 7, seed=1)
    together = said(talk(make(how), dialogues))
    assert said(talk(make(how), dialogues[::-1]))[::-1] == together
    assert said(talk(make(how, chunk=3), dialogues)) == together
    sampler = make(how)
    held = [sampler.take() for _ in range(ROWS - 1)]  # only the last row is left
    alone = said([replies for dialogue in dialogues for replies in talk(sampler, [dialogue])])
    assert alone == together
    for row in held:
        sampler.drop(row)


@HOW
def test_few_speakers_share_few_rows_and_say_the_same(make, toy, how, monkeypatch):
    dialogues = some_dialogues(toy[0].vocab, 7, seed=1)
    wide = talk(make(how), dialogues)
    sampler = make(how)
    monkeypatch.setattr(sampler, "_heights", [[1, 2, ROWS]])
    narrow = talk(sampler, dialogues)
    assert said(narrow) == said(wide)
    for a, b in zip(sum(narrow, []), sum(wide, [])):
        np.testing.assert_allclose(a.logps, b.logps, atol=1e-4)
    assert sampler.counters.row_steps < ROWS * sampler.counters.steps


def test_an_accelerator_has_programs_for_fewer_rows(monkeypatch):
    assert heights(64) == [64], "the company must not change the rounding on a CPU"
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert [heights(rows) for rows in (512, 64, 24, 8, 3)] == [[32, 128, 512], [4, 16, 64], [6, 24], [8], [3]]


def test_log_probabilities_are_those_of_the_whole_pass_on_the_final_ids(make, toy):
    dialogues = some_dialogues(toy[0].vocab, seed=2)
    for how, scale in ((EVEN, 1.0), (FILTERED, 0.7), (GREEDY, 1.0)):
        for dialogue, replies in zip(dialogues, talk(make(how), dialogues)):
            ids, at = row_of(dialogue, replies), 0
            logps = np.asarray(jax.nn.log_softmax(whole(*toy, ids) / scale))
            for say, reply in zip(dialogue, replies):
                at += len(say.ids)
                places = np.arange(at, at + len(reply.ids))
                np.testing.assert_allclose(reply.logps, logps[places - 1, reply.ids], atol=1e-4)
                at += len(reply.ids)


def test_every_token_goes_through_the_model_once(make, toy):
    for seed in range(3):
        (dialogue,) = some_dialogues(toy[0].vocab, 1, seed)
        sampler = make()
        (replies,) = talk(sampler, [dialogue])
        work, last = sampler.counters, 1  # nothing comes after the last token, so it need not be read
        assert work.sampled == sum(len(reply.ids) for reply in replies)
        assert work.prefilled + work.sampled + last == len(row_of(dialogue, replies))
        assert work.row_steps == ROWS * work.steps
        assert work.steps == work.sampled, "alone, one step gives one token"
    dialogues = some_dialogues(toy[0].vocab)
    sampler = make()
    rows = [row_of(*each) for each in zip(dialogues, talk(sampler, dialogues))]
    assert sampler.counters.prefilled + sampler.counters.sampled == sum(len(row) - 1 for row in rows)
    assert sampler.counters.steps < sampler.counters.sampled <= sampler.counters.row_steps


def test_a_used_row_is_as_good_as_a_fresh_one(make, toy):
    long, short = Say(list(range(5, 205)), (1, 2), 12), Say([7], (3, 4), 12)
    fresh = said(talk(make(), [[short]]))
    sampler = make()
    others = [sampler.take() for _ in range(ROWS - 1)]
    talk(sampler, [[long, short]])
    assert said(talk(sampler, [[short]])) == fresh
    row = sampler.take()
    sampler.feed(row, long.ids, long.key, 12)
    sampler.drop(row)  # fed, never run
    row = sampler.take()
    sampler.feed(row, long.ids, long.key, 12)
    sampler.run()
    sampler.drop(row)  # in the middle of its reply
    assert not sampler.busy
    assert said(talk(sampler, [[short]])) == fresh
    for row in others:
        sampler.drop(row)


def test_new_weights_are_used_from_the_next_load_on(make, toy, toy_chat):
    c, params = toy
    other = weights(c, toy_chat.end, seed=1)
    dialogue = some_dialogues(c.vocab, 1, seed=3)
    sampler = make()
    before = said(talk(sampler, dialogue))
    row = sampler.take()
    with pytest.raises(RuntimeError, match="1 rows still hold a dialogue of the old weights"):
        sampler.load(other)
    sampler.drop(row)
    sampler.load(other)
    after = said(talk(sampler, dialogue))
    assert after == said([plain(c, other, dialogue[0], EVEN)]) != before
    assert sampler.counters.sampled == sum(len(ids) for ids, _ in after[0]), "counted anew"


def test_a_sampler_that_rested_holds_no_memory_and_says_the_same_again(make, toy):
    sampler, dialogue = make(), some_dialogues(toy[0].vocab, 1, seed=3)
    before = said(talk(sampler, dialogue))
    row = sampler.take()
    with pytest.raises(RuntimeError, match="1 rows still hold a dialogue"):
        sampler.rest()
    sampler.drop(row)
    sampler.rest()
    assert not [x for x in jax.tree.leaves(vars(sampler)) if isinstance(x, jax.Array)]
    sampler.load(toy[1])
    assert said(talk(sampler, dialogue)) == before


# ---------------------------------------------------------------------------------------------- more dialogues than rows


@cache
def _tight(c: model.ModelConfig) -> Sampler:
    """Three times as many dialogues as rows, in two cohorts, and pages for fewer than half of what they say."""
    return Sampler(c, ROWS, CONTEXT, EVEN, STOPS, 4, dialogues=3 * ROWS, pages=CONTEXT // 32 + 4, cohorts=2)


def test_neither_pages_nor_cohorts_nor_eviction_change_what_is_said(make, toy):
    dialogues = some_dialogues(toy[0].vocab, 12, seed=5)
    together = said(talk(make(), dialogues))
    sampler = _tight(toy[0])
    sampler.load(toy[1])
    assert said(talk(sampler, dialogues)) == together
    counters = sampler.counters
    assert counters.evicted and counters.recomputed and not sampler.busy
    rows = [row_of(*each) for each in zip(dialogues, talk(make(), dialogues))]
    once = sum(len(row) - 1 for row in rows)
    assert counters.prefilled - counters.recomputed + counters.shared + counters.sampled == once


def test_a_single_row_can_hold_one_whole_dialogue_beside_what_it_copies(toy):
    """The second dialogue shares a part of the page that the first one ended with, and then fills all pages but one."""
    sampler = Sampler(toy[0], 1, 64, GREEDY, (), 4)
    sampler.load(toy[1])
    first = np.random.default_rng(1).integers(5, toy[0].vocab, 50).tolist()
    for ids in (first, first[:40] + [7] * 20):
        (replies,) = talk(sampler, [[Say(ids, (1, 1), 64 - len(ids))]])
        assert len(replies[0].ids) == 64 - len(ids)
    assert sampler.counters.shared == 40 and sampler.counters.prefilled == 49 + 19


def test_a_shared_prompt_goes_through_the_model_once(make, toy):
    """Eight plays of one prompt, whose last page is shared in part, with draws of their own."""
    prompt = np.random.default_rng(7).integers(5, toy[0].vocab, 75).tolist()
    dialogues = [[Say(prompt, (k, 1), 6), Say([9, k], (k, 2), 6)] for k in range(8)]
    sampler = make()
    got = talk(sampler, dialogues)
    assert sampler.counters.prefilled == 74 + 8 * 2 and sampler.counters.shared == 7 * 74
    assert said(got) == said([plain(*toy, dialogue, EVEN) for dialogue in dialogues])
    assert len({tuple(each[0].ids) for each in got}) > 4
    fork = [Say(row_of(dialogues[0], got[0])[:-1] + [11], (3, 3), 6)]
    assert said(talk(sampler, [fork])) == said([plain(*toy, fork, EVEN)])
    assert sampler.counters.prefilled == 74 + 8 * 2, "a fork begins with what was said"


# ---------------------------------------------------------------------------------------------- limits


def test_a_reply_stops_at_its_limit_or_with_its_end_of_turn(make):
    for limit in (1, 4, 5):
        replies = sum(talk(make(), [[Say([9, k], (k, limit), limit)] for k in range(24)]), [])
        assert all(1 <= len(reply.ids) <= limit for reply in replies)
        for reply in replies:
            inside = [i for i in reply.ids[:-1] if i in STOPS]
            assert not inside and (reply.ids[-1] in STOPS) == (reply.stop == "stop")
            assert reply.stop == "stop" or len(reply.ids) == limit
        assert {reply.stop for reply in replies} == {"stop", "length"}


def test_a_dialogue_may_fill_its_row_to_the_last_token(make, toy):
    prompt = np.random.default_rng(0).integers(5, toy[0].vocab, CONTEXT - 9).tolist()
    dialogue = [Say(prompt, (8, 8), 4), Say([11, 12], (9, 9), 3)]
    wanted = plain(*toy, dialogue, GREEDY)
    assert len(row_of(dialogue, wanted)) == CONTEXT, "greedy replies here run to their limits"
    assert said(talk(make(GREEDY), [dialogue])) == said([wanted])


def test_what_has_no_room_is_refused(make):
    sampler = make(GREEDY)
    row = sampler.take()
    with pytest.raises(ValueError, match=f"row {row} has room for 5 tokens after 251 new ones, not for a reply of 6"):
        sampler.feed(row, [5] * (CONTEXT - 5), (0, 0), 6)
    with pytest.raises(ValueError, match="not for a reply of 0"):
        sampler.feed(row, [5], (0, 0), 0)
    sampler.feed(row, [5] * (CONTEXT - 10), (0, 0), 4)
    replies = []
    while sampler.busy:
        replies += sampler.run()
    left = 10 - len(replies[0].ids)
    with pytest.raises(ValueError, match="not for a reply of 1$"):
        sampler.feed(row, [5] * left, (0, 0), 1)
    sampler.feed(row, [5] * (left - 1), (0, 0), 1)
    sampler.drop(row)


def test_there_are_as_many_rows_as_said(make):
    sampler = make()
    rows = [sampler.take() for _ in range(ROWS)]
    assert sorted(rows) == list(range(ROWS)) and sampler.free == 0 and sampler.take() is None
    for row in rows:
        sampler.drop(row)
    assert sampler.free == ROWS and not sampler.busy and sampler.run() == []


# ---------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize(
    "how",
    [
        Sampling(1.0),
        Sampling(0.6),
        Sampling(1.7),
        Sampling(1.0, top_k=1),
        Sampling(1.0, top_k=10),
        Sampling(1.0, top_p=0.8),
        Sampling(1.3, top_k=60, top_p=0.5),
        Sampling(0.5, top_k=299, top_p=1e-6),
        Sampling(1.0, top_k=10_000),
    ],
    ids=repr,
)
def test_draws_have_the_distribution_that_numpy_says(how):
    """20,000 even quantiles of one distribution: each token gets its share, give or take the two at its borders."""
    count, size = 20_000, 300
    logits = 2 * np.random.default_rng(4).normal(size=size).astype(np.float32)
    u = ((np.arange(count) + 0.5) / count).astype(np.float32)
    tokens, logps, drawn = jax.jit(partial(sample, how=how))(np.broadcast_to(logits, (count, size)), u)
    shares = np.bincount(tokens, minlength=size)
    wanted = np.zeros(size)
    top_k = how.top_k if how.top_k < size else 0
    for token in range(size):
        _, logp, sampled = _at(logits, token, dataclasses.replace(how, top_k=top_k))
        wanted[token] = np.exp(sampled)
        np.testing.assert_allclose(np.asarray(logps)[np.asarray(tokens) == token], logp, atol=1e-5)
        np.testing.assert_allclose(np.asarray(drawn)[np.asarray(tokens) == token], sampled, atol=1e-5)
    assert wanted.sum() == pytest.approx(1)
    assert np.abs(shares - count * wanted).max() < 1.1
    assert (shares[wanted == 0] == 0).all()


def _at(logits: np.ndarray, token: int, how: Sampling) -> tuple[int, float, float]:
    """`draw`, for a given token: its log-probability, and that under the filters (-inf if they take it out)."""
    logps = _log_softmax(logits.astype(np.float64) / how.temperature)
    order = np.argsort(-logps, kind="stable")
    if how.top_k:
        order = order[: how.top_k]
    probs = np.exp(logps[order])
    holding = int(np.searchsorted(np.cumsum(probs / probs.sum()), how.top_p)) + 1
    kept = order[:holding]
    inside = logps[token] - np.log(np.exp(logps[kept]).sum()) if token in kept else -np.inf
    return token, logps[token], inside


def test_greedy_takes_the_likeliest_token_at_any_quantile():
    logits = np.random.default_rng(0).normal(size=(50, 70)).astype(np.float32)
    tokens, logps, drawn = sample(jnp.asarray(logits), jnp.linspace(0, 0.999, 50), GREEDY)
    assert tokens.tolist() == logits.argmax(-1).tolist() and not np.any(drawn)
    np.testing.assert_allclose(logps, [_log_softmax(row.astype(np.float64)).max() for row in logits], atol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 63, 64, 65, 200])
def test_no_quantile_draws_a_token_without_probability(size):
    ends = np.array([0.0, 1e-45, 1e-8, 0.5, 1 - 2**-24], np.float32)
    for kept in {0, size // 2, size - 1}:
        probs = np.zeros((len(ends), size), np.float32)
        probs[:, kept] = 0.3
        assert inverse_cdf(jnp.asarray(probs), jnp.asarray(ends)).tolist() == [kept] * len(ends)


def test_rounding_in_the_scan_of_a_large_vocabulary_draws_nothing_without_probability():
    """Quantiles on the very borders between blocks, most of which are empty, as top-k leaves them."""
    rng, rows, size, block = np.random.default_rng(0), 8, 128_256, 64
    probs = np.zeros((rows, size), np.float32)
    for row in probs:
        row[rng.choice(size, 400, replace=False)] = rng.random(400)
    sums = np.asarray(jax.jit(lambda x: jnp.cumsum(x.reshape(rows, -1, block).sum(-1), -1))(probs))
    draw_all = jax.jit(lambda p, us: jax.lax.map(lambda u: inverse_cdf(p, u), us))
    borders = np.minimum(sums / sums[:, -1:], 1 - 2**-24).astype(np.float32).T
    for us in (borders, np.nextafter(borders, np.float32(0))):
        tokens = np.asarray(draw_all(probs, us))
        assert tokens.max() < size
        assert (probs[np.arange(rows), tokens] > 0).all()


def test_uniform_numbers_depend_on_key_and_count_alone():
    keys = np.random.default_rng(0).integers(0, 2**32, (40, 2)).astype(np.uint32)
    counts = np.arange(40) % 5
    u = np.asarray(uniforms(keys, counts))
    assert (0 <= u).all() and (u < 1).all() and len(set(u.tolist())) == 40
    assert np.array_equal(np.asarray(uniforms(keys[::-1], counts[::-1])), u[::-1])
    assert np.asarray(uniforms(keys[7:8], counts[7:8])) == u[7]


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}])
def test_sampling_outside_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match="0 < top_p <= 1"):
        Sampling(**wrong)
