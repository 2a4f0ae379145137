"""Towers of Hanoi, one move a reply: bring all disks to the last peg, never a larger one onto a smaller one."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from string import Template
from typing import Any

from games import toh_multi_turn_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, split_of
from games.toh_multi_turn_board import GOAL, Board, distance

SEAT = "hopper"
ERRORS = 3  # so many replies in a row without a valid move abort the episode
DISKS = {"tiny": 2, "easy": 3, "medium": 4, "hard": 5}
TEXTS = ("initial_prompt", "new_turn_prompt", "parse_error_message", "rule_violation_message", "move_pattern")


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Every reply is a turn; the episode is lost as soon as the moves left are not more than those that are needed."""
    texts, board = _read(dict(settings) | dict(instance))
    pattern, limit = re.compile(texts["move_pattern"]), instance["max_turns"]
    first = distance(board.pegs)
    valid = invalid = violated = errors = 0
    progress: list[float] = []

    def end(status: Status, reason: str, **metrics: Any) -> Outcome:
        score = {"success": 100, "lose": 0, "aborted": math.nan}[status]
        metrics = {"Optimal Steps": first, "Valid Moves": valid, "Invalid Moves": invalid, "Main Score": score} | metrics
        requests, seat = len(progress), SEAT if status == "aborted" else None
        return Outcome(status, score, requests, requests - violated, violated, metrics, reason, seat, tuple(progress))

    text = fill(texts["initial_prompt"], board, remaining_turns=limit)
    for left in reversed(range(limit)):
        reply = yield Ask(SEAT, text)
        found = list(pattern.finditer(reply))
        problem = board.problem(found[-1]["source"], found[-1]["target"]) if found else None
        if found and not problem:
            text = board.move(found[-1]["source"], found[-1]["target"]) + "\n"
            text += fill(texts["new_turn_prompt"], board, remaining_turns=left)
            valid, errors = valid + 1, 0
        else:
            text = Template(texts["rule_violation_message"]).safe_substitute(reason=problem)
            text = text if found else texts["parse_error_message"]
            violated, invalid, errors = violated + (not found), invalid + bool(found), errors + 1
        needed = distance(board.pegs)
        progress.append(max(0.0, 1 - needed / first))
        if not needed:
            return end("success", "all disks are on the last peg")
        if errors == ERRORS:
            last = problem or "no move of the form asked for"
            return end("aborted", f"{ERRORS} errors in a row, the last one: {last}", **{"Main Score": 0})
        if not errors and needed >= left:
            return end("lose", f"{needed} moves are needed, {left} turns are left")
    return end("lose", "the last turn was an error", Lose=0)  # the official game ends here without any verdict


def fill(text: str, board: Board, **values: Any) -> str:
    """A text with its $names filled in; our own ones also say the names of pegs and disks."""
    known = {"current_board": board.draw(), "pegs": ", ".join(board.names), "last_peg": board.names[GOAL]}
    known |= {"example": f"[{board.names[0]} {board.names[1]}]", "disks": ", ".join(reversed(board.disks))}
    return Template(text).safe_substitute(known | values)


def _read(fields: Mapping) -> tuple[dict[str, str], Board]:
    """The texts and the board of an instance, checked."""
    for field in TEXTS:
        if not isinstance(fields.get(field), str):
            raise InstanceError(field, "a text is wanted")
    try:
        groups = re.compile(fields["move_pattern"]).groupindex
    except re.error as error:  # an instance from outside
        raise InstanceError("move_pattern", f"not a regular expression: {error}") from None
    if not {"source", "target"} <= groups.keys():
        raise InstanceError("move_pattern", "groups 'source' and 'target' are wanted")
    if fields["max_turns"] < 1:
        raise InstanceError("max_turns", "at least 1 is wanted")
    return {field: fields[field] for field in TEXTS}, Board(fields)


def generate(rng: random.Random, level: str, split: str) -> dict:
    """Disks spread over the pegs, the largest not yet at its place; the full first peg is left to the official instances."""
    disks = DISKS[level]
    while True:
        at = [rng.randrange(3) for _ in range(disks)]
        start = [[size for size in range(disks, 0, -1) if at[size - 1] == peg] for peg in range(3)]
        instance = {
            "turn_type": "multi",
            "num_disks": disks,
            "align": rng.choice(("horizontal", "vertical")),
            "peg_names": rng.choice(("alpha", "num")),
            "disk_order": rng.choice(("ascending", "descending")),
            "start": start,
            "max_turns": 2 * distance(start) + 2,
        }
        if at[-1] != GOAL and any(at) and split_of(target(instance)) == split:
            return instance | {"initial_board": Board(instance).draw()}


def target(instance: Mapping) -> str:
    """The position and how it is shown."""
    shown = (instance["num_disks"], instance["align"], instance["peg_names"], instance["disk_order"])
    return f"{shown} {instance.get('start', 'first peg')}"


def settings(level: str, form: str) -> dict:
    """Our own texts under the official names; an instance of ours holds none."""
    return {"name": level, **PROMPTS[form]}


_MOVE = r"\[(?P<source>\w) +(?P<target>\w)\]"
PROMPTS = {
    "full": {
        "initial_prompt": (
            "Disks of different sizes stand on the pegs $pegs. Bring all of them to peg $last_peg.\n\n"
            "- One move takes the top disk of a peg and puts it on another peg.\n"
            "- A disk never lies on a smaller one; on a larger one or on an empty peg it may lie.\n"
            "- Write a move as two pegs in square brackets, first where the disk is, then where it goes: $example\n"
            "- You have $remaining_turns turns. A reply that is no allowed move costs a turn too, and $errors of them in a row "
            "end the game.\n\n"
            "The disks, largest first: $disks. This is how they stand (where a line begins with a peg and a colon, its disks "
            "follow from bottom to top):\n\n```\n$current_board```\n\nYour first move?"
        ).replace("$errors", str(ERRORS)),
        "new_turn_prompt": "Now:\n\n```\n$current_board```\n\nTurns left: $remaining_turns. Your next move?",
        "parse_error_message": "I see no move in this. Write it as two pegs in square brackets.",
        "rule_violation_message": "This move is not allowed: $reason Try another one.",
        "move_pattern": _MOVE,
    },
    "short": {
        "initial_prompt": "Bring all disks to peg $last_peg.\nLargest first: $disks.\n```\n$current_board```\nReply `$example`",
        "new_turn_prompt": "```\n$current_board```\n$remaining_turns left",
        "parse_error_message": "No move.",
        "rule_violation_message": "Not allowed: $reason",
        "move_pattern": _MOVE,
    },
}

TOH_MULTI_TURN = Game(
    name="toh_multi_turn",
    suite="outofdomain",
    seats=(SEAT,),
    roles=("PegHopper",),
    levels=tuple(DISKS),
    fields={"num_disks": int, "align": str, "peg_names": str, "disk_order": str, "max_turns": int},
    settings_fields={"name": str},
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={SEAT: {"scripted": players.hop, "random": players.hop_anywhere, "broken": players.break_move}},
)
