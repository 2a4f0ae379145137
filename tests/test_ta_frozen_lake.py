"""Frozen lake: rules and scores by hand, boards, scripted players, recorded episodes."""

from __future__ import annotations

import math
import re

import pytest

import games
from games import ta_loop
from games.core import InstanceError, play_out
from games.ta_frozen_lake import draw
from games.ta_frozen_lake_grid import Lake, distances
from games.ta_steps import read
from tests.common import SHARED, answered
from tests.ta_episodes import replayed, scores

GAME = games.make("ta_frozen_lake")
SPECS = {"size": 4, "num_holes": 3, "randomize_start_goal": False}
INSTANCE = {"env_specs": SPECS, "seed": 525119131}
ROWS = "P...\n....\nH.H.\n.H.G"


def play(*replies: str, form: str = "full", **specs):
    return answered(GAME.start(INSTANCE | {"env_specs": SPECS | specs}, GAME.settings("easy", form)), replies)


def test_the_lake_is_drawn_from_the_seed():
    assert play(form="short").ask.text.split("\n", 2)[2] == ROWS


def test_corners_are_drawn_before_holes():
    lakes = [draw({"env_specs": SPECS | {"randomize_start_goal": True}, "seed": seed}) for seed in range(40)]
    assert {lake.start for lake in lakes} == {(0, 0), (0, 3), (3, 0), (3, 3)}
    assert all(lake.goal == (3 - lake.start[0], 3 - lake.start[1]) and len(lake.holes) == 3 for lake in lakes)
    assert all(lake.start in distances(lake.goal, lake.holes, 4) for lake in lakes)


@pytest.mark.parametrize(
    "replies, wanted",
    [
        (["[d]"] * 3 + ["[s]"] * 3, (0, 1, 6, 0, 1, 1)),
        (["[down]", "[down]"], (0, 0, 2, 0, 1 / 3, 1 / 3)),  # a hole after two of six steps
        (["[right]", "[down]", "[down]", "[down]"], (0, 0, 4, 0, 4 / 6, 4 / 6)),
        (["[up]", "[left]"], (1, 0, 2, 2, -1, 0)),
        (["[up]", "[right]", "[up]", "[right]", "?", "no"], (1, 0, 6, 4, -1, 2 / 6)),
        # back at the start nothing is left of the way
        (["[right]", "[left]", "[left]", "[left]"], (1, 0, 4, 2, -1, 0)),
        (["[right]", "[up]", "[w] You attempted an invalid move."], (1, 0, 3, 3, -1, 1 / 6)),
    ],
)
def test_scores(replies, wanted):
    assert scores(play(*replies)) == pytest.approx(wanted)


def test_a_part_of_the_way_is_worth_a_tenth_at_least_and_never_all():
    lake = Lake(9, (0, 0), (8, 8), frozenset())
    assert [lake.progress(at) for at in ((0, 0), (0, 1), (2, 2), (8, 7), (8, 8))] == [0, 0.1, 0.25, 15 / 16, 0.95]
    assert Lake(11, (0, 10), (10, 0), frozenset()).progress((10, 1)) == 0.95


def test_the_limit_is_met_by_the_move_after_a_hundred():
    pace = ["[d]", "[a]"] * 50
    assert play(*pace).outcome is None
    assert scores(play(*pace, "[d]")) == pytest.approx((0, 0, 101, 0, 1 / 6, 1 / 6))
    assert scores(play(*pace, "?")) == (0, 0, 101, 1, 0, 0)  # also an invalid move that would only be warned of
    late = ["[d]", "[a]"] * 47 + ["[d]"] * 3 + ["[s]"] * 3
    assert scores(play(*late)) == (0, 1, 100, 0, 1, 1)


@pytest.mark.parametrize(
    "reply, step",
    [
        ("[up]", "up"),
        ("[ D ]", "right"),
        ("I go [Down], then [left].", "down"),
        ("[[w]]", "up"),
        ("[\ns\n]", "down"),
        ("[x] [a]", "left"),
        ("[ſ]", ""),
        ("up", ""),
        ("[up, up]", ""),
        ("(up)", ""),
        ("[upward]", ""),
        ("", ""),
    ],
)
def test_the_first_direction_in_brackets_is_read(reply, step):
    assert read(reply, blanks=True) == step


def test_a_warning_comes_with_the_board():
    assert "no ice up of you" in play("[up]").ask.text and "\n|  P  |     |" in play("[up]").ask.text
    assert "no direction" in play("up").ask.text and "row 1, column 0" in play("[s]").ask.text


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"size": 1}, "size"),
        ({"size": 4.0}, "size"),
        ({"num_holes": 15}, "num_holes"),
        ({"num_holes": -1}, "num_holes"),
        ({"num_holes": 14}, "num_holes"),  # no way is left
        ({"randomize_start_goal": 1}, "randomize_start_goal"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == f"env_specs.{field}"


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_scripted_player_takes_a_shortest_way(form):
    players = {"walker": (GAME.players["walker"]["scripted"], 1.0)}
    official = [INSTANCE | {"seed": seed} for seed in ta_loop.BENCHMARK_SEEDS]
    for instance in [*GAME.instances("test", 20), *official]:
        lake = draw(instance)
        ended = play_out(GAME.start(instance, GAME.settings("easy", form)), players).outcome
        assert ended.status == "success" and ended.requests == distances(lake.goal, lake.holes, lake.size)[lake.start]


def test_an_aborted_episode_has_no_main_score():
    assert math.isnan(play("?", "?").outcome.official()["Main Score"])
    assert play("[s]", "[s]").outcome.progress == pytest.approx((1 / 6, 1 / 3))


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
def test_recorded_episodes_replay_equal():
    boards = lambda texts: [re.findall(r"^[+|].*$", text, re.MULTILINE) for text in texts]
    for sent, told in replayed("ta_frozen_lake", 120):
        assert boards(sent) == boards(told)
