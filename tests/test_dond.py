"""Deal or no deal: claims, scores and protocol by hand, players, recorded episodes."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from games.core import SPLITS, InstanceError, play_out, split_of
from games.dond import DOND, SEATS, SILENCE, parse
from games.dond_make import LEVELS
from games.stemmer import stem
from tests import recorded
from tests.common import answered

PILE = {
    "item_types": ["berry", "stone", "clock"],
    "item_types_plural": ["berries", "stones", "clocks"],
    "item_counts": [1, 1, 3],
    "player_a_values": [3, 4, 1],
    "player_b_values": [9, 1, 0],
}


def play(*replies, mode="coop", pile=PILE, turns=5):
    """Feed replies to an episode; returns the play."""
    return answered(DOND.start(pile, DOND.settings("coop", "full") | {"mode": mode, "max_turns": turns}), replies)


def outcome(*replies, **kwargs):
    return play(*replies, **kwargs).outcome


def test_claims_are_read_as_the_rules_say():
    def read(text):
        return parse(text, PILE, "en")

    assert read("I like stones") == (None, "")
    assert read("a [ without end\n] and the end") == (None, "")  # a bracket closes on its own line
    assert read("ok! [ PROPOSAL: 1 Berry , 2 clocks, ] bye [x]") == ([1, 0, 2], "")
    assert read("[Proposal:]") == read("[proposal: ,]") == ([0, 0, 0], "")
    assert read("[Proposal: 1 berries, 2 clock]") == ([1, 0, 2], "")  # the wrong number of a name is fine
    assert read("[Proposal: 2 berrys, 1 stone's]") == ([2, 1, 0], "")  # and so is the same stem
    assert read("[Proposal: 0 clocks, 9 stones]") == ([0, 9, 0], "")  # too many: judged later
    assert read("[Proposal: ٣ clocks]") == ([0, 0, 3], "")  # any decimal digits
    for wrong in ("[1 berry]", "[x] [Proposal: 1 berry]", "[[Proposal: 1 berry]]", "[Vorschlag: 1 berry]", "[]"):
        assert read(wrong) == (None, "the brackets hold no proposal")
    for wrong in (
        "1 big berry",
        "berry",
        "2.5 clocks",
        "½ clocks",
        "² clocks",
        "-1 clocks",
        "1 berry,,",
        "9" * 5000 + " clocks",
    ):
        assert read(f"[Proposal: {wrong}]") == (None, "the proposal is no list of numbers and names")
    assert read("[Proposal: 1 hat]") == (None, "the proposal names an unknown item")
    assert read("[Proposal: 1 berry, 1 berries]") == (None, "the proposal names an item twice")


def test_other_languages_have_their_own_keyword():
    assert parse("[Vorschlag: 1 berry]", PILE, "de") == ([1, 0, 0], "")
    assert parse("[Proposta: 1 berry]", PILE, "it") == ([1, 0, 0], "")
    assert parse("[Proposal: 1 berry]", PILE, "de") == (None, "the brackets hold no proposal")


def test_one_stem_for_two_items_is_no_name():
    pile = PILE | {
        "item_types": ["universe", "university", "clock"],
        "item_types_plural": ["universes", "universities", "clocks"],
    }
    assert stem("universe") == stem("universities")
    assert parse("[Proposal: 1 universing]", pile, "en") == (None, "the proposal names an unknown item")
    assert parse("[Proposal: 1 universities]", pile, "en") == ([0, 1, 0], "")


def test_who_reads_what():
    episode = play()
    first = episode.ask.text
    assert "1 berry, 1 stone, 3 clocks" in first and "berry: 3, stone: 4, clock: 1" in first and "berry: 9" not in first
    episode.reply(" \n")
    assert episode.ask.seat == "player_b" and episode.ask.text.endswith("\n\n" + SILENCE)
    assert "berry: 9, stone: 1, clock: 0" in episode.ask.text and "berry: 3" not in episode.ask.text
    episode.reply(" ")
    assert episode.ask.text == first  # player_b's silence is not announced
    episode.reply("hello ")
    assert episode.ask.text == "hello "
    episode.reply("[Proposal: 1 berry]")
    assert episode.ask.text == episode.settings["proposal_early"]
    early = play("[Proposal: 1 stone]")
    assert early.ask.text.endswith("\n\n" + early.settings["proposal_early"]) and "berry: 9" in early.ask.text


def test_after_the_last_message_both_must_claim():
    episode = play("a", "b", "c", "d", turns=2)
    assert episode.ask.text == "d\n\n\n" + episode.settings["proposal_timeout"]
    episode.reply("[Proposal: 1 stone, 3 clocks]")
    assert episode.ask.text == episode.settings["proposal_early"]
    episode.reply("[Proposal: 1 berry]")
    assert episode.outcome.official()["Main Score"] == 100


def test_cooperative_scores():
    # the best is 9 + 4 + 3 * 1 = 16
    best = outcome("[Proposal: 1 stone, 3 clocks]", "[Proposal: 1 berry]")
    assert (best.status, best.score, best.metrics) == ("success", 100, {"Sum of Points": 1, "Pareto Optimal": 1})
    poor = outcome("hi", "[Proposal: 3 clocks]", "[Proposal: 1 berry, 1 stone]")
    assert (poor.status, poor.requests, poor.parsed, poor.violated) == ("success", 3, 3, 0)
    assert poor.score == 100 * 7 / 16 and poor.metrics == {"Sum of Points": 7 / 16, "Pareto Optimal": 0}
    clash = outcome("[Proposal: 1 stone]", "[Proposal: 1 stone]")
    assert (clash.status, clash.score, clash.metrics) == ("lose", 0, {"Sum of Points": 0, "Pareto Optimal": 0})


def test_semi_scores_count_the_largest_gain_that_hurts_nobody():
    assert outcome("[Proposal: 1 stone, 3 clocks]", "[Proposal: 1 berry]", mode="semi").score == 100
    # A has 3 clocks (3), B a berry (9): the free stone would give A four more, B one more
    assert outcome("[Proposal: 3 clocks]", "[Proposal: 1 berry]", mode="semi").score == pytest.approx(60)
    assert outcome("[Proposal: 1 berry]", "[Proposal: 1 stone]", mode="semi").metrics["Pareto Optimal"] == 0
    clash = outcome("[Proposal: 1 stone]", "[Proposal: 1 stone]", mode="semi")
    assert (clash.score, clash.metrics["Pareto Optimal"]) == (0, 0)


def test_competition_is_always_optimal():
    lost = outcome("[Proposal: 1 stone]", "[Proposal: 1 stone]", mode="comp")
    assert (lost.status, lost.score, lost.metrics["Pareto Optimal"]) == ("lose", 100, 1)


def test_what_aborts_and_what_counts_as_violated():
    wrong_form = outcome("[1 stone]")
    assert (wrong_form.status, wrong_form.requests, wrong_form.parsed, wrong_form.violated) == ("aborted", 1, 0, 1)
    assert math.isnan(wrong_form.score) and "Pareto Optimal" not in wrong_form.official()
    too_many = outcome("hi", "[Proposal: 2 stones]")
    assert (too_many.status, too_many.parsed, too_many.violated, too_many.seat) == ("aborted", 2, 0, "player_b")
    chatter = outcome("[Proposal: 1 stone]", "fine")
    assert (chatter.status, chatter.parsed, chatter.violated, chatter.seat) == ("aborted", 2, 0, "player_b")
    late = outcome("a", "b", "c", turns=1)
    assert (late.status, late.requests, late.seat) == ("aborted", 3, "player_a")


@pytest.mark.parametrize(
    ("field", "value"),
    [("item_counts", [1, 1]), ("player_b_values", [1, -1, 0]), ("item_types", ["a", 2, "c"]), ("item_counts", [999, 999, 9])],
)
def test_malformed_piles_say_which_field(field, value):
    with pytest.raises(InstanceError, match=field):
        DOND.start(PILE | {field: value})


@pytest.mark.parametrize(("field", "value"), [("mode", "nice"), ("language", "xx"), ("max_turns", 0)])
def test_malformed_settings_say_which_field(field, value):
    with pytest.raises(InstanceError, match=field):
        DOND.start(PILE, DOND.settings("coop", "full") | {field: value})
    worthless = {"player_a_values": [0, 0, 0], "player_b_values": [0, 0, 0]}
    with pytest.raises(InstanceError, match="player_a_values"):
        DOND.start(PILE | worthless)


@pytest.mark.parametrize("level", LEVELS)
def test_fresh_piles_keep_the_rules(level):
    for split in SPLITS:
        for pile in DOND.instances(split, 8, level=level):
            counts, a, b = pile["item_counts"], pile["player_a_values"], pile["player_b_values"]
            assert sum(x * y for x, y in zip(counts, a)) == sum(x * y for x, y in zip(counts, b)) == 10
            assert all(x or y for x, y in zip(a, b)) and any(x and y for x, y in zip(a, b))
            assert split_of(DOND.target(pile)) == split and len(set(pile["item_types"])) == len(counts)
            assert (3 if level == "easy" else 5) <= sum(counts) <= (4 if level == "easy" else 8)


@pytest.mark.parametrize("form", ["full", "short"])
@pytest.mark.parametrize("level", LEVELS)
def test_negotiators_agree_and_weaker_ones_do_worse(level, form):
    piles = DOND.instances("train", 40, level=level)

    def points(name, strength):
        """Mean Main Score, where a game without agreement gives nothing."""
        seats = {seat: (DOND.players[seat][name], strength) for seat in SEATS}
        ends = [play_out(DOND.start(pile, form=form), seats, seed=i).outcome for i, pile in enumerate(piles)]
        return sum(end.score for end in ends if end.status == "success") / len(ends)

    strong, middle, weak = (points("scripted", strength) for strength in (1, 0.5, 0))
    assert strong == 100 > middle > weak > points("random", 1) > points("broken", 1)


def test_short_prompts_are_short():
    for level in LEVELS:
        assert len(DOND.settings(level, "short")["initial_prompt"].split()) < 40


def test_negotiator_understands_free_speech():
    episode = play("My values: berry 3, stone 4, clock 1.", "Hm. I will take the berry and you can have everything else!")
    view = episode.view("player_a", strength=1.0)
    assert DOND.players["player_a"]["scripted"](view) == "[Proposal: 1 stone, 3 clocks]"
    silent = DOND.start(PILE)
    for turn in itertools.count():
        if silent.ask is None:
            break
        seat = silent.ask.seat
        silent.reply(DOND.players[seat]["scripted"](silent.view(seat)) if seat == "player_a" or turn > 9 else "Who knows.")
    assert silent.outcome.status != "aborted"


def test_strange_replies_never_raise():
    rng = random.Random(0)
    odd = ["[Proposal:", "]", "½", "\ud800", "\x00", "1 berry", ",", "[", "\n", "'", "ß", "9" * 5000, " "]
    for _ in range(300):
        episode = play()
        while episode.ask:
            episode.reply("".join(rng.choices(odd, k=rng.randint(0, 6))))
        assert episode.outcome.parsed + episode.outcome.violated == episode.outcome.requests == len(episode.history)


@recorded.needed
def test_recorded_episodes_are_equal():
    for record, episode in recorded.replayed("dond", 160):
        ours = episode.outcome.official()
        keys = ("Sum of Points", "Pareto Optimal", "Request Success Ratio")
        assert all(ours.get(key) == pytest.approx(record["episode_scores"].get(key)) for key in keys)
