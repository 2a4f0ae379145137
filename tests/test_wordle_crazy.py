"""Crazy Wordle, with a clue, and with a clue and a critic: what differs from Wordle, the shared rules once more, records."""

from __future__ import annotations

import math

import pytest

import games
from games.core import Outcome
from tests import recorded
from tests.test_wordle import INSTANCE, NO, YES, official_ends, play_many, say

NAMES = ("wordle-crazy", "wordle-crazy_withclue", "wordle-crazy_withcritic")
HINT = "\n\nAnswer in this form:\nexplanation: one line\nguess: five letters"


def outcome(name: str, *replies: str) -> Outcome | None:
    play = games.make(name).start(INSTANCE)
    for reply in replies:
        play.reply(reply)
    return play.outcome


def judged(name: str, *guesses: str) -> list[str]:
    """Replies that commit these guesses; with a critic each is proposed first, and agreed to."""
    return [text for guess in guesses for text in ((guess, YES, guess) if name.endswith("critic") else (guess,))]


def test_the_games_are_out_of_domain_with_wordles_seats_and_roles():
    for name in NAMES:
        crazy, plain = games.make(name), games.make(name.replace("-crazy", ""))
        assert crazy.suite == "outofdomain" and plain.suite == "indomain"
        assert (crazy.seats, crazy.roles, crazy.levels) == (plain.seats, plain.roles, plain.levels)
        assert crazy.instances("test", 9, seed=1) != crazy.instances("train", 9, seed=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("number", "score"), [(1, 100), (2, 100), (3, 100), (4, 50), (5, 30), (6, 20)])
def test_one_table_of_scores_for_all_three(name, number, score):
    end = outcome(name, *judged(name, *[say("stone")] * (number - 1), say("apple")))
    assert (end.status, end.score) == ("success", score)
    assert end.metrics["Guess Repetitions"] == max(0, number - 2)


@pytest.mark.parametrize("name", NAMES)
def test_six_wrong_guesses_lose(name):
    end = outcome(name, *judged(name, *map(say, ("stone", "ample", "stone", "angle", "ankle", "maple"))))
    assert (end.status, end.score, end.metrics["Guess Repetitions"]) == ("lose", 0, 1)
    requests = 18 if name.endswith("critic") else 6
    assert (end.requests, end.parsed, end.violated) == (requests, requests, 0)


@pytest.mark.parametrize("name", NAMES)
def test_yellow_is_the_right_place_black_another_one_and_purple_none(name):
    play = games.make(name).start(INSTANCE)
    for reply in judged(name, say("paper")):
        play.reply(reply)
    # the target is apple: p elsewhere, a elsewhere, p placed, e elsewhere, no r
    assert play.ask.text == "guess_feedback: p<black> a<black> p<yellow> e<black> r<purple>" + HINT


def test_the_prompts_name_the_crazy_colours_alone():
    for name in NAMES:
        text = games.make(name).settings("easy", "full")["guesser_prompt"]
        assert "<yellow> the letter is in the right place" in text
        assert "s<black> t<black> o<purple> n<purple> e<yellow>" in text
        assert "green" not in text and "<red>" not in text


def test_the_first_messages():
    plain, clue = (games.make(name).start(INSTANCE) for name in NAMES[:2])
    assert plain.ask.text == plain.settings["guesser_prompt"]
    assert clue.ask.text == clue.settings["guesser_prompt"] + "\n\nclue: fruit of a tree"


def test_the_messages_with_a_critic():
    play = games.make("wordle-crazy_withcritic").start(INSTANCE)
    assert play.ask.text == play.settings["guesser_prompt"] + "\n\nclue: fruit of a tree"
    play.reply(say("apple"))  # a proposal is not scored, not even the right one
    shown = "clue: fruit of a tree\nexplanation: a try\nguess: apple"
    assert (play.ask.seat, play.ask.text) == ("critic", play.settings["guesser_critic_prompt"] + "\n\n" + shown)
    play.reply(NO)
    answer = "clue: fruit of a tree\nguess_agreement: no\nagreement_explanation: bad"
    assert (play.ask.seat, play.ask.text) == ("guesser", answer + HINT)
    play.reply(say("ample"))
    assert play.ask.text == "guess_feedback: a<yellow> m<purple> p<yellow> l<yellow> e<yellow>" + HINT
    play.reply(say("apple"))
    form = "\n\nAnswer in this form:\nexplanation: one line\nagreement: yes or no"
    assert (play.ask.seat, play.ask.text) == ("critic", shown + form)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_word_is_asked_again_five_times_in_a_row(name):
    play = games.make(name).start(INSTANCE)
    for _ in range(5):
        play.reply(say("zzzzz"))
        assert (play.ask.seat, play.ask.text) == ("guesser", "I do not know this word. Take another one." + HINT)
    end = outcome(name, *[say("zzzzz")] * 5, *judged(name, say("stone")), *[say("zzzzz")] * 5)
    assert end is None  # a valid guess, a proposal too, starts the count anew
    end = outcome(name, *[say("zzzzz")] * 6)
    assert (end.status, end.requests, end.parsed, end.violated) == ("aborted", 6, 6, 0)
    assert math.isnan(end.score) and math.isnan(end.metrics["Guess Repetitions"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "reply",
    [
        "",
        " explanation: a\nguess: stone",
        "guess: stone",
        "explanation: a guess: stone",
        "explanation: a\nstone",
        "explanation: a\nguess: stone\nguess: stone",
        "explanation: a\nguess: st0ne",
        "explanation: a\nguess: two words",
        "explanation: a\nguess: stones",
    ],
)
def test_any_other_mistake_ends_the_game(name, reply):
    end = outcome(name, reply)
    assert (end.status, end.requests, end.parsed, end.violated, end.seat) == ("aborted", 1, 0, 1, "guesser")


@pytest.mark.parametrize("reply", ["explanation: a\nagreement: maybe", "explanation: a\nagreement: yes!", "agreement: yes", ""])
def test_so_does_one_of_the_critic(reply):
    end = outcome("wordle-crazy_withcritic", say("stone"), reply)
    assert (end.status, end.requests, end.parsed, end.violated, end.seat) == ("aborted", 2, 1, 1, "critic")
    # of opinions there are only those of completed rounds
    assert all(math.isnan(value) for value in end.metrics.values())
    end = outcome("wordle-crazy_withcritic", say("stone"), NO, say("maple"), say("stone"), reply)
    assert end.metrics["Non-Repetition-Guesser-On-Critic-Disagreement"] == 1
    assert end.metrics["Repetition-Guesser-On-Critic-Agreement"] == 0


@pytest.mark.parametrize("form", ["full", "short"])
@pytest.mark.parametrize("name", NAMES)
def test_the_solver_reads_the_crazy_colours(name, form):
    strong = play_many(name, "scripted", 1.0, form)
    assert sum(end.status == "success" for end in strong) >= 11
    weak = play_many(name, "scripted", 0.0, form)
    assert sum(end.status == "success" for end in weak) <= 2 and all(end.status != "aborted" for end in weak)


@recorded.needed
@pytest.mark.parametrize("name", NAMES)
def test_recorded_episodes_are_equal_to_the_letter(name):
    for record, play in recorded.replayed(name, 120):
        assert not recorded.unequal(record, play) and recorded.told(play) == recorded.sent(record)


@recorded.needed
@pytest.mark.parametrize("name", NAMES)
def test_the_solver_also_plays_with_official_settings(name):
    ends = official_ends(name)
    assert ends.count("success") >= 8 and "aborted" not in ends
