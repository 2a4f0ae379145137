"""Our own texts for clean up, under the official names."""

from __future__ import annotations

_WALLS_FULL = """* The digits above the grid count x from left to right, those beside it count y from top to bottom.
* You may move a letter only to an empty cell, one that shows '◌': not onto walls, frame or letters, not outside the grid."""
_LANDMARKS_FULL = """* The numbers above the grid count x from left to right in fives, those beside it y from top to bottom.
* The blocks of symbols in brackets are landmarks, the same for both of you. You may move a letter to any cell of the grid.
* In messages describe places by landmarks, corners and words such as left, right, above, below. A message must not
  contain digits, nor the words row, column or line."""
_FULL = """You and a partner tidy up. Both of you have this grid and the same letters ($objects), but at different cells:

```
$grid```

Aim: in the end every letter stands at the same cell in both grids. You do not see your partner's grid.

{kind}

Each turn send just one command and nothing else, in one of these two forms:
`SAY: your message` sends one line of text to your partner.
`MOVE: letter, (x, y)` moves one of your own letters. Example: `MOVE: Q, (2, 1)`

* Anything else, or a move that is not allowed, costs a penalty and you try again. With more than $max_penalties penalties
  together you both lose.
* You have $max_rounds rounds; a round is one command of each of you. Agree early on one cell for every letter.
* When you believe that all letters are in place, send `SAY: finished?`. If your partner has sent that and you agree, send
  `SAY: finished!` and the game ends. The closer equal letters are then, and the fewer the penalties, the higher your score.
"""
_WALLS_SHORT, _LANDMARKS_SHORT = "Move to empty ◌ only.", "No digits, row, column, line in messages."
_SHORT = """Same letters, same cells in both grids. Yours:
```
$grid```
Send `SAY: text` or `MOVE: letter, (x, y)`. {kind} All done: `SAY: finished?`, answer `SAY: finished!`
"""
_INTERMITTENT = {
    "round_counter": "Round $round of $max_rounds. ",
    "penalty_counter": "Penalties so far: $penalty of $max_penalties.\n",
    "new_turn": 'Your partner says:\n\n"$turn_message"',
    "new_turn_move": "Your partner has moved a letter.",
    "command_prompt": "\n\nYour next command?",
    "message_relay": "Your partner gets your message.\n\n",
    "invalid_response": "Penalty: $reason\nSend one command only: `SAY: your message` or `MOVE: letter, (x, y)`.\n",
    "penalty_reprompt": "Try again.",
}
_INTERMITTENT_SHORT = _INTERMITTENT | {
    "round_counter": "Round $round. ",
    "penalty_counter": "Penalties $penalty.\n",
    "new_turn": 'Partner: "$turn_message"',
    "new_turn_move": "Partner moved.",
    "command_prompt": "\nYou?",
    "message_relay": "",
    "invalid_response": "Wrong: $reason\n",
}
_ERRORS = {
    "head": "there is text before the command.",
    "tail": "there is text after the command.",
    "head_tail": "there is text before and after the command.",
    "several_commands": "there is more than one command.",
    "restriction": "the message names a place by numbers, or by row, column or line.",
    "invalid_format": "there is no command of the right form.",
    "invalid_start": "the game begins with a message to your partner.",
}
_MOVES = {
    "successful": "$object is at ($x, $y) now. Your grid:\n```\n$grid```\n",
    "out_of_bounds": "Penalty: ($x, $y) lies outside the grid.\n",
    "not_empty": "Penalty: ($x, $y) is not empty, it holds '$object'.\n",
    "obj_not_found": "Penalty: there is no letter '$object' on your grid.\n",
}


def wall_settings(level: str, form: str) -> dict:
    """Our own texts for `text`, under the official names."""
    return _texts(level, form, _WALLS_FULL if form == "full" else _WALLS_SHORT)


def landmark_settings(level: str, form: str) -> dict:
    """Our own texts for `semantic_text`, under the official names."""
    kind = _LANDMARKS_FULL if form == "full" else _LANDMARKS_SHORT
    return _texts(level, form, kind) | {"restricted_patterns": ["[0-9]+", "row", "column", "line"]}


def _texts(level: str, form: str, kind: str) -> dict:
    full = form == "full"
    prompt = (_FULL if full else _SHORT).replace("{kind}", kind)
    begin = "\nYou begin: send your partner a message." if full else "Begin with SAY."
    follow = (
        '\nYour partner begins with this message:\n\n"$start_message"\n\nYour first command?'
        if full
        else 'Partner: "$start_message"'
    )
    return {
        "name": f"{level}_en",
        "p1_initial_prompt": prompt + begin,
        "p2_initial_prompt": prompt + follow,
        "say_pattern": r"(?P<head>.*)SAY: (?P<message>[^\n]+)(?P<tail>.*)",
        "move_pattern": r"(?P<head>.*)MOVE: (?P<obj>[^,]+), \((?P<x>\d+), ?(?P<y>\d+)\)(?P<tail>.*)",
        "parse_errors": _ERRORS,
        "move_messages": _MOVES,
        "intermittent_prompts": _INTERMITTENT if full else _INTERMITTENT_SHORT,
        "terminate_question": "finished?",
        "terminate_answer": "finished!",
    }
