"""BIG-Bench Hard, CLadder, EQ-Bench and MMLU-Pro: rules and scores by hand, solvers, recorded episodes."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

import games
from games import bbh_make, cladder_make, eqbench, mmlu_pro_make
from games.core import InstanceError, play_out
from games.single_turn import fill
from tests import recorded

NAMES = ("bbh", "cladder", "eqbench", "mmlu_pro")
SETTINGS = {
    "bbh": {"initial_prompt": "Q: {{input}}\nA:"},
    "cladder": {"initial_prompt": "{{prompt}}?", "choices": ["yes", "no"]},
    "eqbench": {},
    "mmlu_pro": games.make("mmlu_pro").settings("arithmetic", "short"),
}
INSTANCES = {
    "bbh": {"input": "1 + 1", "target": "(B)"},
    "cladder": {"input": "is it", "target": "yes"},
    "eqbench": {"input": "\nHow?\n", "target": {"Sad": 3, "Glad": 9}},
    "mmlu_pro": {"input": "Question:\nx\nOptions:\nA. y\nB. z\n", "target": "B"},
}


def verdict(name: str, reply: str, instance=None, **settings) -> tuple:
    play = games.make(name).start(INSTANCES[name] if instance is None else instance, SETTINGS[name] | settings)
    play.reply(reply)
    official = play.outcome.official()
    assert official["Request Count"] == 1 == official["Parsed Request Count"] + official["Violated Request Count"]
    assert (official["Violated Request Count"] == 1) == (play.outcome.status == "aborted") == math.isnan(play.outcome.score)
    return play.outcome.status, official["Main Score"]


WON, LOST = ("success", 100), ("lose", 0)


def aborted(found: tuple) -> bool:
    return found[0] == "aborted" and math.isnan(found[1])


@pytest.mark.parametrize(
    "reply, wanted", [("(B)", WON), ("(B)\n", LOST), (" (B)", LOST), ("(b)", LOST), ("B", LOST), ("", LOST)]
)
def test_bbh_compares_the_raw_reply(reply, wanted):
    assert verdict("bbh", reply) == wanted
    assert verdict("bbh", reply, strip=True) == (WON if reply.strip() == "(B)" else LOST)


@pytest.mark.parametrize(
    "reply, wanted",
    [
        ("Yes", WON),
        ("Yes,", WON),
        ("**Yes**", WON),
        ("(yes).", WON),
        ("\n y-e-s no", WON),
        ("NO!", LOST),
        ("Yes/No", None),
        ("Yes\u2014because", None),
        ("Answer: yes", None),
        ("*** yes", None),
        ("", None),
        (" \n", None),
    ],
)
def test_cladder_reads_the_first_word(reply, wanted):
    found = verdict("cladder", reply)
    assert aborted(found) if wanted is None else found == wanted


@pytest.mark.parametrize(
    "reply, wanted",
    [
        ("The answer is (B)", WON),
        ("the answer is B.", WON),
        ("answer is Because", WON),
        ("The answer is (A)", LOST),
        ("answer is (J", LOST),
        ("The answer is (b)", None),
        ("The answer is (K)", None),
        ("The Answer Is B", None),
        ("The answer is  B", None),
        ("B", None),
        ("The answer is (B). The answer is (B)", None),
    ],
)
def test_mmlu_pro_wants_one_hit(reply, wanted):
    found = verdict("mmlu_pro", reply)
    assert aborted(found) if wanted is None else found == wanted


def test_mmlu_pro_wants_the_hit_among_the_choices():
    assert aborted(verdict("mmlu_pro", "The answer is C", choices=["A", "B"]))


def cost(difference: int) -> float:
    if difference > 5:
        return difference
    return 6.5 / (1 + math.exp(-1.2 * (difference - 4))) if difference else 0


@pytest.mark.parametrize(
    "reply, scores",
    [
        ("Sad: 3\nGlad: 9", (3, 9)),
        ("Sad: 4 Glad:\t7", (4, 7)),
        ("**Sad: 8**, xGlad: 1, Sad: 2, Glad: 2", None),
        ("Sad: 8, Glad: 1, Sad: 2", (2, 1)),
        ("Sad: 7.5\nGlad: 0", (7, 0)),
        ("Sad: 10\nGlad: 0", (10, 0)),
        ("Sad: \u0663\nGlad: 9", (3, 9)),
        ("Sad: 1Glad: 2", (1, 2)),
        ("Sad: 0\nGlad: 0", None),
        ("Sad: 11\nGlad: 0", None),
        ("Sad: -3\nGlad: 9", None),
        ("Sad:3\nGlad: 9", None),
        ("sad: 3\nGlad: 9", None),
        ("Sad: 3", None),
        ("Sad: 3\nGlad: 9\nNote: 3", None),
        ("Sad: 3: 4\nGlad: 9", (3, 9)),
        ("Sad: 3\nGlad: " + "9" * 5000, None),
        ("", None),
    ],
)
def test_eqbench(reply, scores):
    found = verdict("eqbench", reply)
    if scores is None:
        assert aborted(found)
    else:
        wanted = 10 * (10 - 0.7477 * (cost(abs(scores[0] - 3)) + cost(abs(scores[1] - 9))))
        assert found == ("success" if scores == (3, 9) else "lose", pytest.approx(wanted, abs=1e-12))


def test_eqbench_may_be_worth_less_than_nothing_but_a_reward_is_not():
    play = games.make("eqbench").start(INSTANCES["eqbench"], {})
    play.reply("Sad: 10\nGlad: 0")
    assert play.outcome.score == 0 and play.outcome.official()["Main Score"] == pytest.approx(-19.632)


def test_what_is_shown():
    shown = {name: games.make(name).start(INSTANCES[name], SETTINGS[name]).ask.text for name in NAMES}
    assert shown["bbh"] == "Q: 1 + 1\nA:" and shown["cladder"] == "is it?"
    assert shown["eqbench"] == "\nHow?\n" and shown["mmlu_pro"].endswith("B. z\n")


def test_prompts_are_filled_as_jinja_fills_them():
    assert fill("a {{input}} {{ input }}\n\n", "input", r"\1 {{input}}" + "\n") == "a \\1 {{input}}\n \\1 {{input}}\n\n"
    assert fill("{{input}}", "input", "x\n") == "x\n" and fill("{{prompt}}", "input", "x") == "{{prompt}}"


@pytest.mark.parametrize(
    "name, instance, settings, field",
    [
        ("bbh", {}, {"initial_prompt": "Q: {{prompt}}"}, "initial_prompt"),
        ("bbh", {"target": 3}, {}, "target"),
        ("cladder", {}, {"initial_prompt": "{{input}}"}, "initial_prompt"),
        ("cladder", {}, {"choices": []}, "choices"),
        ("cladder", {}, {"choices": [1, 2]}, "choices"),
        ("cladder", {"target": "Yes"}, {}, "target"),
        ("mmlu_pro", {"target": "K"}, {}, "target"),
        ("mmlu_pro", {}, {"regex_pattern": "(A"}, "regex_pattern"),
        ("mmlu_pro", {}, {"regex_pattern": "(A)(B)"}, "regex_pattern"),
        ("eqbench", {"target": {}}, {}, "target"),
        ("eqbench", {"target": {"Sad": "3"}}, {}, "target"),
        ("eqbench", {"target": {"Sad": 11}}, {}, "target"),
        ("eqbench", {}, {"initial_prompt": "Hm"}, "initial_prompt"),
    ],
)
def test_malformed_instances(name, instance, settings, field):
    with pytest.raises(InstanceError) as error:
        games.make(name).start(INSTANCES[name] | instance, SETTINGS[name] | settings)
    assert error.value.field == field


@pytest.mark.parametrize(
    "task, question, answer",
    [
        ("boolean_expressions", "not ( True or False ) and True or not False is", "True"),
        ("boolean_expressions", "not not ( False or ( True and not True ) ) is", "False"),
        ("object_counting", "On the shelf: two kites, one drum, nine cups. How many objects are there?", "12"),
        ("word_sorting", "List: pear apple fig apples", "apple apples fig pear"),
        ("dyck_languages", "Input: { < > [ ( ) ] ( <", "> ) }"),
    ],
)
def test_bbh_solvers(task, question, answer):
    assert bbh_make.TASKS[task].solve(question) == answer


@pytest.mark.parametrize(
    "kind, numbers, wanted",
    [
        ("seeing", [40, 30], True),
        ("seeing", [30, 40], False),
        ("chain", [80, 20, 70, 30], True),
        ("chain", [20, 80, 70, 30], False),
        ("chain", [20, 80, 30, 70], True),
        # in sum the cause lowers the chance in each half, though it is more frequent where the chance is high (Simpson)
        ("doing", [50, 80, 90, 20, 30], False),
        ("doing", [10, 90, 10, 30, 40], False),
        ("doing", [20, 90, 10, 30, 40], True),
    ],
)
def test_cladder_solvers(kind, numbers, wanted):
    assert cladder_make.QUESTIONS[kind][1](numbers) is wanted


def test_mmlu_pro_has_one_right_option():
    for subject, split in itertools.product(mmlu_pro_make.SUBJECTS, ("train", "test")):
        for instance in games.make("mmlu_pro").instances(split, 20, level=subject):
            options = instance["input"].partition("Options:\n")[2].splitlines()
            assert len({option[3:] for option in options}) == 10
            assert mmlu_pro_make.solve(instance["input"]) == instance["target"]


@pytest.mark.parametrize("form", ["full", "short"])
@pytest.mark.parametrize("name", NAMES)
def test_the_scripted_player_knows_the_answers(name, form):
    game = games.make(name)
    players = {"answerer": (game.players["answerer"]["scripted"], 1.0)}
    ended = [play_out(game.start(i, form=form), players).outcome for i in game.instances("test", 30)]
    assert Counter(outcome.status for outcome in ended) == {"success": 30}


def test_a_scene_has_six_feelings_in_words_that_can_be_read():
    for event, feelings in eqbench.make.scenes().items():
        assert len(feelings) == 6 and any(feelings.values()), event
        assert eqbench.read("\n".join(f"{name}: {score}" for name, score in feelings.items())) == feelings


@recorded.needed
@pytest.mark.parametrize("name, episodes", [("bbh", 416), ("cladder", 400), ("eqbench", 400), ("mmlu_pro", 400)])
def test_recorded_episodes_replay_equal(name, episodes):
    for record, ended in recorded.replayed(name, episodes):
        assert recorded.told(ended) == recorded.sent(record)


@recorded.needed
@pytest.mark.parametrize("name", NAMES)
def test_players_answer_official_prompts(name):
    """They cannot know the answers there, but what they say has the right form."""
    game = games.make(name)
    for record in recorded.episodes(name)[:400:10]:
        for kind in ("scripted", "random"):
            players = {"answerer": (game.players["answerer"][kind], 1.0)}
            assert play_out(game.start(record["instance"], record["settings"]), players).outcome.status != "aborted"
