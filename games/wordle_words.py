"""What the referee and the scripted players of Wordle share: words and clues, reply format, colours, our own settings."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from games.core import pool

LENGTH = 5
LEVELS = {"easy": "high", "medium": "medium"}  # level -> frequency band of its targets
COLOURS = {"g": "green", "y": "yellow", "r": "red"}
CRAZY_COLOURS = {"g": "yellow", "y": "black", "r": "purple"}  # yellow is another mark here than elsewhere
SPEED = (100.0, 100.0, 100.0, 50.0, 30.0, 20.0)  # Main Score by the round that found the word
SPEED_WITH_CLUE = tuple(round(100 / found, 2) for found in range(1, 7))


class Variant(NamedTuple):
    """How one of the games differs from the others."""

    clue: bool = False
    critic: bool = False
    colours: Mapping[str, str] = COLOURS
    speed: tuple[float, ...] = SPEED


@functools.cache
def words() -> list[str]:
    """Our words that may be guessed, sorted."""
    return _resource("five_letter_words.txt").split()


@functools.cache
def targets() -> dict[str, tuple[str, str]]:
    """Our targets: word -> (frequency band, clue)."""
    rows = (line.split("\t") for line in _resource("five_letter_targets.tsv").splitlines())
    return {word: (band, clue) for word, band, clue in rows}


def _resource(name: str) -> str:
    return (resources.files("games") / "resources" / name).read_text("utf-8")


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A fresh instance in the official schema; its target lies in the split."""
    word = rng.choice(_pool(LEVELS[level], split))
    band, clue = targets()[word]
    return {"target_word": word, "target_word_clue": clue, "target_word_difficulty": f"{band}_frequency"}


@functools.cache
def _pool(band: str, split: str) -> list[str]:
    return pool([word for word, (its_band, _) in targets().items() if its_band == band], split)


def parse(reply: str, explanation_tag: str, tag: str) -> tuple[str, str] | None:
    """(explanation, value in lower case) of a reply, or None if its format is broken.

    The explanation must open the reply, in any case but with no blank before it; the tag must stand once after its line.
    """
    if not reply.lower().startswith(explanation_tag):
        return None
    first, _, rest = reply.strip().partition("\n")
    values = re.findall(re.escape(tag) + r"([^\n]*)", rest, re.IGNORECASE)
    return (first[len(explanation_tag) :].strip(), values[0].strip().lower()) if len(values) == 1 else None


def colour(guess: str, target: str) -> str:
    """A mark (g, y, r) for each letter of a guess; a target's letter colours one letter at most, exact places first."""
    marks = ["g" if a == b else "r" for a, b in zip(guess, target)]
    left = [b for a, b in zip(guess, target) if a != b]
    for i, letter in enumerate(guess):
        if marks[i] == "r" and letter in left:
            marks[i] = "y"
            left.remove(letter)
    return "".join(marks)


def show(guess: str, marks: str, colours: Mapping[str, str]) -> str:
    """The colours as a guesser reads them: `c<red> r<green> ...`."""
    return " ".join(f"{letter}<{colours[mark]}>" for letter, mark in zip(guess, marks))


_RULES = """Find my English word of five letters. You have six tries, and after each one I colour the letters of your word:
<{g}> the letter is in the right place
<{y}> my word has this letter, in another place
<{r}> my word has no such letter, or no more of them
{more}
Answer each time in exactly two lines, in lower case, and write nothing else:
explanation: one line about what the colours{and_clue} tell you
guess: one word of five letters

An example. Your answer:
explanation: five different letters that are in many words
guess: stone
My reply, if the word were "paste":
guess_feedback: {example}

Now make your first guess."""
_CLUE = "\nA short clue to the meaning of the word stands below, in the line that begins with clue:\n"
_CRITIC = (
    "A friend, who does not know my word, comments on each guess (guess_agreement: yes or no, with a reason). Then you guess"
    "\nonce more, the same word or another one, and only this second guess counts and gets its colours.\n"
)
_JUDGE = """A player is looking for a hidden English word of five letters. You read its clue, then the player's next guess and
why it was chosen; in later rounds this tells the letters that are known. Say whether the guess is a good one: does it suit the
clue and all that is known? Never suggest a word yourself.

Answer each time in exactly two lines, in lower case, and write nothing else:
explanation: your reason in one line
agreement: yes or no

An example. You read:
clue: it shines at night
explanation: a light in the sky, and the second letter is an o
guess: stars
Your answer:
explanation: it suits the clue, but its second letter is no o
agreement: no

Now it begins."""
_SHORT_RULES = "find the word\nexplanation: known letters\nguess: five letters"
_SHORT_JUDGE = "good guess?\nexplanation: why\nagreement: yes or no"
_FULL = {
    "explanataion_details_lang": "one line",
    "guess_word_lang": "five letters",
    "guess_feedback_lang": "guess_feedback:",
    "agreement_word_lang": "yes or no",
    "guess_agreement_lang": "guess_agreement:",
    "agreement_explanation_lang": "agreement_explanation:",
    "error_prompt_text": {
        "INVALID_FORMAT": "Answer in this form:",
        "NOT_VALID_WORD_FOR_GAME": "I do not know this word.",
        "RETRY": "Take another one.",
    },
}
_SHORT = {
    "explanataion_details_lang": ".",
    "guess_word_lang": ".",
    "guess_feedback_lang": "feedback:",
    "agreement_word_lang": ".",
    "guess_agreement_lang": "agreement:",
    "agreement_explanation_lang": "why:",
    "error_prompt_text": {"INVALID_FORMAT": "reply:", "NOT_VALID_WORD_FOR_GAME": "unknown.", "RETRY": "again."},
}


def _rules(variant: Variant) -> str:
    """The guesser's full prompt."""
    more = _CLUE * variant.clue + _CRITIC * variant.critic
    example = show("stone", colour("stone", "paste"), variant.colours)
    return _RULES.format(more=more, and_clue=" and the clue" * variant.clue, example=example, **variant.colours)


def settings(level: str, form: str, variant: Variant) -> dict:
    """Our own settings in the official schema."""
    short, clue, critic = form == "short", variant.clue, variant.critic
    rules = _SHORT_RULES if short else _rules(variant)
    judge = _SHORT_JUDGE if short else _JUDGE
    return {
        "name": f"{LEVELS[level]}_frequency_words_{'clue' if clue else 'no_clue'}_{'with_critic' if critic else 'no_critic'}",
        "common_config": {
            "n_turns": 6,
            "retry_error_type": ["NOT_VALID_WORD_FOR_GAME"],
            "max_retry_per_error": {"NOT_VALID_WORD_FOR_GAME": 5},
            "max_word_length": LENGTH,
        },
        "use_clue": clue,
        "use_critic": critic,
        "guesser_prompt": rules,
        "guesser_critic_prompt": judge if critic else "",
        "lang_keywords": {
            "max_word_length": LENGTH,
            "clue_lang": "clue:",
            "guess_lang": "guess:",
            "explanation_lang": "explanation:",
            "agreement_lang": "agreement:",
            "agreement_match_keywords_lang": ["yes", "no"],
            "official_words_list": words(),
            **(_SHORT if short else _FULL),
        },
    }
