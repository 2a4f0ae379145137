"""Private/shared: bookkeeping and scores by hand, the shape of replies, our answerers, and every recorded episode."""

from __future__ import annotations

import itertools
import math

import pytest

from games import records
from games.core import InstanceError, lesson, play_out, split_of
from games.privateshared import PRIVATESHARED, recorded_replies
from games.privateshared_make import LEVELS, _worlds, wordings
from games.privateshared_players import _FORMS
from tests import recorded
from tests.common import answered

DUO = {
    "tag": "BOSS",
    "slots": {"pet": "Cat", "car": "Truck"},
    "initial_prompt": "WHAT: Things\nPET: Cat\nCAR: Truck\n",
    "request_order": ["car", "pet"],
    "requests": {"pet": 0, "car": 7},
    "probes": {str(turn): {"pet": 0, "car": 0} for turn in range(3)},
    "lang": "en",
}
NAME = {"name": "unheard-of"}


def answer(*replies, instance=DUO, settings=NAME):
    return answered(PRIVATESHARED.start(instance, settings), replies)


def asides(*words):
    return [f"ASIDE: {word}" for word in words]


def counts(play):
    return play.outcome.requests, play.outcome.parsed, play.outcome.violated


def test_a_perfect_game():
    play = answer(*asides("no", "no"), "ANSWER: a truck", *asides("No.", "yes"), "ANSWER: my cat\n", *asides("yes", "Yes!"))
    outcome = play.outcome
    assert (outcome.status, outcome.score, outcome.reason) == ("success", 100, "2 of 2 facts shared, 6 of 6 probes right")
    assert counts(play) == (8, 8, 0)
    assert outcome.progress == (0, 0, 0.5, 0.5, 0.5, 1, 1, 1)
    texts = [ask.text for ask, _ in play.history]
    assert texts[0].startswith("ME:  ") and "the pet" in texts[0] and "the car" in texts[1]
    assert texts[2] == "BOSS: What is the car?" and texts[5] == "BOSS: What is the pet?"


def test_questions_aside_are_struck_from_the_history():
    play = answer(*asides("no", "perhaps", "no"), "ANSWER: a truck")
    brief = [{"role": "user", "content": DUO["initial_prompt"]}, {"role": "assistant", "content": "Ok."}]
    asked = {"role": "user", "content": "BOSS: What is the car?"}
    said = {"role": "assistant", "content": "ANSWER: a truck"}
    assert play.messages() == [*brief, asked, said, {"role": "user", "content": play.ask.text}]
    assert play.ask.text.startswith("ME:  ") and answer().messages()[:2] == brief
    assert answer().ask.shown == DUO["initial_prompt"] + "\n\n" + answer().ask.text
    found = lesson(play.history, "answerer")
    assert found[:2] == [brief[0], brief[1] | {"weight": 0}] and found[-2:] == [asked, said]
    assert [message["content"] for message in found[3:8:2]] == asides("no", "perhaps", "no")
    assert all(message.pop("aside") for message in found[2:8]) and lesson(play.history, "nobody") == []


def test_scores_by_hand():
    # truth 0 0 | 0 1 | 1 1, said 0 1 | 0 1 | 1 0: two of six wrong, expected disagreement (3*3 + 3*3) / 6 = 3
    play = answer(*asides("no", "yes"), "ANSWER: Truck", *asides("no", "yes"), "ANSWER: a dog", *asides("yes", "no"))
    metrics = play.outcome.official()
    assert metrics["Accuracy"] == pytest.approx(4 / 6)
    assert metrics["Kappa"] == metrics["Truncated Kappa"] == pytest.approx(1 - 2 / 3)
    assert metrics["Slot-Filling-Accuracy"] == 0.5 and metrics["Middle-Accuracy"] == 0.5
    assert metrics["Main Score"] == pytest.approx(100 * 2 * 0.5 / 3 / (0.5 + 1 / 3))
    assert metrics["Lose"] == 1 and metrics["Aborted"] == 0


def test_a_rejected_answer_is_passed_over_but_its_slot_counts_as_known():
    play = answer(*asides("no", "no"), "ASIDE: Truck", "ANSWER: Cat", *asides("yes", "yes"))
    assert counts(play) == (5, 5, 1)
    metrics = play.outcome.official()
    assert (metrics["Accuracy"], metrics["Slot-Filling-Accuracy"], metrics["Success"]) == (1, 1, 1)
    assert metrics["Middle-Accuracy"] == 1  # of the first round played


def test_a_fact_that_slips_out_counts_as_known_from_then_on():
    play = answer(
        *asides("no", "no"), "ANSWER: a TRUCK for my cat", *asides("yes", "yes"), "ANSWER: Cat", *asides("yes", "yes")
    )
    assert play.outcome.status == "success"


def test_nothing_accepted_scores_nothing():
    outcome = answer(*asides("no", "no"), "Truck", "Cat").outcome
    assert (outcome.status, outcome.score, outcome.metrics["Slot-Filling-Accuracy"]) == ("lose", 0, 0)
    assert math.isnan(outcome.metrics["Kappa"]) and outcome.metrics["Truncated Kappa"] == 0


@pytest.mark.parametrize(
    "reply",
    ["", "no", "ANSWER: no", " ASIDE: no", "\nASIDE: no", "aside: no", "ASIDE: perhaps", "ASIDE: no\nno", "ASIDE:", "\udcff"],
)
def test_five_bad_replies_aside_abort(reply):
    play = answer(*[reply] * 4)
    assert play.outcome is None
    play.reply(reply)
    assert (play.outcome.status, play.outcome.seat) == ("aborted", "answerer")
    assert counts(play) == (5, 0, 5) and math.isnan(play.outcome.score)
    assert "Middle-Accuracy" not in play.outcome.metrics
    assert len({ask.text for ask, _ in play.history}) == 5  # each try is urged in other words
    later = answer(*[reply] * 4, *asides("not so", "none"), "ANSWER:ANSWER: Truck", *[reply] * 5)
    assert later.outcome.status == "aborted" and counts(later) == (12, 3, 9)
    assert math.isnan(later.outcome.metrics["Middle-Accuracy"])


def test_one_line_may_end_in_newlines():
    assert answer("ASIDE: no\n\n", "ASIDE:Yes, ASIDE: really", "ANSWER:Truck\n").outcome is None
    assert answer("ASIDE: no", "ASIDE: no", "\nANSWER: Truck", "ANSWER: a\nb").outcome.violated == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slots", {}),
        ("slots", {"pet": 3, "car": "x"}),
        ("request_order", ["pet"]),
        ("request_order", ["pet", "pet", "car"]),
        ("requests", {"pet": 0}),
        ("requests", {"pet": 0, "car": "1"}),
        ("probes", {"0": {"pet": 0, "car": 0}}),
        ("lang", "hu"),
    ],
)
def test_malformed_instances_say_so(field, value):
    with pytest.raises(InstanceError, match=field):
        answer(instance=DUO | {field: value})


def test_malformed_settings_say_so():
    with pytest.raises(InstanceError, match="suffixes"):
        answer(settings=NAME | {"suffixes": "x"})


@pytest.mark.parametrize("level", LEVELS)
def test_no_value_hides_in_another_or_in_an_answer(level):
    world = _worlds()[level]
    lists = [words["values"] for words in world["slots"].values()] if "slots" in world else [world["each"].get("values", [])]
    values = [value.lower() for values in lists for value in values]
    assert len(set(values)) == len(values)
    assert not [(a, b) for a, b in itertools.permutations(values, 2) if a in b]
    assert not [value for value in values if any(value in form.lower() for form in _FORMS)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["full", "short"])
def test_every_question_is_about_one_fact(level, form):
    instance = PRIVATESHARED.instances("train", 1, level=level)[0]
    for texts in wordings(PRIVATESHARED.settings(level, form), instance["slots"]):
        every = [f" {text}" for slot in texts for text in texts[slot]]
        assert len(set(every)) == len(every) and not [(a, b) for a, b in itertools.permutations(every, 2) if a in b]


def test_our_instances():
    found = {
        split: {PRIVATESHARED.target(i) for i in PRIVATESHARED.instances(split, 18)}
        for split in ("train", "validation", "test")
    }
    assert all(len(targets) == 18 and {split_of(t) for t in targets} == {split} for split, targets in found.items())
    for instance in PRIVATESHARED.instances("test", 6):
        assert len(set(instance["slots"].values())) == len(instance["slots"])
        assert PRIVATESHARED.start(instance, {"name": instance["level"]}).messages() == PRIVATESHARED.start(instance).messages()
        short = PRIVATESHARED.settings(instance["level"], "short")["initial_prompt"]
        assert len(short.split()) < 40


@pytest.mark.parametrize("form", ["full", "short"])
def test_our_answerers(form):
    mean = {}
    for strength in (0.3, 0.6, 1.0):
        outcomes = [
            play_out(
                PRIVATESHARED.start(i, form=form),
                {"answerer": (PRIVATESHARED.players["answerer"]["scripted"], strength)},
                i["game_id"],
            )
            for i in PRIVATESHARED.instances("train", 12)
        ]
        mean[strength] = sum(play.outcome.score for play in outcomes) / 12
        assert not any(play.outcome.violated for play in outcomes)
    assert mean[1.0] == 100 and mean[0.3] < mean[0.6] < 90
    ends = [
        play_out(
            PRIVATESHARED.start(i, form=form), {"answerer": (PRIVATESHARED.players["answerer"]["broken"], 1.0)}, i["game_id"]
        ).outcome
        for i in PRIVATESHARED.instances("train", 12)
    ]
    assert 0 < sum(end.status == "aborted" for end in ends) < 12 and all(end.violated for end in ends)


@recorded.needed
def test_recorded_episodes_are_equal():
    for number, (record, play) in enumerate(recorded.replayed("privateshared", 200)):
        assert not recorded.unequal(record, play)
        if number % 20 == 0:  # the verdicts alone say the same
            verdicts = record | {"extra": {}}
            assert len(recorded_replies(verdicts)) == len(play.history)
            assert not records.replay(verdicts)[1]


@recorded.needed
def test_our_answerer_understands_the_official_briefings():
    players = {"answerer": (PRIVATESHARED.players["answerer"]["scripted"], 1.0)}
    for record in recorded.episodes("privateshared")[::25]:
        assert play_out(PRIVATESHARED.start(record["instance"], record["settings"]), players).outcome.status == "success"
