"""Pairs of plays of the same thing: dialogues, turns, first moves; negatives, kinds, caps; rows that are too long."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.data.pairs import Counts, Wanted, make, row, token_row
from playpen_jax.data.read import Dialogue, Pair

CHAT = Chat(ByteTokenizer())


def play(replies: str, outcome: str = "success", task: int = 0, asked: str = "go", **meta) -> Dialogue:
    """A dialogue of one-letter replies; the game answers each with the replies so far."""
    messages = []
    for i, reply in enumerate(replies):
        messages += [{"role": "user", "content": replies[:i] or asked}, {"role": "assistant", "content": reply}]
    base = {"game": "g", "experiment": "e", "task_id": task, "game_role": "r", "outcome": outcome}
    return Dialogue(tuple(messages), base | meta, f"{replies} {outcome} {task}")


def said(pairs: list[Pair]) -> list[tuple[str, str, str]]:
    text = lambda messages: "".join(m["content"] for m in messages if m["role"] == "assistant")
    return sorted((text(pair.prompt), text(pair.chosen), text(pair.rejected)) for pair in pairs)


PLAYS = [
    play("abc"),
    play("abd", "failure"),
    play("ax", "aborted"),
    play("bcd", "failure"),
    play("abc", "failure", task=1),  # another instance
    play("abe", "failure", game_role="other"),  # another role
    play("abf", "failure", asked="begin"),  # another first message
    play("abc", "failure"),  # the same words: luck, not a preference
]


@pytest.mark.parametrize(
    "wanted, found",
    [
        (Wanted("dialogue", 0), [("", "abc", "abd"), ("", "abc", "ax"), ("", "abc", "bcd")]),
        (Wanted("dialogue", 0, ("failure",)), [("", "abc", "abd"), ("", "abc", "bcd")]),
        (Wanted("dialogue", 0, ("aborted",)), [("", "abc", "ax")]),
        (Wanted("turn", 0), [("", "a", "b"), ("a", "b", "x"), ("ab", "c", "d")]),
        (Wanted("first", 0), [("", "a", "b")]),
    ],
)
def test_pairs_are_of_the_same_instance_role_and_history(wanted, found):
    pairs, account = make(PLAYS, wanted)
    assert said(pairs) == found
    assert account == {
        "given": 0, "successes_without_a_pair": 0, "made": len(found), "kept": len(found), "kept_by_game": {"g": len(found)}
    }  # fmt: skip


def test_the_reply_to_an_aside_is_a_turn_whose_history_has_no_other_aside():
    def asked(replies: str, outcome: str) -> Dialogue:
        plain = play("k" + replies[1], outcome)
        marked = [{"role": role, "content": text, "aside": True} for said in replies[::2] for role, text in aside(said)]
        know, heard, *rest = plain.messages
        return dataclasses.replace(plain, messages=(know, heard | {"weight": 0}, *marked[:2], *rest, *marked[2:]))

    aside = lambda said: (("user", "sure?"), ("assistant", said))
    plays = [asked("abc", "success"), asked("bbd", "failure"), asked("xyz", "aborted")]
    pairs, _ = make(plays, Wanted("turn", 0))
    assert said(pairs) == [("k", "a", "b"), ("k", "a", "x"), ("k", "b", "y"), ("kb", "c", "d")]
    assert not any(message.get("aside") for pair in pairs for message in (*pair.prompt, *pair.chosen, *pair.rejected))
    assert said(make(plays, Wanted("dialogue", 0))[0]) == [("k", "b", "y")]
    for pair in pairs:
        assert told(token_row(CHAT, pair, 1000, "drop", Counts())) == said([pair])[0][1:]


def told(row) -> tuple[str, str]:
    return tuple(CHAT.tokenizer.decode(row.ids[row.mask & (row.branches == n)]) for n in (1, 2))


def test_negatives_and_pairs_of_a_game_are_capped_by_even_draws():
    plays = [play("a" + chr(65 + n), task=n) for n in range(20)]
    plays += [play("b" + letter, "failure", task=n) for n in range(20) for letter in "abcd"]
    assert len(make(plays, Wanted("dialogue", 0))[0]) == 80
    pairs, _ = make(plays, Wanted("dialogue", 2))
    assert len(pairs) == 40 and len({pair.rejected[1]["content"] + pair.rejected[2]["content"] for pair in pairs}) == 4
    pairs, account = make(plays, Wanted("dialogue", 0, per_game=7))
    assert (len(pairs), account["made"], account["kept"]) == (7, 80, 7) and len({pair.where for pair in pairs}) == 7
    assert (
        make(plays, Wanted("dialogue", 0, per_game=7))[0] == pairs != make(plays, Wanted("dialogue", 0, per_game=7, seed=1))[0]
    )
    assert make([play("ab")], Wanted())[1]["successes_without_a_pair"] == 1


def test_pairs_that_were_given_stay():
    pair = Pair(PLAYS[0].messages[:1], PLAYS[0].messages[1:2], PLAYS[3].messages[1:2], {"game": "g"}, "line 1")
    assert make([pair, *PLAYS], Wanted("first"))[0] == [pair], "the one made of plays is the same"


def text(ids: np.ndarray, mask: np.ndarray) -> str:
    return CHAT.tokenizer.decode([ord(".") if i == CHAT.end else i for i in ids[mask]])


@pytest.mark.parametrize("shared", [True, False])
def test_the_row_of_a_pair_says_what_each_side_said_and_shares_the_rest(shared):
    (pair,) = [p for p in make(PLAYS, Wanted("dialogue", 0))[0] if p.where.endswith("abd failure 0")]
    counts = Counts()
    made = token_row(CHAT, pair, 100, "drop", counts, shared)
    sides = [text(made.ids, made.mask & np.isin(made.branches, (0, side))) for side in (1, 2)]
    assert sides == ["a.b.c.", "a.b.d."]
    whole = [CHAT.dialogue((*pair.prompt, *side))[0] for side in (pair.chosen, pair.rejected)]
    for side, ids in enumerate(whole, 1):
        np.testing.assert_array_equal(made.ids[np.isin(made.branches, (0, side))], ids)
        np.testing.assert_array_equal(made.positions[np.isin(made.branches, (0, side))], np.arange(len(ids)))
    assert counts.tokens == len(made.ids) == sum(map(len, whole)) - counts.tokens_shared
    assert (counts.tokens_shared > 0) == shared and (made.branches == 0).any() == shared


def test_of_a_turn_only_the_turn_is_learned_from():
    pairs = {said([pair])[0]: pair for pair in make(PLAYS, Wanted("turn", 0))[0]}
    made = token_row(CHAT, pairs["ab", "c", "d"], 100, "drop", Counts())
    assert text(made.ids, made.mask) == "c.d."
    assert (made.branches == 0).sum() > 0.7 * len(made.ids)
    assert (np.diff(made.branches) >= 0).all() and not made.mask[made.branches == 0].any()


def test_pairs_that_are_too_long_lose_their_last_turns_or_are_left_out_and_counted():
    pair = make([play("abcd"), play("aefg", "failure")], Wanted())[0][0]
    size = len(token_row(CHAT, pair, 1000, "drop", Counts()).ids)
    counts = Counts()
    assert token_row(CHAT, pair, size - 1, "drop", counts) is None and counts.dropped == 1
    made = token_row(CHAT, pair, size - 1, "cut", counts)
    assert text(made.ids, made.mask & (made.branches != 2)) == "a.b.c." and len(made.ids) < size
    assert text(made.ids, made.mask & (made.branches != 1)) == "a.e.f.g."
    assert (counts.cut, counts.dropped, counts.rows) == (1, 1, 1)
    assert token_row(CHAT, pair, 5, "cut", counts) is None and counts.dropped == 2
    same = (np.arange(4), np.array([False, False, True, True]))
    assert row(same, same) is None
    with pytest.raises(ValueError, match="share no message"):
        row(same, (np.arange(4) + 9, same[1]))
