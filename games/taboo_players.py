"""Scripted players for Taboo: they describe and guess with the lexicon's associations."""

from __future__ import annotations

import functools
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence

from games.core import View
from games.lexicon import Entry, lexicon, stop_words
from games.stemmer import stem
from games.templates import invert

LEGAL = 0.3  # share of replies of the broken players that keep the form
CLUE_WORDS = (3, 3, 4)  # words in the clue of each round


def _secret(view: View) -> tuple[str, list[str]]:
    """The describer's target and taboo words."""
    shown = invert(view.settings["describer_initial_prompt"], view.seen[0]) or {}
    related = [line.removeprefix("- ") for line in shown.get("REL_WORD", "").split("\n")]
    return shown.get("TARGET_WORD", ""), [word for word in related if word]


def _legal(words: Iterable[str], forbidden: Sequence[str]) -> list[str]:
    """The words, each stem once, that share no stem with a forbidden word."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(stem(word), word)
    stems = {stem(word) for word in forbidden}
    return [word for its_stem, word in first.items() if its_stem not in stems]


def describe(view: View) -> str:
    """Category and associations, new ones each round; a weak player says less, vaguer and at times forbidden words."""
    target, related = _secret(view)
    if view.rng.random() < 0.25 - 0.5 * view.strength:
        return f"CLUE: {view.rng.choice([target, *related])}"
    entry = lexicon().get(target.lower())
    words = _hints(view, entry, [target, *related]) if entry else _letters(view, target, [target, *related])
    return f"CLUE: {', '.join(words)}"


def _hints(view: View, entry: Entry, forbidden: Sequence[str]) -> list[str]:
    """A few clue words for a noun, its category first of all; features only when the associations are used up."""
    rng, slack = view.rng, 1 - view.strength
    known = _legal([entry.category, *entry.associations], forbidden)
    vague = _legal(sorted(entry.features), [*forbidden, entry.category]) or known
    said = {stem(word) for clue in view.said for word in clue_words(clue)}
    fresh = [word for word in known if stem(word) not in said] or vague
    size = max(1, round(CLUE_WORDS[min(len(view.said), len(CLUE_WORDS) - 1)] * (1 - 0.6 * slack)))
    first = [] if view.said else fresh[:1]
    words = first + rng.sample(fresh[len(first) :], min(size, len(fresh)) - len(first))
    return list(dict.fromkeys(rng.choice(vague) if rng.random() < 0.7 * slack else word for word in words))


def _letters(view: View, word: str, forbidden: Sequence[str]) -> list[str]:
    """What can be said about a word that the lexicon does not know."""
    start, end = word[:1].lower(), word[-1:].lower()
    hints = [f"{len(word)} letters", f"starts with {start}", f"ends with {end}", "unknown", "secret"]
    legal = [hint for hint in hints if len(_legal(hint.split(), forbidden)) == len(hint.split())]
    return legal[len(view.said) % 2 :][:2]


def clue_words(clue: str) -> list[str]:
    """The words of a clue that carry meaning, in lower case."""
    words = re.findall(r"\w+", clue.replace("CLUE:", "").lower())
    return [word for word in words if word not in stop_words()]


@functools.cache
def _meanings() -> Mapping[str, Mapping[str, float]]:
    """stem of a clue word -> {noun that it calls up: how strongly}; a rarer clue word counts for more."""
    found: dict[str, dict[str, float]] = {}

    def note(clue: str, word: str, weight: float) -> None:
        nouns = found.setdefault(stem(clue), {})
        nouns[word] = max(weight, nouns.get(word, 0))

    for entry in lexicon().values():
        for clue, weight in _aspects(entry):
            note(clue, entry.word, weight)
        for other in lexicon().keys() & set(entry.associations):
            note(entry.word, other, 0.5)
    size = len(lexicon())
    return {clue: {word: w * math.log(size / len(nouns)) for word, w in nouns.items()} for clue, nouns in found.items()}


def _aspects(entry: Entry) -> list[tuple[str, float]]:
    return [(entry.category, 1.0)] + [(a, 1.0) for a in entry.associations] + [(f, 0.5) for f in sorted(entry.features)]


@functools.cache
def _stems() -> Mapping[str, str]:
    return {noun: stem(noun) for noun in lexicon()}


def ranking(clues: Iterable[str], refused: Iterable[str] = ()) -> list[str]:
    """All nouns, those that fit the clues best first; neither refused ones nor words of the clues."""
    spoken = {stem(word) for clue in clues for word in clue_words(clue)}
    out = spoken | {stem(word) for word in refused}
    score: dict[str, float] = {}
    for word in sorted(spoken):
        for noun, weight in _meanings().get(word, {}).items():
            score[noun] = score.get(noun, 0) + weight
    nouns = dict.fromkeys([*sorted(score, key=score.__getitem__, reverse=True), *lexicon()])
    return [noun for noun in nouns if _stems()[noun] not in out] or list(lexicon())


def guess(view: View) -> str:
    """The best noun for all clues so far, never one twice; a weak player often takes one further down the list."""
    shown = invert(view.settings["guesser_initial_prompt"], view.seen[0]) or {"rest": view.seen[0]}
    clues = [shown["rest"], *view.seen[1:]]
    nouns = ranking(clues, [reply.removeprefix("GUESS:").strip() for reply in view.said])
    if view.rng.random() < view.strength:
        return f"GUESS: {nouns[0]}"
    return f"GUESS: {view.rng.choice(nouns[: 2 + round(30 * (1 - view.strength))])}"


def describe_anything(view: View) -> str:
    """A clue of three words for anything."""
    return f"CLUE: {', '.join(_anything(view.rng) for _ in range(3))}"


def guess_anything(view: View) -> str:
    return f"GUESS: {view.rng.choice(list(lexicon()))}"


def _anything(rng: random.Random) -> str:
    return rng.choice(rng.choice(list(lexicon().values())).associations)


def break_clue(view: View) -> str:
    """A clue with a remark or a blank before its tag, without it, or a guess in its place; at times a legal one."""
    word = _anything(view.rng)
    if view.rng.random() < LEGAL:
        return f"CLUE: {word}"
    return view.rng.choice(
        (
            f"GUESS: {word}",
            f"Close, but not yet.\n\nCLUE: {word}",
            f"**CLUE:** {word}",
            f" CLUE: {word}",
            f"It has to do with {word}.",
        )
    )


def break_guess(view: View) -> str:
    """A guess with something before its tag, without it, or a clue in its place; at times a legal one."""
    word = view.rng.choice(list(lexicon()))
    if view.rng.random() < LEGAL:
        return f"GUESS: {word}"
    return view.rng.choice(
        (
            f"CLUE: {word}",
            f"I think I know it.\nGUESS: {word}",
            f"**GUESS:** {word}",
            f"\nGUESS: {word}",
            f"Guess: {word}",
            f"Is it {word}?",
        )
    )
