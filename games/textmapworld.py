"""Textmapworld: walk through a house of named rooms and say DONE at the right time.

Three goals on one engine: visit every room (TEXTMAPWORLD), the same with the map drawn in every reply (GRAPHREASONING), find
one room (SPECIFICROOM). The official describer is a program that only reads the map aloud, so here it is part of the rules.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import math
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from games import textmapworld_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee
from games.textmapworld_graph import Near, distances, first_steps, similarity
from games.textmapworld_make import DRAWN, FAR, SIZES, TEXTS, generate, settings, target

SEAT = "guesser"
ROUNDS = 20
# The official pattern takes quadratic time on hostile replies; as its first `], "edges": {` will always do, never look back
LINEAR = {DRAWN: DRAWN.replace(r'.*?\]\s*,\s*"edges"\s*:\s*\{', r'(?>.*?\]\s*,\s*"edges"\s*:\s*\{)')}
UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)  # what ast.literal_eval may raise


@dataclasses.dataclass(frozen=True)
class World:
    """A map: where one starts, the exits of each room in their order, where a direction leads, and who is next to whom."""

    start: str
    exits: Mapping[str, list[str]]
    leads: Mapping[tuple[str, str], str]
    near: Near


def referee(goal: str, instance: Mapping, settings: Mapping) -> Referee:
    """Up to 20 replies, each a step or DONE; `goal` is "rooms", "graph" or "room"."""
    world = read_world(instance)
    texts = {key: str(settings.get(key, instance[key])) for key in TEXTS}
    read = _reader(instance, drawn=goal == "graph")
    wanted = instance["Specific_Room"] if goal == "room" else None
    far = distances(world.near, _named(wanted, world)) if wanted is not None else {}
    path, graph, progress = [world.start], None, []
    text = texts["Prompt"].replace("$GOAL$", wanted or "")
    text = _fill(text, world, world.start, "$INITIAL_ROOM$", "$INITIAL_DIRECTIONS$")

    for _ in range(ROUNDS):
        reply = yield Ask(SEAT, text)
        action, drawing = read(reply)
        room = world.leads.get((path[-1], action)) if action else None
        if room is not None:
            path.append(room)
            graph = drawing
        progress.append(1 - far[path[-1]] / max(1, *far.values()) if far else len(set(path)) / len(world.near))
        if action is None:
            return _aborted(goal, progress, 1, "the reply is not one step or DONE in the format asked for")
        if action == "DONE":
            return _stopped(goal, world, path, graph, wanted, progress)
        answer, name = (texts[TEXTS[1]], "$ANOTHER_ROOM$") if room is not None else (texts[TEXTS[2]], "$SAME_ROOM$")
        text = _fill(answer, world, path[-1], name, "$DIRECTIONS$")
    return _aborted(goal, progress, 0, f"no DONE within {ROUNDS} replies")


def _reader(instance: Mapping, drawn: bool) -> Callable[[str], tuple[str | None, Any]]:
    """A function from a raw reply to (direction, "DONE" or None if it breaks the format; the graph drawn)."""
    go, stop = _pattern(instance, "Move_Construction"), _pattern(instance, "Stop_Construction", groups=0)
    whole = _pattern(instance, "Response_Construction") if drawn else None

    def plain(reply: str) -> str | None:
        step, end = go.search(reply), stop.search(reply)
        return step[1] if step and not end else "DONE" if end and not step else None

    def with_graph(reply: str) -> tuple[str | None, Any]:
        reply = reply.replace("\n", "").strip()
        assert whole, "read only where graphs are drawn"
        found = whole.search(reply)
        action = plain(found[1]) if found else None
        try:
            said = _literal(found[0]) if found and action else {}
        except UNREADABLE:  # the format looks right, but it is no Python literal: nobody can process it
            return None, None
        if action == "DONE":
            return action, None
        return (action, said["graph"]) if "action" in said and "graph" in said else (None, None)

    def words_only(reply: str) -> tuple[str | None, Any]:
        action = plain(reply)
        return action if action in (None, "DONE") else action.lower(), None

    return with_graph if drawn else words_only


def _stopped(goal: str, world: World, path: list, graph: Any, wanted: str | None, progress: list) -> Outcome:
    """The scores of an episode that ended with DONE."""
    good = []
    for i, (here, there) in enumerate(zip(path, path[1:])):
        visited = set(path[: i + 1])
        good.append(len(visited) < len(world.near) and there in first_steps(world.near, here, visited))
    visited = set(path)
    exploration = 100 * len(visited) / len(world.near)
    efficiency = 100 * sum(good) / len(good) if good else 0
    mean = 2 * efficiency * exploration / (efficiency + exploration)
    won = path[-1].lower() == wanted.lower() if wanted else len(visited) == len(world.near)
    score = (100 if won else 0) if wanted else mean
    metrics = {
        "moves": len(good),
        "valid_moves": len(good),
        "invalid_moves": 0,
        "stopped": 1,
        "turns_limit": 0,
        "loops": _loops(path, forget=goal == "room"),
        "number_visited": len(visited),
        "seen": len(visited.union(*(world.near[room] for room in visited))),
        "efficiency": efficiency,
        "exploration": exploration,
    }
    metrics |= {"graph_similarity": similarity(world.near, graph)} if goal == "graph" else {}
    metrics |= {"old_benchscore": mean} if goal == "room" else {}
    reason = f"DONE after {len(visited)} of {len(world.near)} rooms" if not wanted else f"DONE in {path[-1]}, wanted {wanted}"
    requests = len(progress)
    return Outcome("success" if won else "lose", score, requests, requests, 0, metrics, reason, None, tuple(progress))


def _aborted(goal: str, progress: list, violated: int, reason: str) -> Outcome:
    """A broken format, or no end in time: nothing is scored."""
    extra = {"rooms": (), "graph": ("graph_similarity",), "room": ("old_benchscore",)}[goal]
    names = ("moves", "valid_moves", "invalid_moves", "stopped", "turns_limit", "loops", "number_visited", "seen")
    metrics = dict.fromkeys((*names, "efficiency", "exploration", *extra), math.nan)
    requests, seat = len(progress), SEAT if violated else None
    return Outcome("aborted", math.nan, requests, requests - violated, violated, metrics, reason, seat, tuple(progress))


def _loops(path: list[str], forget: bool) -> int:
    """How often the last four rooms were fewer than three different ones; `forget` starts anew after each."""
    count, since = 0, 0
    for end in range(1, len(path)):
        last = path[max(since, end - 3) : end + 1]
        if len(last) == 4 and len(set(last)) < 3:
            count += 1
            since = end + 1 if forget else since
    return count


def _fill(text: str, world: World, room: str, name: str, directions: str) -> str:
    return text.replace(directions, ", ".join(world.exits[room])).replace(name, room)


def _literal(text: str) -> Any:
    """A Python literal from outside, without the warnings that a stray backslash would give."""
    if "\\" not in text:
        return ast.literal_eval(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.literal_eval(text)


def _pattern(instance: Mapping, field: str, groups: int = 1) -> re.Pattern:
    text = instance[field]
    try:
        pattern = re.compile(LINEAR.get(text, text), re.IGNORECASE)
    except re.error as error:  # an instance from outside
        raise InstanceError(field, f"not a regular expression: {error}") from None
    if pattern.groups < groups:
        raise InstanceError(field, "a group is wanted that holds the action")
    return pattern


def _named(wanted: str, world: World) -> str:
    """The room called `wanted`, whatever the case."""
    for room in world.near:
        if room.lower() == wanted.lower():
            return room
    raise InstanceError("Specific_Room", f"{wanted!r} is not on the map")


def read_world(instance: Mapping) -> World:
    """The map of an instance in the official schema; raises `InstanceError` where it contradicts itself."""
    if instance.get("Loop_Reminder") or instance.get("Max_Turns_Reminder") or instance.get("Ambiguity"):
        raise InstanceError("Ambiguity", "reminders and rooms that share a name are not part of these rules")
    read = {}
    for field in ("Graph_Nodes", "Graph_Edges", "Directions", "Moves"):
        try:
            read[field] = _literal(instance[field])
        except UNREADABLE:  # an instance from outside
            raise InstanceError(field, "not a Python literal") from None
    try:
        exits = {room: list(directions) for room, directions in read["Directions"]}
        leads = {(move["node"], way): room for move in read["Moves"] for way, room in move["node_moves"]}
        edges = {frozenset((a, b)) for a, b in read["Graph_Edges"]}
        near: dict[str, set[str]] = {room: set() for room in read["Graph_Nodes"]}
        ways = {(room, way) for room in exits for way in exits[room]}
        passages = {frozenset((room, to)) for (room, _), to in leads.items()}
    except (TypeError, ValueError, KeyError) as error:  # an instance from outside
        raise InstanceError("Moves", f"the map is not of the known form: {error!r}") from None
    if not all(isinstance(room, str) for room in near):
        raise InstanceError("Graph_Nodes", "rooms need names")
    if set(exits) != set(near) or ways != set(leads):
        raise InstanceError("Directions", "they do not agree with the rooms and moves")
    if passages != edges or not set(leads.values()) <= set(near):
        raise InstanceError("Graph_Edges", "they do not agree with the rooms and moves")
    for (room, _), to in leads.items():
        near[room].add(to)
        near[to].add(room)
    start = instance["Current_Position"]
    if start not in near or len(distances(near, start)) < len(near):
        raise InstanceError("Current_Position", "some rooms cannot be reached from it")
    return World(start, exits, leads, near)


def _game(name: str, goal: str, levels: tuple[str, ...]) -> Game:
    needed = ("Graph_Nodes", "Graph_Edges", "Directions", "Moves", "Current_Position", "Move_Construction", "Stop_Construction")
    extra = {"rooms": (), "graph": ("Response_Construction",), "room": ("Specific_Room",)}[goal]
    return Game(
        name=name,
        suite="indomain",
        seats=(SEAT,),
        roles=("PathGuesser",),
        levels=levels,
        fields=dict.fromkeys((*TEXTS, *needed, *extra), str),
        settings_fields={"name": str},
        referee=functools.partial(referee, goal),
        generate=functools.partial(generate, goal),
        target=target,
        settings=functools.partial(settings, goal),
        players={SEAT: {kind: functools.partial(play, goal) for kind, play in players.PLAYERS.items()}},
        replies=guesser_replies,
    )


def guesser_replies(record: Mapping) -> list[tuple[str, str]]:
    """The walker's replies of a recorded episode; what "Player 2" said there is the engine's own text."""
    events = (event for turn in record["rounds"] for event in turn)
    return [(SEAT, e["content"]) for e in events if e["type"] == "get message" and e["from"] == "Player 1"]


TEXTMAPWORLD = _game("textmapworld", "rooms", tuple(SIZES))
GRAPHREASONING = _game("textmapworld_graphreasoning", "graph", ("small", "medium", "large"))
SPECIFICROOM = _game("textmapworld_specificroom", "room", tuple(FAR))
