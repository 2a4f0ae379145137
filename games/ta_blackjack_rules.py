"""Blackjack with a deck without end: cards and what they count, how a hand ends, and how well it can be played."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Mapping, Sequence

RANKS = ("2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K", "A")
SUITS = ("♠", "♥", "♦", "♣")
MOST, DEALER = 21, 17  # above MOST a hand is lost; the dealer draws below DEALER
BATCH = 32  # cards drawn at once, so that a deal does not draw all before it again
_CARD = re.compile(rf"(?:{'|'.join(RANKS)})[{''.join(SUITS)}]")
_POINTS = {rank: 10 if rank in "JQK" else 11 if rank == "A" else int(rank) for rank in RANKS}


def read(text: str) -> list[str]:
    """All cards in a text."""
    return _CARD.findall(text)


def read_choice(reply: str) -> str:
    """What a reply asks for; who asks for both draws."""
    text = reply.lower()
    return "hit" if "[hit]" in text else "stand" if "[stand]" in text else ""


def compare(mine: int, dealers: int) -> str:
    """How a hand ends in which the player stands."""
    return "win" if dealers > MOST or mine > dealers else "draw" if mine == dealers else "lose"


def draw(seed: int, dealt: int, cards: int) -> list[str]:
    """The cards that follow the first ones dealt with this seed."""
    return _deck(seed, (dealt + cards) // BATCH + 1)[dealt:][:cards]


@functools.lru_cache(maxsize=256)
def _deck(seed: int, batches: int) -> list[str]:
    """The first cards of a seed."""
    rng = random.Random(seed)
    return [rng.choice(RANKS) + rng.choice(SUITS) for _ in range(BATCH * batches)]


def total(hand: Sequence[str]) -> int:
    """The points of a hand, aces as 11 as long as that is not too much."""
    return count(hand)[0]


def count(hand: Sequence[str]) -> tuple[int, bool]:
    """(points, is an ace counted as 11) of a hand."""
    points, soft = 0, False
    for card in hand:
        points, soft = add(points, soft, card[:-1])
    return points, soft


def add(points: int, soft: bool, rank: str) -> tuple[int, bool]:
    """(points, is an ace counted as 11) with one card more."""
    aces = soft + (rank == "A")
    points += _POINTS[rank]
    while points > MOST and aces:
        points, aces = points - 10, aces - 1
    return points, aces > 0


@functools.cache
def dealer(points: int, soft: bool) -> Mapping[int, float]:
    """How likely each final number of points is for a dealer who holds these."""
    if points >= DEALER:
        return {points: 1.0}
    found: dict[int, float] = {}
    for rank in RANKS:
        for end, chance in dealer(*add(points, soft, rank)).items():
            found[end] = found.get(end, 0) + chance / len(RANKS)
    return found


@functools.cache
def stand(points: int, shown: str) -> float:
    """How likely a player who stands with these points wins against the rank that the dealer shows; a draw is no win."""
    return sum(chance for end, chance in dealer(*add(0, False, shown)).items() if end > MOST or end < points)


@functools.cache
def hit(points: int, soft: bool, shown: str) -> float:
    """How likely a player wins who draws once more and plays on as well as can be."""
    after = (add(points, soft, rank) for rank in RANKS)
    chances = [max(stand(p, shown), hit(p, s, shown)) if p <= MOST else 0.0 for p, s in after]
    return sum(chances) / len(chances)


def should_hit(hand: Sequence[str], shown: str) -> bool:
    """Does one more card make a win more likely?"""
    points, soft = count(hand)
    return hit(points, soft, shown[:-1]) > stand(points, shown[:-1])
