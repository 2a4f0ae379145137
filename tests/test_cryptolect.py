"""Cryptolect: sentences and their translations, lists in replies, scores by hand, fresh languages, recorded episodes."""

from __future__ import annotations

import copy
import math
from collections import Counter

import pytest

import games
from games.core import InstanceError, play_out
from games.cryptolect import block
from games.cryptolect_language import Language, Malformed, english
from tests import recorded
from tests.common import answered

GAME = games.make("cryptolect")
LANGUAGE = {
    "lexicon": {"dog": "ka", "cat": "mi", "red": "ro", "big": "bu", "see": "ti", "call": "to"},
    "numerals": {"2": "da", "3": "te"},
    "active_nouns": ["dog", "cat"],
    "active_adjs": ["red", "big"],
    "active_verbs": ["see", "call"],
    "active_counts": [1, 2, 3],
    "order": "SOV",
    "adj_position": "post",
    "num_position": "pre",
    "def_type": "suffix",
    "def_form": "lu",
    "number_pl": {"type": "fixed", "form": "ne"},
    "has_definiteness": True,
}
TARGETS = ["ka mi ti", "ka ka ti", "mi mi ti", "kalu mi to"]
INSTANCE = {
    "language": LANGUAGE,
    "seed_corpus": [],
    "exam_english": ["a dog see a cat", "a dog see a dog", "a cat see a cat", "the dog call a cat"],
    "exam_targets": TARGETS,
}
SETTINGS = GAME.settings("unguided", "full") | {"num_rounds": 2, "probes_per_round": 2, "probe_budget": 4, "exam_size": 4}
PROBE = "PROBES:\n1. a dog see a cat"
ANSWERS = "ANSWERS:\n" + "\n".join(f"{i}. {line}" for i, line in enumerate(TARGETS, 1))


def play(*replies: str, instance=INSTANCE, **changes):
    return answered(GAME.start(instance, SETTINGS | changes), replies)


def scores(*replies: str) -> tuple:
    official = play(*replies).outcome.official()
    keys = "Aborted|Success|Lose|Main Score|Request Count|Violated Request Count|Probes Used|Malformed Probes"
    return tuple(None if math.isnan(official[key]) else official[key] for key in keys.split("|"))


@pytest.mark.parametrize(
    "replies, wanted",
    [
        ([PROBE, PROBE, ANSWERS], (0, 1, 0, 100, 3, 0, 2, 0)),
        ([PROBE, PROBE, ANSWERS.upper()], (0, 1, 0, 100, 3, 0, 2, 0)),
        ([PROBE, PROBE, ANSWERS.replace("ka mi ti", '"Ka  mi, ti."')], (0, 1, 0, 100, 3, 0, 2, 0)),
        ([PROBE, PROBE, ANSWERS.replace("kalu", "ka lu")], (0, 0, 1, 75, 3, 0, 2, 0)),
        ([PROBE + "\n2. a dog", "PROBES: a cat sees", ANSWERS.replace("ti", "to")], (0, 0, 1, 25, 3, 0, 3, 2)),
        (["hm", PROBE, "hm", PROBE, "hm", ANSWERS], (0, 1, 0, 100, 6, 3, 2, 0)),
        (["hm", "hm"], (1, 0, 0, None, 2, 2, None, None)),
        ([PROBE, PROBE, "no", "no"], (1, 0, 0, None, 4, 2, None, None)),
        ([PROBE + "\n" + PROBE + "\na dog", PROBE, PROBE, "1. ka mi ti", ANSWERS], (0, 1, 0, 100, 5, 2, 2, 0)),
        ([PROBE, PROBE, ANSWERS + "\nThat is all.", ANSWERS], (0, 1, 0, 100, 4, 1, 2, 0)),
    ],
)
def test_scores(replies, wanted):
    assert scores(*replies) == wanted


def test_three_replies_may_be_unreadable_in_all_and_no_more():
    rounds = {"num_rounds": 4}
    assert play(*["hm", PROBE] * 3, PROBE, "hm", **rounds).outcome.status == "aborted"
    assert play(*["hm", PROBE] * 3, PROBE, ANSWERS, **rounds).outcome.official()["Violated Request Count"] == 3


def test_likeness_is_that_of_the_words():
    outcome = play(PROBE, PROBE, "ANSWERS:\nka mi ti\nka ka\nmi\n...").outcome
    # of 3 and 2 words 2 agree: 4/5; of 3 and 1 words 1 agrees: 2/4; of 3 and none: 0
    assert outcome.official()["Token Similarity"] == pytest.approx((1 + 4 / 5 + 2 / 4 + 0) / 4)
    assert outcome.progress == (0, 0, pytest.approx(2.3 / 4)) and outcome.reason == "1 of 4 translations are right"


@pytest.mark.parametrize(
    "reply, items",
    [
        ("PROBES:\n1. a\n2) b\n- c\n* d\ne", ["a", "b", "c", "d", "e"]),
        ("THOUGHTS: x\n  probes : 1. a\n\n \nb", ["a", "b"]),
        ("PROBES:\n1.\n-\n", []),
        ("PROBES:\n1. - a", ["- a"]),  # one marker only
        ("PROBES:\na\nPROBES: b", ["a", "PROBES: b"]),
        ("my PROBES:\na", None),
        ("**PROBES:**\na", None),
        ("PROBES\na", None),
        ("PROBES:\na\n\nThat is all.", ["a", "That is all."]),
    ],
)
def test_lists_under_a_label(reply, items):
    assert block(reply, "PROBES") == items


def test_probes_without_their_label_are_those_that_are_well_formed():
    heard = play("I ask:\n1. a dog see a cat\n- dog\nthe cat call two dogs\na dog see a dog").ask.text
    assert '1. "a dog see a cat"  =>  ka mi ti\n2. "the cat call two dogs"  =>  milu da kane to\n' in heard


@pytest.mark.parametrize(
    "reply, right",
    [
        ("\n".join(f"{i}. {line}" for i, line in enumerate(TARGETS)), 4),
        ("So:\n" + "\n".join(f" {i}) {line}" for i, line in enumerate(TARGETS)) + "\nDone.", 4),
        ("\n\n".join(TARGETS), 4),
        ("1. " + "\n".join(TARGETS), 4),  # numbers are no letters
        ("x\n" + "\n".join(TARGETS), None),
        ("\n".join(f"- {line}" for line in TARGETS), 4),
    ],
)
def test_answers_without_their_label(reply, right):
    ended = play(PROBE, PROBE, reply).outcome
    assert (ended and ended.official()["Exam Correct"]) == right


@pytest.mark.parametrize(
    "sentence, said",
    [
        ("a dog see a cat", "ka mi ti"),
        ("Dog see cat!", "ka mi ti"),
        ("the two big red dogs call the cat", "da kanelu bu ro milu to"),
        ("three dog call three cats", "te kane te mine to"),
        ("`the dog call\tthe cat`", "kalu milu to"),
    ],
)
def test_translations(sentence, said):
    language = Language(LANGUAGE)
    assert language.say(language.read(sentence)) == said


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"order": "OVS"}, "mi ti da kanelu bu"),
        ({"order": "VSO", "adj_position": "pre"}, "ti da bu kanelu mi"),
        ({"num_position": "post"}, "kanelu bu da mi ti"),
        ({"def_type": "particle_before"}, "lu da kane bu mi ti"),
        ({"def_type": "particle_after"}, "da kane bu lu mi ti"),
        ({"has_definiteness": False}, "da kane bu mi ti"),
    ],
)
def test_grammars(changes, said):
    language = Language(LANGUAGE | changes)
    assert language.say(language.read("the two big dogs see a cat")) == said


@pytest.mark.parametrize(
    "sentence, problem",
    [
        ("", "there is no sentence"),
        ("123", "there is no sentence"),
        ("a dog", "exactly one of these verbs is wanted: call, see"),
        ("a dog see call a cat", "exactly one of these verbs is wanted: call, see"),
        ("see a cat", "there is no subject"),
        ("a dog see", "there is no object"),
        ("a two dogs see a cat", "'a' does not go with a number word"),
        ("the see a cat", "the subject has no noun"),
        ("a dog see the two red", "the object has no noun"),
        ("a tree see a cat", "'tree' is no known noun"),
        ("four dogs see a cat", "'four' is no known noun"),
        ("a dog red see a cat", "'red' does not belong into the subject"),
        ("dogs see a cat", "a plural noun needs a number word"),
        ("the dogs see a cat", "a plural noun needs a number word"),
    ],
)
def test_malformed_sentences(sentence, problem):
    with pytest.raises(Malformed) as error:
        Language(LANGUAGE).read(sentence)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"order": "SVX"}, "order"),
        ({"def_type": None}, "def_type"),
        ({"has_case": True}, "has_case"),
        ({"nom": "x"}, "nom"),
        ({"active_nouns": []}, "active_nouns"),
        ({"active_counts": [1, 7]}, "active_counts"),
        ({"active_verbs": ["see", "eat"]}, "lexicon"),
        ({"numerals": {"2": "da"}}, "numerals"),
        ({"number_pl": {"type": "harmonic"}}, "number_pl"),
        ({"number_pl": {"type": "fixed"}}, "number_pl.form"),
        ({"def_form": None}, "def_form"),
        ({"has_definiteness": 1}, "has_definiteness"),
    ],
)
def test_languages_that_cannot_be_spoken(changes, field):
    with pytest.raises(InstanceError) as error:
        play(instance=INSTANCE | {"language": LANGUAGE | changes})
    assert error.value.field == f"language.{field}"


@pytest.mark.parametrize(
    "instance, settings, field",
    [
        ({"exam_targets": TARGETS[1:]}, {}, "exam_targets"),
        ({"exam_english": [1, 2, 3, 4]}, {}, "exam_english"),
        ({"seed_corpus": [{"verb": "see"}]}, {}, "seed_corpus"),
        ({}, {"num_rounds": 0}, "num_rounds"),
        ({}, {"probes_per_round": 0}, "probes_per_round"),
        ({}, {"exam_size": 3}, "exam_english"),
    ],
)
def test_malformed_instances(instance, settings, field):
    with pytest.raises(InstanceError) as error:
        play(instance=INSTANCE | instance, **settings)
    assert error.value.field == field


def test_fresh_languages_can_be_learned_from_what_is_shown():
    for instance in GAME.instances("train", 60):
        language = Language(instance["language"])
        seed, exam = instance["seed_corpus"], instance["exam"]
        assert [language.say(meaning) for meaning in exam] == instance["exam_targets"]
        assert [language.read(line) for line in instance["exam_english"]] == exam
        assert len({*instance["exam_english"], *map(english, seed)}) == len(exam) + len(seed) and len(exam) == 10
        forms = [*instance["language"]["lexicon"].values(), *instance["language"]["numerals"].values()]
        assert len(set(forms)) == len(forms)
        if instance["level"] == "unguided":
            assert seed == []
            continue
        shown = f"{' '.join(map(english, seed))} ".replace("s ", " ")
        words = [*language.nouns, *language.adjectives, *language.verbs, *language.numbers]
        assert [word for word in words if f" {word} " not in f" {shown}"] == []
        cells = {(m[r]["noun"], m[r]["count"] > 1, r) for m in seed for r in ("subj", "obj")}
        assert not any({(m[r]["noun"], m[r]["count"] > 1, r) for r in ("subj", "obj")} <= cells for m in exam)


def test_the_seed_is_shown_where_there_is_one():
    for instance in GAME.instances("test", 3):
        text, seed = GAME.start(instance).ask.text, instance["seed_corpus"]
        assert "$" not in text and "<SEED>" not in text and ("=>" in text) == bool(seed)
        language = Language(instance["language"])
        assert all(f"    {english(m)}  =>  {language.say(m)}" in text for m in seed)


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_scripted_linguist_learns_every_language(form):
    players = {"linguist": (GAME.players["linguist"]["scripted"], 1.0)}
    ended = [play_out(GAME.start(i, form=form), players).outcome for i in GAME.instances("test", 30)]
    assert Counter(o.status for o in ended)["success"] >= 29
    weak = {"linguist": (GAME.players["linguist"]["scripted"], 0.4)}
    ended = [play_out(GAME.start(i, form=form), weak, i["game_id"]).outcome for i in GAME.instances("test", 30)]
    assert 25 < sum(o.score for o in ended) / 30 < 60


def test_an_episode_leaves_its_instance_alone():
    before = copy.deepcopy(INSTANCE)
    play(PROBE, PROBE, ANSWERS)
    assert before == INSTANCE


@recorded.needed
def test_recorded_episodes_replay_equal():
    lines = lambda texts: [line for text in texts for line in text.split("\n") if "  =>  " in line and "MALF" not in line]
    for record, ended in recorded.replayed("cryptolect", 120):
        assert not recorded.unequal(record, ended)
        assert lines(recorded.told(ended)) == lines(recorded.sent(record))


@recorded.needed
def test_the_scripted_linguist_learns_official_languages():
    found = {(r["experiment"], r["game_id"]): r for r in recorded.episodes("cryptolect")}
    players = {"linguist": (GAME.players["linguist"]["scripted"], 1.0)}
    ended = [play_out(GAME.start(r["instance"], r["settings"]), players).outcome for r in found.values()]
    assert len(ended) == 30 and Counter(o.status for o in ended)["success"] >= 28
    for record in found.values():
        language = Language(record["instance"]["language"])
        assert list(map(language.say, record["instance"]["exam"])) == record["instance"]["exam_targets"]
        assert list(map(english, record["instance"]["exam"])) == record["instance"]["exam_english"]
