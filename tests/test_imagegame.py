"""Imagegame: the rules by hand, the shapes, the language of commands, players, recorded episodes."""

from __future__ import annotations

import math
import random

import pytest

import games
from games.core import SPLITS, InstanceError, play_out, split_of
from games.grid_talk import places, plain
from games.grids import draw, find, shapes
from games.imagegame import EMPTY, PROMPTS, changed, compare
from tests import recorded
from tests.common import answered

GAME = games.make("imagegame")
SETTINGS = GAME.settings("compact_grids", "full")


def grid(rows: str) -> str:
    """ "K.... ..." -> the text of a grid."""
    return "\n".join(" ".join(row.replace(".", EMPTY)) for row in rows.split())


TARGET = grid("KK... ..... ..... ..... ....K")
HALF = grid("K.... ..... ..... ..... ...K.")
BLANK = grid("..... ..... ..... ..... .....")
INSTANCE = {"target_grid": TARGET, "grid_dimension": 5}


def play(*replies: str) -> games.Play:
    return answered(GAME.start(INSTANCE, SETTINGS), replies)


def test_what_the_seats_are_shown():
    game = play()
    assert game.ask.seat == "giver" and game.ask.text.endswith(f"\n{TARGET}\n{SETTINGS['player_1_question']}")
    game.reply("command: Put a K in row 1, column 1\n")
    assert game.ask.seat == "follower"
    assert game.ask.text == SETTINGS["player_2_prompt_header"] + "\n\ncommand: Put a K in row 1, column 1"
    game.reply(HALF)
    assert game.ask.text == SETTINGS["player_1_question"]
    game.reply("Command: more")
    assert game.ask.text == "Command: more"


def test_the_last_grid_counts():
    end = play("Command: one", HALF, "Command: two words", TARGET, " command :DONE\n").outcome
    assert (end.status, end.score) == ("success", 100)
    assert (end.requests, end.parsed, end.violated) == (14, 14, 0)  # six events a round, two for the end
    assert end.progress == (0, 0.4, 0.4, 1, 1)
    assert end.metrics["Average Changed Cell Count"] == 2.5  # two cells, then three
    assert end.metrics["Average Generated Instruction Length"] == 15
    assert end.metrics["Average Generated Expression Number of Tokens"] == 2.5

    end = play("Command: one", TARGET, "Command: two", HALF, "Command: DONE").outcome
    # one of two letters is right, one of three is found
    assert (end.status, end.score, end.metrics["Precision"], end.metrics["Recall"]) == ("lose", 40, 50, 33)


def test_done_at_once_loses():
    end = play("Command: DONE").outcome
    assert (end.status, end.score, end.requests, end.violated) == ("lose", 0, 2, 0)
    assert end.metrics["Average Changed Cell Count"] == 0


def test_an_empty_grid_keeps_the_last_scores():
    end = play("Command: one", TARGET, "Command: clear all", BLANK, "Command: DONE").outcome
    assert (end.status, end.score) == ("success", 100)
    assert play("Command: one", BLANK, "Command: DONE").outcome.score == 0


@pytest.mark.parametrize(
    "reply", ["", "Put a K", "Command:K", "Command: ", "Command: a\nb", "\nCommand: a", "**Command: a**", "Command: a\n\n"]
)
def test_foul_commands(reply):
    end = play("Command: one", TARGET, reply).outcome
    assert (end.status, end.seat, end.requests, end.parsed, end.violated) == ("aborted", "giver", 9, 8, 1)
    official = end.official()
    assert (official["Success"], official["Lose"], official["Aborted"]) == (0, 0, 1)
    assert math.isnan(official["F1"]) and official["Request Success Ratio"] == 0.8889


@pytest.mark.parametrize(
    "reply",
    ["", "Command: DONE", f"Here:\n{TARGET}", TARGET.lower(), TARGET.replace(EMPTY, "□"), f"{TARGET} {EMPTY}", f" {TARGET}"],
)
def test_foul_grids(reply):
    end = play("Command: one", reply).outcome
    assert (end.status, end.seat, end.requests, end.parsed, end.violated) == ("aborted", "follower", 6, 5, 1)
    assert end.progress == (0, 0)


def test_blank_lines_around_a_grid_are_fine():
    assert play("Command: one", f"\n\n{TARGET}\n", "Command: DONE").outcome.status == "success"


def test_fifty_rounds_end_the_game():
    game = play(*["Command: again", HALF] * 50)
    assert (game.outcome.status, game.outcome.requests, game.outcome.score) == ("lose", 301, 40)


def test_grids_of_odd_form():
    broken_line = TARGET.replace("\n", " ", 1).replace(" ", "\n", 1)  # six lines or five cells fewer: another size
    assert compare(TARGET, broken_line) == (0, 0, 0)
    assert compare(TARGET, TARGET[::-1].replace(" ", "\t", 1)[::-1]) is None  # a tab in the last row: a cell is missing
    assert compare(TARGET, TARGET.lower()) == (100, 100, 100)
    assert compare(BLANK, TARGET) is None
    assert changed(BLANK, TARGET) == 3 and changed(HALF, HALF.lower()) == 0
    assert changed(BLANK, TARGET.replace(" ", "\t", 1)) == 0


def test_f1_is_rounded_to_even_at_halves():
    assert compare(grid("KKKKK KKKKK KKKKK KK... ....."), grid("KKKKK KKKKK KKKKK ..... .....")) == (100, 88, 94)
    assert compare(grid("KKKKK KKK.. ..... ..... ....."), grid("K.... ..... ..... ..... .....")) == (100, 12, 22)


@pytest.mark.parametrize(
    ("field", "instance"),
    [
        ("target_grid", {"grid_dimension": 5}),
        ("grid_dimension", {"target_grid": TARGET, "grid_dimension": "5"}),
        ("player_1_question", INSTANCE | {"player_1_prompt_header": "", "player_2_prompt_header": ""}),
    ],
)
def test_malformed_instances_name_the_field(field, instance):
    with pytest.raises(InstanceError) as error:
        GAME.start(instance, {"name": "compact_grids"})
    assert error.value.field == field


def test_malformed_sizes_and_patterns_name_the_field():
    with pytest.raises(InstanceError) as error:
        GAME.start(INSTANCE | {"grid_dimension": 0}, SETTINGS)
    assert error.value.field == "grid_dimension"
    with pytest.raises(InstanceError) as error:
        GAME.start(INSTANCE, SETTINGS | {"player_2_response_pattern": "("})
    assert error.value.field == "player_2_response_pattern"


@pytest.mark.parametrize(
    ("command", "cells"),
    [
        ("Put an E in second row third column", "12"),
        ("Fill the last row with X", "40 41 42 43 44"),
        ("Put K in row 2, columns 1, 3 and 5", "10 12 14"),
        ("Put a W in second row second column and second row fifth column", "11 14"),
        ("K in the first and third rows", "00 01 02 03 04 20 21 22 23 24"),
        ("Fill the second row from column 2 to column 4 with B", "11 12 13"),
        ("an X in the top-left corner", "00"),
        ("Put a K in column 4 rows 2 to 3", "13 23"),
        ("draw a cat", ""),
    ],
)
def test_the_language_of_commands(command, cells):
    named = {f"{row}{column}" for place in places(plain(command)) for row, column in place}
    assert named == set(cells.split())


def test_grids_are_found_in_texts():
    assert find(f"A text.\n\n{TARGET}\nMore.\n{HALF}") == [[row.split(" ") for row in g.split("\n")] for g in (TARGET, HALF)]
    assert find("I am\nX marks A B") == []


def test_shapes():
    assert (len(shapes("letter")), len(shapes("digit")), len(shapes("figure"))) == (26, 10, 40)
    every = shapes("letter") + shapes("digit") + shapes("figure")
    assert len(set(every)) == 76 and all(2 < len(shape) < 25 for shape in every)
    assert draw(frozenset({(1, 2)}), "K", EMPTY) == grid("..... ..K.. ..... ..... .....")


@pytest.mark.parametrize("level", GAME.levels)
def test_instances(level):
    targets = {split: {GAME.target(i) for i in GAME.instances(split, 20, level=level)} for split in SPLITS}
    assert not targets["train"] & targets["validation"] and not targets["train"] & targets["test"]
    assert all(split_of(target) == split for split in SPLITS for target in targets[split])
    instance = GAME.generate(random.Random(3), level, "test")
    assert instance == GAME.generate(random.Random(3), level, "test")
    # an instance of ours brings its own prompts, as the official ones do; settings may replace them
    text = GAME.start(instance, {"name": level}).ask.text
    assert text == GAME.start(instance | {"level": level}).ask.text
    assert GAME.start(instance | {"level": level}, form="short").ask.text.startswith(PROMPTS["short"]["player_1_prompt_header"])


def results(kind: str, strength: float, form: str = "short", n: int = 24) -> tuple[float, float, float]:
    """Mean score, share of successes, share of aborted games."""
    ends = []
    for i, instance in enumerate(GAME.instances("train", n)):
        players = {seat: (GAME.players[seat][kind], strength) for seat in GAME.seats}
        ends.append(play_out(GAME.start(instance, form=form), players, i).outcome)
    statuses = [end.status for end in ends]
    score = sum(0 if end.status == "aborted" else end.score for end in ends) / n
    return score, statuses.count("success") / n, statuses.count("aborted") / n


def test_players_are_graded():
    best, middle, weak = (results("scripted", strength) for strength in (1.0, 0.6, 0.2))
    assert best == (100, 1, 0) and results("scripted", 1.0, "full") == best
    assert best[0] > middle[0] > weak[0] and middle[2] == weak[2] == 0
    score, _, aborted = results("random", 1.0)
    assert score < 40 and aborted == 0
    assert results("broken", 1.0)[2] > 0.8


@recorded.needed
def test_recorded_episodes():
    assert not any(recorded.unequal(*each) for each in recorded.replayed("imagegame", 160))
