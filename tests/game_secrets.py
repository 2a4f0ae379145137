"""What is hidden from whom, game by game: the battery in `test_games.py` checks it in scripted and in strange plays.

A `Secret` changes an instance in nothing but what a seat must not know. Whatever the seats reply, the messages of that seat
stay the same; only its first one where the game later tells a part of the secret. A `Word` must not be shown to a seat before
somebody has said it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class Secret(NamedTuple):
    """`change(instance, another one of the level)` -> an instance with another secret. `first`: compare first messages only."""

    seat: str
    change: Callable[[dict, dict], dict]
    first: bool = False


class Words(NamedTuple):
    """The words of an instance that `seat` must not be shown before they are said."""

    seat: str
    words: Callable[[Mapping], Iterable[str]]


def _take(*fields: str) -> Callable[[dict, dict], dict]:
    """The other instance's values of some fields."""
    return lambda instance, other: instance | {field: other[field] for field in fields}


def _another_candidate(instance: dict, other: dict) -> dict:
    """Guess What: the next word of the list is the target."""
    words = instance["candidate_list"]
    return instance | {"target_word": words[(words.index(instance["target_word"]) + 1) % len(words)]}


def _another_target_grid(instance: dict, other: dict) -> dict:
    """Referencegame: the follower's second grid is the target, or the third."""
    third = instance["target_grid_name"][0] == "second"
    name, grid = (["third", "3"], "player_2_third_grid") if third else (["second", "2"], "player_2_second_grid")
    fields = ("player_1_target_grid", "player_1_second_grid", "player_1_third_grid")
    grids = sorted((instance[field] for field in fields), key=lambda shown: shown != instance[grid])
    return instance | dict(zip(fields, grids)) | {"target_grid_name": name}


def _another_order(instance: dict, other: dict) -> dict:
    """Referencegame: the follower sees the grids in another order."""
    fields = ("player_2_first_grid", "player_2_second_grid", "player_2_third_grid")
    return instance | dict(zip(fields, [instance[field] for field in fields[1:] + fields[:1]]))


def _more(field: str) -> Callable[[dict, dict], dict]:
    """Deal or no deal: every kind is worth one point more to a seat."""
    return lambda instance, other: instance | {field: [value + 1 for value in instance[field]]}


def _moved(field: str) -> Callable[[dict, dict], dict]:
    """Clean up: a seat's letters change places."""

    def change(instance: dict, other: dict) -> dict:
        letters, cells = zip(*((one["id"], one["coord"]) for one in instance[field]))
        return instance | {field: [{"id": letter, "coord": cell} for letter, cell in zip(letters, cells[1:] + cells[:1])]}

    return change


def _other_owners(instance: dict, other: dict) -> dict:
    """Codenames: team and opponent change sides."""
    owners = instance["assignments"]
    return instance | {"assignments": owners | {"team": owners["opponent"], "opponent": owners["team"]}}


def _renamed(instance: dict, other: dict) -> dict:
    """Textmapworld: all rooms but the first one, and the one to find, have other names."""
    kept = (instance["Current_Position"], instance.get("Specific_Room"))
    names = [room for room in ast.literal_eval(instance["Graph_Nodes"]) if room not in kept]
    new = {f"'{name}'": f"'Room number {i}'" for i, name in enumerate(names)}
    pattern = re.compile("|".join(map(re.escape, new)))
    maps = ("Graph_Nodes", "Graph_Edges", "Directions", "Moves")
    return instance | {field: pattern.sub(lambda found: new[found[0]], instance[field]) for field in maps}


def _rooms(instance: Mapping) -> list[str]:
    return [room for room in ast.literal_eval(instance["Graph_Nodes"]) if room != instance.get("Specific_Room")]


def _without_hidden_things(instance: dict, other: dict) -> dict:
    """Adventuregame: of the things in other rooms only those are left that the task names."""
    facts = [fact.rstrip(")").replace("(", ",").split(",") for fact in instance["initial_state"]]
    room = next(fact[2] for fact in facts if fact[:2] == ["at", "player1"])
    named = {name for goal in instance["goal_state"] for name in re.split(r"[(,)]", goal)}
    lying = {fact[1] for fact in facts if fact[0] in ("on", "in")}
    hidden = {fact[1] for fact in facts if fact[0] == "at" and fact[2] != room and fact[1] in lying - named}
    kept = [text for text, fact in zip(instance["initial_state"], facts) if fact[1] not in hidden]
    return instance | {"initial_state": kept}


def _another_exam(instance: dict, other: dict) -> dict:
    """Cryptolect: the sentences of the exam come in another order."""
    return instance | {field: instance[field][::-1] for field in ("exam", "exam_english", "exam_targets")}


def _another_language(instance: dict, other: dict) -> dict:
    """Cryptolect: where no sentences are given away at the start, all words are others."""
    if instance["seed_corpus"]:
        return instance
    words = {word: stem[::-1] for word, stem in instance["language"]["lexicon"].items()}
    return instance | {"language": instance["language"] | {"lexicon": words}}


def _asked_backwards(instance: dict, other: dict) -> dict:
    return instance | {"request_order": instance["request_order"][::-1]}


SECRETS: dict[str, list[Secret]] = {
    "wordle": [Secret("guesser", _take("target_word"), first=True)],
    "wordle_withclue": [Secret("guesser", _take("target_word"), first=True)],
    "wordle_withcritic": [Secret(seat, _take("target_word"), first=True) for seat in ("guesser", "critic")],
    "wordle-crazy": [Secret("guesser", _take("target_word"), first=True)],
    "wordle-crazy_withclue": [Secret("guesser", _take("target_word"), first=True)],
    "wordle-crazy_withcritic": [Secret(seat, _take("target_word"), first=True) for seat in ("guesser", "critic")],
    "taboo": [Secret("guesser", _take("target_word", "related_word"))],
    "guesswhat": [Secret("guesser", _another_candidate)],
    "adventuregame": [Secret("adventurer", _without_hidden_things, first=True)],
    "textmapworld": [Secret("guesser", _renamed, first=True)],
    "textmapworld_graphreasoning": [Secret("guesser", _renamed, first=True)],
    "textmapworld_specificroom": [Secret("guesser", _renamed, first=True)],
    "matchit_ascii": [Secret("player_a", _take("grid_b")), Secret("player_b", _take("grid_a"))],
    "privateshared": [Secret("answerer", _asked_backwards, first=True)],
    "codenames": [Secret("guesser", _other_owners, first=True)],
    "referencegame": [Secret("follower", _another_target_grid), Secret("giver", _another_order)],
    "imagegame": [Secret("follower", _take("target_grid"))],
    "dond": [Secret("player_a", _more("player_b_values")), Secret("player_b", _more("player_a_values"))],
    "clean_up": [Secret("player_1", _moved("objects_2")), Secret("player_2", _moved("objects_1"))],
    "st_clean_up": [Secret("player_1", _moved("objects_2")), Secret("player_2", _moved("objects_1"))],
    "cryptolect": [Secret("linguist", _another_exam, first=True), Secret("linguist", _another_language, first=True)],
    "clockwork_courier": [],  # all is told at the start
    "toh_multi_turn": [],  # all is on the board
    "get_to_the_point": [Secret("seeker", _take("target_word"))],
    "ta_mastermind": [Secret("codebreaker", _take("seed"), first=True)],
    "ta_blackjack": [Secret("player", _take("seed"))],  # the cards are the dealer's replies
    "bbh": [Secret("answerer", _take("target"))],
    "cladder": [Secret("answerer", _take("target"))],
    "eqbench": [Secret("answerer", _take("target"))],
    "mmlu_pro": [Secret("answerer", _take("target"))],
    "chronicle": [Secret("detective", _take("target_event", "acceptable_answers", "forbidden_keywords"))],
    "ta_frozen_lake": [],
    "ifeval": [Secret("answerer", _take("target"))],
    "ta_sokoban": [],
}

WORDS: dict[str, list[Words]] = {
    "wordle": [Words("guesser", lambda instance: [instance["target_word"]])],
    "wordle_withclue": [Words("guesser", lambda instance: [instance["target_word"]])],
    "wordle_withcritic": [Words(seat, lambda instance: [instance["target_word"]]) for seat in ("guesser", "critic")],
    "wordle-crazy": [Words("guesser", lambda instance: [instance["target_word"]])],
    "wordle-crazy_withclue": [Words("guesser", lambda instance: [instance["target_word"]])],
    "wordle-crazy_withcritic": [Words(seat, lambda instance: [instance["target_word"]]) for seat in ("guesser", "critic")],
    "taboo": [Words("guesser", lambda instance: [instance["target_word"], *instance["related_word"]])],
    "get_to_the_point": [Words("seeker", lambda instance: [instance["target_word"]])],
    "chronicle": [Words("detective", lambda instance: [instance["target_event"], *instance["forbidden_keywords"]])],
    "imagegame": [Words("follower", lambda instance: [instance["target_grid"]])],
    "matchit_ascii": [
        Words("player_a", lambda instance: {instance["grid_b"]} - {instance["grid_a"]}),
        Words("player_b", lambda instance: {instance["grid_a"]} - {instance["grid_b"]}),
    ],
}

# who is told of a place only when being there: seat -> the names of all places of an instance
PLACES: dict[str, Words] = {
    name: Words("guesser", _rooms) for name in ("textmapworld", "textmapworld_graphreasoning", "textmapworld_specificroom")
}
