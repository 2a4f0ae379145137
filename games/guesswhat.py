"""Guess What: a guesser finds one of eight listed words with yes/no questions; an answerer knows which one it is."""

from __future__ import annotations

import math
import random
import re
import string
from collections.abc import Mapping

from games import guesswhat_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, split_of
from games.lexicon import ABSTRACT, categories, lexicon
from games.templates import fill

FULL_SCORE_UNTIL = 5  # the last round whose right guess scores 100
# settings key -> may it match anywhere in a question, or only at its start
PATTERNS = {
    "letter_based_pattern": re.Pattern.search,
    "length_question_pattern": re.Pattern.search,
    "syllable_question_pattern": re.Pattern.search,
    "direct_guess_pattern": re.Pattern.match,
    "pos_question_pattern": re.Pattern.match,
}
FAULTS = tuple(f"Invalid {kind} {seat} response" for kind in ("format", "content") for seat in ("guesser", "answerer"))
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Rounds of a question and its answer, until the one guess; a reply out of form or a question about spelling aborts."""
    if not all(isinstance(word, str) for word in instance["candidate_list"]):
        raise InstanceError("candidate_list", "a list of strings is wanted")
    target, limit, patterns = instance["target_word"], settings["max_turns"], _patterns(settings)
    if limit < 1:
        raise InstanceError("max_turns", "at least 1 is wanted")
    values = {"LIST": str(instance["candidate_list"]), "N": str(limit - 1)}
    to_guesser = fill(settings["guesser_initial_prompt"], values)
    to_answerer = fill(settings["answerer_initial_prompt"], {"TARGET WORD": target}) + "\n\n"
    for turn in range(1, limit + 1):
        reply = yield Ask("guesser", to_guesser)
        if reply.startswith(settings["guess_tag"]):
            word = reply.removeprefix(settings["guess_tag"]).strip().lower().translate(_NO_PUNCTUATION)
            if len(word.split()) > 1:
                return _aborted(turn, "guesser", "format", "the guess has more than one word")
            if word == target.lower():
                return _ended("success", turn, limit, "the word was guessed")
            return _ended("lose", turn, limit, "the guess was wrong")
        if fault := _fault(reply, settings["question_tag"], patterns):
            return _aborted(turn, "guesser", *fault)
        to_guesser = yield Ask("answerer", to_answerer + reply)
        if to_guesser not in settings["answer_variations"]:
            return _aborted(turn, "answerer", "format", "the answer is not in a legal form")
        to_answerer = ""
    return _ended("lose", limit, limit, "no guess was made in time")


def _patterns(settings: Mapping) -> dict[str, re.Pattern]:
    found = {}
    for key in PATTERNS:
        try:
            found[key] = re.compile(settings[key])
        except re.error as error:  # the settings come from a file
            raise InstanceError(key, f"not a regular expression: {error}") from None
    return found


def _fault(question: str, tag: str, patterns: Mapping[str, re.Pattern]) -> tuple[str, str] | None:
    """(kind of fault, what is wrong), or None for a question that may be put."""
    if not question.startswith(tag):
        return "format", "neither a question nor a guess"
    if question.count(tag) > 1:
        return "format", "more than one question"
    if question.removeprefix(tag).partition("?")[2].strip():
        return "format", "text after the question mark"
    asked = question.replace(tag, "").strip().lower()
    hit = next((key for key, matches in PATTERNS.items() if matches(patterns[key], asked)), None)
    return ("content", f"a question of a forbidden kind ({hit})") if hit else None


def _aborted(turn: int, seat: str, kind: str, reason: str) -> Outcome:
    metrics = dict.fromkeys(FAULTS, 0) | {f"Invalid {kind} {seat} response": 1}
    return Outcome("aborted", math.nan, turn, turn - 1, 1, metrics, reason, seat)


def _ended(status: Status, turn: int, limit: int, reason: str) -> Outcome:
    """Requests are counted by the round; `Speed` is scored for a right guess only."""
    metrics: dict[str, float] = dict.fromkeys(FAULTS, 0)
    if status == "success":
        late = turn > FULL_SCORE_UNTIL
        metrics["Speed"] = max(0, 100 * (limit - turn) / (limit - FULL_SCORE_UNTIL)) if late else 100
    return Outcome(status, metrics.get("Speed", 0), turn, turn, 0, metrics, reason)


GROUPS = {"1": 4, "2": 2, "3": 1}  # last letter of a level -> categories among the eight words
CANDIDATES = 8


def generate(rng: random.Random, level: str, split: str) -> dict:
    """Eight words from one, two or four categories, group by group, no two with the same features."""
    abstract, groups = level.startswith("abs"), GROUPS[level[-1]]
    names = [name for name in categories() if (name in ABSTRACT) == abstract]
    target = rng.choice([word for name in names for word in categories()[name] if split_of(word) == split])
    home = lexicon()[target].category
    while True:
        chosen = [home, *rng.sample([name for name in names if name != home], groups - 1)]
        rng.shuffle(chosen)
        candidates = [word for name in chosen for word in rng.sample(categories()[name], CANDIDATES // groups)]
        if target in candidates and len({lexicon()[word].features for word in candidates}) == CANDIDATES:
            return {"target_word": target, "candidate_list": candidates}


def settings(level: str, form: str) -> dict:
    """Our own settings in the official schema."""
    guesser, answerer = PROMPTS[form]
    return {
        "name": level.title(),
        "max_turns": 8,
        "question_tag": "QUESTION:",
        "answer_tag": "ANSWER:",
        "guess_tag": "GUESS:",
        "answer_variations": [f"ANSWER: {word}" for word in ("yes", "no", "Yes", "No", "Yes.", "No.")],
        **OWN_PATTERNS,
        "guesser_initial_prompt": guesser,
        "answerer_initial_prompt": answerer,
    }


_IT = r"(it|the (target |secret )?word)"
_COUNT = r"((more|less|fewer) than |exactly |at (least|most) )?(\d+|one|two|three|four|five|six|seven|eight|nine|ten)"
OWN_PATTERNS = {
    "letter_based_pattern": rf"does {_IT} ((start|begin|end) with|contain|have) (the letter\b|['\"]?[b-z]\b)|letter of {_IT}\b",
    "length_question_pattern": rf"(does {_IT} (contain|have)|is {_IT} (longer|shorter) than) {_COUNT} letters?\b",
    "syllable_question_pattern": rf"does {_IT} (contain|have) {_COUNT} syllables?\b",
    "direct_guess_pattern": rf"is {_IT} ['\"][^'\"]*['\"]\s*\?",
    "pos_question_pattern": rf"is {_IT} an? (noun|verb|adjective|adverb|pronoun|preposition|conjunction)\s*\?",
}

PROMPTS = {
    "full": (
        "You and a partner play a guessing game. One of the words below is the secret word. Your partner knows which; find it "
        "with yes/no questions.\n\n"
        "- Each turn you either ask one question or make your guess. You have $N$ questions and a single guess. "
        "The fewer questions you need, the better.\n"
        "- Ask about what the word means, not about its letters, its length, its syllables or its word class, and do "
        "not ask for a word outright.\n"
        "- Reply with one line and nothing else. A question, for example:\n\n"
        "QUESTION: Does it grow on trees?\n\n"
        "The guess, for example:\n\nGUESS: walnut\n\n"
        "The words: $LIST$",
        "You and a partner play a guessing game. Your partner looks for a secret word that you know, and asks you yes/no "
        "questions about it.\n\n"
        "- Answer truthfully and say nothing but yes or no.\n"
        "- Reply with one line and nothing else, either\n\n"
        "ANSWER: yes\n\nor\n\nANSWER: no\n\n"
        "The secret word: $TARGET WORD$",
    ),
    "short": (
        "Find the secret word. Ask $N$ yes/no questions at most, then guess once.\n"
        "Reply `QUESTION: ...?` or `GUESS: word`\nWords: $LIST$",
        "Answer questions about your word.\nReply `ANSWER: yes` or `ANSWER: no`\nWord: $TARGET WORD$",
    ),
}

GUESSWHAT = Game(
    name="guesswhat",
    suite="indomain",
    seats=("guesser", "answerer"),
    roles=("Guesser", "Answerer"),
    levels=("level_1", "level_2", "level_3", "abs_level_1", "abs_level_2", "abs_level_3"),
    fields={"target_word": str, "candidate_list": list},
    settings_fields={
        "max_turns": int,
        "question_tag": str,
        "guess_tag": str,
        "answer_variations": list,
        **dict.fromkeys(PATTERNS, str),
        "guesser_initial_prompt": str,
        "answerer_initial_prompt": str,
    },
    referee=referee,
    generate=generate,
    target=lambda instance: instance["target_word"],
    settings=settings,
    players={
        "guesser": {"scripted": players.find, "random": players.ask_anything, "broken": players.break_question},
        "answerer": {"scripted": players.answer, "random": players.answer_anything, "broken": players.break_answer},
    },
)
