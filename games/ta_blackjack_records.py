"""Recorded episodes of Blackjack: the cards are read from what the player was told.

Some were not told: what the dealer held hidden or drew, and a card that was too much. For these, any that lead to the points
that were told, or to the number of hands won and lost, stand in.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from games.ta_blackjack_rules import DEALER, MOST, RANKS, SUITS, add, compare, read, read_choice, total

_STATE = re.compile(r"Hand (\d+)/\d+\nYour hand: (.*) \(Score: (\d+)\)\nDealer shows: (.*)")
_RESULT = re.compile(r"Hand (\d+): you (\w+)\. Your final (\d+), Dealer (\d+)\.")
_TALLY = re.compile(r"Final scores: Dealer: (\d+), You: (\d+), Draws: (\d+)")
_CARDS = [rank + SUITS[0] for rank in RANKS]


class End(NamedTuple):
    """How a hand ended, and with which points; 0 where these were not told."""

    result: str
    mine: int = 0
    dealers: int = 0


def replies(record: Mapping) -> list[tuple[str, str]]:
    """(seat, reply) of a recorded episode, with the deals."""
    events = [event for turn in record["rounds"] for event in turn]
    told = [event["content"] for event in events if event["type"] != "get message"]
    said = [event["content"] for event in events if event["type"] == "get message"]
    states, ends = [_STATE.search(text) for text in told], _ends(told)
    found: list[tuple[str, str]] = []
    number, mine, dealers = "", [], []
    for state, reply, after in zip(states, said, states[1:]):
        if state:
            mine = read(state[2])
        if state and state[1] != number:
            number = state[1]
            dealers = read(state[4]) + _dealers(state[4], ends.get(number))
            found.append(("dealer", " ".join(mine + dealers[:2])))
        found.append(("player", reply))
        choice = read_choice(reply)
        if choice == "hit":
            more = read(after[2])[-1] if after and after[1] == number else _too_much(mine, ends.get(number))
            found.append(("dealer", more))
        elif choice == "stand":
            found += [("dealer", card) for card in dealers[2:]]
    return found


def _ends(told: Sequence[str]) -> dict[str, End]:
    """How each hand ended; of the last one nothing is told but that it changed the number of hands won and lost."""
    ends = {found[1]: End(found[2], int(found[3]), int(found[4])) for text in told for found in _RESULT.finditer(text)}
    last, tally = [found for text in told if (found := _STATE.search(text))][-1:], _TALLY.search(told[-1])
    if not last or not tally:
        return ends
    results = [end.result.replace("bust", "lose") for end in ends.values()]
    result = next((r for r, count in zip(("lose", "win", "draw"), tally.groups()) if results.count(r) < int(count)), "lose")
    return ends | {last[0][1]: End(result, int(last[0][3]))}


def _dealers(shown: str, end: End | None) -> list[str]:
    """The dealer's cards beside the one shown: the hidden one, and those drawn after it."""
    if end is None:  # the episode ended within the hand
        return _CARDS[:1]
    if end.result == "bust":
        return [card for card in _CARDS if total([shown, card]) == end.dealers][:1]
    points = [end.dealers] if end.dealers else [p for p in range(DEALER, 2 * MOST) if compare(end.mine, p) == end.result]
    return next((cards for p in points if (cards := _draws(*add(0, False, shown[:-1]), p))), _CARDS[:1])


@functools.cache
def _draws(points: int, soft: bool, wanted: int) -> list[str] | None:
    """Cards that lead the dealer from these points to those wanted, or None if none do."""
    if points >= DEALER:
        return [] if points == wanted else None
    for card in _CARDS:
        rest = _draws(*add(points, soft, card[:-1]), wanted)
        if rest is not None:
            return [card, *rest]
    return None


def _too_much(mine: Sequence[str], end: End | None) -> str:
    """A card with which the hand was lost."""
    sums = {card: total([*mine, card]) for card in _CARDS}
    wanted = end.mine if end and end.result == "bust" else max(sums.values())
    return next((card for card, points in sums.items() if points == wanted), _CARDS[0])
