"""Scripted players for Guess What: the guesser halves the list with the lexicon's features, the answerer looks them up."""

from __future__ import annotations

import ast
import functools
import re
import zlib
from collections.abc import Mapping, Sequence

from games.core import View
from games.lexicon import lexicon, questions, stop_words
from games.stemmer import stem
from games.templates import invert

LEGAL = 0.3  # share of replies of the broken players that keep the form
NAMING = "Is it one of these: "  # asks for words that the lexicon does not know


def _list(view: View) -> list[str]:
    """The candidates, read from the Python list in the prompt."""
    shown = invert(view.settings["guesser_initial_prompt"], view.seen[0]) or {}
    return ast.literal_eval(shown.get("LIST", "[]"))


def _key(question: str) -> str:
    """A question in lower case, with "it" for the word."""
    return re.sub(r"\bthe (target |secret )?word\b", "it", question.lower()).strip()


@functools.cache
def _by_question() -> Mapping[str, str]:
    return {_key(question): feature for feature, question in questions().items()}


def _holds(word: str, question: str) -> bool:
    """Whether the guesser expects a yes to its own question for this word."""
    if question.startswith(NAMING):
        return word in question.removeprefix(NAMING).removesuffix("?").split(", ")
    return _by_question().get(_key(question)) in _features(word)


def _features(word: str) -> frozenset[str]:
    entry = lexicon().get(word.lower())
    return entry.features if entry else frozenset()


def _remaining(view: View, words: Sequence[str]) -> list[str]:
    """The words that agree with most answers; a weak player forgets some of them."""
    facts = [
        (question.removeprefix(view.settings["question_tag"]).strip(), "yes" in answer.lower())
        for question, answer in zip(view.said, view.seen[1:])
        if view.rng.random() < 0.6 + 0.4 * view.strength
    ]
    agreed = {word: sum(_holds(word, question) == yes for question, yes in facts) for word in words}
    return [word for word in words if agreed[word] == max(agreed.values())]


def find(view: View) -> str:
    """Ask what halves the words that are left, and guess when one is left or time is short.

    A weak player forgets answers, asks at random and guesses too early.
    """
    rng, slack = view.rng, 1 - view.strength
    left = _remaining(view, _list(view)) or [""]
    turn, limit = len(view.said) + 1, view.settings["max_turns"]
    # a guess in the very last round scores nothing
    if len(left) == 1 or turn >= limit - 1 or rng.random() < 0.15 * slack:
        return f"{view.settings['guess_tag']} {rng.choice(left)}"
    question = rng.choice(list(questions().values())) if rng.random() < slack else _halving(left)
    return f"{view.settings['question_tag']} {question}"


def _halving(words: Sequence[str]) -> str:
    """The feature question that splits the words most evenly, or one that names half of them if none will do."""
    if all(word.lower() in lexicon() for word in words):
        yes = {feature: sum(feature in _features(word) for word in words) for feature in questions()}
        best = min(yes, key=lambda feature: abs(2 * yes[feature] - len(words)))
        if 0 < yes[best] < len(words):
            return questions()[best]
    return f"{NAMING}{', '.join(words[: len(words) // 2])}?"


def answer(view: View) -> str:
    """Look the question up in the lexicon; a weak player lies at times."""
    shown = invert(view.settings["answerer_initial_prompt"], view.seen[0]) or {"rest": view.seen[0]}
    question = (shown["rest"] if len(view.seen) == 1 else view.seen[-1]).removeprefix(view.settings["question_tag"]).strip()
    yes = truth(shown.get("TARGET WORD", ""), question)
    return _say(view, yes != (view.rng.random() < 0.2 * (1 - view.strength)))


def truth(word: str, question: str) -> bool:
    """The lexicon's answer to a question about a word; where it has none, an answer that depends on the two alone."""
    asked = {stem(part) for part in re.findall(r"\w+", question.lower()) if part not in stop_words()}
    feature = _by_question().get(_key(question))
    entry = lexicon().get(word.lower())
    if entry and feature:
        return feature in entry.features
    if stem(word) in asked:
        return True
    if entry:
        known = (entry.category, *entry.features, *entry.associations)
        return any(stem(other) in asked for other in known)
    if question.startswith(NAMING):
        return False
    return zlib.crc32(f"{word}/{question}".encode("utf-8", "replace")) % 2 == 0


def _say(view: View, yes: bool) -> str:
    """The first legal form of the answer."""
    return next(form for form in view.settings["answer_variations"] if ("yes" in form.lower()) == yes)


def ask_anything(view: View) -> str:
    """Any question of the lexicon, at times a guess at any listed word."""
    if view.rng.random() < 0.2:
        return f"{view.settings['guess_tag']} {view.rng.choice(_list(view) or [''])}"
    return f"{view.settings['question_tag']} {view.rng.choice(list(questions().values()))}"


def answer_anything(view: View) -> str:
    return view.rng.choice(view.settings["answer_variations"])


def break_question(view: View) -> str:
    """A guess below the question, a question about the word class, no tag, two words; at times a legal question."""
    word = view.rng.choice(_list(view) or [""])
    question = view.rng.choice(list(questions().values()))
    if view.rng.random() < LEGAL:
        return f"QUESTION: {question}"
    return view.rng.choice(
        (
            f"QUESTION: {question}\n\nGUESS: {word}",
            "QUESTION: Is the target word a noun?",
            f"QUESTION: {question} QUESTION: {question}",
            question,
            f" GUESS: {word}",
            f"GUESS: the {word}",
        )
    )


def break_answer(view: View) -> str:
    """An answer with a line break, an explanation, another case or no tag; at times a legal one."""
    word = view.rng.choice(("yes", "no"))
    if view.rng.random() < LEGAL:
        return f"ANSWER: {word}"
    return view.rng.choice(
        (
            f"ANSWER: {word}\n",
            f"ANSWER: {word}.",
            f"ANSWER: {word.title()}, it does.",
            f"answer: {word}",
            word,
            f"ANSWER: {word.upper()}",
        )
    )
