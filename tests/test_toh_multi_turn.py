"""Towers of Hanoi: rules and scores by hand, boards, scripted players, recorded episodes."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque

import pytest

import games
from games.core import InstanceError, play_out
from games.toh_multi_turn_board import Board, distance, moved, moves
from tests import recorded
from tests.common import answered

TOH = games.make("toh_multi_turn")
INSTANCE = {"num_disks": 2, "align": "horizontal", "peg_names": "alpha", "disk_order": "ascending", "max_turns": 8}
FULL = [[2, 1], [], []]


def play(*replies: str, form: str = "full", instance=INSTANCE, **changes):
    return answered(TOH.start(instance | changes, TOH.settings("easy", form)), replies)


def scores(outcome) -> tuple:
    keys = "Aborted|Success|Lose|Main Score|Request Count|Violated Request Count|Valid Moves|Invalid Moves"
    return tuple(outcome.official()[key] for key in keys.split("|"))


@pytest.mark.parametrize(
    "replies, wanted",
    [
        (["[A B]", "[A C]", "[B C]"], (0, 1, 0, 100, 3, 0, 3, 0)),
        (["[A B]", "[B C]", "[C B]", "[A C]", "[B C]"], (0, 1, 0, 100, 5, 0, 5, 0)),
        (["hm", "[A D]", "[A B]", "hm", "[A  B]", "[A C]", "[B C]"], (0, 1, 0, 100, 7, 2, 3, 2)),
        (["hm", "[A D]", "go"], (1, 0, 0, 0, 3, 2, 0, 1)),
        (["[A B]", "[A B]", "[B B]", "[C A]"], (1, 0, 0, 0, 4, 0, 1, 3)),
        # 8 turns: after five moves at distance 3 there are just 3 turns left, and that is too late
        (["[A B]", "[B A]", "[A B]", "[B A]", "[A B]"], None),
        (["[A B]", "[B A]", "[A B]", "[B A]", "[A C]"], (0, 0, 1, 0, 5, 0, 5, 0)),
        (["[A B]", "[B A]", "[A B]", "[B A]", "[A B]", "[B A]"], (0, 0, 1, 0, 6, 0, 6, 0)),
        # errors use up turns, but only a move is followed by the look at what is left
        (["[A B]", "?", "?", "[B A]", "?", "[A B]"], (0, 0, 1, 0, 6, 3, 3, 0)),
    ],
)
def test_scores(replies, wanted):
    outcome = play(*replies).outcome
    assert (outcome and scores(outcome)) == wanted


def test_the_last_turn_may_bring_the_end_but_no_verdict():
    won = play("?", "?", "[A B]", "?", "[A C]", "?", "[B C]", max_turns=8).outcome
    assert scores(won) == (0, 1, 0, 100, 7, 4, 3, 0)
    short = play("[A B]", "?", "?", "[A C]", max_turns=5).outcome
    assert scores(short) == (0, 0, 1, 0, 4, 2, 2, 0)  # one move is needed, one turn is left
    none = play("[A B]", "[A C]", "?", "?", max_turns=4)
    assert scores(none.outcome) == (0, 0, 0, 0, 4, 2, 2, 0) and none.outcome.status == "lose"


def test_an_abort_wins_over_the_last_turn():
    assert scores(play("?", "?", "?", max_turns=3).outcome) == (1, 0, 0, 0, 3, 3, 0, 0)


def test_an_aborted_episode_has_an_official_score_of_zero():
    outcome = play("a", "b", "c").outcome
    assert math.isnan(outcome.score) and outcome.official()["Main Score"] == 0 and outcome.seat == "hopper"
    assert outcome.official()["Request Success Ratio"] == 0 and outcome.official()["Optimal Steps"] == 3


@pytest.mark.parametrize(
    "reply, problem",
    [
        ("[A D]", "peg 'D' does not exist!"),
        ("[X Y]", "peg 'Y' does not exist!"),  # the target is looked at first
        ("[X A]", "peg 'X' does not exist!"),
        ("[a B]", "peg 'a' does not exist!"),
        ("[B C]", "peg 'B' is empty!"),
        ("[B B]", "peg 'B' is empty!"),
        ("[A A]", "source and target pegs are the same!"),
        ("[A B] or [C A]", "peg 'C' is empty!"),  # the last one counts
        ("[1 _]", "peg '_' does not exist!"),
    ],
)
def test_moves_that_are_not_allowed(reply, problem):
    settings = TOH.settings("easy", "full")
    running = play(reply)
    assert running.ask.text == settings["rule_violation_message"].replace("$reason", problem)


@pytest.mark.parametrize("reply", ["", "A B", "[A,B]", "[A\nB]", "[AB]", "[A B ]", "[ A B]", "[A\tB]", "[A BC]", "(A B)"])
def test_replies_without_a_move(reply):
    assert play(reply).ask.text == TOH.settings("easy", "full")["parse_error_message"]


@pytest.mark.parametrize(
    "align, names, order, message",
    [
        ("horizontal", "alpha", "ascending", "you cannot place disk '--1--' on top of smaller disk '-2-'!"),
        ("horizontal", "num", "descending", "you cannot place disk '--B--' on top of smaller disk '-A-'!"),
        ("vertical", "alpha", "descending", "you cannot place disk '2' on top of smaller disk '1'!"),
        ("vertical", "num", "ascending", "you cannot place disk 'A' on top of smaller disk 'B'!"),
    ],
)
def test_a_larger_disk_on_a_smaller_one(align, names, order, message):
    a, b = "AB" if names == "alpha" else "12"
    running = play(f"[{a} {b}]", f"[{a} {b}]", align=align, peg_names=names, disk_order=order)
    assert message in running.ask.text


def test_boards_are_drawn_as_the_official_ones():
    board = Board(INSTANCE)
    assert board.draw() == "  |     |     |  \n -2-    |     |  \n--1--   |     |  \n  A     B     C  \n"
    assert board.move("A", "C") == "Moved disk '-2-' from 'A' to 'C'."
    assert board.draw() == "  |     |     |  \n  |     |     |  \n--1--   |    -2- \n  A     B     C  \n"
    board = Board(INSTANCE | {"align": "vertical", "peg_names": "num", "disk_order": "descending"})
    assert board.draw() == "1: B A \n2: \n3: \n"
    assert board.move("1", "2") == "Moved disk 'A' from '1' to '2'."
    assert board.draw() == "1: B \n2: A \n3: \n"


def test_a_move_is_answered_with_the_board_and_the_turns_that_are_left():
    text = play("[A B]").ask.text
    assert text.startswith("Moved disk '-2-' from 'A' to 'B'.\nNow:\n") and "Turns left: 7." in text
    assert "$" not in text + play().ask.text


def far(disks: int) -> dict[tuple, int]:
    """Distances of all positions to the end, by a search in breadth."""
    first = ((), (), tuple(range(disks, 0, -1)))
    found, queue = {first: 0}, deque([first])
    while queue:
        pegs = queue.popleft()
        for move in moves(pegs):
            there = tuple(map(tuple, moved(pegs, *move)))
            if there not in found:
                found[there] = found[pegs] + 1
                queue.append(there)
    return found


@pytest.mark.parametrize("disks", [1, 2, 3, 4, 5])
def test_the_distance_is_that_of_a_search(disks):
    found = far(disks)
    assert len(found) == 3**disks
    assert all(distance(pegs) == steps for pegs, steps in found.items())


def test_every_move_that_is_offered_is_allowed_and_no_other():
    for pegs in far(3):
        board = Board(INSTANCE | {"num_disks": 3})
        board.pegs = pegs
        allowed = [(a, b) for a, b in itertools.product(range(3), repeat=2) if not board.problem("ABC"[a], "ABC"[b])]
        assert sorted(moves(pegs)) == allowed


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"num_disks": 0}, "num_disks"),
        ({"num_disks": 12}, "num_disks"),
        ({"align": "diagonal"}, "align"),
        ({"peg_names": "greek"}, "peg_names"),
        ({"disk_order": "random"}, "disk_order"),
        ({"max_turns": 0}, "max_turns"),
        ({"initial_prompt": 3}, "initial_prompt"),
        ({"move_pattern": "(?P<source>a"}, "move_pattern"),
        ({"move_pattern": "a b"}, "move_pattern"),
        ({"start": [[1, 2], [], []]}, "start"),
        ({"start": [[2], [], []]}, "start"),
        ({"start": [[2, 1]]}, "start"),
        ({"start": [[2], 1, []]}, "start"),
        ({"start": [[], [], [2, 1]]}, "start"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == field


def test_fresh_instances_can_be_solved_in_time_and_are_no_official_ones():
    for instance in TOH.instances("train", 60, seed=2):
        needed = distance(instance["start"])
        assert 2 ** (instance["num_disks"] - 1) <= needed and needed + 2 < instance["max_turns"] == 2 * needed + 2
        assert len(instance["start"][0]) < instance["num_disks"]
        assert instance["initial_board"] in play(instance=instance).ask.text


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_scripted_player_takes_the_shortest_way(form):
    players = {"hopper": (TOH.players["hopper"]["scripted"], 1.0)}
    for instance in TOH.instances("test", 40):
        ended = play_out(TOH.start(instance, form=form), players).outcome
        assert ended.status == "success" and ended.requests == distance(instance["start"])
        assert ended.progress[-1] == 1 and list(ended.progress) == sorted(ended.progress)


@recorded.needed
def test_recorded_episodes_replay_equal():
    for record, ended in recorded.replayed("toh_multi_turn", 96):
        assert not recorded.unequal(record, ended) and recorded.told(ended) == recorded.sent(record)
        assert Board(record["instance"]).draw() == record["instance"]["initial_board"]


@recorded.needed
def test_scripted_players_read_official_prompts():
    found = {record["experiment"]: record for record in recorded.episodes("toh_multi_turn")}
    players = {"hopper": (TOH.players["hopper"]["scripted"], 1.0)}
    ended = [play_out(TOH.start(r["instance"], r["settings"]), players).outcome for r in found.values()]
    assert Counter(o.status for o in ended) == {"success": 24}
    assert all(o.requests == o.official()["Optimal Steps"] for o in ended)
