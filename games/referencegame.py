"""Referencegame: a giver describes one of three grids, a follower who sees them in another order picks it."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from typing import Any

from games.core import Ask, Game, InstanceError, Outcome, Referee, split_of
from games.grids import Cells, draw, lines, pattern_field, scatter, shapes, smudge, text_field, turned
from games.referencegame_players import PLAYERS

PLACES = (("first", "1"), ("second", "2"), ("third", "3"))
GRIDS = (
    "player_1_target_grid",
    "player_1_second_grid",
    "player_1_third_grid",
    "player_2_first_grid",
    "player_2_second_grid",
    "player_2_third_grid",
)
FILLED = 12  # cells of a random grid


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """One expression, one answer."""
    first_text, second_text = (
        _show(instance, text_field(instance, settings, f"player_{seat}_prompt_header")) for seat in (1, 2)
    )
    expression_form, answer_form = (
        pattern_field(instance, settings, f"player_{seat}_response_pattern", re.IGNORECASE) for seat in (1, 2)
    )
    for field, form in (("player_1_response_pattern", expression_form), ("player_2_response_pattern", answer_form)):
        if not {"response", "remainder"} <= form.groupindex.keys():
            raise InstanceError(field, "groups 'response' and 'remainder' are wanted")
    modes = [instance.get(f"p{seat}_mode", "strict") for seat in (1, 2)]

    expression = yield Ask("giver", first_text)
    if not _match(expression_form, modes[0], expression):
        return _outcome("aborted", 1, None, "not one line that starts with 'Expression: '", "giver")
    answer = yield Ask("follower", second_text.replace("TARGET_EXPRESSION", expression))
    match = _match(answer_form, modes[1], answer)
    if not match:
        return _outcome("aborted", 2, expression, "not 'Answer: ' and first, second or third", "follower")
    choice = match["response"].lower()
    right = choice in instance["target_grid_name"]
    return _outcome("success" if right else "lose", 2, expression, f"the {choice} grid was picked")


def _show(instance: Mapping, header: str) -> str:
    """Headers in our settings name the grids by their field; those in an instance show them already."""
    for field in (field for field in GRIDS if f"${field}$" in header):
        header = header.replace(f"${field}$", instance[field])
    return header


def _match(form: re.Pattern[str], mode: str, reply: str) -> re.Match[str] | None:
    """The match, if nothing follows the line that counts or the mode is liberal."""
    match = form.match(reply)
    return match if match and (mode == "liberal" or match["remainder"] == "") else None


def _outcome(status: Any, requests: int, expression: str | None, reason: str, seat: str | None = None) -> Outcome:
    aborted = status == "aborted"
    violated = int(aborted)
    metrics = {
        "Aborted at Player 1": int(seat == "giver"),
        "Aborted at Player 2": int(seat == "follower"),
        "Generated Expression Length": math.nan if expression is None else len(expression),
        "Generated Expression Number of Tokens": math.nan if expression is None else len(expression.split(" ")),
        "Request Success Ratio": round((requests - violated) / requests, 4),
    }
    if aborted:  # the official scores leave both undefined
        metrics |= {"Success": math.nan, "Lose": math.nan}
    score = {"success": 100, "lose": 0, "aborted": math.nan}[status]
    return Outcome(status, score, requests, requests - violated, violated, metrics, reason, seat)


_PATTERNS = {
    "player_1_response_pattern": r"^(?P<tag>expression:\s*)(?P<content>(?P<response>.+)\n*(?P<remainder>[\s\S]*))",
    "player_2_response_pattern": r"^(?P<tag>answer:\s*)"
    r"(?P<content>(?P<response>first|second|third|1|2|3).*\n*(?P<remainder>[\s\S]*))",
}

PROMPTS = {
    "full": {
        "player_1_prompt_header": """Below are three grids of 5 rows and 5 columns. X is a filled cell and □ an empty one.
The first grid is the target; the other two are there to distract. Describe the target in one sentence, so that somebody who \
sees the same three grids in another order can tell which one you mean.

Target grid:

$player_1_target_grid$

Distractor grid 1:

$player_1_second_grid$

Distractor grid 2:

$player_1_third_grid$

Answer with one line and nothing else. It starts with the tag "Expression: ", like this:
Expression: the grid with an empty second row and an X in row 4, column 1""",
        "player_2_prompt_header": """Below are three grids of 5 rows and 5 columns. X is a filled cell and □ an empty one.
Somebody has described one of them. Which one?

First:

$player_2_first_grid$

Second:

$player_2_second_grid$

Third:

$player_2_third_grid$

TARGET_EXPRESSION

Answer with "first", "second" or "third" after the tag "Answer: " and nothing else, like this:
Answer: second""",
    },
    "short": {
        "player_1_prompt_header": """Target:
$player_1_target_grid$

Others:
$player_1_second_grid$

$player_1_third_grid$

Tell the target from the others.
Expression: ...""",
        "player_2_prompt_header": """$player_2_first_grid$

$player_2_second_grid$

$player_2_third_grid$

TARGET_EXPRESSION
Which grid?
Answer: first, second or third""",
    },
}


def settings(level: str, form: str) -> dict[str, Any]:
    """Our own settings; the prompts in them win over those of an instance."""
    return {"name": level} | PROMPTS[form] | _PATTERNS


def generate(rng: random.Random, level: str, split: str) -> dict[str, Any]:
    """Six grids of a kind; one is the target, the two that are most like it distract."""
    while True:
        grids = list(dict.fromkeys(draw(_cells(rng, level)) for _ in range(6)))
        if len(grids) > 2 and split_of(grids[0]) == split:
            break
    shown = [grids[0], *sorted(grids[1:], key=lambda grid: _distance(grids[0], grid))[:2]]
    place = rng.randrange(3)
    order = shown[1:]
    order.insert(place, shown[0])
    instance = dict(zip(GRIDS, shown + order)) | {"target_grid_name": list(PLACES[place]), "lang": "en"}
    headers = {field: _show(instance, header) for field, header in PROMPTS["full"].items()}
    return instance | headers | _PATTERNS | {"p1_mode": "strict", "p2_mode": "strict"}


def _cells(rng: random.Random, level: str) -> Cells:
    match level:
        case "line_grids_rows":
            return lines(rng)
        case "line_grids_columns":
            return turned(lines(rng))
        case "letter_grids":
            return smudge(rng, rng.choice(shapes("letter")), 2)
        case "number_grids":
            return smudge(rng, rng.choice(shapes("digit")), 2)
        case _:
            return scatter(rng, FILLED)


def _distance(grid: str, other: str) -> int:
    """How many cells differ."""
    return sum(a != b for a, b in zip(grid, other))


def target(instance: Mapping) -> str:
    """The grid that is described."""
    return instance["player_1_target_grid"]


REFERENCEGAME = Game(
    name="referencegame",
    suite="indomain",
    seats=("giver", "follower"),
    roles=("InstructionGiver", "InstructionFollower"),
    levels=("line_grids_rows", "line_grids_columns", "letter_grids", "number_grids", "random_grids"),
    fields={"target_grid_name": (list, str)} | dict.fromkeys(GRIDS, str),
    settings_fields={},
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players=PLAYERS,
)
