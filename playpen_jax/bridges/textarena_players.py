"""Scripted players of TextArena's games: allowed moves where the rules are simple, else an action of a form that was shown.

They are there to bring episodes to their end, not to win them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from games.core import Player, View
from playpen_jax.bridges.textarena_rules import RULES

_BRACKETS = re.compile(r"\[[^\[\]\n]{1,40}\]")
_SPEAKER = re.compile(r"\[(?:GAME|Player \d+|[^\[\]]*[<>{}|][^\[\]]*)\]")
_OFFERED = re.compile(r"(?:actions|moves|options)[^\[\n]*:(?=[^\n]*\[)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


def players(name: str) -> dict[str, Player]:
    """The players of an environment's id."""
    rule = RULES.get(name.split("-")[0])

    def scripted(view: View) -> str:
        known = rule(view) if rule is not None and view.rng.random() <= view.strength else None
        return known or move(view)

    return {"scripted": scripted, "random": move_anyhow, "broken": chat}


def _actions(texts: Sequence[str]) -> list[str]:
    return [action for text in texts for action in _BRACKETS.findall(text) if not _SPEAKER.fullmatch(action)]


def move(view: View) -> str:
    """One of the actions offered last, else named last, else one of the same form with other numbers.

    What it said before it says again only if nothing else is left.
    """
    *_, offered = _OFFERED.split(view.seen[-1])
    if offered != view.seen[-1] and (listed := _actions([offered.split("\n\n")[0]])):
        return re.sub(r"\b[XN]\b", "1", view.rng.choice(listed))
    named, said = _actions(view.seen[-1:]), set(view.said)
    forms = _actions(view.seen[:1]) or _actions(view.seen) or ["[1]"]
    other = [_NUMBER.sub(lambda found: str(view.rng.randint(0, 9)), view.rng.choice(forms)) for _ in range(5)]
    options = [action for action in named if action not in said]
    return view.rng.choice(options or [action for action in other if action not in said] or named or forms)


def move_anyhow(view: View) -> str:
    """Any action of a form that was ever shown."""
    return view.rng.choice(_actions(view.seen) or ["[0]"])


def chat(view: View) -> str:
    """Words in place of an action."""
    return view.rng.choice(("I would like to move.", "[let us talk]", "", "My move is clear [", move(view).strip("[]")))
