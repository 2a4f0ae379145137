"""Scripted players of Cryptolect: a linguist who fits every possible grammar to what was translated, and worse ones."""

from __future__ import annotations

import itertools
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from games.core import View
from games.cryptolect_language import _CHOICES, NUMBERS, Malformed, Meaning, Slot, World, english, layout

LEGAL = 0.2  # share of replies of the broken player that keep the form
_PAIR = re.compile(r'^(?:    |\d+\. ")(.+?)"?  =>  (.+)$', re.MULTILINE)
_COUNTS = {word: count for count, word in NUMBERS.items()}
Data = list[tuple[Meaning, list[str]]]


def world(view: View) -> World:
    """The words in play, read from the prompt."""
    found = {
        kind: re.search(rf"^{kind}[^:\n]*: ([^(\n]*)", view.seen[0], re.MULTILINE) for kind in ("Nouns", "Adjectives", "Verbs")
    }
    numbers = re.search(r"^Number words: ([^(\n]*)", view.seen[0], re.MULTILINE)
    nouns, adjectives, verbs = (re.findall(r"[a-z]+", match[1]) if match else [] for match in found.values())
    return World(
        nouns, adjectives, verbs, [1, *(_COUNTS[word] for word in re.findall(r"[a-z]+", numbers[1] if numbers else ""))]
    )


def translated(view: View, known: World) -> Data:
    """All sentences that the informant has translated, and how."""
    data = []
    for sentence, said in (pair for text in view.seen for pair in _PAIR.findall(text)):
        try:
            data.append((known.read(sentence), said.split()))
        except Malformed:  # a probe that could not be translated
            continue
    return data


def questions(view: View) -> list[str]:
    """The sentences of the exam; empty before it."""
    exam = [text.partition("FINAL EXAM")[2] for text in view.seen if "FINAL EXAM" in text]
    return re.findall(r"^\d+\. ([a-z ]+)$", exam[-1], re.MULTILINE) if exam else []


def study(view: View) -> str:
    """Probes that show all words, then the exam by the grammar that fits best; a weak linguist gets many answers wrong."""
    known, asked = world(view), questions(view)
    if not asked:
        return _probes(_plan(view, known))
    tell = _grammar(translated(view, known))
    lines = [tell(known.read(sentence)) for sentence in asked]
    for at, line in enumerate(lines):
        if view.rng.random() >= view.strength:
            lines[at] = " ".join(reversed(line.split())) + view.rng.choice("aeiou")
    return "\n".join(["ANSWERS:", *(f"{number}. {line}" for number, line in enumerate(lines, 1))])


def _probes(sentences: Iterable[str]) -> str:
    return "\n".join(["PROBES:", *(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))])


def _plan(view: View, known: World) -> list[str]:
    """The sentences of this round: all nouns, adjectives, verbs and number words in turn, in changing company."""
    a_round = view.settings["probes_per_round"]
    done = sum(text.startswith("TRANSLATIONS:") for text in view.seen) * a_round
    phrases = _phrases(known, random.Random(repr(known.nouns)))
    sentences = (
        {"subj": next(phrases), "verb": known.verbs[number % len(known.verbs)], "obj": next(phrases)}
        for number in itertools.count()
    )
    return [english(meaning) for meaning in itertools.islice(sentences, done, done + a_round)]


def _phrases(known: World, rng: random.Random) -> Iterator[dict]:
    """Noun phrases; each noun comes once before any comes again."""
    counts, adjectives = [1, *known.numbers.values()], known.adjectives
    for number in itertools.count():
        if number % len(known.nouns) == 0:
            nouns = rng.sample(known.nouns, len(known.nouns))
        chosen = [adjectives[number // 2 % len(adjectives)]] if adjectives and number % 4 < 3 else []
        count = counts[number % len(counts)] if rng.random() < 0.7 else 1
        yield {"noun": nouns[number % len(nouns)], "count": count, "def": rng.random() < 0.5, "adjs": chosen}


def _grammar(data: Data) -> Callable[[Meaning], str]:
    """Meaning -> sentence, by the grammar that contradicts itself least on the data."""
    best: tuple = ()
    least = math.inf
    for option in itertools.product(*list(_CHOICES.values())[:3], (*_CHOICES["def_type"], None)):
        wrong = _conflicts(data, option, least)
        if wrong < least:
            best, least = option, wrong
    forms = _Forms(slot for meaning, said in data for slot in zip(layout(meaning, *best), said))
    return lambda meaning: " ".join(map(forms.say, layout(meaning, *best)))


def _conflicts(data: Data, grammar: tuple, enough: float) -> int:
    """Words too many or too few, slots that were said in two ways, words that said two things; counted up to `enough`."""
    meant: dict[str, Slot] = {}
    said_as: dict[Slot, str] = {}
    wrong = 0
    for meaning, said in data:
        slots = layout(meaning, *grammar)
        wrong += abs(len(slots) - len(said))
        for slot, word in zip(slots, said):
            wrong += (said_as.setdefault(slot, word) != word) + (meant.setdefault(word, slot) != slot)
        if wrong >= enough:
            break
    return wrong


class _Forms:
    """The words of a language, those of nouns taken apart into stem, plural ending and definite ending."""

    def __init__(self, pairs: Iterable[tuple[Slot, str]]):
        heard: dict[Slot, Counter] = {}
        for slot, word in pairs:
            heard.setdefault(slot, Counter())[word] += 1
        self.forms = {slot: found.most_common(1)[0][0] for slot, found in heard.items()}
        nouns = {slot[1:]: word for slot, word in self.forms.items() if slot[0] == "noun"}
        self.definite = _ending(
            (nouns.get((noun, many, False)), word) for (noun, many, definite), word in nouns.items() if definite
        )
        bare = {key[:2]: word.removesuffix(self.definite * key[2]) for key, word in nouns.items()}
        self.plural = _ending((bare.get((noun, False)), word) for (noun, many), word in bare.items() if many)
        self.stems = {noun: word.removesuffix(self.plural * many) for (noun, many), word in bare.items()}

    def say(self, slot: Slot) -> str:
        """The word for a slot, as it was heard or else put together."""
        if slot[0] == "noun" and slot not in self.forms:
            return self.stems.get(slot[1], slot[1]) + self.plural * slot[2] + self.definite * slot[3]
        return self.forms.get(slot, str(slot[-1]))


def _ending(pairs: Iterable[tuple[str | None, str]]) -> str:
    """What words have more than their shorter forms, where these are known; else the end that all of them share."""
    pairs = list(pairs)
    more = Counter(word.removeprefix(short) for short, word in pairs if short and word.startswith(short))
    if more:
        return more.most_common(1)[0][0]
    return os.path.commonprefix([word[::-1] for _, word in pairs])[::-1]


def ask_anything(view: View) -> str:
    """Well-formed probes without a plan, and an exam in words that were heard."""
    known, asked = world(view), questions(view)
    if not asked:
        phrases = _phrases(known, view.rng)
        made = ({"subj": next(phrases), "verb": view.rng.choice(known.verbs), "obj": next(phrases)} for _ in itertools.count())
        return _probes(map(english, itertools.islice(made, view.rng.randint(1, view.settings["probes_per_round"]))))
    heard = sorted({word for _, said in translated(view, known) for word in said}) or known.nouns
    lines = (" ".join(view.rng.choices(heard, k=len(sentence.split()))) for sentence in asked)
    return "\n".join(["ANSWERS:", *(f"{number}. {line}" for number, line in enumerate(lines, 1))])


def ramble(view: View) -> str:
    """Thoughts without a list, too many probes, a remark behind the list, answers left out; at times a good reply."""
    good = ask_anything(view)
    if view.rng.random() < LEGAL:
        return good
    lines = good.splitlines()
    return view.rng.choice(
        (
            "THOUGHTS: The verb seems to stand in the middle. The language has no case. The verb seems to stand",
            f"{lines[0]}\n" + "\n".join(lines[1:] * 7),
            f"{lines[0]}\n" + "\n\n".join(["I look at each of them in turn.", *lines[1:], *["This is how it must be."] * 6]),
            f"**{lines[0]}**\nI could ask about trees, but first of all about the order of words.",
            lines[0],
            "",
        )
    )
