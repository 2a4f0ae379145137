"""Chronicle: rules and scores by hand, how guesses are judged, the table of events, recorded episodes."""

from __future__ import annotations

import math
from collections import Counter

import pytest

import games
from games.chronicle_events import GENERIC, events, named, nearness, violation
from games.chronicle_players import ranking
from games.core import SPLITS, InstanceError, play_out
from playpen_jax.rewards import REWARDS
from tests import recorded
from tests.common import answered

GAME = games.make("chronicle")
INSTANCE = {
    "target_event": "Siege of Troy",
    "forbidden_keywords": ["troy", "wooden horse", "st. paris"],
    "acceptable_answers": ["siege of troy", "the trojan war", "troy"],
}
TOLD, GUESS = "PARAGRAPH: Ten years for a woman.", "ANALYSIS: hm\nGUESS: Eruption of Etna"


def play(*replies: str, instance=INSTANCE, **changes):
    return answered(GAME.start(instance, GAME.settings("easy", "full") | changes), replies)


def scores(*replies: str, **changes) -> tuple:
    outcome = play(*replies, **changes).outcome
    score = None if math.isnan(outcome.score) else outcome.score
    rate, turns = (outcome.metrics[f] for f in ("narrator_mean_violation_rate", "detective_turns_to_success"))
    return outcome.status, score, rate, None if math.isnan(turns) else turns, outcome.requests, outcome.seat


NINE = [TOLD, GUESS] * 9


@pytest.mark.parametrize(
    "replies, wanted",
    [
        ([TOLD, "GUESS: Siege of Troy"], ("success", 100, 0, 1, 2, None)),
        ([TOLD, GUESS, TOLD, "guess:\n\n the Trojan WAR!"], ("success", 90, 0, 2, 4, None)),
        (["PARAGRAPH: Troy!", "GUESS: Troy"], ("success", 0, 1, 1, 2, None)),
        (["PARAGRAPH: In TROY it was", GUESS, TOLD, "GUESS: Troy"], ("success", 45, 0.5, 2, 4, None)),
        ([*NINE, TOLD, "GUESS: Troy"], ("success", 10, 0, 10, 20, None)),
        ([*NINE, TOLD, GUESS], ("lose", 0, 0, None, 20, None)),
        (["PARAGRAPH: troy", GUESS, *NINE[2:], TOLD, GUESS], ("lose", 0, 0.1, None, 20, None)),
        (["Ten years for a woman."], ("aborted", None, 0, None, 1, "narrator")),
        (["PARAGRAPH: \n "], ("aborted", None, 0, None, 1, "narrator")),
        (["**PARAGRAPH**: Ten years."], ("aborted", None, 0, None, 1, "narrator")),
        ([TOLD, "ANALYSIS: I do not know."], ("aborted", None, 0, None, 2, "detective")),
        ([TOLD, "GUESS:"], ("aborted", None, 0, None, 2, "detective")),
        ([TOLD, "GUESS:  \n "], ("aborted", None, 0, None, 2, "detective")),
        (["PARAGRAPH: troy", "no"], ("aborted", None, 1, None, 2, "detective")),
        (["PARAGRAPH: troy", GUESS, "no"], ("aborted", None, 0.5, None, 3, "narrator")),  # the broken round counts too
        (["Hm.\nparagraph:Ten years", "My guess: troy"], ("success", 100, 0, 1, 2, None)),
        ([TOLD, "GUESS: Etna\nGUESS: Troy"], None),  # the first one counts, and it is one line
        ([TOLD, "GUESS: Etna\nTroy"], None),
        ([TOLD, "GUESS: ?!"], None),
    ],
)
def test_scores(replies, wanted):
    if wanted is None:
        assert play(*replies).ask.seat == "narrator"
    else:
        assert scores(*replies) == wanted


@pytest.mark.parametrize(
    "paragraph, found",
    [
        ("they sailed to TROY.", "troy"),
        ("a Trojan or the troyans", None),
        ("troy_weight", None),
        ("a wooden horse", "wooden horse"),
        ("a wooden\nhorse", None),
        ("in st. paris", "st. paris"),
        ("in stx paris", None),  # keywords are no patterns
    ],
)
def test_forbidden_words_are_words_of_their_own(paragraph, found):
    assert violation(paragraph, INSTANCE["forbidden_keywords"]) == found


@pytest.mark.parametrize(
    "guess, answers, wanted",
    [
        ("siege", ["siege of troy"], True),  # a part of the answer
        ("o", ["siege of troy"], True),
        ("It is the siege of troy, surely", ["siege of troy"], True),
        ("S.i.e.g.e of Troy", ["siege of troy"], True),
        ("The War of Troy", ["war on troy"], True),  # the same words that count
        ("Troy and its long siege by the Greeks", ["siege of troy"], True),
        ("siege of Carthage", ["siege of troy"], False),
        ("sieges", ["siege of troy"], False),
        ("...", ["siege of troy"], False),
        ("siege of troy", ["?"], False),
        ("Thirty Years' War", ["thirty years war"], True),
        ("Michelson-Morley", ["michelson–morley experiment"], True),
        ("Mohacs", ["battle of mohács"], False),
        ("of the", ["of it and"], False),  # no words that count
        ("anything", [], False),
    ],
)
def test_how_guesses_are_judged(guess, answers, wanted):
    assert named(guess, answers) is wanted


def test_a_reward_can_ask_for_more_than_the_rules():
    lazy, good = play(TOLD, "GUESS: siege").outcome, play(TOLD, "GUESS: siege of troy").outcome
    assert lazy.score == good.score == 100 and lazy.progress == (0, 0) and good.progress == (0, 1)
    assert REWARDS["shaped"](lazy, "detective") == 0.5 and REWARDS["shaped"](good, "detective") == 1
    told = play("PARAGRAPH: troy", GUESS, TOLD, "GUESS: the siege of troy in Asia").outcome
    assert told.progress == (0, 0, 0, pytest.approx(0.5 * 2 / 3))
    assert nearness("war", ["war"]) == 0 and "war" in GENERIC


def test_what_the_seats_are_shown():
    running = play("Well.\nPARAGRAPH:  Ten years\n\nfor a woman. ", "GUESS:  Etna 'now' \nrest", TOLD, GUESS)
    seen = running.view("detective").seen
    assert seen[0].endswith("\n\n[Sentence 1]\nTen years\n\nfor a woman.") and seen[1] == "[Sentence 2]\nTen years for a woman."
    narrator = running.view("narrator").seen
    assert "troy, wooden horse, st. paris" in narrator[0] and "Siege of Troy" in narrator[0] and "\"Etna 'now'\"" in narrator[1]
    assert "$" not in seen[0] + narrator[0]
    assert "none" in play(instance=INSTANCE | {"forbidden_keywords": []}).ask.text


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"max_turns": 0}, "max_turns"),
        ({"instance": INSTANCE | {"forbidden_keywords": [1]}}, "forbidden_keywords"),
        ({"instance": INSTANCE | {"acceptable_answers": ["a", None]}}, "acceptable_answers"),
        ({"instance": INSTANCE | {"acceptable_answers": "a"}}, "acceptable_answers"),
        ({"max_detective_words": "100"}, "max_detective_words"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == field


def test_the_table_of_events_is_fair():
    for event in events().values():
        assert len(event.hints) == 3 and event.keywords and named(event.title, event.answers)
        assert [violation(hint, event.keywords) for hint in event.hints] == [None] * 3
        assert not any(named(other.title, event.answers) for other in events().values() if other is not event)
        assert all(ranking(hint)[0] == event.title for hint in event.hints)
    kinds = Counter((event.category, event.difficulty) for event in events().values())
    assert len(kinds) == 6 and min(kinds.values()) > 15


def test_each_split_has_events_of_each_level():
    for level in GAME.levels:
        sizes = [len(GAME.instances(split, 100, level=level)) for split in SPLITS]
        assert sizes[0] > 30 and min(sizes) >= 5


def test_a_stronger_pair_scores_more():
    means = []
    for strength in (1.0, 0.7, 0.3):
        players = {seat: (GAME.players[seat]["scripted"], strength) for seat in GAME.seats}
        ended = [play_out(GAME.start(i), players, i["game_id"]).outcome for i in GAME.instances("train", 70)]
        means.append(sum(o.score for o in ended) / len(ended))
    assert means[0] > 95 and means[0] > means[1] + 10 > means[2] + 20


@recorded.needed
def test_recorded_episodes_replay_equal():
    for record, ended in recorded.replayed("chronicle", 240):
        assert not recorded.unequal(record, ended)


@recorded.needed
def test_scripted_players_keep_the_form_of_official_prompts():
    found = {r["instance"]["target_event"]: r for r in recorded.episodes("chronicle")}
    players = {seat: (GAME.players[seat]["scripted"], 1.0) for seat in GAME.seats}
    ended = [play_out(GAME.start(r["instance"], r["settings"]), players).outcome for r in found.values()]
    assert len(ended) == 60 and {o.status for o in ended} <= {"success", "lose"}
    assert all(o.metrics["narrator_mean_violation_rate"] == 0 for o in ended)
