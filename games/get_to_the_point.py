"""Get to the point: a helper adds up to three words to a fixed start word; a seeker has five guesses at the target word."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from games import get_to_the_point_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, pool
from games.lexicon import lexicon
from games.templates import fill

LEVELS = ("easy", "medium", "hard")
HELPER, SEEKER = "helper", "seeker"


class _Foul(Exception):
    """A broken rule that ends the episode: an error of form aborts it, an error of play loses it."""

    def __init__(self, status: Status, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Rounds of a clue and a guess; that the guesses are used up shows when the helper speaks once more."""
    rules = _Rules(instance, settings)
    words = rules.tags | {"N": str(rules.limit)}
    secret = words | {"START_WORD": rules.start, "TARGET_WORD": instance["target_word"]}
    to_helper = f"{fill(settings['initial_prompt_helper'], secret)}\n\n{instance['current_sentence_fragment']}"
    to_seeker = f"{fill(settings['initial_prompt_seeker'], words)}\n\n"
    requests = 0
    for turn in range(rules.limit + 1):
        for seat in (HELPER, SEEKER):
            reply = yield Ask(seat, to_helper if seat == HELPER else to_seeker)
            requests, said = requests + 1, reply.strip().lower()
            try:
                rules.check(seat, said, turn)
            except _Foul as foul:  # any of the checks, in their official order
                violated, score = (1, math.nan) if foul.status == "aborted" else (0, 0)
                return Outcome(foul.status, score, requests, requests - violated, violated, reason=foul.reason, seat=seat)
            if seat == HELPER:
                to_seeker = f"{to_seeker if turn == 0 else ''} {said}"
            elif rules.target in said:
                return Outcome("success", 100 / (turn + 1), requests, requests, 0, reason="the word was guessed")
            to_helper = said
    raise AssertionError("the helper's last turn always ends the episode")


class _Rules:
    """What an instance and its settings ask of a reply."""

    def __init__(self, instance: Mapping, settings: Mapping):
        self.start, self.target = instance["start_word"], instance["target_word"].lower()
        self.limit, form = settings["maximum_seeker_guesses"], settings["game_regex"]
        self.tags: dict[str, str] = {}
        for name in ("HELPER_PROMPT_WORD", "SEEKER_PROMPT_WORD"):
            self.tags[name] = form.get(name)
            if not isinstance(self.tags[name], str):
                raise InstanceError(f"game_regex.{name}", "a text is wanted")
        self.added = form.get("range_of_word_additions")
        if not isinstance(self.added, int) or isinstance(self.added, bool):
            raise InstanceError("game_regex.range_of_word_additions", "a number is wanted")
        if self.limit < 1:
            raise InstanceError("maximum_seeker_guesses", "at least 1 is wanted")
        if not self.target:
            raise InstanceError("target_word", "a word is wanted")

    def check(self, seat: str, said: str, turn: int) -> None:
        """Raise for the first rule that a stripped, lower-cased reply breaks."""
        helper = seat == HELPER
        tag = self.tags["HELPER_PROMPT_WORD" if helper else "SEEKER_PROMPT_WORD"]
        words = said.split()[1:]
        if not said.startswith(tag.lower()):
            raise _Foul("aborted", f"the reply does not start with {tag}")
        if helper and len(words) - 1 > self.added:
            raise _Foul("lose", f"the clue adds {len(words) - 1} words, not up to {self.added}")
        if not helper and len(words) != 1:
            raise _Foul("lose", f"the guess has {len(words)} words, not one")
        if helper and self.start not in said.split():
            raise _Foul("aborted", "the clue lacks the start word")
        if turn >= self.limit:
            raise _Foul("lose", "all guesses are used up")
        if helper and self.target in said:
            raise _Foul("aborted", "the clue contains the target word")


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A target, and a start word that it calls up (easy), that is of its kind (medium) or of another kind (hard)."""
    entry = lexicon()[rng.choice(pool(list(lexicon()), split))]
    if level == "easy":
        near = list(entry.associations)
    else:
        near = [other.word for other in lexicon().values() if (other.category == entry.category) == (level == "medium")]
    start = rng.choice([word for word in near if word not in entry.word and entry.word not in word])
    return {"start_word": start, "target_word": entry.word, "current_sentence_fragment": start}


def settings(level: str, form: str) -> dict:
    """Our own settings in the official schema."""
    helper, seeker = PROMPTS[form]
    return {
        "name": f"{level}_english",
        "language": "english",
        "game_regex": {"HELPER_PROMPT_WORD": "CLUE:", "SEEKER_PROMPT_WORD": "GUESS:", "range_of_word_additions": 3},
        "initial_prompt_helper": helper,
        "initial_prompt_seeker": seeker,
        "maximum_seeker_guesses": 5,
    }


PROMPTS = {
    "full": (
        "You know a secret word. Another player must find it from very short clues that you write, one before each of at most "
        "$N$ guesses. The fewer guesses the better.\n\n"
        "- Each clue is the start word that is given below, unchanged, and one to three more words that you choose anew each "
        "time. The start word may stand anywhere, but with no comma or other mark attached to it.\n"
        "- A clue of more than four words loses the game. A clue that lacks the start word, or in which the secret word occurs "
        "(also as a part of another word), ends it at once.\n"
        "- Write $HELPER_PROMPT_WORD$ before the clue and nothing else. With the start word 'winter' and the secret word "
        "'skate', for example:\n\n$HELPER_PROMPT_WORD$ winter shoe on ice\n\n"
        "- The other player's guesses are shown to you after 'guess:'.\n\n"
        "Secret word: $TARGET_WORD$\nStart word: $START_WORD$\n\nYour clues begin with this word:",
        "Another player knows a secret word and sends you very short clues. Find the word. You have $N$ guesses, one after "
        "each clue, and fewer are better.\n\n"
        "- Each clue has at most four words. One of them is the same in all clues; it was not chosen by the other player. The "
        "other words are chosen to lead you to the secret word.\n"
        "- A guess is exactly one word. Write $SEEKER_PROMPT_WORD$ and a blank before it, and nothing else, or the game is "
        "lost. For example:\n\n$SEEKER_PROMPT_WORD$ skate\n\nThe first clue:",
    ),
    "short": (
        "Hint at the word. Use the start word and up to 3 more.\nReply `$HELPER_PROMPT_WORD$ ...`\n"
        "Word: $TARGET_WORD$\nStart: $START_WORD$",
        "Find the word in $N$ tries.\nReply `$SEEKER_PROMPT_WORD$ word`",
    ),
}

GET_TO_THE_POINT = Game(
    name="get_to_the_point",
    suite="outofdomain",
    seats=(HELPER, SEEKER),
    roles=("Helper", "Seeker"),
    levels=LEVELS,
    fields={"start_word": str, "target_word": str, "current_sentence_fragment": str},
    settings_fields={
        "initial_prompt_helper": str,
        "initial_prompt_seeker": str,
        "game_regex": Mapping,
        "maximum_seeker_guesses": int,
    },
    referee=referee,
    generate=generate,
    target=lambda instance: instance["target_word"],
    settings=settings,
    players={
        HELPER: {"scripted": players.give_clue, "random": players.give_any_clue, "broken": players.break_clue},
        SEEKER: {"scripted": players.guess, "random": players.guess_anything, "broken": players.break_guess},
    },
)
