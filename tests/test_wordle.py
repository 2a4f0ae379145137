"""Wordle, with a clue, and with a clue and a critic: rules by hand, players, word lists, recorded episodes."""

from __future__ import annotations

import copy
import math
import random
import re

import pytest

import games
from games.core import SPLITS, InstanceError, split_of
from games.wordle_words import colour, parse, targets, words
from tests import recorded

NAMES = ("wordle", "wordle_withclue", "wordle_withcritic")
INSTANCE = {"target_word": "apple", "target_word_clue": "fruit of a tree", "target_word_difficulty": "high_frequency"}
YES, NO = "explanation: good\nagreement: yes", "explanation: bad\nagreement: no"


def say(word: str) -> str:
    return f"explanation: a try\nguess: {word}"


def outcome(name: str, *replies: str, instance: dict = INSTANCE):
    play = games.make(name).start(instance)
    for reply in replies:
        play.reply(reply)
    return play.outcome


def test_colours_use_each_letter_of_the_target_once():
    assert colour("apple", "apple") == "ggggg"
    assert colour("lllll", "label") == "grrrg"
    assert colour("eerie", "every") == "gyyrr"
    assert colour("speed", "abide") == "rryry"
    assert colour("allot", "loyal") == "yyyyr"  # both letters l of the target are used
    assert colour("geese", "eject") == "rygrr"


@pytest.mark.parametrize(
    ("number", "plain", "clue"), [(1, 100, 100), (2, 100, 50), (3, 100, 33.33), (4, 50, 25), (5, 30, 20), (6, 20, 16.67)]
)
def test_the_score_falls_with_the_round_of_success(number, plain, clue):
    replies = [say("stone")] * (number - 1) + [say("apple")]
    assert outcome("wordle", *replies).score == plain
    assert outcome("wordle_withclue", *replies).score == clue
    judged = [text for reply in replies for text in (reply, YES, reply)]
    assert outcome("wordle_withcritic", *judged).score == clue


def test_six_wrong_guesses_lose_and_repetitions_are_counted():
    end = outcome("wordle", *map(say, ("stone", "ample", "stone", "angle", "ankle", "maple")))
    assert (end.status, end.score, end.requests, end.parsed, end.violated) == ("lose", 0, 6, 6, 0)
    assert end.metrics["Guess Repetitions"] == 1
    # stone/apple: a green e; ample: three green, p placed, m red; angle, ankle: a, l, e green; maple: p, l, e green, a yellow
    assert end.progress == (5 / 25, 20 / 25, 5 / 25, 15 / 25, 15 / 25, 18 / 25)


def test_the_messages_of_plain_wordle_and_with_a_clue():
    play = games.make("wordle_withclue").start(INSTANCE)
    assert play.ask.text == play.settings["guesser_prompt"] + "\n\nclue: fruit of a tree"
    play.reply(say("ample"))
    hint = "\n\nAnswer in this form:\nexplanation: one line\nguess: five letters"
    assert play.ask.text == "guess_feedback: a<green> m<red> p<green> l<green> e<green>" + hint
    play.reply(say("zzzzz"))
    assert play.ask.text == "I do not know this word. Take another one." + hint
    assert games.make("wordle").start(INSTANCE).ask.text == games.make("wordle").settings("easy", "full")["guesser_prompt"]


def test_the_messages_with_a_critic():
    play = games.make("wordle_withcritic").start(INSTANCE)
    play.reply(say("ample"))
    shown = "clue: fruit of a tree\nexplanation: a try\nguess: ample"
    assert (play.ask.seat, play.ask.text) == ("critic", play.settings["guesser_critic_prompt"] + "\n\n" + shown)
    play.reply(NO)
    hint = "\n\nAnswer in this form:\nexplanation: one line\n"
    answer = "clue: fruit of a tree\nguess_agreement: no\nagreement_explanation: bad"
    assert (play.ask.seat, play.ask.text) == ("guesser", answer + hint + "guess: five letters")
    play.reply(say("stone"))
    assert play.ask.text.startswith("guess_feedback: s<red> t<red> o<red> n<red> e<green>")
    play.reply(say("ample"))
    assert (play.ask.seat, play.ask.text) == ("critic", shown + hint + "agreement: yes or no")


def test_only_the_committed_guess_counts_with_a_critic():
    end = outcome(
        "wordle_withcritic", say("apple"), NO, say("ample"), say("ample"), YES, say("ample"), say("apple"), NO, say("apple")
    )
    assert (end.status, end.score, end.requests) == ("success", 33.33, 9)
    assert end.metrics["Guess Repetitions"] == 1
    assert end.metrics["Repetition-Guesser-On-Critic-Agreement"] == 1
    assert end.metrics["Non-Repetition-Guesser-On-Critic-Agreement"] == 0
    assert end.metrics["Repetition-Guesser-On-Critic-Disagreement"] == 0.5
    assert end.metrics["Non-Repetition-Guesser-On-Critic-Disagreement"] == 0.5
    assert end.progress == (0, 0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 1)


def test_opinions_without_a_complete_round_are_not_numbers():
    metrics = outcome("wordle_withcritic", say("ample"), "no").metrics
    assert len(metrics) == 5 and all(map(math.isnan, metrics.values()))


@pytest.mark.parametrize(
    ("reply", "fine"),
    [
        ("explanation: a\nguess: stone", True),
        ("EXPLANATION: a\n\n\nwell\nGUESS:stone  \n", True),
        ("explanation: a\nmy guess: Stone", True),
        ("\nexplanation: a\nguess: stone", False),
        ("**explanation:** a\nguess: stone", False),
        ("explanation: a guess: stone", False),
        ("explanation: my guess: apple\nguess: stone", True),
        ("explanation: a\nguess: stone\nguess: stone", False),
        ("explanation: a\nguess: stone guess: stone", False),
        ("explanation: a\nguess:", False),
        ("explanation: a\nguess: stone.", False),
        ("explanation: a\nguess: stones", False),
        ("explanation: a\nguess: st0ne", False),
        ("guess: stone", False),
        ("", False),
    ],
)
def test_the_format_of_a_guess(reply, fine):
    end = outcome("wordle", reply)
    assert (end is None) == fine
    if not fine:
        assert (end.status, end.requests, end.parsed, end.violated, end.seat) == ("aborted", 1, 0, 1, "guesser")
        assert math.isnan(end.score) and math.isnan(end.metrics["Guess Repetitions"])


@pytest.mark.parametrize(
    "reply", ["explanation: a\nagreement: maybe", "agreement: yes", "explanation: a\nagreement: yes.", "yes"]
)
def test_a_critic_that_breaks_the_format_ends_the_episode(reply):
    end = outcome("wordle_withcritic", say("stone"), reply)
    assert (end.status, end.requests, end.parsed, end.violated, end.seat) == ("aborted", 2, 1, 1, "critic")


def test_the_sixth_unknown_word_in_a_row_aborts_but_violates_nothing():
    unknown = [say("zzzzz")] * 5
    assert outcome("wordle", *unknown, say("stone"), *unknown) is None  # a known word starts the count anew
    end = outcome("wordle", *unknown, say("stone"), *unknown, say("zzzzz"))
    assert (end.status, end.requests, end.parsed, end.violated) == ("aborted", 12, 12, 0)
    assert outcome("wordle_withcritic", *unknown, say("stone"), YES, *unknown, say("maple"), say("stone")) is None


def test_parse_reads_only_what_follows_the_explanation():
    assert parse("Explanation:  so guess: it \nguess: A b\n", "explanation:", "guess:") == ("so guess: it", "a b")
    assert parse(" explanation: a\nguess: b", "explanation:", "guess:") is None


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_cannot_be_played_are_named(name):
    game = games.make(name)
    with pytest.raises(InstanceError, match="target_word"):
        game.start(INSTANCE | {"target_word": "zzzzz"})
    for field in ("common_config.n_turns", "lang_keywords.guess_lang", "lang_keywords.official_words_list"):
        for wrong in (None, [7]):
            settings = copy.deepcopy(game.settings("easy", "full"))
            section, key = field.split(".")
            settings[section][key] = wrong
            with pytest.raises(InstanceError, match=re.escape(field)):
                game.start(INSTANCE, settings)


def test_the_word_lists():
    assert words() == sorted(set(words())) and len(words()) > 3000
    assert set(targets()) <= set(words()) and len(targets()) > 400
    assert all(re.fullmatch("[a-z]{5}", word) for word in words())
    clues = [clue for _, clue in targets().values()]
    assert len(set(clues)) == len(clues)
    assert all(word not in clue.lower() and 2 <= len(clue.split()) <= 6 for word, (_, clue) in targets().items())
    assert {band for band, _ in targets().values()} == {"high", "medium"}


@pytest.mark.parametrize("name", NAMES)
def test_instances_stay_in_their_split(name):
    game = games.make(name)
    for split in SPLITS:
        for level in game.levels:
            found = [game.target(instance) for instance in game.instances(split, 15, level=level)]
            assert len(found) == 15 and all(split_of(word) == split for word in found)


def play_many(name: str, player: str, strength: float, form: str, n: int = 12) -> list:
    game = games.make(name)
    seats = {seat: (game.players[seat][player], strength) for seat in game.seats}
    instances = game.instances("test", n)
    return [games.play_out(game.start(x, form=form), seats, seed).outcome for seed, x in enumerate(instances)]


@pytest.mark.parametrize("form", ["full", "short"])
@pytest.mark.parametrize("name", NAMES)
def test_the_solver_wins_at_full_strength_and_fails_at_none(name, form):
    strong = play_many(name, "scripted", 1.0, form)
    assert sum(end.status == "success" for end in strong) >= 11
    weak = play_many(name, "scripted", 0.0, form)
    assert sum(end.status == "success" for end in weak) <= 2 and all(end.status != "aborted" for end in weak)


@pytest.mark.parametrize("name", NAMES)
def test_random_players_keep_the_format_and_broken_ones_break_it(name):
    assert all(end.status != "aborted" for end in play_many(name, "random", 1.0, "full"))
    broken = play_many(name, "broken", 1.0, "short", 30)
    assert sum(end.status == "aborted" for end in broken) > 20
    assert any(end.parsed for end in broken)  # sometimes legal
    assert len({end.reason for end in broken}) > 3


def test_the_solver_spells_what_it_knows_and_keeps_to_it():
    game = games.make("wordle")
    play = game.start(INSTANCE | {"target_word": "grape"})
    play.reply(say("crate"))
    play.reply(say("eagle"))
    explanation, word = parse(game.players["guesser"]["scripted"](play.view("guesser")), "explanation:", "guess:")
    assert explanation == "_ r a _ e not c t l has g"
    assert colour("crate", word) == "rggrg" and colour("eagle", word) == "ryyrg"


def test_the_critic_reads_clue_explanation_and_earlier_guesses():
    game = games.make("wordle_withcritic")

    def verdict(explanation: str, word: str, clue: str = "no clue of ours", rounds: int = 0) -> str:
        play = game.start(INSTANCE | {"target_word_clue": clue})
        for reply in [say("stone"), YES, say("stone")] * rounds:
            play.reply(reply)
        play.reply(f"explanation: {explanation}\nguess: {word}")
        return parse(game.players["critic"]["scripted"](play.view("critic")), "explanation:", "agreement:")[1]

    assert verdict("a common word", "stone") == "yes"
    assert verdict("a common word", "stone", rounds=1) == "no"
    assert verdict("_ t _ _ e not c has n", "stone") == "yes"
    assert verdict("_ t _ _ e not c has a", "stone") == "no"
    assert verdict("_ t _ _ e not o", "stone") == "no"
    assert verdict("s _ r _ _", "stone") == "no"
    assert verdict("_ _ _ _ _", "apple", clue=targets()["stone"][1]) == "no"
    assert verdict("_ _ _ _ _", "stone", clue=targets()["stone"][1]) == "yes"


def test_a_refused_guess_is_changed_and_an_agreed_one_kept():
    game = games.make("wordle_withcritic")
    for answer in (YES, NO):
        play = game.start(INSTANCE | {"target_word_clue": "no clue of ours"})
        for reply in (say("stone"), YES, say("stone"), say("maple"), answer):
            play.reply(reply)
        _, word = parse(game.players["guesser"]["scripted"](play.view("guesser")), "explanation:", "guess:")
        assert (word == "maple") == (answer == YES)


@pytest.mark.parametrize("name", NAMES)
def test_short_messages_are_tiny(name):
    settings = games.make(name).settings("easy", "short")
    assert len(settings["guesser_prompt"].split()) < 12 and len(settings["guesser_critic_prompt"].split()) < 12
    play = games.make(name).start(INSTANCE, settings)
    play.reply(say("zzzzz"))
    assert len(play.ask.text) <= 50


@pytest.mark.parametrize("name", NAMES)
def test_no_reply_makes_the_referee_raise(name):
    rng = random.Random(0)
    pieces = [
        "explanation:",
        "guess:",
        "agreement:",
        "\n",
        " ",
        "apple",
        "stone",
        "yes",
        "\ud800",
        "\0",
        "İ",
        "ﬀ",
        "é",
        "𝒶",
        "x" * 9999,
    ]
    ended = 0
    for _ in range(300):
        play = games.make(name).start(INSTANCE, form="short")
        while play.ask is not None and len(play.history) < 40:
            text = "".join(rng.choices(pieces, k=rng.randrange(9)))
            play.reply(rng.choice((text, say("stone"), say("zzzzz"), YES, "explanation: a\n" + text)))
        ended += play.outcome is not None
        end = play.outcome
        assert end is None or end.requests == len(play.history) == len(end.progress) == end.parsed + end.violated
    assert ended == 300


@recorded.needed
@pytest.mark.parametrize("name", NAMES)
def test_recorded_episodes_are_equal(name):
    for record, play in recorded.replayed(name, 120):
        assert not recorded.unequal(record, play) and recorded.told(play) == recorded.sent(record)


def official_ends(name: str) -> list[str]:
    """How ten official instances of a game of this family end for its scripted players."""
    game = games.make(name)
    seats = {seat: (game.players[seat]["scripted"], 1.0) for seat in game.seats}
    starts = [game.start(record["instance"], record["settings"]) for record in recorded.episodes(name)[:40:4]]
    return [games.play_out(start, seats).outcome.status for start in starts]


@recorded.needed
@pytest.mark.parametrize("name", NAMES)
def test_the_solver_also_plays_with_official_settings(name):
    ends = official_ends(name)
    assert ends.count("success") >= 8 and "aborted" not in ends
