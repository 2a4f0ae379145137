"""Imagegame: a giver describes a grid of letters command by command, a follower draws it again after every command."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from typing import Any

from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, split_of
from games.grids import SIZE, draw, pattern_field, scatter, shapes, text_field
from games.imagegame_players import PLAYERS

EMPTY = "▢"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Command and grid in turn until the giver is done, a reply is foul or the rounds are up; the last grid counts."""
    header, question, follower_header = (
        text_field(instance, settings, field)
        for field in ("player_1_prompt_header", "player_1_question", "player_2_prompt_header")
    )
    command_form = pattern_field(instance, settings, "player_1_response_pattern", re.IGNORECASE)
    done_form = pattern_field(instance, settings, "player_1_terminate_pattern", re.IGNORECASE)
    grid_form = pattern_field(instance, settings, "player_2_response_pattern")
    target_grid, size = instance["target_grid"], instance["grid_dimension"]
    if size < 1:
        raise InstanceError("grid_dimension", f"{size} given, at least 1 wanted")

    text = f"{header}\n{target_grid}\n{question}"
    follower_text = follower_header + "\n\n"
    drawn = draw(frozenset(), empty=EMPTY)
    scores = (0.0, 0.0, 0.0)  # precision, recall, F1 in percent
    commands: list[str] = []
    changes: list[int] = []
    progress: list[float] = []
    for played in range(2 * size * size):
        events = 6 * played  # the official counts are of logged events, not of replies
        reply = yield Ask("giver", text)
        progress.append(scores[2] / 100)
        if done_form.match(reply):
            return _outcome(scores, commands, changes, progress, events + 2, "the giver was done")
        if not command_form.match(reply):
            return _aborted(progress, events + 3, "giver", "not one line that starts with 'Command: '")
        command = reply.split("\n")[0]

        grid = yield Ask("follower", follower_text + command)
        if not grid_form.match(grid):
            progress.append(scores[2] / 100)
            return _aborted(progress, events + 6, "follower", "not a grid and nothing else")
        scores = compare(target_grid, grid) or scores
        progress.append(scores[2] / 100)
        commands.append(command.replace("Instruction:", "").strip())
        changes.append(changed(drawn, grid))
        text, follower_text, drawn = question, "", grid
    return _outcome(scores, commands, changes, progress, 6 * len(commands) + 1, "all rounds were played")


def compare(target_grid: str, grid: str) -> tuple[float, float, float] | None:
    """Precision, recall and F1 in whole percent, 0 for another size; None (the last scores stay) where they are undefined."""
    wanted, found = _rows(target_grid), _rows(grid)
    if (len(wanted), len(wanted[0])) != (len(found), len(found[0])):
        return 0.0, 0.0, 0.0
    if any(len(row) < len(wanted_row) for row, wanted_row in zip(found, wanted)):
        return None
    pairs = [pair for row, wanted_row in zip(found, wanted) for pair in zip(row, wanted_row)]
    hits = sum(cell == goal != EMPTY for cell, goal in pairs)
    letters_found = sum(cell != EMPTY for cell, _ in pairs)
    letters_wanted = sum(goal != EMPTY for _, goal in pairs)
    if not letters_found or not letters_wanted:
        return None
    precision, recall = round(hits / letters_found, 4), round(hits / letters_wanted, 4)
    f1 = round(2 * precision * recall / (precision + recall), 4) if precision and recall else 0.0
    return round(100 * precision, 0), round(100 * recall, 0), round(100 * f1, 0)


def changed(before: str, grid: str) -> int:
    """How many cells differ, case aside; 0 where the later grid lacks cells of the earlier."""
    old, new = _rows(before), _rows(grid)
    if len(new) < len(old) or any(len(row) < len(old_row) for row, old_row in zip(new, old)):
        return 0
    return sum(cell != old_cell for row, old_row in zip(new, old) for cell, old_cell in zip(row, old_row))


def _rows(grid: str) -> list[list[str]]:
    return [line.lower().split(" ") for line in grid.strip().split("\n")]


def _outcome(scores: tuple, commands: list, changes: list, progress: list, requests: int, reason: str) -> Outcome:
    precision, recall, f1 = scores
    rounds = max(1, len(commands))
    metrics = {
        "Precision": precision,
        "Recall": recall,
        "F1": f1,
        "Average Changed Cell Count": round(sum(changes) / rounds, 4),
        "Average Generated Instruction Length": round(sum(map(len, commands)) / rounds, 4),
        "Average Generated Expression Number of Tokens": round(sum(len(c.split(" ")) for c in commands) / rounds, 4),
    }
    status: Status = "success" if f1 >= 99 else "lose"
    return Outcome(status, f1, requests, requests, 0, metrics, reason, progress=tuple(progress))


def _aborted(progress: list, requests: int, seat: str, reason: str) -> Outcome:
    names = ("Precision", "Recall", "F1", "Average Changed Cell Count", "Average Generated Instruction Length")
    metrics: dict[str, Any] = dict.fromkeys((*names, "Average Generated Expression Number of Tokens"), math.nan)
    metrics["Request Success Ratio"] = round((requests - 1) / requests, 4)
    return Outcome("aborted", math.nan, requests, requests - 1, 1, metrics, reason, seat, tuple(progress))


_GRID_ROW = "([A-Z▢]\\s){4}[A-Z▢]"
_PATTERNS = {
    "player_1_response_pattern": "^command: [^\\n]+$",
    "player_1_terminate_pattern": "^\\s*command\\s*:\\s*done\\s*$",
    "player_2_response_pattern": "^\\n*" + "\\n".join([_GRID_ROW] * SIZE) + "\\n*$",
}

PROMPTS = {
    "full": {
        "player_1_prompt_header": f"""We fill an empty grid together. You see a finished grid of 5 rows and 5 columns: some \
cells hold a letter, and {EMPTY} marks an empty cell. I do not see it. Tell me step by step what to draw.

Give one command at a time; it may be about a single cell, several cells or a whole row or column. Name only cells that \
hold letters. After each command I ask for the next one. As soon as the whole grid has been described, finish with "Command: \
DONE". Every answer of yours is one line that starts with "Command: ", and nothing else. For a grid with a K in the middle and \
a last row full of K, your answers could be:
Command: Put a K in row 3, column 3
Command: Fill row 5 with K
Command: DONE

The grid:""",
        "player_1_question": "What comes next?",
        "player_2_prompt_header": f"""We draw a grid of 5 rows and 5 columns together. At first all of its cells are empty:

{draw(frozenset(), empty=EMPTY)}

With each message I give you one command. Carry it out on the grid as it stands, and answer with the whole new grid and \
nothing else: 5 lines of 5 cells with one blank between them, a capital letter or {EMPTY} in each. For the command "Put a K in \
row 1, column 2" the first answer is:

{draw(frozenset({(0, 1)}), "K", EMPTY)}

Here is the first command.""",
    },
    "short": {
        "player_1_prompt_header": """Describe this grid, one command at a time, like
Command: Fill row 5 with K
At the end:
Command: DONE""",
        "player_1_question": "Next?",
        "player_2_prompt_header": f"Draw on 5 rows of 5 cells, {EMPTY} if empty. Answer with the whole grid.",
    },
}


def settings(level: str, form: str) -> dict[str, Any]:
    """Our own settings; the prompts in them win over those of an instance."""
    return {"name": level} | PROMPTS[form] | _PATTERNS


def generate(rng: random.Random, level: str, split: str) -> dict[str, Any]:
    """A fresh grid of one letter: a shape drawn by hand ("compact_grids") or 3 to 10 cells anywhere."""
    while True:
        if level == "compact_grids":
            cells = rng.choice(shapes("figure") + shapes("letter") + shapes("digit"))
        else:
            cells = scatter(rng, rng.randint(3, 10))
        grid = draw(cells, rng.choice(LETTERS), EMPTY)
        if split_of(grid) == split:
            break
    return PROMPTS["full"] | _PATTERNS | {"target_grid": grid, "grid_dimension": SIZE, "number_of_letters": len(cells)}


IMAGEGAME = Game(
    name="imagegame",
    suite="indomain",
    seats=("giver", "follower"),
    roles=("Instruction Giver", "Instruction Follower"),
    levels=("compact_grids", "random_grids"),
    fields={"target_grid": str, "grid_dimension": int},
    settings_fields={},
    referee=referee,
    generate=generate,
    target=lambda instance: instance["target_grid"],
    settings=settings,
    players=PLAYERS,
)
