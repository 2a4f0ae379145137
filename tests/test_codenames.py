"""Codenames: the rules by hand, forgiving flags, boards, players, recorded episodes."""

from __future__ import annotations

import random

import pytest

import games
from games.codenames_players import affinity
from games.codenames_words import OWNERS, forms, known_forms, related, rows, vocabulary
from games.core import SPLITS, InstanceError, play_out, split_of
from tests import recorded
from tests.common import answered

GAME = games.make("codenames")
HANDS = {
    "team": ["whale", "shark", "rose", "wolves"],
    "opponent": ["piano", "drum", "flute"],
    "innocent": ["brick", "cake"],
    "assassin": ["knife"],
}
BOARD = ["knife", "whale", "piano", "rose", "drum", "shark", "brick", "cake", "flute", "wolves"]
INSTANCE = {"board": BOARD, "assignments": HANDS}
SEA = "CLUE: ocean\nTARGETS: whale, shark"


def start(difficulty: int = 1, **flags: bool) -> games.Play:
    settings = GAME.settings("opponent_easy", "full") | {"opponent difficulty": difficulty}
    return GAME.start(INSTANCE, settings | {"flags": settings["flags"] | flags})


def play(*replies: str, difficulty: int = 1, flags: dict | None = None) -> games.Play:
    return answered(start(difficulty, **(flags or {})), replies)


def test_a_match_with_all_its_scores():
    game = play(SEA, "GUESS: whale, piano", difficulty=1)
    assert game.ask.seat == "opponent" and game.ask.text == "Uncover 1 of: drum, flute"
    game.reply("flute")
    # the giver's lists are older than the opponent's move
    assert "Words of the opponent: drum, flute\n" in game.ask.text
    assert "Right guesses: whale. Wrong guess: piano (opponent)." in game.ask.text
    game.reply("CLUE: Three.\nTARGETS: shark, rose, wolves")
    assert "flute" not in game.ask.text and "The clue is 'three'" in game.ask.text
    game.reply("GUESS: rose,shark, wolves")
    end = game.outcome
    assert (end.status, end.score, end.requests, end.parsed, end.violated) == ("success", 100, 4, 4, 0)
    assert end.progress == (0, 0.25, 0.25, 0.25, 1)
    expected = {
        "Number of turns": 3,  # one more than were played
        "Efficiency": 0.833,  # half of five guesses in three turns
        "Episode Recall": 1,
        "Episode Negative Recall": 0.833,  # one of six words of others
        "Cluegiver strip words": 1,
        "Guesser strip words": 0,
        "Average Cluegiver Number of Targets": 2.5,
        "Average Cluegiver Team Precision": 1,
        "Average Cluegiver Team Recall": 0.75,  # 2/4 and 3/3
        "Average Guesser Number of Revealed Words": 2.5,
        "Average Guesser Target Precision": 0.75,
        "Average Guesser Team Recall": 0.625,
        "Game ended through assassin": 0,
        "experiment name": "opponent_easy",
        "experiment variable": "Opponent Difficulty",
    }
    assert {name: end.metrics[name] for name in expected} == expected


def test_the_assassin_loses_and_what_follows_a_wrong_guess_stays_hidden():
    end = play(SEA, "GUESS: knife, whale").outcome
    assert (end.status, end.score, end.metrics["Game ended through assassin"]) == ("lose", 0, 1)
    assert end.metrics["Average Guesser Number of Unrevealed Guesses"] == 1
    assert end.metrics["Episode Recall"] == 0


def test_an_opponent_that_is_done_is_noticed_after_the_next_clue():
    game = play(SEA, "GUESS: whale", difficulty=3)
    game.reply("piano, drum, flute")
    assert game.ask.seat == "cluegiver"
    game.reply("CLUE: fish\nTARGETS: shark")
    assert (game.outcome.status, game.outcome.requests) == ("lose", 3)
    assert game.outcome.metrics["Number of turns"] == 2
    assert game.outcome.metrics["Average Cluegiver Number of Targets"] == 1.5

    game = play(SEA, "GUESS: whale", "piano, drum, flute", "no clue", difficulty=3)
    assert game.outcome.status == "aborted"


def test_an_opponent_that_is_off_never_draws_and_a_strange_draw_is_filled_up():
    assert play(SEA, "GUESS: brick", difficulty=0).ask.seat == "cluegiver"
    game = play(SEA, "GUESS: brick", "whale, drum, drum", difficulty=2)
    game.reply(SEA)
    assert "piano" not in game.ask.text and "drum" not in game.ask.text and "flute" in game.ask.text


@pytest.mark.parametrize(
    ("reply", "foul"),
    [
        ("", "CLUE: "),
        (SEA + "\n", "two lines"),
        ("CLUE: ocean\n\nTARGETS: whale", "two lines"),
        ("Clue: ocean\nTARGETS: whale", "CLUE: "),
        ("CLUE: ocean", "TARGETS: "),
        (" CLUE: ocean\nTARGETS: whale", "CLUE: "),
        ("CLUE: ocean, 2\nTARGETS: whale", "number"),
        ("CLUE: big fish\nTARGETS: whale", "single word"),
        ("CLUE: Whales\nTARGETS: whale", "form"),
        ("CLUE: wolf\nTARGETS: whale", "form"),
        ("CLUE: KNIFE\nTARGETS: whale", "form"),
        ("CLUE: ocean\nTARGETS: ", "not on the board"),
        ("CLUE: ocean\nTARGETS: whale, squid", "not on the board"),
        ("CLUE: ocean\nTARGETS: whale, whale", "twice"),
    ],
)
def test_foul_clues_end_the_game(reply, foul):
    end = play(reply).outcome
    assert (end.status, end.seat, end.requests, end.parsed, end.violated) == ("aborted", "cluegiver", 1, 0, 1)
    assert foul in end.reason and end.metrics["Number of turns"] == 1 and end.official()["Main Score"] != 0


@pytest.mark.parametrize(
    "reply",
    [
        "TARGETS: whale,shark\nCLUE: ocean",
        "CLUE: <Ocean>\nTARGETS: 'whale', \"Shark\".",
        "CLUE: \nTARGETS: knife, piano",  # an empty clue, and words of others, are legal
        "CLUE: whalebone\nTARGETS: whale, shark",  # parts of words are not looked at
        "CLUE: ocean2\nTARGETS: whale, shark",
    ],
)
def test_odd_clues_that_are_legal(reply):
    game = play(reply)
    assert game.ask.seat == "guesser" and "at most 2 of these" in game.ask.text


def test_digits_at_the_ends_of_a_clue_are_dropped():
    assert "The clue is 'ocean'." in play("CLUE: ocean2\nTARGETS: whale").ask.text


@pytest.mark.parametrize(
    ("reply", "foul"),
    [
        ("whale", "GUESS: "),
        ("GUESS: whale\n", "one line"),
        ("GUESS: whale, shark, rose", "more guesses"),
        ("GUESS: ocean", "the clue"),
        ("GUESS: squid", "not on the board"),
        ("GUESS: ", "not on the board"),
        ("GUESS: whale, whale", "twice"),
    ],
)
def test_foul_guesses_end_the_game(reply, foul):
    end = play(SEA, reply).outcome
    assert (end.status, end.seat, end.requests, end.parsed, end.violated) == ("aborted", "guesser", 2, 1, 1)
    assert foul in end.reason
    assert end.metrics["Number of turns"] == 2 and end.metrics["Request Success Ratio"] == 0.5


def test_words_that_are_gone_cannot_be_named_again():
    assert "any more" in play(SEA, "GUESS: whale", "drum", SEA).outcome.reason
    assert "any more" in play(SEA, "GUESS: whale", "drum", "CLUE: fish\nTARGETS: shark", "GUESS: whale").outcome.reason
    assert "any more" not in play(SEA, "GUESS: whale", "drum", "CLUE: fish\nTARGETS: drum").outcome.reason


def test_settings_may_forgive():
    loose = {"IGNORE RAMBLING": True, "IGNORE FALSE TARGETS OR GUESSES": True, "IGNORE NUMBER OF TARGETS": True}
    game = play("My clue:\nCLUE: ocean, 2\nTARGETS: squid, whale", flags=loose)
    assert "The clue is 'ocean'." in game.ask.text and "at most 1 of" in game.ask.text
    game.reply("Well.\nGUESS: whale")
    assert game.ask.seat == "opponent"
    game = play("CLUE: ocean\nTARGETS: squid", flags=loose)
    assert game.outcome.status == "aborted"

    game = play("ocean", flags={"REPROMPT ON ERROR": True})
    assert game.ask.seat == "cluegiver" and "'CLUE: '" in game.ask.text
    for reply in (SEA, "whale", "whale", "whale"):
        game.reply(reply)
    end = game.outcome
    assert (end.status, end.requests, end.parsed, end.violated) == ("aborted", 5, 1, 4)
    assert play("CLUE: ocean.\nTARGETS: whale", flags={"STRIP WORDS": False}).outcome.status == "aborted"


def test_forms_of_nouns():
    assert related("wolf", ["cat", "wolves"]) == "wolves"
    assert related("knives", ["knife"]) and related("cities", ["city"]) and related("boxes", ["box"])
    assert related("feet", ["foot"]) and related("women", ["woman"])
    assert not related("news", ["new"]) and not related("men", ["man"]) and not related("fishing", ["fish"])
    assert forms("s") == {"s"}


@pytest.mark.parametrize(
    ("field", "instance", "settings"),
    [
        ("board", INSTANCE | {"board": BOARD[1:]}, {}),
        ("board", INSTANCE | {"board": [*BOARD[1:], 7]}, {}),
        ("board", {"assignments": HANDS}, {}),
        ("assignments.innocent", INSTANCE | {"assignments": HANDS | {"innocent": "cake"}}, {}),
        ("flags", INSTANCE, {"flags": None}),
        ("opponent difficulty", INSTANCE, {"opponent difficulty": "1"}),
        ("prompts", INSTANCE, {"prompts": {"cluegiver_first": "Go."}}),
    ],
)
def test_malformed_instances_name_the_field(field, instance, settings):
    with pytest.raises(InstanceError) as error:
        GAME.start(instance, GAME.settings("risk_low", "full") | settings)
    assert error.value.field == field


def test_the_clue_table():
    assert len(vocabulary()) >= 400 and len(rows()) >= 100
    clues = [clue for clues, _ in rows() for clue in clues]
    assert len(clues) == len(set(clues))
    for clues, words in rows():
        assert len(words) == len(set(words)) and len(words) > 4, clues
        assert not any(known_forms(clue) & known_forms(word) for clue in clues for word in words), clues
    assert all(word.isascii() and word.isalpha() and word.islower() for _, words in rows() for word in words)
    assert affinity("ocean", "whale") > affinity("ocean", "boat") >= 0


@pytest.mark.parametrize("level", GAME.levels)
def test_boards(level):
    settings = GAME.settings(level, "full")
    targets = {split: {GAME.target(i) for i in GAME.instances(split, 20, level=level)} for split in SPLITS}
    assert not targets["train"] & targets["validation"] and not targets["train"] & targets["test"]
    for split in SPLITS:
        assert all(split_of(target) == split for target in targets[split])
    instance = GAME.generate(random.Random(3), level, "test")
    assert instance == GAME.generate(random.Random(3), level, "test")
    assert {owner: len(instance["assignments"][owner]) for owner in OWNERS} == settings["assignments"]
    assert sorted(instance["board"]) == sorted(sum(instance["assignments"].values(), []))
    assert len(set(instance["board"])) == 25


def results(kind: str, strength: float, form: str = "short", n: int = 28) -> dict[str, float]:
    ends = []
    for i, instance in enumerate(GAME.instances("train", n)):
        players = {seat: (GAME.players[seat][kind], strength) for seat in GAME.seats}
        players["opponent"] = (GAME.players["opponent"]["scripted"], 1.0)
        ends.append(play_out(GAME.start(instance, form=form), players, i).outcome.status)
    return {status: ends.count(status) / n for status in ("success", "lose", "aborted")}


def test_players_are_graded():
    best, middle, weak = (results("scripted", strength) for strength in (1.0, 0.6, 0.2))
    assert best["success"] >= 0.75 > middle["success"] > weak["success"]
    assert best["aborted"] == middle["aborted"] == weak["aborted"] == 0
    assert results("scripted", 1.0, "full") == best
    anyhow = results("random", 1.0)
    assert anyhow["aborted"] == 0 and anyhow["success"] <= 0.1
    assert results("broken", 1.0)["aborted"] > 0.8


def test_players_cope_with_words_that_they_do_not_know():
    hands = {owner: [f"{owner}{letter}x" for letter in "abcd"] for owner in OWNERS}
    instance = {"board": sum(hands.values(), []), "assignments": hands}
    players = {seat: (GAME.players[seat]["scripted"], 1.0) for seat in (*GAME.seats, "opponent")}
    official = {"opponent difficulty": 0, "flags": {"STRIP WORDS": True}}
    assert play_out(GAME.start(instance, official), players).outcome.status == "success"


def test_the_guesser_is_not_told_who_owns_what():
    game = start()
    game.reply(SEA)
    other = GAME.start(
        INSTANCE | {"assignments": HANDS | {"innocent": ["knife", "cake"], "assassin": ["brick"]}}, game.settings
    )
    other.reply(SEA)
    assert game.ask == other.ask


@recorded.needed
def test_recorded_episodes():
    assert not any(recorded.unequal(*each) for each in recorded.replayed("codenames", 520))
