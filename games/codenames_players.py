"""Scripted players for Codenames: they hint and guess with the clue table, and by the look of words that are not in it."""

from __future__ import annotations

import functools
import os.path
from collections.abc import Mapping
from itertools import takewhile

from games.codenames_words import OWNERS, PROMPTS, known_forms, related, rows
from games.core import Player, View
from games.lexicon import lexicon
from games.templates import invert


def _shown(view: View, role: str) -> Mapping[str, str]:
    """What the placeholders of the last filled prompt stood for; remarks in between are passed over."""
    prompts = view.settings.get("prompts", PROMPTS["full"])
    templates = (prompts[f"{role}_later"], prompts[f"{role}_first"])
    readings = (invert(template, text) for text in reversed(view.seen) for template in templates)
    return next(reading for reading in readings if reading)


def _listed(text: str) -> list[str]:
    return [word for word in text.split(", ") if word]


def _answer(clue: str, targets: list[str]) -> str:
    return f"CLUE: {clue}\nTARGETS: {', '.join(targets)}"


def cluegiver(view: View) -> str:
    """Take the row of the clue table whose closest words on the board are the team's; a weak player forgets the order."""
    shown = _shown(view, "cluegiver")
    owner = {word: side for side in OWNERS for word in _listed(shown[side.upper()])}
    taken = frozenset().union(*map(known_forms, owner))
    careless = view.rng.random() > view.strength
    options: list[tuple[float, str, list[str]]] = []
    for clues, words in rows():
        near = [word for word in words if word in owner]
        team = [word for word in near if owner[word] == "team"]
        sure = list(takewhile(lambda word: owner[word] == "team", near))
        targets = team if careless else sure
        legal = [clue for clue in clues if taken.isdisjoint(known_forms(clue))]
        if targets and legal:
            risk = 0.3 * (len(near) > len(team)) + 0.4 * any(owner[word] == "assassin" for word in near)
            worth = view.rng.random() if careless else len(targets) - risk + 0.1 * view.rng.random()
            options.append((worth, view.rng.choice(legal), targets))
    if options:
        _, clue, targets = max(options)
        return _answer(clue, targets[:4])
    word = view.rng.choice([word for word, side in owner.items() if side == "team"])
    known = lexicon().get(word)
    for clue in known.associations if known else ():
        if not related(clue, owner) and max(owner, key=lambda other: affinity(clue, other)) == word:
            return _answer(clue, [word])
    return _answer(next(made for end in ("ish", "ful", "hood", "ward") if not related(made := word + end, owner)), [word])


@functools.cache
def _calls() -> Mapping[str, Mapping[str, float]]:
    """clue -> {word that it calls up: how strongly}: by the clue table, then by the lexicon, then by shared rows."""
    calls: dict[str, dict[str, float]] = {}

    def link(clue: str, word: str, strength: float) -> None:
        calls.setdefault(clue, {})[word] = max(strength, calls.get(clue, {}).get(word, 0))

    for clues, words in rows():
        for rank, word in enumerate(words):
            for clue in clues:
                link(clue, word, 100 - rank)
                link(word, clue, 50 - rank)
            for other in words:
                link(word, other, 2 + calls.get(word, {}).get(other, 0))
    for word, entry in lexicon().items():
        for rank, clue in enumerate(entry.associations):
            link(clue, word, 60 - rank)
            link(word, clue, 40 - rank)
        link(entry.category, word, 20)
    return calls


def affinity(clue: str, word: str) -> float:
    """How strongly a clue calls up a word; a shared beginning counts a little."""
    shared = len(os.path.commonprefix([clue, word]))
    return _calls().get(clue, {}).get(word, 0) + (shared / len(word) if shared > 2 else 0)


def guesser(view: View) -> str:
    """Name the words that the clue calls up most, or a random one; a weak player mixes others in."""
    shown = _shown(view, "guesser")
    board = _listed(shown["BOARD"])
    likes = {word: affinity(shown["CLUE"], word) for word in board}
    ranked = sorted((word for word in board if likes[word]), key=lambda word: -likes[word])[: int(shown["NUMBER"])]
    guesses = ranked or [view.rng.choice(board)]
    for i in range(len(guesses)):
        others = [word for word in board if word not in guesses]
        if others and view.rng.random() > 0.5 + 0.5 * view.strength:
            guesses[i] = view.rng.choice(others)
    return f"GUESS: {', '.join(guesses)}"


def random_cluegiver(view: View) -> str:
    """Any clue that is legal, for any words of the team."""
    shown = _shown(view, "cluegiver")
    owner = {word: side for side in OWNERS for word in _listed(shown[side.upper()])}
    team = _listed(shown["TEAM"])
    legal = [clue for clues, _ in rows() for clue in clues if not related(clue, owner)]
    return _answer(view.rng.choice(legal), view.rng.sample(team, view.rng.randint(1, min(3, len(team)))))


def random_guesser(view: View) -> str:
    """Any words of the board, no more than allowed."""
    shown = _shown(view, "guesser")
    board = _listed(shown["BOARD"])
    return f"GUESS: {', '.join(view.rng.sample(board, view.rng.randint(1, min(int(shown['NUMBER']), len(board)))))}"


def broken_cluegiver(view: View) -> str:
    """Ramble, repeat a word of the board, lose a tag or invent a target; sometimes legal."""
    legal = cluegiver(view)
    clue, targets = legal.removeprefix("CLUE: ").split("\nTARGETS: ")
    first = targets.split(", ")[0]
    return view.rng.choice(
        [
            legal,
            legal + "\n",
            f"{legal}\n\nThese words all have to do with {clue}.",
            f"Here is my clue.\n{legal}",
            f"CLUE: {first}\nTARGETS: {targets}",
            f"CLUE: {clue}, {targets.count(',') + 1}\nTARGETS: {targets}",
            f"Clue: {clue}\nTargets: {targets}",
            f"CLUE: {clue}",
            f"{legal}, {first}",
            f"{legal}, {clue}",
            f"CLUE: {clue} {first}\nTARGETS: {targets}",
        ]
    )


def broken_guesser(view: View) -> str:
    """Guess too much, the clue itself, twice the same, without tag or with remarks; sometimes legal."""
    shown = _shown(view, "guesser")
    legal = guesser(view)
    first = legal.removeprefix("GUESS: ").split(", ")[0]
    return view.rng.choice(
        [
            legal,
            legal + "\n",
            legal.removeprefix("GUESS: "),
            f"GUESS: {shown['BOARD']}",
            f"GUESS: {shown['CLUE']}",
            f"GUESS: {first}, {first}",
            f"GUESS: {first} is the word that fits {shown['CLUE']}",
            f"I think of {first}.\n{legal}",
            legal.replace("GUESS", "Guess"),
        ]
    )


def opponent(view: View) -> str:
    """Draw, as the pending message asks: "Uncover 2 of: a, b, c"."""
    head, words = view.seen[-1].split(" of: ")
    return ", ".join(view.rng.sample(words.split(", "), int(head.removeprefix("Uncover "))))


PLAYERS: Mapping[str, Mapping[str, Player]] = {
    "cluegiver": {"scripted": cluegiver, "random": random_cluegiver, "broken": broken_cluegiver},
    "guesser": {"scripted": guesser, "random": random_guesser, "broken": broken_guesser},
    "opponent": {"scripted": opponent},
}
