"""Referencegame: the rules by hand, instances, players, recorded episodes."""

from __future__ import annotations

import math
import random

import pytest

import games
from games.core import SPLITS, InstanceError, play_out, split_of
from games.grids import find
from games.referencegame import GRIDS
from games.referencegame_players import _fit as fit
from tests import recorded
from tests.common import answered

GAME = games.make("referencegame")
SETTINGS = GAME.settings("random_grids", "full")


def grid(rows: str) -> str:
    """ "X.... ..." -> the text of a grid."""
    return "\n".join(" ".join(row.replace(".", "□")) for row in rows.split())


TARGET = grid("XXXXX ..... X.... ..... .....")
NEAR = grid("XXXXX ..... .X... ..... .....")
FAR = grid("..... XXXXX XXXXX ..... XXXXX")
INSTANCE = dict(zip(GRIDS, (TARGET, NEAR, FAR, NEAR, TARGET, FAR))) | {"target_grid_name": ["second", "2"]}
SAID = "Expression: the one with an X in row 3, column 1"


def play(*replies: str, instance: dict = INSTANCE) -> games.Play:
    return answered(GAME.start(instance, SETTINGS), replies)


def test_what_the_seats_are_shown():
    game = play()
    assert game.ask.seat == "giver"
    assert find(game.ask.text) == find("\n\n".join((TARGET, NEAR, FAR)))
    game.reply("expression:\n  a TARGET_EXPRESSION\n\n")
    assert game.ask.seat == "follower"
    assert find(game.ask.text) == find("\n\n".join((NEAR, TARGET, FAR)))
    assert "\n\nexpression:\n  a TARGET_EXPRESSION\n\n" in game.ask.text  # the raw reply, put in once


def test_success_and_loss():
    end = play(SAID, "Answer: second").outcome
    assert (end.status, end.score, end.requests, end.parsed, end.violated) == ("success", 100, 2, 2, 0)
    assert end.metrics["Generated Expression Length"] == 48
    assert end.metrics["Generated Expression Number of Tokens"] == 11
    end = play(SAID + "\n", "answer:3").outcome
    assert (end.status, end.score) == ("lose", 0)
    assert end.metrics["Generated Expression Length"] == 49
    assert end.metrics["Generated Expression Number of Tokens"] == 11  # only blanks divide


@pytest.mark.parametrize(
    "reply",
    ["", "Expression:", "Expression:\n\n", " Expression: a", "An Expression: a", "Expression: a\nb", "Expression: a\n "],
)
def test_foul_expressions(reply):
    end = play(reply).outcome
    assert (end.status, end.seat, end.requests, end.parsed, end.violated) == ("aborted", "giver", 1, 0, 1)
    official = end.official()
    assert (official["Aborted"], official["Aborted at Player 1"], official["Aborted at Player 2"]) == (1, 1, 0)
    for name in ("Main Score", "Success", "Lose", "Generated Expression Length", "Generated Expression Number of Tokens"):
        assert math.isnan(official[name])


@pytest.mark.parametrize(
    "reply",
    ["", "second", "Answer: the second", "Answer: **second**", "Answer: grid 2", "Answer:", "Answer: 2\nyes", " Answer: 2"],
)
def test_foul_answers(reply):
    end = play(SAID, reply).outcome
    assert (end.status, end.seat, end.requests, end.parsed, end.violated) == ("aborted", "follower", 2, 1, 1)
    official = end.official()
    assert (official["Aborted at Player 2"], official["Request Success Ratio"]) == (1, 0.5)
    assert official["Generated Expression Length"] == 48 and math.isnan(official["Success"])


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("ANSWER: SECOND grid.", "success"),
        ("Answer: 2nd", "success"),
        ("Answer:\n\n2\n\n", "success"),
        ("Answer: 12", "lose"),  # the first sign counts
        ("Answer: firstly second", "lose"),
    ],
)
def test_the_beginning_of_an_answer_counts(reply, status):
    assert play(SAID, reply).outcome.status == status


def test_liberal_instances_ignore_what_follows():
    instance = INSTANCE | {"p1_mode": "liberal", "p2_mode": "liberal"}
    assert play(SAID + "\n\nMore.", "Answer: second\nAs it fits.", instance=instance).outcome.status == "success"


def test_old_instances_name_the_target_in_one_word():
    assert play(SAID, "Answer: second", instance=INSTANCE | {"target_grid_name": "second"}).outcome.status == "success"
    assert play(SAID, "Answer: 2", instance=INSTANCE | {"target_grid_name": "second"}).outcome.status == "lose"


@pytest.mark.parametrize(
    ("field", "instance", "settings"),
    [
        ("target_grid_name", INSTANCE | {"target_grid_name": 2}, {}),
        ("player_2_third_grid", {key: value for key, value in INSTANCE.items() if key != "player_2_third_grid"}, {}),
        ("player_1_response_pattern", INSTANCE, {"player_1_response_pattern": "("}),
        ("player_2_response_pattern", INSTANCE, {"player_2_response_pattern": "answer: (.*)"}),
        ("player_2_prompt_header", INSTANCE, {"player_2_prompt_header": 3}),
    ],
)
def test_malformed_instances_name_the_field(field, instance, settings):
    with pytest.raises(InstanceError) as error:
        GAME.start(instance, SETTINGS | settings)
    assert error.value.field == field


@pytest.mark.parametrize("level", GAME.levels)
def test_instances(level):
    found = {split: GAME.instances(split, 20, level=level) for split in SPLITS}
    targets = {split: {GAME.target(i) for i in found[split]} for split in SPLITS}
    assert not targets["train"] & targets["validation"] and not targets["train"] & targets["test"]
    assert all(split_of(target) == split for split in SPLITS for target in targets[split])
    assert len(targets["train"]) == 20 and len(targets["test"]) > 5
    for instance in sum(found.values(), []):
        shown = [instance[field] for field in GRIDS]
        place = ("first", "second", "third").index(instance["target_grid_name"][0])
        assert len(set(shown)) == 3 and sorted(shown[:3]) == sorted(shown[3:])
        assert shown[3 + place] == shown[0] and instance["target_grid_name"][1] == str(place + 1)
    assert {instance["target_grid_name"][0] for instance in found["train"]} == {"first", "second", "third"}
    # an instance of ours brings its own prompts, as the official ones do; settings may replace them
    instance = GAME.generate(random.Random(3), level, "test")
    assert GAME.start(instance, {"name": level}).ask == GAME.start(instance | {"level": level}).ask
    assert "Tell the target" in GAME.start(instance | {"level": level}, form="short").ask.text


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("the grid with a full first row and an X in row 3, column 1", (1, 0.5, 0.5)),
        ("the one that has no X in row 3, column 2", (1, 0, 0)),
        ("The grid where the top row is filled, while the second row is completely empty", (1, 1, 0)),
        ("6 filled cells", (1, 1, 0)),
        ("a dog", (0, 0, 0)),
    ],
)
def test_how_expressions_are_understood(expression, fits):
    grids = [find(text)[0] for text in (TARGET, NEAR, FAR)]
    assert tuple(fit(expression, cells) for cells in grids) == fits


def results(kind: str, strength: float, form: str = "short", n: int = 60) -> tuple[float, float]:
    """Share of successes and of aborted games."""
    ends = []
    for i, instance in enumerate(GAME.instances("train", n)):
        players = {seat: (GAME.players[seat][kind], strength) for seat in GAME.seats}
        ends.append(play_out(GAME.start(instance, form=form), players, i).outcome.status)
    return ends.count("success") / n, ends.count("aborted") / n


def test_players_are_graded():
    best, middle, weak = (results("scripted", strength) for strength in (1.0, 0.6, 0.1))
    assert best == (1, 0) == results("scripted", 1.0, "full")
    assert 0.9 > middle[0] > weak[0] and middle[1] == weak[1] == 0
    won, aborted = results("random", 1.0)
    assert won < 0.55 and aborted == 0
    assert results("broken", 1.0)[1] > 0.8


@recorded.needed
def test_recorded_episodes():
    assert not any(recorded.unequal(*each) for each in recorded.replayed("referencegame", 360))
