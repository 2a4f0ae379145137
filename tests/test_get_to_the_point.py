"""Get to the point: rules and scores by hand, scripted players, recorded episodes."""

from __future__ import annotations

import math
from collections import Counter

import pytest

import games
from games.core import InstanceError, play_out
from games.lexicon import lexicon
from tests import recorded
from tests.common import answered, summary

GAME = games.make("get_to_the_point")
INSTANCE = {"start_word": "desert", "target_word": "Camel", "current_sentence_fragment": "desert"}
CLUE, GUESS = "CLUE: desert animal", "GUESS: snake"


def play(*replies: str, instance=INSTANCE, **changes):
    return answered(GAME.start(instance, GAME.settings("easy", "full") | changes), replies)


def scores(*replies: str, **changes) -> tuple:
    return summary(play(*replies, **changes).outcome)


FIVE = [CLUE, GUESS] * 5


@pytest.mark.parametrize(
    "replies, wanted",
    [
        ([CLUE, "GUESS: camel"], ("success", 100, 2, 2, 0, None)),
        (["\n clue: Humps ride DESERT sand ", "  guess: CAMEL\n"], ("success", 100, 2, 2, 0, None)),
        ([CLUE, GUESS, CLUE, "GUESS: camels!"], ("success", 50, 4, 4, 0, None)),  # a part of the guess is enough
        ([*FIVE[:-1], "GUESS: camel"], ("success", 20, 10, 10, 0, None)),
        ([*FIVE, CLUE], ("lose", 0, 11, 11, 0, "helper")),
        # the sixth clue: errors of form come first, then the end, and only then the target
        ([*FIVE, "I give up"], ("aborted", None, 11, 10, 1, "helper")),
        ([*FIVE, "CLUE: animal"], ("aborted", None, 11, 10, 1, "helper")),
        ([*FIVE, "CLUE: desert camel"], ("lose", 0, 11, 11, 0, "helper")),
        ([*FIVE, "CLUE: a b c d e"], ("lose", 0, 11, 11, 0, "helper")),
        # the clue
        (["CLUE: a b desert c d"], ("lose", 0, 1, 1, 0, "helper")),
        (["CLUE: a b c d e"], ("lose", 0, 1, 1, 0, "helper")),  # too long comes before the missing start word
        (["CLUE: an animal"], ("aborted", None, 1, 0, 1, "helper")),
        (["CLUE: desert, animal"], ("aborted", None, 1, 0, 1, "helper")),
        (["CLUE: deserts animal"], ("aborted", None, 1, 0, 1, "helper")),
        (["CLUE:desert animal"], ("aborted", None, 1, 0, 1, "helper")),
        (["CLUE:x desert"], None),
        (["CLUE: desert"], None),
        (["CLUE: a b c desert"], None),
        (["CLUE: desert camels"], ("aborted", None, 1, 0, 1, "helper")),
        (["A CLUE: desert animal"], ("aborted", None, 1, 0, 1, "helper")),
        (["**CLUE:** desert animal"], ("aborted", None, 1, 0, 1, "helper")),
        ([""], ("aborted", None, 1, 0, 1, "helper")),
        # the guess
        ([CLUE, "GUESS: a camel"], ("lose", 0, 2, 2, 0, "seeker")),
        ([CLUE, "GUESS:camel"], ("lose", 0, 2, 2, 0, "seeker")),
        ([CLUE, "GUESS:"], ("lose", 0, 2, 2, 0, "seeker")),
        ([CLUE, "GUESS:camel x"], ("success", 100, 2, 2, 0, None)),
        ([CLUE, "CLUE: camel"], ("aborted", None, 2, 1, 1, "seeker")),
        ([CLUE, "camel"], ("aborted", None, 2, 1, 1, "seeker")),
    ],
)
def test_scores(replies, wanted):
    if wanted is None:
        assert play(*replies).ask.seat == "seeker"
    else:
        assert scores(*replies) == wanted


def test_a_start_word_counts_as_it_is_stored():
    assert scores("CLUE: desert animal", instance=INSTANCE | {"start_word": "Desert"})[0] == "aborted"


def test_fewer_guesses_and_other_tags():
    form = {"HELPER_PROMPT_WORD": "HINT:", "SEEKER_PROMPT_WORD": "Word:", "range_of_word_additions": 1}
    assert scores("Hint: desert a b", game_regex=form)[0] == "lose"
    assert scores("Hint: desert a", "WORD: camel", game_regex=form)[0] == "success"
    assert scores(CLUE, GUESS, CLUE, maximum_seeker_guesses=1) == ("lose", 0, 3, 3, 0, "helper")


def test_what_the_seats_are_shown():
    running = play(" CLUE: Desert animal\n", "GUESS: Snake", "CLUE: desert ride", "GUESS: horse")
    seen = running.view("helper").seen
    assert seen[0].endswith("\n\ndesert") and "Camel" in seen[0] and "$" not in seen[0]
    assert seen[1:] == ("guess: snake", "guess: horse")
    seen = running.view("seeker").seen
    assert seen[0].endswith("\n\n clue: desert animal") and "$" not in seen[0] and seen[1] == " clue: desert ride"


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"maximum_seeker_guesses": 0}, "maximum_seeker_guesses"),
        ({"game_regex": {}}, "game_regex.HELPER_PROMPT_WORD"),
        ({"game_regex": {"HELPER_PROMPT_WORD": "a", "SEEKER_PROMPT_WORD": 1}}, "game_regex.SEEKER_PROMPT_WORD"),
        ({"game_regex": {"HELPER_PROMPT_WORD": "a", "SEEKER_PROMPT_WORD": "b"}}, "game_regex.range_of_word_additions"),
        ({"instance": INSTANCE | {"target_word": ""}}, "target_word"),
        ({"instance": {"start_word": "a", "target_word": "b"}}, "current_sentence_fragment"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == field


def test_fresh_instances_can_be_won_by_the_rules():
    for level in GAME.levels:
        for instance in GAME.instances("train", 100, level=level):
            start, target = instance["start_word"], instance["target_word"]
            assert start not in target and target not in start and target not in "clue: guess:" and len(start.split()) == 1
            kinds = {lexicon()[word].category for word in (start, target) if word in lexicon()}
            if level == "easy":
                assert start in lexicon()[target].associations
            else:
                assert len(kinds) == {"medium": 1, "hard": 2}[level]


@pytest.mark.parametrize("form", ["full", "short"])
def test_the_helper_keeps_the_rules_at_every_strength(form):
    partner = GAME.players["seeker"]["random"]
    fair, slips = {"all guesses are used up", "the word was guessed"}, {"the clue contains the target word"}
    for strength, allowed in ((1.0, fair), (0.2, fair | slips)):
        players = {"helper": (GAME.players["helper"]["scripted"], strength), "seeker": (partner, 1.0)}
        ended = [play_out(GAME.start(i, form=form), players, i["game_id"]).outcome for i in GAME.instances("train", 60)]
        assert {outcome.reason for outcome in ended} <= allowed


def test_a_stronger_pair_scores_more():
    means = []
    for strength in (1.0, 0.7, 0.3):
        players = {seat: (GAME.players[seat]["scripted"], strength) for seat in GAME.seats}
        ended = [play_out(GAME.start(i), players, i["game_id"]).outcome for i in GAME.instances("train", 90)]
        means.append(sum(0 if math.isnan(o.score) else o.score for o in ended) / len(ended))
    assert means[0] > 90 and means[0] > means[1] + 10 > means[2] + 20


@recorded.needed
def test_recorded_episodes_replay_equal():
    for record, ended in recorded.replayed("get_to_the_point", 160):
        assert recorded.told(ended) == recorded.sent(record)


@recorded.needed
def test_scripted_players_keep_the_form_of_official_prompts():
    found = {r["instance"]["target_word"]: r for r in recorded.episodes("get_to_the_point")}
    players = {seat: (GAME.players[seat]["scripted"], 1.0) for seat in GAME.seats}
    ended = [play_out(GAME.start(r["instance"], r["settings"]), players).outcome for r in found.values()]
    assert Counter(o.status for o in ended)["aborted"] == 0 and {o.seat for o in ended} <= {None, "helper"}
