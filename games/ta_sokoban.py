"""Sokoban: push all boxes of a room onto the targets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from games import ta_loop, ta_sokoban_make
from games import ta_sokoban_players as players
from games.core import InstanceError, Referee
from games.ta_loop import Loop
from games.ta_sokoban_room import PLAYER, SIGNS, WALL, Room
from games.ta_steps import LISTED, read

SEAT = "pusher"
# level -> how many steps the shortest solution takes, and `env_specs`
LEVELS: dict[str, tuple[range, dict[str, Any]]] = {
    "one": (range(4, 13), {"dim_room": [6, 6], "max_turns": 15, "num_boxes": 1}),
    "two": (range(8, 19), {"dim_room": [6, 6], "max_turns": 25, "num_boxes": 2}),
    "three": (range(10, 26), {"dim_room": [6, 6], "max_turns": 30, "num_boxes": 3}),
}


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Steps until all boxes are on targets, the limit, or two invalid moves in a row; the reward is the share of boxes."""
    loop, limit = Loop(SEAT, ta_loop.texts(settings, PROMPTS)), ta_loop.spec(instance, "max_turns", 0, 10**6)
    room = draw(instance)
    loop.tell("intro", TURNS=limit + 1)  # the limit is compared before a move is counted, so there is one move more
    _show(loop, room)
    while True:
        step = read((yield from loop.ask()))
        after = room.step(step) if step else None
        if after is None:
            if over := loop.invalid(f"no room to move {step}" if step else "no direction in square brackets"):
                return over
            continue
        loop.tell("moved" if after.boxes == room.boxes else "pushed", STEP=step)
        room = after
        loop.reach(room.done() / len(room.boxes))
        if loop.value == 1:
            return loop.end(1, "all boxes are on targets")
        if loop.turn >= limit:
            return loop.end(loop.value, "no move is left")
        _show(loop, room)
        loop.valid()


def _show(loop: Loop, room: Room) -> None:
    rows = room.rows()
    loop.tell("board", BOARD="\n".join(map(" ".join, rows)), ROWS="\n".join(rows))


def draw(instance: Mapping) -> Room:
    """The room of an instance: one of ours brings its board, an official one a seed that draws it."""
    if "board" in instance:
        return _read(instance["board"])
    size, seed = instance["env_specs"].get("dim_room"), instance.get("seed")
    pair = isinstance(size, (list, tuple)) and [type(side) for side in size] == [int, int]
    if not pair or not 4 <= min(size) <= max(size) <= 20:
        raise InstanceError("env_specs.dim_room", "two whole numbers from 4 to 20 are wanted")
    if not isinstance(seed, int) or seed < 0:
        raise InstanceError("seed", "a whole number from 0 on is wanted")
    return ta_sokoban_make.draw(*size, ta_loop.spec(instance, "num_boxes", 1, 10), seed)


def _read(board: Any) -> Room:
    """The room of a board, checked."""
    good = isinstance(board, list) and board and all(isinstance(row, str) and set(row) <= set(SIGNS) for row in board)
    if not good or len({len(row) for row in board}) > 1 or len(board[0]) < 3:
        raise InstanceError("board", f"a list of rows of one length is wanted, made from {SIGNS}")
    edge = board[0] + board[-1] + "".join(row[0] + row[-1] for row in board)
    if set(edge) != {WALL} or "".join(board).count(PLAYER) != 1:
        raise InstanceError("board", "one player is wanted, and wall all around")
    room = Room.read(board)
    if not len(room.boxes) == len(room.targets) > room.done():
        raise InstanceError("board", "as many boxes as targets are wanted, and not all of them there")
    return room


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A room that lies in the split and can be solved in time."""
    lengths, specs = LEVELS[level]
    room = ta_sokoban_make.fresh(rng, split, specs["dim_room"], specs["num_boxes"], lengths)
    return {"env_specs": dict(specs), "board": room.rows()}


def target(instance: Mapping) -> str:
    """Walls and targets, row by row, wherever the boxes stand."""
    return "/".join(draw(instance).bare())


PROMPTS = ta_loop.prompts(
    full={
        "intro": (
            "This is Sokoban. Push all boxes of the room onto its targets.\n\n"
            "On the board P is you, # a wall, _ free floor, X a box, O a target, and √ a box on a target.\n"
            f"- Move one field at a time, by a direction in square brackets: {LISTED}.\n"
            "- Of several directions in one reply only the first one counts.\n"
            "- Who moves against a box pushes it one field on. Boxes cannot be pulled, two at once cannot be pushed, nor one "
            "against a wall: such a move is invalid, as is one into a wall.\n"
            "- A box in a corner never gets out again. Where you stand on a target, it is not shown.\n"
            "- You have $TURNS$ moves.\n"
        ),
        "board": "The board:\n\n$BOARD$",
        "moved": "You moved $STEP$.",
        "pushed": "You moved $STEP$ and pushed a box.",
    },
    short={
        "intro": "Push X onto O.\nReply `[up]`, `[down]`, `[left]` or `[right]`",
        "board": "$ROWS$",
        "moved": "Moved $STEP$.",
        "pushed": "Pushed $STEP$.",
    },
)

TA_SOKOBAN = ta_loop.game(
    "ta_sokoban",
    SEAT,
    "Player 0",
    LEVELS,
    PROMPTS,
    referee=referee,
    fields={"env_specs": dict},
    generate=generate,
    target=target,
    players={SEAT: {"scripted": players.push, "random": players.stumble, "broken": players.break_step}},
)
