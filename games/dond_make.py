"""Fresh piles for deal or no deal, and our own prompts."""

from __future__ import annotations

import functools
import importlib.resources
import json
import random
from collections.abc import Mapping

from games.core import split_of

# level -> (mode, how many kinds of items, how many items)
LEVELS = {
    "easy": ("coop", (2, 2), (3, 4)),
    "coop": ("coop", (3, 5), (5, 8)),
    "semi": ("semi", (3, 5), (5, 8)),
    "comp": ("comp", (3, 5), (5, 8)),
}


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A fresh pile: worth 10 to each seat, nothing worthless to both, something wanted by both."""
    _, kinds, sizes = LEVELS[level]
    while True:
        rows = rng.sample(_items(), rng.randint(*kinds))
        counts = [1] * len(rows)
        for _ in range(rng.randint(*sizes) - len(rows)):
            counts[rng.randrange(len(rows))] += 1
        a, b = _ten(rng, counts), _ten(rng, counts)
        if not all(x or y for x, y in zip(a, b)) or not any(x and y for x, y in zip(a, b)):
            continue
        instance = {
            "item_types": [one for one, _ in rows],
            "item_types_plural": [many for _, many in rows],
            "item_counts": counts,
            "player_a_values": a,
            "player_b_values": b,
        }
        if split_of(target(instance)) == split:
            return instance


def _ten(rng: random.Random, counts: list[int]) -> list[int]:
    """Values 0..10 that make the whole pile worth 10, each such list equally likely."""
    while True:
        values = [rng.randint(0, 10) for _ in counts[1:]]
        first, rest = divmod(10 - sum(count * value for count, value in zip(counts[1:], values)), counts[0])
        if first >= 0 and rest == 0:
            return [first, *values]


@functools.cache
def _items() -> list[tuple[str, str]]:
    """Our items: (singular, plural)."""
    text = (importlib.resources.files("games") / "resources" / "dond_items.tsv").read_text(encoding="utf-8")
    return [(one, many) for one, many in (line.split("\t") for line in text.splitlines())]


def target(instance: Mapping) -> str:
    """The pile and its values, whatever the order of the items."""
    fields = ("item_types", "item_counts", "player_a_values", "player_b_values")
    return json.dumps(sorted(zip(*(instance[field] for field in fields))))


_FULL = """You and one other player divide a pile of items by talking to each other.

How it goes:
1. You both see the same pile, but every kind of item has a value for you that only you know. The other player has other values.
2. You write in turns, at most $N$ messages each. Whatever you write is passed on word for word: write only the message.
   What the other player writes reaches you in the same way.
3. At any turn you may send your claim instead: the items you want for yourself, on one line in square brackets. The other
   player does not see it and has to send a claim next. Claims are final. After the last message both of you have to send one.
4. A claim looks like this: [Proposal: 1 hat, 2 books]
   Give a number and a name for each kind you want, once, and never more than the pile holds. [Proposal:] claims nothing.
   Use square brackets for your claim only; anything else in square brackets ends the game.
5. If the pile holds enough for both claims, each of you gets the values of the items claimed. Otherwise nobody gets anything.
6. {goal}

The pile:

$ITEMS$

What one of each is worth to you:

$VALUE_FUNCTION$

Now write your message, or your claim. If the other player has begun, you read that message below.
"""
_SHORT = """Divide items with a partner. Send up to $N$ messages, then claim your part: [Proposal: 1 hat, 2 books]
Claims must not overlap. {goal}
Items: $ITEMS$
Your values: $VALUE_FUNCTION$
"""
_GOALS = {
    "coop": ("Your aim: your points and the other player's, added up, shall be as many as possible.", "Most points together."),
    "semi": ("Your aim: as many points as possible for yourself.", "Most points for you."),
    "comp": ("Your aim: as many points more than the other player as possible.", "More points than your partner."),
}


def settings(level: str, form: str) -> dict:
    """Our own prompts for a level, in the official schema."""
    mode, full = LEVELS[level][0], form == "full"
    early = "The other player has sent a claim. Send yours now, in this form: [Proposal: 1 hat, 2 books]\n"
    late = "That was the last message. Send your claim now, in this form: [Proposal: 1 hat, 2 books]\n"
    return {
        "name": f"{level}_en",
        "mode": mode,
        "language": "en",
        "max_turns": 5,
        "initial_prompt": (_FULL if full else _SHORT).replace("{goal}", _GOALS[mode][0 if full else 1]),
        "proposal_early": early if full else "Partner has claimed. Claim now.\n",
        "proposal_timeout": late if full else "Time is up. Claim now.\n",
    }
