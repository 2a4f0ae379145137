"""Frozen lake: walk over the ice from one corner to the opposite one, around the holes that all can see."""

from __future__ import annotations

import random
from collections.abc import Mapping

from games import ta_frozen_lake_players as players
from games import ta_loop
from games.core import Referee
from games.ta_frozen_lake_grid import Lake, beside, inside
from games.ta_loop import Loop
from games.ta_steps import LISTED, read

SEAT = "walker"
LIMIT = 100  # valid moves; compared before the last one is counted
LEVELS = {
    "easy": {"size": 4, "num_holes": 2, "randomize_start_goal": True},
    "medium": {"size": 4, "num_holes": 4, "randomize_start_goal": True},
    "hard": {"size": 5, "num_holes": 8, "randomize_start_goal": True},
    "large": {"size": 7, "num_holes": 16, "randomize_start_goal": True},
}


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Steps until the goal, a hole, the limit, or two invalid moves in a row; the reward is the share of the way made."""
    loop, lake = Loop(SEAT, ta_loop.texts(settings, PROMPTS)), draw(instance)
    at = lake.start
    loop.tell("intro")
    while True:
        loop.tell("board", BOARD=lake.board(at), ROWS=lake.rows(at))
        step = read((yield from loop.ask()), blanks=True)
        there = beside(at, step)
        problem = "no direction in square brackets" if not step else "" if inside(there, lake.size) else f"no ice {step} of you"
        if problem and (over := loop.invalid(problem)):
            return over
        if not problem:
            at = there
            loop.reach(lake.progress(at))
            loop.tell("moved", STEP=step, ROW=at[0], COLUMN=at[1])
        if at in lake.holes:
            return loop.end(loop.value, "a hole in the ice")
        if at == lake.goal:
            return loop.end(1, "the goal is reached")
        if loop.turn >= LIMIT:
            return loop.end(loop.value, "no move is left")
        if not problem:
            loop.valid()


def draw(instance: Mapping) -> Lake:
    """The lake that the seed draws."""
    size = ta_loop.spec(instance, "size", 2, 50)
    holes = ta_loop.spec(instance, "num_holes", 0, size * size - 2)
    return Lake.draw(random.Random(instance["seed"]), size, holes, ta_loop.flag(instance, "randomize_start_goal"))


def target(instance: Mapping) -> str:
    """The lake, row by row."""
    lake = draw(instance)
    return lake.rows(lake.start).replace("\n", "/")


PROMPTS = ta_loop.prompts(
    full={
        "intro": (
            "You stand on a frozen lake and want to get to the other side without falling into a hole.\n\n"
            "On the board P is you, G is the goal, H is a hole, and an empty field is firm ice.\n"
            f"- Move one field at a time, by a direction in square brackets: {LISTED}.\n"
            "- Of several directions in one reply only the first one counts.\n"
            "- A step off the board is an invalid move. A step into a hole ends the game.\n"
        ),
        "board": "The board:\n\n$BOARD$",
        "moved": "You went $STEP$, to row $ROW$, column $COLUMN$.",
    },
    short={
        "intro": "P to G, not into H.\nReply `[up]`, `[down]`, `[left]` or `[right]`",
        "board": "$ROWS$",
        "moved": "Went $STEP$.",
    },
)

TA_FROZEN_LAKE = ta_loop.game(
    "ta_frozen_lake",
    SEAT,
    "Player 0",
    LEVELS,
    PROMPTS,
    referee=referee,
    target=target,
    players={SEAT: {"scripted": players.walk, "random": players.stumble, "broken": players.break_step}},
)
