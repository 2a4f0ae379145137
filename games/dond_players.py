"""Scripted negotiators of deal or no deal: they read their prompt, tell their values, offer a division and claim their part."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from collections.abc import Mapping, Sequence

from games.core import Player, View

_CLAUSE = re.compile(
    r"\b(I|you)(?:['’]ll| will| would| can| could| should| may)?(?: like to)? (?:take|get|keep|have|want)\b"
    r"([^.;!?\n]*?)(?=\b(?:I|you)\b|[.;!?\n]|\Z)"
)
_AMOUNT = re.compile(r"(\d{1,4}|an?|one|two|three|four|five|the|both|all(?: the)?)\s+([^\W\d]+)")
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_YES = re.compile(r"\b(?:deal|agreed?|ok(?:ay)?|fine|yes|works for me|sounds (?:good|fair))\b", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class _Table:
    """What one seat knows: the pile, its own values, what was said, and what follows from it."""

    names: list[str]
    shown: list[str]
    counts: list[int]
    values: list[int]
    talk: list[tuple[bool, str]]  # (is it mine, text), oldest first
    must_claim: bool

    def kind(self, word: str) -> int | None:
        """The index of an item by its name in either number."""
        for words in (self.names, self.shown):
            if word in words:
                return words.index(word)
        return None

    def theirs(self) -> list[int] | None:
        """The other seat's values, once it has told them all."""
        told: dict[int, int] = {}
        for mine, text in self.talk:
            for sentence in re.split(r"[.!?\n]", text) if not mine else ():
                if re.search("worth|value|point", sentence, re.IGNORECASE):
                    pairs = re.findall(r"([^\W\d]+)\W{1,3}(?:at |is |are |for )?(\d{1,3})\b", sentence.lower())
                    told |= {kind: int(value) for word, value in pairs if (kind := self.kind(word)) is not None}
        return [told[k] for k in range(len(self.names))] if len(told) == len(self.names) else None

    def offer(self) -> tuple[bool, list[int]] | None:
        """The last division on the table: (did I offer it, my part)."""
        for mine, text in reversed(self.talk):
            parts = {who.lower(): self._amounts(clause) for who, clause in _CLAUSE.findall(text)}
            me, other = parts.get("i" if mine else "you"), parts.get("you" if mine else "i")
            if me is None and other is not None:
                me = [count - x for count, x in zip(self.counts, other)]
            if me is not None:
                return mine, me
        return None

    def _amounts(self, clause: str) -> list[int] | None:
        """The items that a clause names, None if it names none or more than there are."""
        part = [0] * len(self.counts)
        for amount, word in _AMOUNT.findall(clause.lower()):
            kind = self.kind(word)
            if kind is not None:
                part[kind] = int(amount) if amount.isdecimal() else _NUMBERS.get(amount, self.counts[kind])
        fits = all(x <= count for x, count in zip(part, self.counts))
        return part if fits and ("nothing" in clause or any(part)) else None


def _read(view: View) -> _Table:
    """Invert the template of the prompt, and sort what was said by whom."""
    words = re.split(r"(\$N\$|\$ITEMS\$|\$VALUE_FUNCTION\$)", view.settings["initial_prompt"])
    groups = {"$N$": r"\d+", "$ITEMS$": r"(?P<items>[^\n]*?)", "$VALUE_FUNCTION$": r"(?P<values>[^\n]*?)"}
    template = "".join(groups.get(word, re.escape(word)) for word in words)
    found = re.match(template + r"(?:\n\n(?P<rest>.*))?\Z", view.seen[0], re.DOTALL)
    assert found, "the prompt is its template, filled"
    items = [item.partition(" ") for item in found["items"].split(", ")]
    values = [pair.rpartition(": ") for pair in found["values"].split(", ")]
    heard = ([] if found["rest"] is None else [found["rest"]]) + list(view.seen[1:])
    mine = [(True, text) for text in view.said]
    rows = itertools.zip_longest(*((mine, heard) if found["rest"] is None else (heard, mine)))
    talk = [row if isinstance(row, tuple) else (False, row) for pair in rows for row in pair if row is not None]
    due = tuple(text.strip() for text in (view.settings["proposal_early"], view.settings["proposal_timeout"]))
    return _Table(
        names=[name for name, _, _ in values],
        shown=[name for _, _, name in items],
        counts=[int(count) for count, _, _ in items],
        values=[int(value) for _, _, value in values],
        talk=talk,
        must_claim=view.seen[-1].strip().endswith(due),
    )


def scripted(view: View) -> str:
    """Tell values, offer the best division for both, claim what was agreed; weaker players miscount and give in too soon."""
    table, rng = _read(view), view.rng
    offer, theirs, slack = table.offer(), table.theirs(), 1 - view.strength
    if table.must_claim:
        return _claim(table, offer[1] if offer else _without_knowing(table), rng, slack)
    if offer and not offer[0] and (rng.random() < slack or _acceptable(table, offer[1], theirs, view.settings["mode"])):
        return _claim(table, offer[1], rng, slack)
    if offer and offer[0] and _YES.search(table.talk[-1][1]):
        return _claim(table, offer[1], rng, slack)
    told = "" if view.said else _tell(table, rng)
    if theirs is None and not view.said:
        return told + rng.choice((" And for you?", " What are they worth to you?", " Please tell me yours."))
    best = _without_knowing(table) if theirs is None else _best(table, theirs, view.settings["mode"])
    best = [rng.randint(0, n) if rng.random() < slack / 2 else x for x, n in zip(best, table.counts)]
    rest = [count - x for count, x in zip(table.counts, best)]
    ask = rng.choice(("Deal?", "Is that fine?", "Do you agree?"))
    return f"{told} I take {_list(table, best)}, you take {_list(table, rest)}. {ask}".strip()


def _tell(table: _Table, rng: random.Random) -> str:
    pairs = ", ".join(f"{name} {value}" for name, value in zip(table.names, table.values))
    return rng.choice((f"Worth to me: {pairs}.", f"My values: {pairs}.", f"My points: {pairs}."))


def _claim(table: _Table, part: list[int], rng: random.Random, slack: float) -> str:
    """The claim; with little strength sometimes one item too many or too few."""
    if rng.random() < 0.4 * slack:
        kind = rng.randrange(len(part))
        part = [*part]
        part[kind] = min(max(part[kind] + rng.choice((-1, 1)), 0), table.counts[kind])
    return f"[Proposal: {_list(table, part)}]" if any(part) else "[Proposal:]"


def _list(table: _Table, part: list[int]) -> str:
    rows = zip(part, table.names, table.shown)
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in rows if count) or "nothing"


def _worth(part: Sequence[int], values: Sequence[int]) -> int:
    return sum(count * value for count, value in zip(part, values))


def _rank(table: _Table, part: Sequence[int], theirs: list[int], mode: str) -> tuple[int, int]:
    """How good a division is for both, by the mode: highest sum, highest product (fair and without waste), nearest to even."""
    me = _worth(part, table.values)
    other = _worth([count - x for count, x in zip(table.counts, part)], theirs)
    if mode == "coop":
        return me + other, -abs(me - other)
    return (me * other, me + other) if mode == "semi" else (-abs(me - other), me + other)


def _best(table: _Table, theirs: list[int], mode: str) -> list[int]:
    parts = itertools.product(*(range(count + 1) for count in table.counts))
    return list(max(parts, key=lambda part: _rank(table, [*part], theirs, mode)))


def _acceptable(table: _Table, part: list[int], theirs: list[int] | None, mode: str) -> bool:
    """No division is better; without knowing the other's values: I get my share of the value, or we play together."""
    if theirs is None:
        return mode == "coop" or 2 * _worth(part, table.values) >= _worth(table.counts, table.values)
    return _rank(table, part, theirs, mode) >= _rank(table, _best(table, theirs, mode), theirs, mode)


def _without_knowing(table: _Table) -> list[int]:
    """All of the kinds that are worth more to me than an average item."""
    mean = _worth(table.counts, table.values) / sum(table.counts)
    return [count if value > mean else 0 for count, value in zip(table.counts, table.values)]


def at_random(view: View) -> str:
    """Legal messages and claims without a plan."""
    table, rng = _read(view), view.rng
    part = [rng.randint(0, count) for count in table.counts]
    if table.must_claim or rng.random() < 0.3:
        return _claim(table, part, rng, 0)
    words = (f"I take {_list(table, part)}.", f"You take {_list(table, part)}.", "What do you need?", "No.", "Deal.")
    return rng.choice(words)


def broken(view: View) -> str:
    """Claims as models get them wrong, chatter where a claim is due; sometimes a legal message."""
    table, rng = _read(view), view.rng
    name, count = table.names[0], table.counts[0]
    wrong = (
        f"You: [{count} {name}]",
        f"I think we agree. [Proposal: the {name}]",
        f"[Proposal: 1 {name}, 1 {name}]",
        f"[Proposal: {count + 1} {table.shown[0]}]",
        f"[Proposal: 1 {name} and the rest later]",
        "[Proposal: 2.5 ropes, 1 stick]",
        "My final proposal is 1 of each.",
        "**Proposal:** everything",
        "",
    )
    return at_random(view) if rng.random() < 0.3 else rng.choice(wrong)


PLAYERS: Mapping[str, Player] = {"scripted": scripted, "random": at_random, "broken": broken}
