"""Our engines beside TextArena's own environments, if the package is there: random play has to end and look the same."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Mapping, Sequence

import pytest

import games
from games.ta_steps import KEYS, STEPS
from tests.ta_episodes import scores

WARNING = "attempted an invalid move"
# game -> environment, what is compared of each message, arguments
CASES = {
    "ta_mastermind": (
        "Mastermind.env:MastermindEnv",
        r"(\d+) black\D+(\d+) white",
        [
            {"code_length": 4, "num_numbers": 6, "max_turns": 20, "duplicate_numbers": False},
            {"code_length": 3, "num_numbers": 4, "max_turns": 4, "duplicate_numbers": True},
            {"code_length": 2, "num_numbers": 3, "max_turns": 2, "duplicate_numbers": False},
        ],
    ),
    "ta_blackjack": (
        "Blackjack.env:BlackjackEnv",
        r"(?:10|[2-9JQKA])[♠♥♦♣]",
        [{"num_hands": 5}, {"num_hands": 1}],
    ),
    "ta_frozen_lake": (
        "FrozenLake.env:FrozenLakeEnv",
        r"(?m)^[|+].*[|+]$",
        [
            {"size": 4, "num_holes": 3, "randomize_start_goal": False},
            {"size": 5, "num_holes": 6, "randomize_start_goal": True},
            {"size": 7, "num_holes": 0, "randomize_start_goal": True},
        ],
    ),
    "ta_sokoban": (
        "Sokoban.env:SokobanEnv",
        r"(?m)^#.*#$",
        [
            {"dim_room": [6, 6], "max_turns": 12, "num_boxes": 2},
            {"dim_room": [5, 7], "max_turns": 20, "num_boxes": 1},
        ],
    ),
}
ODD = ["", "hm", "[ up ]", "[w][s]", "[ſ]", "[hit] or [stand]", "[1,2,3,4]", "[٣ 1 2 4]", "[1 1 2 3]", "[9 1 2 3]"]
ODD += [WARNING, "attempted an in[GAME]valid move", f"[s] [1 2 3 4] [Stand] You {WARNING}"]


def reply(rng: random.Random, specs: Mapping, odd: float) -> str:
    """A good reply to the game with these arguments, or an odd one."""
    if rng.random() < odd:
        return rng.choice(ODD)
    if "num_hands" in specs:
        return rng.choice(["[Hit]", "[Stand]", "I [stand]."])
    if "code_length" in specs:
        numbers, length = range(1, specs["num_numbers"] + 1), specs["code_length"]
        drawn = rng.choices(numbers, k=length) if specs["duplicate_numbers"] else rng.sample(numbers, length)
        return f"[{' '.join(map(str, drawn))}]"
    return f"So [{rng.choice([*STEPS, *KEYS])}], then [up]."


def theirs(place: str, specs: Mapping, seed: int, replies: Sequence[str]) -> tuple[tuple, list[list[str]]]:
    """(scores, messages before each reply) of the environment, counted as the benchmark does."""
    module, name = place.split(":")
    env = getattr(importlib.import_module(f"textarena.envs.{module}"), name)(**specs)
    env.reset(num_players=1, seed=seed)
    violated, told, state = 0, [], env.state
    for text in replies:
        told.append([message for sender, message, _ in state.observations[0] if sender == -1])
        state.observations[0] = []
        # the closed set reads the last brackets of Mastermind, the package the first
        done, _ = env.step("".join(re.findall(r"\[\d+(?:\s+\d+)*\]", text)[-1:]) if "code_length" in specs else text)
        news = [message for sender, message, _ in state.observations[0] if sender == -1]
        violated += any(WARNING in message for message in [*news, re.sub(r"\[(?:GAME|Player)\]", "", text)])
        if done:
            break
    assert done, "more replies are needed"
    reward, invalid = state.rewards[0], state.game_info[0]["invalid_move"]
    numeric = -1 if invalid else reward
    return (int(invalid), int(numeric == 1), len(told), violated + invalid, numeric, reward), told


def ours(name: str, specs: Mapping, seed: int, replies: Sequence[str]) -> tuple[tuple, list[str]]:
    """(scores, messages before each reply) of our engine."""
    game, left, told = games.make(name), list(replies), []
    play = game.start({"env_specs": specs, "seed": seed}, {"name": "parity"})
    while play.ask is not None:
        if play.ask.seat in game.chance:
            play.reply(game.players[play.ask.seat]["scripted"](play.view(play.ask.seat)))
        else:
            told.append(play.ask.text)
            play.reply(left.pop(0))
    return scores(play), told


@pytest.fixture
def generator():
    """Their environments seed the global generator, and draw from it."""
    state = random.getstate()
    yield
    random.setstate(state)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("generator")
def test_random_play_ends_and_looks_the_same(name):
    pytest.importorskip("textarena", reason="TextArena is not installed")
    place, shown, arguments = CASES[name]
    for number in range(25):
        rng = random.Random(f"{name}/{number}")
        specs, seed, odd = rng.choice(arguments), rng.randrange(2**31), rng.choice((0, 0.1, 0.4))
        replies = [reply(rng, specs, odd) for _ in range(400)] + ["", ""]
        (wanted, sent), (found, told) = theirs(place, specs, seed, replies), ours(name, specs, seed, replies)
        assert found == pytest.approx(wanted), (specs, seed)
        see = lambda texts: [re.findall(shown, text) for text in texts]
        assert see(told)[1:] == see(map("\n".join, sent))[1:], (specs, seed)
