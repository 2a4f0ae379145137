"""What the rules of clean up read: the texts of an instance, the commands in a reply, one seat's grid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Template
from typing import Any

from games.core import InstanceError

_HEAD, _SAY = "(?P<head>.*)", r"(?P<message>[^\n]+)(?P<tail>.*)"
_MOVE = r"(?P<obj>[^,]+), \((?P<x>\d+), ?(?P<y>\d+)\)(?P<tail>.*)"
_PLACE = re.compile(r", \((\d+), ?(\d+)\)")
_STRINGS = ("p1_initial_prompt", "p2_initial_prompt", "say_pattern", "move_pattern", "terminate_question", "terminate_answer")
_TEXTS = {
    "parse_errors": "head tail head_tail several_commands invalid_format invalid_start",
    "move_messages": "successful out_of_bounds not_empty obj_not_found",
    "intermittent_prompts": "round_counter penalty_counter new_turn new_turn_move command_prompt message_relay "
    "invalid_response penalty_reprompt",
}


class Rules:
    """The instance's limits and texts, checked; how replies are read."""

    def __init__(self, fields: Mapping[str, Any]):
        self.fields = fields
        for field in _STRINGS:
            if not isinstance(fields.get(field), str):
                raise InstanceError(field, "a text is wanted")
        self.texts = {field: fields[field] for field in _STRINGS}
        for field, keys in _TEXTS.items():
            given = fields.get(field)
            for key in [
                *keys.split(),
                *(["restriction"] if "restricted_patterns" in fields and field == "parse_errors" else []),
            ]:
                if not isinstance(given, Mapping) or not isinstance(given.get(key), str):
                    raise InstanceError(field, f"a text '{key}' is wanted")
                self.texts[key] = given[key]
        self.say, self.move = _keyword("say_pattern", fields, _SAY), _keyword("move_pattern", fields, _MOVE)
        self.restricted = [re.compile(pattern, re.DOTALL) for pattern in fields.get("restricted_patterns", ())]
        self.max_penalties, self.max_rounds = fields["max_penalties"], fields["max_rounds"]
        for field in ("max_penalties", "max_rounds"):
            if fields[field] < 1:
                raise InstanceError(field, "at least 1 is wanted")
        _check_board(fields)

    def fill(self, key: str, **values: Any) -> str:
        """A text with its $names filled in; the limits and the list of objects are known to all of our own texts."""
        letters = ", ".join(f"'{one['id']}'" for one in self.fields["objects_1"])
        known = {"max_penalties": self.max_penalties, "max_rounds": self.max_rounds, "objects": letters}
        return Template(self.texts[key]).safe_substitute(known | values)

    def parse(self, reply: str, opening: bool) -> tuple:
        """("say", message), ("move", letter, x, y) or ("error", key of the parse error)."""
        text = reply.replace("`", "").strip()
        said, moved = self._find_say(text), self._find_move(text)
        if said and moved:
            return "error", "several_commands"
        if opening and not said:
            return "error", "invalid_start"
        found = said or moved
        if not found:
            return "error", "invalid_format"
        head, tail, *command = found
        if head or tail:
            return "error", "head_tail" if head and tail else "head" if head else "tail"
        return tuple(command)

    def _find_say(self, text: str) -> tuple | None:
        """(head, tail, "say", message) of the last SAY with a message: what the official pattern finds, in linear time."""
        at = text.rfind(self.say)
        while at >= 0 and text[at + len(self.say) : at + len(self.say) + 1] in ("", "\n"):
            at = text.rfind(self.say, 0, at)
        if at < 0:
            return None
        message, line_end, rest = text[at + len(self.say) :].partition("\n")
        return text[:at], line_end + rest, "say", message

    def _find_move(self, text: str) -> tuple | None:
        """(head, tail, "move", object, x, y) of the last MOVE, likewise."""
        for place in reversed(list(_PLACE.finditer(text))):
            begin = text.rfind(",", 0, place.start()) + 1
            at = text.rfind(self.move, begin, max(place.start() - 1, 0))
            if at >= 0:
                letter = text[at + len(self.move) : place.start()]
                return text[:at], text[place.end() :], "move", letter, _number(place[1]), _number(place[2])
        return None


def _keyword(field: str, fields: Mapping, rest: str) -> str:
    """The literal keyword of a pattern of the official form."""
    pattern = fields[field]
    keyword = pattern.removeprefix(_HEAD).removesuffix(rest)
    if pattern != _HEAD + keyword + rest or not re.fullmatch(r"[\w: ]+", keyword):
        raise InstanceError(field, f"the form {_HEAD}KEYWORD{rest} is wanted")
    return keyword


def _number(digits: str) -> int:
    return int(digits) if len(digits) < 1000 else 10**9  # Python refuses to read longer numbers; no grid is that wide


class Grid:
    """One seat's copy: stacks of letters on a background."""

    def __init__(self, background: str, objects: list[dict], ruler_step: int):
        self.rows, self.step = background.split("\n"), ruler_step
        self.width, self.height = len(self.rows[0]), len(self.rows)
        self.at = {one["id"]: tuple(one["coord"]) for one in objects}
        self.stacks: dict[tuple[int, int], list[str]] = {}
        for letter, cell in self.at.items():
            self.stacks.setdefault(cell, []).append(letter)

    def top(self, cell: tuple[int, int]) -> str:
        """What a cell shows."""
        stack = self.stacks.get(cell)
        return stack[-1] if stack else self.rows[cell[1]][cell[0]]

    def move(self, letter: str, cell: tuple[int, int]) -> None:
        """The top of the old cell leaves it, whichever letter that is; the letter comes on top of the new one."""
        self.stacks[self.at[letter]].pop()
        self.stacks.setdefault(cell, []).append(letter)
        self.at[letter] = cell

    def draw(self) -> str:
        """The grid with its rulers."""
        ticks = "".join(str(x).ljust(self.step) for x in range(1, self.width - 1, self.step))
        lines = ["".join(self.top((x, y)) for x in range(self.width)) for y in range(self.height)]
        numbers = [f" {y}" if 0 < y < self.height - 1 else "" for y in range(self.height)]
        return f" {ticks}\n" + "".join(line + number + "\n" for line, number in zip(lines, numbers))

    def places(self) -> list[dict]:
        """The objects in the official form."""
        return [{"id": letter, "coord": list(cell)} for letter, cell in self.at.items()]


def _check_board(fields: Mapping) -> None:
    if fields["modality"] not in ("text", "semantic_text"):
        raise InstanceError("modality", "text or semantic_text is wanted")
    rows = fields["background"].split("\n")
    if min(len(rows), len(rows[0])) < 3 or any(len(row) != len(rows[0]) for row in rows):
        raise InstanceError("background", "rows of one width are wanted, with a frame")
    ids = []
    for field in ("objects_1", "objects_2"):
        for one in fields[field]:
            x, y = one["coord"] if _is_object(one) else (-1, -1)
            if not (0 <= x < len(rows[0]) and 0 <= y < len(rows)):
                raise InstanceError(field, "objects with an id and a place inside the grid are wanted")
        ids.append([one["id"] for one in fields[field]])
    if not ids[0] or sorted(ids[0]) != sorted(ids[1]) or len(set(ids[0])) < len(ids[0]):
        raise InstanceError("objects_2", "the same objects for both seats are wanted, each once")


def _is_object(one: Any) -> bool:
    if not isinstance(one, Mapping) or not isinstance(one.get("id"), str) or not isinstance(one.get("coord"), (list, tuple)):
        return False
    return len(one["coord"]) == 2 and all(isinstance(number, int) for number in one["coord"])
