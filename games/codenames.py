"""Codenames: a clue giver hints at the own team's words with one word, a guesser uncovers them, an opponent draws at random.

The two seats work together. The opponent is a chance seat: each of its replies names the words that it uncovers.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from typing import Any

from games.codenames_players import PLAYERS
from games.codenames_rules import Match, read_clue, read_guesses
from games.codenames_words import OWNERS, PROMPTS, board_words
from games.core import Game, InstanceError, Referee, split_of
from games.templates import fill

# level -> (official variable, how words are dealt, words that the opponent uncovers a round, words of each owner)
LEVELS = {
    "opponent_none": ("Opponent Difficulty", "random", 0, (9, 8, 7, 1)),
    "association_easy": ("Word Assignments", "easy word assignments", 1, (9, 8, 7, 1)),
    "risk_low": ("Risk", "random", 1, (9, 8, 8, 0)),
    "opponent_easy": ("Opponent Difficulty", "random", 1, (9, 8, 7, 1)),
    "association_difficult": ("Word Assignments", "difficult word assignments", 1, (9, 8, 7, 1)),
    "risk_high": ("Risk", "random", 1, (9, 8, 3, 5)),
    "opponent_difficult": ("Opponent Difficulty", "easy word assignments", 2, (9, 8, 7, 1)),
}


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Rounds of clue, guesses and the opponent's draw, until a side has all its words, an assassin is hit, or a foul."""
    match = Match(instance, settings)
    prompts = _prompts(settings)
    feedback, moment = "", "first"
    while True:
        # the clue giver's lists are from before the opponent's move
        values = {owner.upper(): ", ".join(match.open_words(owner)) for owner in OWNERS} | {"FEEDBACK": feedback}
        text = fill(prompts[f"cluegiver_{moment}"], values)
        if match.rounds:
            yield from match.opponent_moves()
        now = match.start_round()

        clue = yield from match.ask("cluegiver", text, functools.partial(read_clue, match))
        if not clue.foul:
            now.targets = clue.words
        if clue.foul or match.ended():
            return match.outcome(clue, turns=len(match.rounds))

        values = {"NUMBER": str(len(clue.words)), "CLUE": clue.clue, "BOARD": ", ".join(match.hidden), "FEEDBACK": feedback}
        text = fill(prompts[f"guesser_{moment}"], values)
        guess = yield from match.ask("guesser", text, functools.partial(read_guesses, match, clue))
        if not guess.foul:
            now.guesses = guess.words
            feedback, moment = match.uncover(now), "later"
        if guess.foul or match.ended():  # the official count of turns is then one too high
            return match.outcome(guess, turns=len(match.rounds) + 1)


def _prompts(settings: Mapping) -> Mapping[str, str]:
    prompts = settings.get("prompts", PROMPTS["full"])
    if not isinstance(prompts, Mapping) or not all(isinstance(prompts.get(key), str) for key in PROMPTS["full"]):
        raise InstanceError("prompts", f"texts are wanted: {', '.join(PROMPTS['full'])}")
    return prompts


def replies(record: Mapping) -> list[tuple[str, str]]:
    """(seat, reply) of a recorded episode; the opponent's draws stand at the start of a round as events of the engine."""
    seats = dict(zip(record["players"], CODENAMES.seats))
    found: list[tuple[str, str]] = []
    for events in record["rounds"]:
        drawn = [event["content"]["word"] for event in events if event["type"] == "opponent revealed"]
        found += [("opponent", ", ".join(drawn))] * bool(drawn)
        found += [(seats[event["from"]], event["content"]) for event in events if event["type"] == "get message"]
    return found


def generate(rng: random.Random, level: str, split: str) -> dict[str, Any]:
    """A fresh board whose team words, as a set, belong to the split."""
    _, dealing, _, counts = LEVELS[level]
    while True:
        hands = board_words(rng, dealing, counts)
        instance: dict[str, Any] = {"board": sum(hands, []), "assignments": dict(zip(OWNERS, hands))}
        if split_of(target(instance)) == split:
            rng.shuffle(instance["board"])
            return instance


def target(instance: Mapping) -> str:
    """The team's words in alphabetical order."""
    return " ".join(sorted(instance["assignments"]["team"]))


def settings(level: str, form: str) -> dict[str, Any]:
    """Our own settings in the official schema, with prompts in long or short form."""
    variable, dealing, difficulty, counts = LEVELS[level]
    flags = ("IGNORE RAMBLING", "IGNORE FALSE TARGETS OR GUESSES", "REPROMPT ON ERROR", "IGNORE NUMBER OF TARGETS")
    return {
        "name": level,
        "variable": variable,
        "generator": dealing,
        "opponent difficulty": difficulty,
        "assignments": dict(zip(OWNERS, counts)),
        "wordlist": "codenames_clues.txt",
        "flags": {"STRIP WORDS": True} | dict.fromkeys(flags, False),
        "prompts": PROMPTS[form],
    }


CODENAMES = Game(
    name="codenames",
    suite="indomain",
    seats=("cluegiver", "guesser"),
    roles=("ClueGiver", "Guesser"),
    levels=tuple(LEVELS),
    fields={"board": list, "assignments": dict},
    settings_fields={"opponent difficulty": int, "flags": dict},
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players=PLAYERS,
    chance=("opponent",),
    replies=replies,
)
