"""Blackjack against a dealer who plays by rule: come nearer to 21 than the dealer, hand after hand, by drawing or standing.

The cards are a chance seat of their own, called dealer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping

from games import ta_blackjack_players as players
from games import ta_loop
from games.core import Ask, Outcome, Referee
from games.ta_blackjack_records import replies
from games.ta_blackjack_rules import DEALER, MOST, compare, draw, read, read_choice, total
from games.ta_loop import Loop

SEAT = "player"
LEVELS = {"one": {"num_hands": 1}, "three": {"num_hands": 3}, "eight": {"num_hands": 8}}


class Table:
    """The hand that is being played, and how those before went."""

    def __init__(self, loop: Loop, seed: int, hands: int):
        self.loop, self.seed, self.hands = loop, seed, hands
        self.results: Counter[str] = Counter()
        self.dealt = 0

    def cards(self, count: int) -> Generator[Ask, str, list[str]]:
        """The next cards; what the dealer does not name is a two."""
        text = f"Seed {self.seed}, {self.dealt} cards are dealt. Deal {count}."
        cards = read((yield from self.loop.draw("dealer", text)))
        self.dealt += count
        return (cards + ["2♠"] * count)[:count]

    def hand(self) -> Generator[Ask, str, Outcome | None]:
        """Play one hand; returns the outcome if the episode ends within it."""
        cards = yield from self.cards(4)
        mine, dealers, number = cards[:2], cards[2:], self.results.total() + 1
        result = ""
        while not result:
            state = {"CARDS": ", ".join(mine), "POINTS": total(mine), "SHOWN": dealers[0]}
            self.loop.tell("state", HAND=number, HANDS=self.hands, **state)
            while not (choice := read_choice((yield from self.loop.ask()))):
                if over := self.loop.invalid("neither [Hit] nor [Stand]"):
                    return over
            if choice == "hit":
                mine += yield from self.cards(1)
                result = "bust" if total(mine) > MOST else ""
            else:
                while total(dealers) < DEALER:
                    dealers += yield from self.cards(1)
                result = compare(total(mine), total(dealers))
            self.loop.valid()
        self.results[result] += 1
        self.loop.reach((self.results["win"] + 0.5 * self.results["draw"]) / self.hands)
        self.loop.tell(result, HAND=number, MINE=total(mine), DEALERS=total(dealers))
        return None


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """All hands, unless two invalid moves in a row end the episode before; the reward is the share of hands won."""
    hands = ta_loop.spec(instance, "num_hands", 1, 1000)
    loop = Loop(SEAT, ta_loop.texts(settings, PROMPTS))
    table = Table(loop, instance["seed"], hands)
    loop.tell("intro", HANDS=hands)
    while table.results.total() < hands:
        if over := (yield from table.hand()):
            return over
    won = table.results["win"]
    return loop.end(won / hands, f"{won} of {hands} hands were won")


def target(instance: Mapping) -> str:
    """The first deal."""
    return " ".join(draw(instance["seed"], 0, 4))


_RESULT = "you have $MINE$, the dealer has $DEALERS$."
PROMPTS = ta_loop.prompts(
    full={
        "intro": (
            "This is Blackjack, you against the dealer. Hands to be played: $HANDS$.\n\n"
            "- A hand is won if its points are nearer to 21 than the dealer's. With more than 21 points it is lost at once.\n"
            "- The cards 2 to 10 count as they say, J, Q and K count 10, an ace counts 11, or 1 if 11 would be too much.\n"
            "- In each turn write [Hit] to get one more card, or [Stand] to keep what you have.\n"
            "- When you stand, the dealer draws up to 17 points or more. With more than 21 the dealer has lost. "
            "Equal points are a draw, which counts for nobody.\n"
            "- You see one of the dealer's two cards. The deck never ends: all cards are always equally likely.\n"
        ),
        "state": "Hand $HAND$ of $HANDS$. You hold $CARDS$: $POINTS$ points. The dealer shows $SHOWN$.",
        "win": f"Hand $HAND$ is won: {_RESULT}",
        "lose": f"Hand $HAND$ is lost: {_RESULT}",
        "draw": f"Hand $HAND$ is a draw: {_RESULT}",
        "bust": f"Hand $HAND$ is lost with too many points: {_RESULT}",
    },
    short={
        "intro": "Get near 21, not over.\nReply `[Hit]` or `[Stand]`",
        "state": "$CARDS$ ($POINTS$) dealer $SHOWN$",
        "win": "won $MINE$:$DEALERS$",
        "lose": "lost $MINE$:$DEALERS$",
        "draw": "draw $MINE$:$DEALERS$",
        "bust": "lost $MINE$:$DEALERS$",
    },
)

TA_BLACKJACK = ta_loop.game(
    "ta_blackjack",
    SEAT,
    "Player",
    LEVELS,
    PROMPTS,
    referee=referee,
    target=target,
    players={
        SEAT: {"scripted": players.weigh, "random": players.toss, "broken": players.break_choice},
        "dealer": {"scripted": players.deal},
    },
    chance=("dealer",),
    replies=replies,
)
