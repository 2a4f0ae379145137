"""Mastermind, and what it shares with the other games from TextArena: rules and scores by hand, recorded episodes."""

from __future__ import annotations

import math
import random
import re

import pytest

import games
from games import ta_loop
from games.core import SPLITS, InstanceError, play_out
from games.ta_mastermind_code import pegs, read, secret
from tests.common import SHARED, answered
from tests.ta_episodes import replayed, scores

GAME = games.make("ta_mastermind")
SPECS = {"code_length": 4, "num_numbers": 6, "max_turns": 2, "duplicate_numbers": False}
INSTANCE = {"env_specs": SPECS, "seed": 1}  # the code is 2 5 1 6
WARNED = "You attempted an invalid move."


def play(*replies: str, form: str = "full", seed: int = 1, **specs):
    return answered(GAME.start({"env_specs": SPECS | specs, "seed": seed}, GAME.settings("medium", form)), replies)


def test_the_code_is_the_first_draw_of_the_seed():
    assert secret(INSTANCE) == [2, 5, 1, 6] == random.Random(1).sample([1, 2, 3, 4, 5, 6], 4)
    twice = INSTANCE | {"env_specs": SPECS | {"duplicate_numbers": True}}
    assert secret(twice) == random.Random(1).choices([1, 2, 3, 4, 5, 6], k=4)


@pytest.mark.parametrize(
    "replies, wanted",
    [
        (["[2 5 1 6]"], (0, 1, 1, 0, 1, 1)),
        (["[2 5 6 1]", "[1 2 6 4]", "[2 5 1 6]"], (0, 1, 3, 0, 1, 1)),
        # the limit is 2, and the third guess is the last one
        (["[2 5 6 1]", "[2 5 4 3]", "[1 2 6 4]"], (0, 0, 3, 0, 0.375, 0.375)),
        (["[4 3 1 6]", "[2 5 6 1]", "[4 3 6 1]"], (0, 0, 3, 0, 0.25, 0.25)),
        # an invalid move is warned of once, and a valid one makes good for it
        (["?", "[2 5 6 1]", "?", "[2 5 1 6]"], (0, 1, 4, 2, 1, 1)),
        (["?", "?"], (1, 0, 2, 2, -1, 0)),
        (["[2 5 6 1]", "[2 5 6 1]", "[1 2 6]"], (1, 0, 3, 2, -1, 0.75)),
        (["?", "[2 5 6 1]", "?", "?"], (1, 0, 4, 3, -1, 0.75)),
        # who says the words of the warning has violated, once with a warning, twice at the end
        ([f"{WARNED} [2 5 6 1]", "[2 5 1 6]"], (0, 1, 2, 1, 1, 1)),
        ([WARNED, "[2 5 1 6]"], (0, 1, 2, 1, 1, 1)),
        (["?", WARNED], (1, 0, 2, 3, -1, 0)),
        (["?", "attempted an in[GAME]valid [Player]move"], (1, 0, 2, 3, -1, 0)),
        (["?", "Attempted an invalid move"], (1, 0, 2, 2, -1, 0)),
    ],
)
def test_scores(replies, wanted):
    assert scores(play(*replies)) == wanted


def test_an_aborted_episode_has_no_main_score_and_a_lost_one_a_part_of_it():
    assert math.isnan(play("?", "?").outcome.official()["Main Score"]) and play("?", "?").outcome.seat == "codebreaker"
    lost = play("[2 5 6 1]", "[2 5 4 3]", "[1 2 6 4]").outcome
    assert (lost.status, lost.score, lost.seat) == ("lose", 37.5, None) and lost.progress == (0.75, 0.5, 0.375)
    assert play("?", "[2 5 6 1]", "?", "[2 5 1 6]").outcome.progress == (0, 0.75, 0.75, 1)


@pytest.mark.parametrize(
    "reply, problem",
    [
        ("2 5 3 1", "in square brackets"),
        ("[2, 5, 3, 1]", "in square brackets"),
        ("[ 2 5 3 1]", "in square brackets"),
        ("[a 5 3 1]", "in square brackets"),
        ("[2 5 3]", "exactly 4"),
        ("[2 5 3 1 9]", "exactly 4"),
        ("[2531]", "exactly 4"),
        ("[2 2 2 7]", "from 1 to 6"),
        ("[0 1 2 3]", "from 1 to 6"),
        (f"[1 2 3 {'9' * 5000}]", "from 1 to 6"),
        ("[2 2 5 3]", "twice"),
        ("[1 2 3 4] then [6 5 4 3]", "[6 5 4 3] was guessed before"),
    ],
)
def test_replies_that_are_no_guess(reply, problem):
    assert problem in play("[6 5 4 3]", reply).ask.text


@pytest.mark.parametrize(
    "reply, guess",
    [
        ("[1 2 3 4]", [1, 2, 3, 4]),
        ("[1 2 3 4] no, [4  3\n2 1]!", [4, 3, 2, 1]),
        ("[1 2 3 4] [x]", [1, 2, 3, 4]),
        ("[[1 2 3 4]]", [1, 2, 3, 4]),
        ("[٣ 02]", [3, 2]),
        ("[]", []),
    ],
)
def test_the_last_brackets_with_numbers_are_read(reply, guess):
    assert read(reply) == guess


def test_repeats_are_allowed_where_the_code_may_have_them():
    assert "twice" in play("[6 6 6 6]").ask.text and "black" in play("[6 6 6 6]", duplicate_numbers=True).ask.text
    assert "more than once" in play(duplicate_numbers=True).ask.text and "twice" in play().ask.text


@pytest.mark.parametrize(
    "code, guess, wanted",
    [
        ([1, 2, 3, 4], [4, 3, 2, 1], (0, 4)),
        ([1, 1, 2, 2], [1, 2, 1, 1], (1, 2)),
        ([1, 1, 1, 2], [2, 2, 2, 1], (0, 2)),
        ([5, 5, 5, 5], [5, 5, 1, 5], (3, 0)),
        ([1, 2, 3, 4], [5, 6, 5, 6], (0, 0)),
    ],
)
def test_each_digit_of_the_code_counts_once(code, guess, wanted):
    assert pegs(code, guess) == wanted


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"code_length": 0}, "code_length"),
        ({"code_length": "4"}, "code_length"),
        ({"code_length": 7}, "code_length"),
        ({"num_numbers": None}, "num_numbers"),
        ({"max_turns": True}, "max_turns"),
        ({"duplicate_numbers": "no"}, "duplicate_numbers"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == f"env_specs.{field}"


def test_prompts_of_ones_own_are_checked():
    with pytest.raises(InstanceError, match="'prompts': texts are wanted"):
        GAME.start(INSTANCE, {"name": "x", "prompts": {"intro": "Go."}})
    assert GAME.start(INSTANCE, {"name": "official"}).ask.text == play().ask.text


def test_fresh_codes_are_none_of_the_benchmark():
    official = {GAME.target(INSTANCE | {"seed": seed}) for seed in ta_loop.BENCHMARK_SEEDS}
    fresh = {GAME.target(i) for split in SPLITS for i in GAME.instances(split, 60, level="medium")}
    assert len(official) == 10 and len(fresh) > 80 and not official & fresh


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_scripted_player_finds_every_code(form):
    players = {"codebreaker": (GAME.players["codebreaker"]["scripted"], 1.0)}
    official = [{"env_specs": SPECS | {"num_numbers": 8, "max_turns": 30}, "seed": seed} for seed in ta_loop.BENCHMARK_SEEDS]
    large = [INSTANCE | {"env_specs": {"code_length": 5, "num_numbers": 10, "max_turns": 50, "duplicate_numbers": True}}]
    for instance in [*GAME.instances("test", 20), *official, *large]:
        ended = play_out(GAME.start(instance, GAME.settings("hard", form)), players).outcome
        assert ended.status == "success" and ended.violated == 0 and ended.requests <= 12


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
def test_recorded_episodes_replay_equal():
    pegs_in = lambda texts: [re.findall(r"(\d) black\D+(\d) white", text) for text in texts[1:]]
    for sent, told in replayed("ta_mastermind", 80):
        assert pegs_in(sent) == pegs_in(told)
