"""Sokoban: rules and scores by hand, rooms from seeds, scripted players, recorded episodes."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import games
from games import ta_loop
from games.core import InstanceError, Play, play_out
from games.pcg64 import PCG64
from games.ta_sokoban import LEVELS, draw
from games.ta_sokoban_room import Room
from games.ta_steps import STEPS, read
from tests.common import SHARED, answered
from tests.ta_episodes import replayed, scores

GAME = games.make("ta_sokoban")
SPECS = {"dim_room": [6, 6], "max_turns": 30, "num_boxes": 3}
INSTANCE = {"env_specs": SPECS, "seed": 525119131}
ROWS = ["######", "#_O__#", "#O_X_#", "#__X_#", "#_OXP#", "######"]
SOLUTION = [f"[{key}]" for key in "wwadssawwdwasa"]


def play(*replies: str, form: str = "full", **specs) -> Play:
    return answered(GAME.start(INSTANCE | {"env_specs": SPECS | specs}, GAME.settings("three", form)), replies)


def test_the_room_is_drawn_from_the_seed():
    assert draw(INSTANCE).rows() == ROWS
    assert play(form="short").ask.text.endswith("\n" + "\n".join(ROWS))
    assert "\n# _ O _ _ #\n# O _ X _ #\n" in play().ask.text


@pytest.mark.parametrize(
    "replies, wanted",
    [
        (SOLUTION, (0, 1, 14, 0, 1, 1)),
        (["?", *SOLUTION[:5], "[x]", *SOLUTION[5:]], (0, 1, 16, 2, 1, 1)),
        (["[right]", "[down]"], (1, 0, 2, 2, -1, 0)),
        (["[a]", "?", "?"], (1, 0, 3, 2, -1, 1 / 3)),
        (["[a]", "[s]", "[right]", "[right]", "[right] attempted an invalid move"], (1, 0, 5, 4, -1, 1 / 3)),
        (["[a]", "[d]", "[w]", "[w]", "[d]", "[d]"], (1, 0, 6, 2, -1, 1 / 3)),
    ],
)
def test_scores(replies, wanted):
    assert scores(play(*replies)) == pytest.approx(wanted)


def test_the_limit_is_met_by_the_move_after_it():
    pace = ["[a]", *["[d]", "[a]"] * 15]
    assert play(*pace[:30]).outcome is None
    assert scores(play(*pace)) == pytest.approx((0, 0, 31, 0, 1 / 3, 1 / 3))
    assert scores(play(*SOLUTION, max_turns=13)) == (0, 1, 14, 0, 1, 1)
    assert play(*pace[:3], "?", max_turns=3).outcome is None  # an invalid move is not compared with it


def test_progress_is_the_share_of_boxes_on_targets():
    assert play("[a]", "?", "?").outcome.progress == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert max(play(*SOLUTION).outcome.progress) == 1


def test_a_warning_comes_without_the_board():
    text = play("[right]").ask.text
    assert "no room to move right" in text and "#" not in text
    assert "no direction" in play("right").ask.text
    assert "You moved left and pushed a box." in play("[a]").ask.text and "You moved up." in play("[w]").ask.text


@pytest.mark.parametrize("reply, step", [("[up]", "up"), ("[D]", "right"), ("[ up ]", ""), ("[x][s][w]", "down"), ("[ſ]", "")])
def test_no_blanks_are_allowed_in_the_brackets(reply, step):
    assert read(reply) == step


@pytest.mark.parametrize(
    "row, after",
    [
        ("#PX_#", "#_PX#"),
        ("#PXO#", "#_P√#"),
        ("#P√_#", "#_PX#"),
        ("#P__#", "#_P_#"),
        ("#PO_#", "#_P_#"),
        ("#_PX#", None),
        ("#PXX_#", None),
        ("#PX√_#", None),
        ("#__P#", None),
    ],
)
def test_steps_and_pushes(row, after):
    wall = "#" * len(row)
    moved = Room.read([wall, row, wall]).step("right")
    assert (moved and moved.rows()[1]) == after


def test_a_target_shows_again_when_the_player_leaves_it():
    room = Room.read(["#####", "#PO_#", "#####"])
    assert room.step("right").step("right").rows()[1] == "#_OP#" and room.step("right").step("left") == room


@pytest.mark.parametrize("rows", [["######", "#P_XO#", "#O_X_#", "#____#", "######"], ROWS])
def test_the_way_left_is_that_of_a_search(rows):
    first = Room.read(rows)
    steps, seen, edge = 0, {first}, {first}
    while not any(room.done() == len(room.boxes) for room in edge):
        edge = {after for room, step in itertools.product(edge, STEPS) if (after := room.step(step))} - seen
        seen |= edge
        steps += 1
    assert first.left() == steps


def test_a_lost_room_has_no_way_left():
    assert Room.read(["#####", "#X__#", "#_PO#", "#####"]).left() is None


@pytest.mark.parametrize("seed", [0, 1, 525119131, 2**32 - 1, 2**32, 2**64 + 5, 2**128 - 1, 2**200 + 7])
def test_our_generator_draws_what_that_of_numpy_draws(seed):
    ours, theirs = PCG64(seed), np.random.default_rng(seed)
    for count in [7, 1, 16, 3, 2**31 + 1, 5, 2**32 - 1, 3 * 2**30] * 20:
        assert ours.integers(count) == theirs.integers(count)


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"dim_room": [6]}, "env_specs.dim_room"),
        ({"dim_room": 6}, "env_specs.dim_room"),
        ({"dim_room": [6, "6"]}, "env_specs.dim_room"),
        ({"dim_room": [3, 6]}, "env_specs.dim_room"),
        ({"num_boxes": 0}, "env_specs.num_boxes"),
        ({"max_turns": 2.5}, "env_specs.max_turns"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == field


@pytest.mark.parametrize(
    "board",
    [
        "####",
        [],
        ["#####", "#PXO", "#####"],
        ["#####", "#PXO#", "##a##"],
        ["#####", "#PXO#", "#_###", "#_###"],
        ["#####", "#_XO#", "#####"],
        ["#####", "#PXOP", "#####"],
        ["######", "#PXOP#", "######"],
        ["#####", "#PX_#", "#####"],
        ["#####", "#P√_#", "#####"],
    ],
)
def test_malformed_boards(board):
    with pytest.raises(InstanceError, match="'board'"):
        GAME.start({"env_specs": SPECS, "board": board})


def test_a_board_is_played_as_it_is():
    ended = GAME.start({"env_specs": SPECS, "board": ["######", "#PX_O#", "#_√__#", "######"]})
    for reply in ("[d]", "[d]"):
        ended.reply(reply)
    assert scores(ended) == (0, 1, 2, 0, 1, 1) and ended.outcome.progress == (0.5, 1)


def test_fresh_rooms_have_solutions_of_the_wanted_length():
    for level, (lengths, specs) in LEVELS.items():
        for instance in GAME.instances("train", 10, level=level):
            room = draw(instance)
            assert room.left() in lengths and max(lengths) <= specs["max_turns"] and len(room.boxes) == specs["num_boxes"]
            assert room.done() == 0 and "".join(room.rows()).count("O") == specs["num_boxes"]


def test_a_seed_below_zero_is_refused():
    with pytest.raises(InstanceError, match="'seed'"):
        GAME.start(INSTANCE | {"seed": -1})


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_scripted_player_takes_a_shortest_way(form):
    players = {"pusher": (GAME.players["pusher"]["scripted"], 1.0)}
    official = [INSTANCE | {"seed": seed} for seed in ta_loop.BENCHMARK_SEEDS]
    for instance in [*GAME.instances("test", 8), *official]:
        ended = play_out(GAME.start(instance, GAME.settings("one", form)), players).outcome
        assert ended.status == "success" and ended.requests == draw(instance).left() <= instance["env_specs"]["max_turns"]


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
def test_recorded_episodes_replay_equal():
    boards = lambda texts: [re.findall(r"^#.*#$", text, re.MULTILINE) for text in texts]
    for sent, told in replayed("ta_sokoban", 39):
        assert boards(sent) == boards(told)
