"""Match It: the schedule, the two ways to count a violation, our players, and every recorded episode."""

from __future__ import annotations

import collections
import math

import pytest

from games.core import InstanceError, play_out, split_of
from games.matchit_ascii import MATCHIT_ASCII, _distance, _read, _views
from tests import recorded
from tests.common import answered

A, B = MATCHIT_ASCII.seats
SETTINGS = {
    "initial_prompt": "grid: $GRID$!",
    "desc_intro": "my ",
    "q_reprompt": "ask",
    "d_reprompt": "decide\n",
    "a_request": " reply",
    "flags": {kind: f"{kind.upper()}:" for kind in ("description", "question", "answer", "decision")},
    "solution": "same grid",
    "wrong_solution": "different grids",
}
GRIDS = {"grid_a": "X ▢\n▢ X", "grid_b": "▢ X\n▢ X", "decision_turn": 1}
TALK = ["DESCRIPTION: a\n", "DESCRIPTION: b", " QUESTION: b?", "ANSWER:\na!", "QUESTION: a?", "ANSWER: b!"]


def talk(*replies, instance=GRIDS, **settings):
    return answered(MATCHIT_ASCII.start(instance, SETTINGS | settings), replies)


def counts(play):
    outcome = play.outcome
    return outcome.requests, outcome.parsed, outcome.violated


def test_who_sees_what():
    play = talk(*TALK, "DECISION: same grid", "decision: x")
    assert [(ask.seat, ask.text) for ask, _ in play.history] == [
        (A, "grid: X ▢\n▢ X!"),
        (B, "grid: ▢ X\n▢ X!"),
        (B, "my DESCRIPTION: a\nask"),
        (A, "my DESCRIPTION: b\nQUESTION: b? reply"),
        (A, "ask"),
        (B, "ANSWER:\na!\nQUESTION: a? reply"),
        (B, "decide\n"),
        (A, "ANSWER: b!\ndecide\n"),
    ]


def test_three_turns_take_sixteen_replies():
    play = MATCHIT_ASCII.start(GRIDS | {"decision_turn": 3}, SETTINGS)
    order = []
    while play.ask:
        order.append(play.ask.seat[-1])
        said = [word for word in ("DESCRIPTION:", "QUESTION:", "ANSWER:") if word in play.ask.text]
        kind = "decision" if "decide" in play.ask.text else "question" if play.ask.text.endswith("ask") else "answer"
        play.reply(
            {"decision": "DECISION: same grid", "question": "QUESTION: x"}.get(kind, "ANSWER: x" if said else "DESCRIPTION: x")
        )
    assert "".join(order) == "abb" + "aabb" * 3 + "a"
    assert counts(play) == (16, 16, 0) and play.outcome.status == "success"


@pytest.mark.parametrize(
    ("b", "a", "status", "score", "player_score"),
    [
        ("DECISION: same grid", "DECISION: Same Grid..\n", "success", 100, 100),
        ("DECISION: same grid", "DECISION: different grids", "lose", 0, 50),
        ("DECISION: different grids", "DECISION: different grids.", "lose", 0, 0),
    ],
)
def test_decisions(b, a, status, score, player_score):
    outcome = talk(*TALK, b, a).outcome
    assert (outcome.status, outcome.score, outcome.official()["Player Score"]) == (status, score, player_score)
    assert outcome.requests == outcome.parsed == 8


@pytest.mark.parametrize(
    "text", ["DECISION: same grid ", "DECISION: same grids", "DECISION: same grid!", "DECISION:\nsame grid", "DECISION:"]
)
def test_a_malformed_decision_counts_twice(text):
    play = talk(*TALK, "DECISION: same grid", text)
    assert counts(play) == (9, 8, 1) and play.outcome.seat == A
    assert play.outcome.official() | {"Request Success Ratio": 0} == {
        "Aborted": 0,
        "Success": 0,
        "Lose": 1,
        "Main Score": 0,
        "Player Score": 50,
        "Request Count": 9,
        "Parsed Request Count": 8,
        "Violated Request Count": 1,
        "Request Success Ratio": 0,
    }
    assert play.outcome.status == "aborted"


@pytest.mark.parametrize(
    "text", ["", " \n", "ANSWER:yes", "**ANSWER:** x", "Answer: x", "ANSWER:\tx", "ANSWER:\rx", "QUESTION: x", "\ud800"]
)
def test_a_wrong_start_ends_the_game_as_lost(text):
    play = talk(*TALK[:3], text)
    assert counts(play) == (4, 3, 1)
    assert (play.outcome.status, play.outcome.seat) == ("aborted", A)
    official = play.outcome.official()
    assert (official["Aborted"], official["Lose"], official["Main Score"], official["Player Score"]) == (0, 1, 0, 0)


def test_a_reply_that_says_abort_is_the_only_official_abort():
    official = talk("abort, please").outcome.official()
    assert (official["Aborted"], official["Success"], official["Lose"]) == (1, 0, 0)
    assert math.isnan(official["Main Score"]) and math.isnan(official["Player Score"])
    assert talk("Abort").outcome.official()["Aborted"] == talk(" abort").outcome.official()["Aborted"] == 0


def test_malformed_settings_say_so():
    with pytest.raises(InstanceError, match="decision_turn"):
        talk(instance=GRIDS | {"decision_turn": 0})
    with pytest.raises(InstanceError, match="flags"):
        talk(flags={"description": "D:"})


def test_our_grids():
    for level in MATCHIT_ASCII.levels:
        for instance in MATCHIT_ASCII.instances("train", 20, level=level):
            a, b = _read(instance["grid_a"]), _read(instance["grid_b"])
            apart, turned = _distance(a, b), b in _views(a)
            assert len(a) == 5 and {len(row) for row in a} == {5} and set("".join(a + b)) == {"X", "▢"}
            assert {
                "same_grid": apart == 0,
                "similar_grid_1": turned and 2 <= apart <= 12,
                "similar_grid_2": apart == 2,
                "different_grid": not turned and 8 <= apart <= 17,
            }[level]


def test_splits_share_no_grids():
    found = {
        split: {MATCHIT_ASCII.target(i) for i in MATCHIT_ASCII.instances(split, 20)}
        for split in ("train", "validation", "test")
    }
    assert all(len(targets) == 20 and {split_of(t) for t in targets} == {split} for split, targets in found.items())
    instance = MATCHIT_ASCII.instances("train", 1)[0]
    swapped = {"grid_a": instance["grid_b"], "grid_b": instance["grid_a"]}
    flipped = {key: instance[key][::-1] for key in ("grid_a", "grid_b")}
    assert MATCHIT_ASCII.target(instance) == MATCHIT_ASCII.target(swapped) == MATCHIT_ASCII.target(flipped)


@pytest.mark.parametrize("form", ["full", "short"])
def test_our_players(form):
    wins = collections.Counter()
    for strength in (0.0, 0.6, 1.0):
        for instance in MATCHIT_ASCII.instances("train", 60):
            players = {seat: (MATCHIT_ASCII.players[seat]["scripted"], strength) for seat in (A, B)}
            play = play_out(MATCHIT_ASCII.start(instance, form=form), players, instance["game_id"])
            wins[strength] += play.outcome.status == "success"
            assert play.outcome.status != "aborted"
    assert wins[1.0] == 60 and wins[0.0] < wins[0.6] < 60
    players = {seat: (MATCHIT_ASCII.players[seat]["broken"], 1.0) for seat in (A, B)}
    plays = [play_out(MATCHIT_ASCII.start(i, form=form), players, i["game_id"]) for i in MATCHIT_ASCII.instances("test", 30)]
    ends = [play.outcome.status for play in plays]
    assert 10 < ends.count("aborted") < 30


def test_short_prompts_are_short():
    assert all(
        len(text.split()) < 40 for text in MATCHIT_ASCII.settings("same_grid", "short").values() if isinstance(text, str)
    )


@recorded.needed
def test_recorded_episodes_are_equal():
    for record, play in recorded.replayed("matchit_ascii", 160):
        assert not recorded.unequal(record, play) and recorded.told(play) == recorded.sent(record)


@recorded.needed
def test_our_players_understand_the_official_prompts():
    players = {seat: (MATCHIT_ASCII.players[seat]["scripted"], 1.0) for seat in (A, B)}
    for record in recorded.episodes("matchit_ascii")[::10]:
        assert play_out(MATCHIT_ASCII.start(record["instance"], record["settings"]), players).outcome.status == "success"
