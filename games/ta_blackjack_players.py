"""Scripted players of Blackjack: one who knows all chances, and the dealer, who deals what the seed draws."""

from __future__ import annotations

import re

from games.core import View
from games.ta_blackjack_rules import draw, read, should_hit

LEGAL = 0.2  # share of replies of the broken player that are good
_DEAL = re.compile(r"Seed (-?\d+), (\d+) cards are dealt\. Deal (\d+)\.")


def deal(view: View) -> str:
    """The next cards of the instance's seed."""
    asked = _DEAL.fullmatch(view.seen[-1])
    assert asked, "only our own engine asks for cards"
    return " ".join(draw(*map(int, asked.groups())))


def weigh(view: View) -> str:
    """What makes a win more likely; a weak player often tosses a coin."""
    if view.rng.random() > view.strength:
        return toss(view)
    *mine, shown = next(cards for text in reversed(view.seen) if (cards := read(text)))
    return "[Hit]" if should_hit(mine, shown) else "[Stand]"


def toss(view: View) -> str:
    return view.rng.choice(("[Hit]", "[Stand]"))


def break_choice(view: View) -> str:
    """Choices without brackets, in other words, or the message said again; at times a good one."""
    if view.rng.random() < LEGAL:
        return weigh(view)
    choice = view.rng.choice(("hit", "stand"))
    return view.rng.choice(
        (
            choice.title(),
            f"({choice})",
            f"[{choice.title()}!]",
            f"[I {choice}]",
            f"I will {choice}, since this is likely to win.",
            f"Action: {choice.upper()}",
            view.seen[-1],
            "[Double]",
        )
    )
