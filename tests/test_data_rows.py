"""Samples of dialogues: which replies carry loss, cuts at turn boundaries, and a packed loss that is the unpacked one."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from playpen_jax import update
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.data.rows import Counts, ends, samples
from playpen_jax.losses import sft, tokens
from playpen_jax.types import TokenRow
from tests.test_losses import C, params

CHAT = Chat(ByteTokenizer())
DIALOGUE = [
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "22"},
    {"role": "user", "content": "three?"},
    {"role": "assistant", "content": "333"},
    {"role": "user", "content": "bye"},
]


def told(rows) -> list[tuple[str, str]]:
    """(the last reply, the text that carries loss) of each row; every learned reply must end in an end of turn."""
    found = []
    for row in rows:
        assert all(row.ids[i - 1] == CHAT.end for i in ends(row.mask))
        words = CHAT.tokenizer.decode([i if i != CHAT.end else ord(".") for i in row.ids[row.mask]])
        assert row.mask[-1], "nothing comes after the last reply"
        found.append(words)
    return found


@pytest.mark.parametrize(
    "turns, wanted",
    [
        ("all", ["1.22.333."]),
        ("each", ["1.", "22.", "333."]),
        ("prefixes", ["1.", "1.22.", "1.22.333."]),
        ("last", ["333."]),
    ],
)
def test_which_replies_carry_loss(turns, wanted):
    counts = Counts()
    rows = samples(CHAT, DIALOGUE, turns, 1000, "drop", counts)
    assert told(rows) == wanted
    assert (counts.dialogues, counts.rows, counts.cut, counts.dropped) == (1, len(wanted), 0, 0)
    whole = CHAT.dialogue(DIALOGUE[:6])[0]
    for row in rows:
        np.testing.assert_array_equal(row.ids, whole[: len(row.ids)])  # with all that came before it
    assert counts.tokens == sum(len(row.ids) for row in rows)


def test_an_aside_is_learned_beside_the_history_or_alone_after_it():
    aside = [message | {"aside": True} for message in (DIALOGUE[0] | {"content": "sure?"}, DIALOGUE[1] | {"content": "0"})]
    dialogue = [DIALOGUE[0], DIALOGUE[1] | {"weight": 0}, *aside, *DIALOGUE[2:6]]
    (whole,) = samples(CHAT, dialogue, "all", 1000, "drop", Counts())
    assert told([whole]) == ["0.22.333."] and set(whole.branches) == {0, 1}
    rows = samples(CHAT, dialogue, "each", 1000, "drop", Counts())
    assert told(rows) == ["0.", "22.", "333."] and all(row.branches is None for row in rows)
    for row, seen in zip(rows, ([*dialogue[:2], *map(unmarked, aside)], DIALOGUE[:4], DIALOGUE[:6])):
        np.testing.assert_array_equal(row.ids, CHAT.dialogue(seen)[0])


def unmarked(message):
    return {"role": message["role"], "content": message["content"]}


@pytest.mark.parametrize("turns, wanted", [("all", ["1.22."]), ("each", ["1.", "22."]), ("last", [])])
def test_a_dialogue_that_is_too_long_is_cut_after_the_last_reply_that_fits(turns, wanted):
    stops = ends(CHAT.dialogue(DIALOGUE)[1])
    for length in (stops[1], stops[2] - 1):
        counts = Counts()
        assert told(samples(CHAT, DIALOGUE, turns, length, "cut", counts)) == wanted
        if wanted:
            assert (counts.cut, counts.dropped, counts.tokens_cut) == (1, 0, stops[2] - stops[1])
        else:  # the reply that was asked for is the one that does not fit
            assert (counts.cut, counts.dropped) == (0, 1)


def test_what_cannot_be_cut_is_dropped_and_counted():
    stops = ends(CHAT.dialogue(DIALOGUE)[1])
    counts = Counts()
    assert samples(CHAT, DIALOGUE, "all", stops[2] - 1, "drop", counts) == []
    assert samples(CHAT, DIALOGUE, "all", stops[0] - 1, "cut", counts) == []
    assert samples(CHAT, DIALOGUE, "all", stops[2], "drop", counts) != []
    assert (counts.dialogues, counts.dropped, counts.cut, counts.rows) == (3, 2, 0, 1)
    assert "2 left out as too long" in counts.line()


def toy_rows(count: int = 9) -> list[Weighted]:
    """Dialogues of words from a vocabulary of 61, of unlike lengths."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        n = int(rng.integers(4, 14))
        mask = rng.random(n) < 0.5
        mask[0], mask[-1] = False, True
        zeros = np.zeros(n, np.float32)
        found.append(Weighted(TokenRow(rng.integers(0, C.vocab, n).astype(np.int32), mask, zeros, zeros)))
    return found


def test_packed_loss_and_gradient_are_the_unpacked_ones():
    rows = toy_rows()
    packed, _ = pack(rows, 32)
    single = jax.tree.map(lambda *x: np.concatenate(x), *(pack([row], 32)[0] for row in rows))
    assert len(packed.tokens) < len(rows) / 2
    run = jax.jit(lambda p, b, used: update.gradients(C, lambda batch, logps, ref: sft.loss(batch, logps), p, None, b, used))
    (grad, found), (wanted, alone) = (run(params(), *micro_batches(batch, 4)) for batch in (packed, single))
    assert float(found["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-6)
    for a, b in zip(jax.tree.leaves(grad), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_noise_on_embeddings_is_even_shorter_in_longer_dialogues_and_anew_in_every_step():
    batch, _ = pack(toy_rows(), 32)
    noise = update.Noise(5.0, seed=3)
    drawn = np.asarray(noise.draw(C, batch, 0, 0))
    rows = np.arange(len(batch.tokens))[:, None]
    lengths = np.zeros_like(batch.segment_ids)
    np.add.at(lengths, (np.broadcast_to(rows, lengths.shape), batch.segment_ids), 1)
    bound = 5.0 / np.sqrt(lengths[rows, batch.segment_ids] * C.dim)
    share = drawn / bound[..., None]
    assert np.abs(share).max() <= 1 and np.abs(share).max() > 0.99
    assert share.std() == pytest.approx(3**-0.5, rel=0.05) and abs(share.mean()) < 0.02
    assert not np.array_equal(drawn, noise.draw(C, batch, 1, 0)) and not np.array_equal(drawn, noise.draw(C, batch, 0, 1))
    np.testing.assert_array_equal(drawn, noise.draw(C, batch, 0, 0))
    plain, _ = tokens.token_logps(C, params(), batch)
    noisy, _ = tokens.token_logps(C, params(), batch, 1.0, noise.draw(C, batch, 0, 0))
    assert float(np.abs(plain - noisy).max()) > 1e-3
