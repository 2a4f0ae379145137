"""Guess What: rules and scores by hand, scripted players, recorded episodes."""

from __future__ import annotations

import math
import statistics

import pytest

import games
from games.core import InstanceError, play_out, split_of
from games.guesswhat_players import truth
from games.lexicon import ABSTRACT, lexicon, questions
from tests import recorded
from tests.common import answered

GUESSWHAT = games.make("guesswhat")
INSTANCE = {"target_word": "Dog", "candidate_list": ["Dog", "Cat", "it's", "Cow"]}
ASK, YES = "QUESTION: Is it big?", "ANSWER: yes"


def play(*replies: str, instance=INSTANCE, **changes):
    return answered(GUESSWHAT.start(instance, GUESSWHAT.settings("level_1", "full") | changes), replies)


def after(rounds: int, *replies: str):
    return play(*[ASK, YES] * rounds, *replies).outcome


@pytest.mark.parametrize("rounds, score", [(0, 100), (3, 100), (4, 100), (5, 200 / 3), (6, 100 / 3), (7, 0)])
def test_a_right_guess_scores_by_its_round(rounds, score):
    outcome = after(rounds, "GUESS: dog")
    assert outcome.status == "success" and outcome.score == pytest.approx(score)
    assert outcome.metrics["Speed"] == outcome.score
    assert (outcome.requests, outcome.parsed, outcome.violated) == (rounds + 1, rounds + 1, 0)


@pytest.mark.parametrize("guess", ["GUESS: Dog.", "GUESS:dog", "GUESS: DOG\n", "GUESS: 'd-o-g'", "GUESS: dog ."])
def test_a_guess_loses_case_blanks_and_punctuation(guess):
    assert after(0, guess).status == ("lose" if guess.endswith(" .") else "success")


@pytest.mark.parametrize("guess", ["GUESS: cat", "GUESS:", "GUESS: ?!"])
def test_a_wrong_guess_loses(guess):
    outcome = after(2, guess)
    assert (outcome.status, outcome.score, outcome.requests) == ("lose", 0, 3)
    assert "Speed" not in outcome.metrics


def test_eight_answers_without_a_guess_lose():
    assert after(7).__class__ is type(None)
    outcome = after(8)
    assert (outcome.status, outcome.score, outcome.requests, outcome.violated) == ("lose", 0, 8, 0)


@pytest.mark.parametrize(
    "reply, fault",
    [
        ("Is it big?", "format"),
        (" QUESTION: Is it big?", "format"),
        ("question: Is it big?", "format"),
        ("GUESS: the dog", "format"),
        ("GUESS: GUESS: dog", "format"),
        ("QUESTION: Is it big? QUESTION: Is it red?", "format"),
        ("QUESTION: Is it big?\n\nGUESS: dog", "format"),
        ("QUESTION: Is it big??", "format"),
        ("QUESTION: Does it start with the letter d?", "content"),
        ("QUESTION: Does the target word contain the letter o?", "content"),
        ("QUESTION: Is the first letter of the word a d?", "content"),
        ("QUESTION: Hm, does the word have more than 3 letters?", "content"),
        ("QUESTION: Does it have two syllables?", "content"),
        ("QUESTION: Is it a noun?", "content"),
        ("QUESTION: Is it 'dog'?", "content"),
        ("QUESTION: Is it big?\n \t", None),
        ("QUESTION: Is it big", None),
        ("QUESTION: a line\nanother\nGUESS: dog", None),
        ("QUESTION:", None),
        ("QUESTION: Is it a noun or a verb?", None),
        ("QUESTION: Tell me, is it a noun?", None),
        ("QUESTION: Does it have a letter box?", None),
        ("QUESTION: Does it start with a bang?", None),
    ],
)
def test_questions(reply, fault):
    running = play(ASK, YES, reply)
    if fault is None:
        assert running.ask.seat == "answerer" and running.ask.text == reply
        return
    outcome = running.outcome
    assert outcome.status == "aborted" and math.isnan(outcome.score) and outcome.seat == "guesser"
    assert (outcome.requests, outcome.parsed, outcome.violated) == (2, 1, 1)
    assert {key for key, value in outcome.metrics.items() if value} == {f"Invalid {fault} guesser response"}


@pytest.mark.parametrize("reply", ["ANSWER: yes\n", "ANSWER: yes.", " ANSWER: yes", "yes", "ANSWER: YES", "", "ANSWER: maybe"])
def test_answers_out_of_form_abort(reply):
    outcome = play(ASK, reply).outcome
    assert (outcome.status, outcome.seat, outcome.requests, outcome.violated) == ("aborted", "answerer", 1, 1)
    assert outcome.metrics["Invalid format answerer response"] == 1
    assert after(7, ASK, reply).status == "aborted"  # not lost: the last round was not completed


@pytest.mark.parametrize("reply", ["ANSWER: yes", "ANSWER: no", "ANSWER: Yes.", "ANSWER: No"])
def test_answers_in_form_pass(reply):
    running = play(ASK, reply)
    assert (running.ask.seat, running.ask.text) == ("guesser", reply)


def test_messages():
    running = play("QUESTION: x ", YES, ASK, "ANSWER: no")
    texts = [ask.text for ask, _ in running.history]
    assert texts[0].endswith("""The words: ['Dog', 'Cat', "it's", 'Cow']""") and "You have 7 questions" in texts[0]
    assert texts[1].endswith("The secret word: Dog\n\nQUESTION: x ")
    assert [*texts[2:], running.ask.text] == [YES, ASK, "ANSWER: no"]


def test_patterns_of_the_settings_are_used_as_given():
    assert play("QUESTION: Is it red?", letter_based_pattern="is it (red|blue)").outcome.status == "aborted"
    assert play("QUESTION: or is it red?", pos_question_pattern="is it (red|blue)").outcome is None


@pytest.mark.parametrize(
    "instance, changes, field",
    [
        ({"target_word": "a", "candidate_list": "ab"}, {}, "candidate_list"),
        ({"target_word": "a", "candidate_list": ["a", 1]}, {}, "candidate_list"),
        ({"candidate_list": ["a"]}, {}, "target_word"),
        (INSTANCE, {"letter_based_pattern": "(["}, "letter_based_pattern"),
        (INSTANCE, {"max_turns": 0}, "max_turns"),
        (INSTANCE, {"answer_variations": "ANSWER: yes"}, "answer_variations"),
    ],
)
def test_malformed_instances(instance, changes, field):
    with pytest.raises(InstanceError) as error:
        play(instance=instance, **changes)
    assert error.value.field == field


@pytest.mark.parametrize("level, groups", [(level, {"1": 4, "2": 2, "3": 1}[level[-1]]) for level in GUESSWHAT.levels])
def test_instances(level, groups):
    for instance in GUESSWHAT.instances("validation", 12, level=level):
        words = [lexicon()[word] for word in instance["candidate_list"]]
        assert len(set(instance["candidate_list"])) == 8 and instance["target_word"] in instance["candidate_list"]
        assert split_of(instance["target_word"]) == "validation"
        runs = [words[i].category for i in range(8) if i == 0 or words[i].category != words[i - 1].category]
        assert len(runs) == len(set(runs)) == groups
        assert {category in ABSTRACT for category in runs} == {level.startswith("abs")}
        assert len({word.features for word in words}) == 8


def results(guesser: str, answerer: str, strength: float, form: str, count: int = 36):
    players = {
        "guesser": (GUESSWHAT.players["guesser"][guesser], strength),
        "answerer": (GUESSWHAT.players["answerer"][answerer], strength),
    }
    found = [play_out(GUESSWHAT.start(i, form=form), players, seed=i["game_id"]) for i in GUESSWHAT.instances("test", count)]
    return [ended.outcome for ended in found]


@pytest.mark.parametrize("form", ["full", "short"])
def test_scripted_players_win_and_are_graded(form):
    rates = [statistics.mean(o.status == "success" for o in results("scripted", "scripted", s, form)) for s in (0, 0.6, 1)]
    assert rates[0] < 0.3 < rates[1] < 0.8 < rates[2]
    assert statistics.mean(o.score for o in results("scripted", "scripted", 1, form)) > 95


def test_random_players_are_legal_and_broken_ones_mostly_abort():
    assert {o.status for o in results("random", "random", 1, "short")} <= {"success", "lose"}
    assert sum(o.seat == "guesser" for o in results("broken", "scripted", 1, "short")) > 18
    assert sum(o.seat == "answerer" for o in results("scripted", "broken", 1, "short")) > 18


def test_our_questions_are_legal_and_answered_from_the_table():
    for feature, question in questions().items():
        assert play(f"QUESTION: {question}").outcome is None
        assert all(truth(word, question) == (feature in lexicon()[word].features) for word in ("dog", "grief", "canoe"))


def test_free_questions_are_answered_too():
    assert truth("dog", "Is the target word an animal?") and not truth("dog", "Is the target word edible?")
    assert truth("dog", "Does it wag its tail?") and truth("Dog", "Is it a dog or a cat?") and not truth("dog", "Is it a boat?")
    assert truth("longboat", "Is it big?") == truth("longboat", "Is it big?")
    assert not truth("longboat", "Is it one of these: hand, pitch?") and truth("hand", "Is it one of these: hand, pitch?")


@recorded.needed
def test_recorded_episodes_replay_equal():
    for record, ended in recorded.replayed("guesswhat", 240):
        assert not recorded.unequal(record, ended)
        assert ("Speed" in ended.outcome.metrics) == ("Speed" in record["episode_scores"])
        assert recorded.told(ended) == recorded.sent(record)


@recorded.needed
def test_scripted_players_read_official_prompts():
    players = {seat: (GUESSWHAT.players[seat]["scripted"], 1.0) for seat in GUESSWHAT.seats}
    found = recorded.episodes("guesswhat")[::4]
    ended = [play_out(GUESSWHAT.start(r["instance"], r["settings"]), players, r["game_id"]).outcome for r in found]
    assert all(o.status == "success" and o.score == 100 for o in ended)
