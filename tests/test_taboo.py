"""Taboo: rules and scores by hand, scripted players, recorded episodes."""

from __future__ import annotations

import statistics

import pytest

import games
from games.core import InstanceError, play_out
from games.stemmer import stem
from games.taboo import forbidden, normalise
from games.taboo_players import ranking
from tests import recorded
from tests.common import answered, summary

TABOO = games.make("taboo")
INSTANCE = {"target_word": "bank", "related_word": ["money", "strong-minded", "Loan"]}


def play(*replies: str, instance=INSTANCE, **changes):
    return answered(TABOO.start(instance, TABOO.settings("high", "full") | changes), replies)


def scores(*replies: str, **changes) -> tuple:
    return summary(play(*replies, **changes).outcome)


@pytest.mark.parametrize(
    "replies, wanted",
    [
        (["CLUE: river edge", "GUESS: Bank!"], ("success", 100, 1, 1, 0, None)),
        (["CLUE: vault", "GUESS: safe", "CLUE: teller", "GUESS:  bank\n"], ("success", 50, 2, 2, 0, None)),
        (["CLUE: a", "GUESS: x", "CLUE: b", "GUESS: y", "CLUE: c", "GUESS: bank"], ("success", 100 / 3, 3, 3, 0, None)),
        (["CLUE: a", "GUESS: x", "CLUE: b", "GUESS: y", "CLUE: c", "GUESS: z"], ("lose", 0, 3, 3, 0, None)),
        (["CLUE: a place for loans"], ("lose", 0, 1, 1, 0, "describer")),
        (["CLUE: a", "GUESS: x", "CLUE: banking"], ("lose", 0, 2, 2, 0, "describer")),
        ([" CLUE: river"], ("aborted", None, 1, 0, 1, "describer")),
        (["GUESS: river"], ("aborted", None, 1, 0, 1, "describer")),
        (["clue: river"], ("aborted", None, 1, 0, 1, "describer")),
        (["CLUE: a", "guess: bank"], ("aborted", None, 1, 0, 1, "guesser")),
        (["CLUE: a", "GUESS: x", "CLUE: b", "GUESS: y", "CLUE: c", "bank"], ("aborted", None, 3, 2, 1, "guesser")),
        (["CLUE: a", "GUESS: the bank", "CLUE: b", "GUESS: bank .", "CLUE: c", "GUESS: ban k"], ("lose", 0, 3, 3, 0, None)),
        (["CLUE: a", "GUESS: GUESS: ba-nk"], ("success", 100, 1, 1, 0, None)),
    ],
)
def test_scores(replies, wanted):
    assert scores(*replies) == wanted


@pytest.mark.parametrize(
    "clue, found",
    [
        ("CLUE: it has MONEY!", ("money", "money")),
        ("CLUE: banks, loans", ("banks", "bank")),
        ("CLUE: loans and banks", ("loans", "Loan")),
        ("CLUE: river\nbank", None),  # only a blank parts words
        ("CLUE: river-bank", None),
        ("CLUE: a strong-minded person", None),  # the hyphen is kept in the related word only
        ("CLUE: a bank's door", ("banks", "bank")),
        ("CLUE:CLUE: CLUE: x GUESS: bank", ("bank", "bank")),
        ("CLUE: the bank’s door", ("bank’s", "bank")),
        ("CLUE:", None),
    ],
)
def test_forbidden_words(clue, found):
    assert forbidden(clue, ["bank", "money", "strong-minded", "Loan"]) == found


def test_stop_words_may_be_said_even_if_they_are_the_target():
    assert forbidden("CLUE: more than most", ["more", "a"]) is None


def test_a_guess_is_not_stripped_after_its_punctuation_is_gone():
    assert normalise("GUESS: word .", "GUESS:") == "word "


def test_messages_are_the_raw_replies_of_the_other_seat():
    running = play("CLUE: river \n", "GUESS: boat  ", "CLUE: teller")
    settings = TABOO.settings("high", "full")
    texts = [(ask.seat, ask.text) for ask, _ in running.history] + [(running.ask.seat, running.ask.text)]
    assert texts[0][1].endswith("bank\n\nThe taboo words:\n- money\n- strong-minded\n- Loan")
    assert texts[1] == ("guesser", settings["guesser_initial_prompt"].replace("$N$", "3") + "\n\nCLUE: river \n")
    assert texts[2:] == [("describer", "GUESS: boat  "), ("guesser", "CLUE: teller")]


def test_an_outcome_carries_the_official_extras():
    assert play("CLUE: banks").outcome.official().items() >= {"Repetition-Guesser": 0, "Repetition-Describer": 0}.items()


@pytest.mark.parametrize(
    "instance, changes, field",
    [
        ({"target_word": 3, "related_word": []}, {}, "target_word"),
        ({"target_word": "a"}, {}, "related_word"),
        ({"target_word": "a", "related_word": ["b", None]}, {}, "related_word"),
        (INSTANCE, {"max_turns": 0}, "max_turns"),
        (INSTANCE, {"max_turns": True}, "max_turns"),
    ],
)
def test_malformed_instances(instance, changes, field):
    with pytest.raises(InstanceError) as error:
        play(instance=instance, **changes)
    assert error.value.field == field


def test_instances_are_fair_and_splits_share_no_target():
    seen = {split: TABOO.instances(split) for split in ("train", "validation", "test")}
    targets = {split: {instance["target_word"] for instance in found} for split, found in seen.items()}
    assert len(targets["train"]) == 100 and len(targets["test"]) >= 40
    assert not targets["train"] & targets["test"] and not targets["validation"] & (targets["train"] | targets["test"])
    for instance in seen["train"]:
        assert len(instance["related_word"]) == 3
        assert instance["target_word_stem"] not in instance["related_word_stem"] == list(map(stem, instance["related_word"]))
    easy = TABOO.instances("train", 5, level="high")
    assert {instance["level"] for instance in easy} == {"high"}


def results(describer: str, guesser: str, strength: float, form: str, count: int = 40):
    players = {
        "describer": (TABOO.players["describer"][describer], strength),
        "guesser": (TABOO.players["guesser"][guesser], strength),
    }
    found = [play_out(TABOO.start(i, form=form), players, seed=i["game_id"]) for i in TABOO.instances("test", count)]
    return [ended.outcome for ended in found]


@pytest.mark.parametrize("form", ["full", "short"])
def test_scripted_players_win_and_are_graded(form):
    rates = [statistics.mean(o.status == "success" for o in results("scripted", "scripted", s, form)) for s in (0, 0.4, 1)]
    assert rates[0] < 0.2 < rates[1] - 0.1 < 0.9 < rates[2]
    assert all(o.status != "aborted" for o in results("scripted", "scripted", 0.5, form))


def test_random_players_are_legal_and_broken_ones_mostly_abort():
    assert {o.status for o in results("random", "random", 1, "short")} <= {"success", "lose"}
    assert sum(o.status == "aborted" for o in results("broken", "scripted", 1, "short")) > 20
    guesser = results("scripted", "broken", 1, "short")
    assert sum(o.status == "aborted" and o.seat == "guesser" for o in guesser) > 20


def test_a_clue_is_short_and_new_words_come_each_round():
    running = play(instance={"target_word": "dog", "related_word": ["bark", "puppy", "leash"]})
    describer = TABOO.players["describer"]["scripted"]
    clues = []
    for _ in range(3):
        clues.append(describer(running.view("describer")))
        running.reply(clues[-1])
        running.reply("GUESS: x")
    words = [word for clue in clues for word in clue.removeprefix("CLUE: ").split(", ")]
    assert clues[0].startswith("CLUE: animal, ")
    assert len(set(words)) == len(words) >= 6 and not {"bark", "puppy", "leash", "dog"} & set(words)


@pytest.mark.parametrize("target", ["letters", "secret", "starts", "ice cream", "x", "Ünïcode", "8"])
def test_an_unknown_word_gets_a_legal_clue(target):
    running = play(instance={"target_word": target, "related_word": ["letter", "unknown", "a"]})
    for _ in range(3):
        running.reply(TABOO.players["describer"]["scripted"](running.view("describer")))
        assert running.outcome is None
        running.reply("GUESS: nothing")


def test_the_guesser_finds_the_word_of_a_free_clue_and_never_repeats_a_guess():
    assert ranking(["A pet that barks and wags its tail."])[0] == "dog"
    guesser = TABOO.players["guesser"]["scripted"]
    running = play("CLUE: a pet that barks")
    first = guesser(running.view("guesser"))
    running.reply(first)
    running.reply("CLUE: a pet that barks")
    assert first == "GUESS: dog" != guesser(running.view("guesser"))
    assert ranking([" ".join(ranking([]))])  # a clue of all nouns leaves none, and still something is guessed


@recorded.needed
def test_recorded_episodes_replay_equal():
    for record, ended in recorded.replayed("taboo", 240):
        assert recorded.told(ended) == recorded.sent(record)


@recorded.needed
def test_scripted_players_read_official_prompts():
    players = {seat: (TABOO.players[seat]["scripted"], 1.0) for seat in TABOO.seats}
    found = recorded.episodes("taboo")[::4]
    ended = [play_out(TABOO.start(r["instance"], r["settings"]), players, r["game_id"]).outcome for r in found]
    assert all(o.status != "aborted" and o.seat is None for o in ended)
    assert sum(o.status == "success" for o in ended) >= 4
