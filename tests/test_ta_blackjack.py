"""Blackjack: rules and scores by hand, cards and chances, scripted players, recorded episodes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

import games
from games import records
from games.core import InstanceError, Play, play_out
from games.ta_blackjack_records import replies
from games.ta_blackjack_rules import RANKS, SUITS, compare, count, dealer, draw, hit, read, read_choice, stand, total
from tests.common import SHARED
from tests.ta_episodes import replayed, scores

GAME = games.make("ta_blackjack")


def play(*said: str, hands: int = 2, form: str = "full") -> Play:
    """A play; what begins with a rank is said by the dealer, who must then be asked, all else by the player."""
    started = GAME.start({"env_specs": {"num_hands": hands}, "seed": 1}, GAME.settings("three", form))
    for text in said:
        assert (started.ask.seat == "dealer") == bool(read(text))
        started.reply(text)
    return started


def test_a_hand_won_a_hand_drawn():
    ended = play("K♥ 9♣ Q♥ 8♠", "[Stand]", "5♥ 6♣ J♥ 7♠", "[Hit]", "6♦", "[Stand]")
    assert scores(ended) == (0, 0, 3, 0, 0.5, 0.5) and ended.outcome.status == "lose"
    assert ended.outcome.progress == (0, 0.5, 0.5, 0.5, 0.5, 0.5)
    drawn = play("K♥ 9♣ Q♥ 8♠", "[Stand]", "5♥ 6♣ J♥ 7♠", "[Hit]", "6♦", "?")
    assert "Hand 2 of 2. You hold 5♥, 6♣, 6♦: 17 points. The dealer shows J♥." in drawn.history[-1][0].text
    drawn.reply("[Stand]")
    assert scores(drawn) == (0, 0, 4, 1, 0.5, 0.5)  # a draw counts for the progress, not for the reward


def test_all_hands_won_is_a_success():
    assert scores(play("K♥ 9♣ Q♥ 8♠", "[stand]", "K♥ 9♣ Q♥ 6♠", "[Stand]", "6♥")) == (0, 1, 2, 0, 1, 1)


def test_too_many_points_lose_at_once_and_the_dealer_draws_nothing():
    ended = play("K♥ 9♣ Q♥ 2♠", "[Hit]", "3♦", "A♥ 9♣ Q♥ 8♠", "[Hit]", "A♦", "[Hit]", "2♦", "[Hit]", "9♣")
    assert scores(ended) == (0, 0, 4, 0, 0, 0) and ended.outcome.reason == "0 of 2 hands were won"
    told = [ask.text for ask, _ in ended.history if ask.seat == "player"]
    assert "Hand 1 is lost with too many points: you have 22, the dealer has 12." in told[1]
    assert [text.split(" points. ")[0].split(": ")[-1] for text in told] == ["19", "20", "21", "13"]


def test_an_abort_keeps_the_share_with_half_a_point_for_a_draw():
    assert scores(play("K♥ 9♣ Q♥ 9♠", "[Stand]", "K♥ 9♣ Q♥ 9♠", "?", "?")) == (1, 0, 3, 2, -1, 0.25)
    assert scores(play("K♥ 9♣ Q♥ 9♠", "Stand", "Hit You attempted an invalid move.")) == (1, 0, 2, 3, -1, 0)
    assert play("K♥ 9♣ Q♥ 9♠", "?", "?").outcome.seat == "player"


def test_a_valid_move_makes_good_for_an_invalid_one():
    running = play("2♥ 3♣ Q♥ 9♠", "?", "[Hit]", "2♦", "?", "[Hit]", "2♦", "?")
    assert running.ask.text.startswith("[GAME] This was an invalid move") and "You hold" not in running.ask.text


def test_the_hidden_card_is_not_told():
    texts = [ask.text for ask, _ in play("K♥ 9♣ Q♥ 2♠", "?", "[Stand]", "7♠", "2♥ 2♣ 2♥ 3♠", "?").history]
    assert not any("2♠" in text or "3♠" in text or "7♠" in text for text in texts)


@pytest.mark.parametrize(
    "reply, choice",
    [
        ("[Hit]", "hit"),
        ("I [STAND] here", "stand"),
        ("[Stand] or [hit]?", "hit"),
        ("[ Hit ]", ""),
        ("Hit", ""),
        ("[Hit", ""),
        ("[[stand]]", "stand"),
        ("", ""),
    ],
)
def test_choices(reply, choice):
    assert read_choice(reply) == choice


@pytest.mark.parametrize(
    "hand, points",
    [("2♥ J♠", 12), ("A♥ K♠", 21), ("A♥ A♠", 12), ("A♥ A♠ 9♦", 21), ("A♥ 9♠ 5♦", 15), ("K♥ Q♠ A♦ A♣", 22), ("10♥ 5♦ 8♦", 23)],
)
def test_points(hand, points):
    assert total(read(hand)) == points
    assert count(read("A♥ 6♠"))[1] and not count(read("A♥ 6♠ K♠"))[1]


def test_results():
    assert [compare(20, 22), compare(18, 17), compare(17, 17), compare(17, 18)] == ["win", "win", "draw", "lose"]


def test_the_dealer_deals_what_the_seed_draws():
    rng = random.Random(5)
    cards = [rng.choice(RANKS) + rng.choice(SUITS) for _ in range(50)]
    assert draw(5, 0, 4) == cards[:4] and draw(5, 31, 2) == cards[31:33] and draw(5, 40, 4) == cards[40:44]
    started, dealt = GAME.start({"env_specs": {"num_hands": 3}, "seed": 5}), []
    while len(dealt) < 12:
        text = "[Hit]" if started.ask.seat == "player" else GAME.players["dealer"]["scripted"](started.view("dealer"))
        dealt += read(text)
        started.reply(text)
    assert dealt == cards[: len(dealt)]


def test_what_the_dealer_does_not_name_is_a_two():
    started = GAME.start({"env_specs": {"num_hands": 1}, "seed": 1})
    started.reply("K♥, and then I do not know")
    assert "You hold K♥, 2♠: 12 points. The dealer shows 2♠." in started.ask.text


def test_chances_add_up():
    for points, soft in itertools.product(range(2, 17), (False, True)):
        ends = dealer(points, soft)
        assert sum(ends.values()) == pytest.approx(1) and all(17 <= end <= 26 for end in ends)
    assert stand(21, "10") > stand(20, "10") > stand(17, "10") == stand(12, "10") > stand(12, "A")
    assert hit(11, False, "6") > hit(16, False, "6") and stand(20, "6") > hit(20, False, "6")


def test_the_scripted_player_wins_as_often_as_the_chances_say():
    hands = [(f"{a}♠ {b}♠", shown) for a, b, shown in itertools.product(RANKS, repeat=3)]
    best = [max(hit(*count(read(mine)), shown), stand(total(read(mine)), shown)) for mine, shown in hands]
    wins = {kind: share(kind) for kind in ("scripted", "random")}
    assert wins["scripted"] == pytest.approx(sum(best) / len(best), abs=0.05)
    assert wins["random"] < wins["scripted"] - 0.05


def share(kind: str) -> float:
    """The share of hands won by a player, of 960."""
    players = {"player": (GAME.players["player"][kind], 1.0), "dealer": (GAME.players["dealer"]["scripted"], 1.0)}
    instances = GAME.instances("train", 120, level="eight")
    return sum(play_out(GAME.start(instance), players).outcome.score for instance in instances) / 100 / len(instances)


@pytest.mark.parametrize("hands", [0, "5", True, None])
def test_malformed_instances(hands):
    with pytest.raises(InstanceError, match="env_specs.num_hands"):
        play(hands=hands)


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
def test_recorded_episodes_replay_equal():
    for sent, told in replayed("ta_blackjack", 80):
        assert list(map(read, sent)) == list(map(read, told))


def recorded(model: str) -> list[dict]:
    every = records.read_records(SHARED / "replay" / "ta_blackjack.jsonl.gz")
    return sorted((r for r in every if r["model"] == model), key=lambda r: (r["experiment"], r["game_id"]))


def answer(running: Play, said: list[str], deal: Callable[[Play], str]) -> None:
    """The deals up to the player's turn, and then its next reply."""
    while running.ask and running.ask.seat == "dealer":
        running.reply(deal(running))
    if running.ask and said:
        running.reply(said.pop(0))
    while running.ask and running.ask.seat == "dealer":
        running.reply(deal(running))


def spoken(record: dict) -> list[str]:
    return [text for seat, text in replies(record) if seat == "player"]


def equal(running: Play, record: dict) -> bool:
    told = [ask.text for ask, _ in running.history if ask.seat == "player"]
    sent = [event["content"] for turn in record["rounds"] for event in turn if event["type"] == "send message"]
    return not records.differences(running.outcome, record["episode_scores"]) and list(map(read, told)) == list(map(read, sent))


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
def test_episodes_that_were_recorded_one_by_one_have_the_cards_of_their_seeds():
    found = recorded("qwen3.5-2b")
    for record in found:
        running, said = GAME.start(record["instance"], record["settings"]), spoken(record)
        while running.ask:
            answer(running, said, lambda play: GAME.players["dealer"]["scripted"](play.view("dealer")))
        assert equal(running, record)
    assert len(found) == 20


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
@pytest.mark.parametrize("model", ["qwen3.5-9b", "llama-3.1-8b-instruct", "DAIR__qwen3.5-2b__sft-v1"])
def test_episodes_that_were_recorded_side_by_side_have_the_cards_of_one_generator(model):
    """All games are dealt first, each from its seed, and then take turns at what the last seed left."""
    found, rng = recorded(model), random.Random()
    cards = lambda play: " ".join(rng.choice(RANKS) + rng.choice(SUITS) for _ in range(int(play.ask.text.split()[-1][:-1])))
    running = []
    for record in found:
        rng.seed(record["instance"]["seed"])
        running.append((GAME.start(record["instance"], record["settings"]), spoken(record)))
        running[-1][0].reply(cards(running[-1][0]))
    while any(play.ask for play, _ in running):
        for play, said in running:
            answer(play, said, cards)
    assert len(found) == 20 and all(equal(play, record) for (play, _), record in zip(running, found))
