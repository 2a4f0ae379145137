"""Mastermind: find a secret code from the number of its digits that each guess has at the right and at other places."""

from __future__ import annotations

from collections.abc import Mapping

from games import ta_loop
from games import ta_mastermind_players as players
from games.core import Referee
from games.ta_loop import Loop
from games.ta_mastermind_code import pegs, read, secret, shown

SEAT = "codebreaker"
LEVELS = {
    "easy": {"code_length": 3, "num_numbers": 6, "max_turns": 5, "duplicate_numbers": False},
    "medium": {"code_length": 4, "num_numbers": 6, "max_turns": 7, "duplicate_numbers": False},
    "repeats": {"code_length": 4, "num_numbers": 6, "max_turns": 7, "duplicate_numbers": True},
    "hard": {"code_length": 4, "num_numbers": 8, "max_turns": 8, "duplicate_numbers": False},
}


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Guesses until the code is found, the turns are used up, or two replies in a row hold no new guess."""
    loop, limit = Loop(SEAT, ta_loop.texts(settings, PROMPTS)), ta_loop.spec(instance, "max_turns", 0, 10**6)
    code, top = secret(instance), instance["env_specs"]["num_numbers"]
    repeats = ta_loop.flag(instance, "duplicate_numbers")
    guesses: list[list[int]] = []
    # the limit is compared before a guess is counted, so there is one guess more
    known = {"LENGTH": len(code), "TOP": top, "TURNS": limit + 1, "EXAMPLE": shown(range(len(code), 0, -1))}
    loop.tell("intro", **known, REPEATS=loop.texts["repeats" if repeats else "no_repeats"])
    while True:
        guess = read((yield from loop.ask()))
        if problem := _problem(guess, len(code), top, repeats, guesses):
            if over := loop.invalid(problem):
                return over
            continue
        guesses.append(guess)
        black, white = pegs(code, guess)
        loop.reach((black + 0.5 * white) / len(code))
        if black == len(code):
            return loop.end(1, "the code was found")
        if loop.turn >= limit:
            return loop.end(loop.value, "no turn is left")
        loop.tell("feedback", GUESS=shown(guess), BLACK=black, WHITE=white)
        loop.valid()


def _problem(guess: list[int], length: int, top: int, repeats: bool, before: list[list[int]]) -> str | None:
    """Why this is no guess, in the official order of checks, or None."""
    if not guess:
        return "numbers with blanks between them, in square brackets, are wanted"
    if len(guess) != length:
        return f"exactly {length} numbers are wanted"
    if any(not 1 <= number <= top for number in guess):
        return f"only numbers from 1 to {top} are allowed"
    if not repeats and len(set(guess)) < length:
        return "no number may occur twice"
    return f"{shown(guess)} was guessed before" if guess in before else None


def target(instance: Mapping) -> str:
    """The code, and the digits it is made from."""
    return f"{shown(secret(instance))} of {instance['env_specs']['num_numbers']}"


PROMPTS = ta_loop.prompts(
    full={
        "intro": (
            "This is Mastermind. I have a secret code of $LENGTH$ digits from 1 to $TOP$. $REPEATS$ Find it.\n\n"
            "- Write a guess as its digits in square brackets, with a blank between them: $EXAMPLE$\n"
            "- I answer with pegs. A black one stands for a digit at its right place, a white one for a digit that is in the "
            "code but at another place. I do not say which digits these are.\n"
            "- Of several guesses in one reply the last one counts. No guess may be made twice.\n"
            "- You have $TURNS$ guesses."
        ),
        "repeats": "A digit may occur more than once.",
        "no_repeats": "No digit occurs twice.",
        "feedback": "$GUESS$ gets $BLACK$ black and $WHITE$ white.",
    },
    short={
        "intro": "Find $LENGTH$ digits from 1 to $TOP$. $REPEATS$\nReply `$EXAMPLE$`",
        "repeats": "A digit may occur more than once.",
        "no_repeats": "None twice.",
        "feedback": "$BLACK$ black $WHITE$ white",
    },
)

TA_MASTERMIND = ta_loop.game(
    "ta_mastermind",
    SEAT,
    "Codebreaker",
    LEVELS,
    PROMPTS,
    referee=referee,
    target=target,
    players={SEAT: {"scripted": players.reason, "random": players.guess_anything, "broken": players.break_guess}},
)
