"""Taboo: a describer hints at a word without saying it or words related to it; a guesser has one guess a round."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Mapping, Sequence

from games import taboo_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, pool
from games.lexicon import BANDS, lexicon, stop_words
from games.stemmer import stem
from games.templates import fill

CLUE, GUESS = "CLUE:", "GUESS:"
RELATED = 3  # an association's first words are forbidden in our instances
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Rounds of a clue and a guess; a forbidden clue word loses at once, a reply without its tag aborts."""
    target, related, limit = instance["target_word"], instance["related_word"], settings["max_turns"]
    if not all(isinstance(word, str) for word in related):
        raise InstanceError("related_word", "a list of strings is wanted")
    if limit < 1:
        raise InstanceError("max_turns", "at least 1 is wanted")
    values = {"TARGET_WORD": target, "REL_WORD": "\n".join(f"- {word}" for word in related), "N": str(limit)}
    to_describer = fill(settings["describer_initial_prompt"], values)
    to_guesser = fill(settings["guesser_initial_prompt"], {"N": str(limit)}) + "\n\n"
    for turn in range(1, limit + 1):
        clue = yield Ask("describer", to_describer)
        if not clue.startswith(CLUE):
            return _outcome("aborted", turn, f"the clue does not start with {CLUE}", "describer")
        if said := forbidden(clue, [target, *related]):
            return _outcome("lose", turn, f"the clue word {said[0]!r} is too close to {said[1]!r}", "describer")
        guess = yield Ask("guesser", to_guesser + clue)
        if not guess.startswith(GUESS):
            return _outcome("aborted", turn, f"the guess does not start with {GUESS}", "guesser")
        if normalise(guess, GUESS) == target:
            return _outcome("success", turn, "the word was guessed")
        to_describer, to_guesser = guess, ""
    return _outcome("lose", limit, "the word was not guessed in time")


def normalise(reply: str, tag: str) -> str:
    """A reply without its tag, case and ASCII punctuation; what lies under the punctuation is not stripped again."""
    return reply.replace(tag, "").strip().lower().translate(_NO_PUNCTUATION)


def forbidden(clue: str, words: Sequence[str]) -> tuple[str, str] | None:
    """The first (clue word, forbidden word) with the same stem; only blanks part clue words, stop words never count."""
    stems = {stem(word): word for word in reversed(words)}
    for word in normalise(clue, CLUE).split(" "):
        hit = stems.get(stem(word))
        if hit is not None and word not in stop_words():
            return word, hit
    return None


def _outcome(status: Status, turn: int, reason: str, seat: str | None = None) -> Outcome:
    """Requests are counted by the round, whoever spoke in it."""
    score = {"success": 100 / turn, "lose": 0, "aborted": math.nan}[status]
    violated = int(status == "aborted")
    metrics = {"Repetition-Guesser": 0, "Repetition-Describer": 0}  # official scores that never count anything
    return Outcome(status, score, turn, turn - violated, violated, metrics, reason, seat)


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A word of the level's frequency band, with its three closest associations forbidden."""
    word = rng.choice(pool([entry.word for entry in lexicon().values() if entry.band == level], split))
    related = list(lexicon()[word].associations[:RELATED])
    return {
        "target_word": word,
        "related_word": related,
        "target_word_stem": stem(word),
        "related_word_stem": [stem(other) for other in related],
    }


def settings(level: str, form: str) -> dict:
    """Our own settings in the official schema."""
    describer, guesser = PROMPTS[form]
    return {
        "name": f"{level}_en",
        "max_turns": 3,
        "describer_initial_prompt": describer,
        "guesser_initial_prompt": guesser,
    }


PROMPTS = {
    "full": (
        "You and a partner play a word game. You know a secret word, and your partner must find it from your clues.\n\n"
        "- Your partner makes one guess after each clue and has $N$ guesses in all. Fewer guesses are better.\n"
        "- Your clue must contain neither the secret word nor a taboo word, nor another form of them (plural, verb form and "
        "so on). If it does, you both lose.\n"
        "- Keep clues short. Start each reply with CLUE: and write nothing before it. For the word 'kitten', for example:\n\n"
        "CLUE: a small furry pet that says meow\n\n"
        "- Your partner's guesses are shown to you as GUESS: and a word.\n\n"
        "The secret word: $TARGET_WORD$\n\nThe taboo words:\n$REL_WORD$",
        "You and a partner play a word game. Your partner knows a secret word and gives you clues; you must find the word.\n\n"
        "- You have $N$ guesses, one after each clue. Fewer guesses are better.\n"
        "- Each clue is shown to you after CLUE:.\n"
        "- A guess is one word. Write it behind GUESS:, and nothing else, for example:\n\n"
        "GUESS: kitten\n\nHere is the first clue.",
    ),
    "short": (
        "Hint at the word. Do not say it or the taboo words.\nReply `CLUE: ...`\nWord: $TARGET_WORD$\nTaboo:\n$REL_WORD$",
        "Find the word in $N$ tries.\nReply `GUESS: word`",
    ),
}

TABOO = Game(
    name="taboo",
    suite="indomain",
    seats=("describer", "guesser"),
    roles=("WordDescriber", "WordGuesser"),
    levels=BANDS,
    fields={"target_word": str, "related_word": list},
    settings_fields={"max_turns": int, "describer_initial_prompt": str, "guesser_initial_prompt": str},
    referee=referee,
    generate=generate,
    target=lambda instance: instance["target_word"],
    settings=settings,
    players={
        "describer": {
            "scripted": players.describe,
            "random": players.describe_anything,
            "broken": players.break_clue,
        },
        "guesser": {"scripted": players.guess, "random": players.guess_anything, "broken": players.break_guess},
    },
)
