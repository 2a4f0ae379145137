"""Fresh maps for textmapworld, and our own prompts."""

from __future__ import annotations

import ast
import functools
import importlib.resources
import random
from collections.abc import Mapping

from games.core import split_of
from games.textmapworld_graph import DIRECTIONS, distances

TEXTS = ("Prompt", "Player2_positive_answer", "Player2_negative_answer")
GO, STOP = r"^GO:\s*(north|east|west|south)$", r"^DONE$"
DRAWN = (
    r'^\{\s*"action":\s*"([^{}]*?)"\s*,\s*"graph":\s*'
    r'(\{\s*"nodes"\s*:\s*\[.*?\]\s*,\s*"edges"\s*:\s*\{.*?\}\s*\})\s*\}$'
)

SIZES = {"small": (4, False), "medium": (6, False), "medium_cycle": (6, True), "large": (8, False), "large_cycle": (8, True)}
FAR = {"on": (0, 0), "close": (1, 2), "far": (3, 4)}


@functools.cache
def _room_names() -> tuple[str, ...]:
    text = importlib.resources.files("games").joinpath("resources/textmapworld_rooms.txt").read_text("utf-8")
    return tuple(text.split("\n")[:-1])


def generate(goal: str, rng: random.Random, level: str, split: str) -> dict:
    """A random walk on a 4x4 grid until enough rooms stand; a wall remains wherever the walk did not pass."""
    n, cycle = SIZES.get(level, (8, False))
    while True:
        instance = _lay_out(rng, n, cycle, settings(goal, level, "full"))
        if goal == "room" and not _hide(instance, rng, *FAR[level]):
            continue
        if split_of(target(instance)) == split:
            return instance


def _lay_out(rng: random.Random, n: int, cycle: bool, texts: Mapping) -> dict:
    edges: list[tuple] = []
    while not edges or (len(edges) >= n) != cycle:
        here = (rng.randrange(4), rng.randrange(4))
        cells, edges = [here], []
        while len(cells) < n:
            dx, dy = DIRECTIONS[rng.choice(list(DIRECTIONS))]
            there = (here[0] + dx, here[1] + dy)
            if not (0 <= there[0] < 4 and 0 <= there[1] < 4):
                continue
            edges += [] if (here, there) in edges or (there, here) in edges else [(here, there)]
            cells += [] if there in cells else [there]
            here = there
    name = dict(zip(cells, rng.sample(_room_names(), n)))
    ways: dict[str, list] = {name[cell]: [] for cell in cells}
    for a, b in edges:
        for one, two in ((a, b), (b, a)):
            way = next(way for way, (dx, dy) in DIRECTIONS.items() if two == (one[0] + dx, one[1] + dy))
            ways[name[one]].append((way, name[two]))
    for moves in ways.values():
        rng.shuffle(moves)
    return {
        **{key: texts[key] for key in TEXTS},
        "Move_Construction": GO,
        "Stop_Construction": STOP,
        "Response_Construction": DRAWN,
        "Grid_Dimension": "4",
        "Graph_Nodes": str([*ways]),
        "Graph_Edges": str([(name[a], name[b]) for a, b in edges]),
        "Current_Position": rng.choice([*ways]),
        "Directions": str([(room, [way for way, _ in moves]) for room, moves in ways.items()]),
        "Moves": str([{"node": room, "node_moves": moves} for room, moves in ways.items()]),
        "Cycle": "cycle_true" if cycle else "cycle_false",
        "Ambiguity": None,
        "Game_Type": "named_graph",
        "Loop_Reminder": False,
        "Max_Turns_Reminder": False,
        "Mapping": str(name),
        "Strict": True,
    }


def _hide(instance: dict, rng: random.Random, least: int, most: int) -> bool:
    """Choose the room to find, at a distance within the bounds; False if there is none."""
    near: dict[str, set] = {}
    for a, b in ast.literal_eval(instance["Graph_Edges"]):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    far = distances(near, instance["Current_Position"])
    rooms = sorted(room for room in far if least <= far[room] <= most)  # `far` is in the order of a set
    if rooms:
        instance["Specific_Room"] = rng.choice(rooms)
        instance["Specific_Room_Distance"] = str(far[instance["Specific_Room"]])
    return bool(rooms)


def target(instance: Mapping) -> str:
    """The map in one line: start, passages in order, and the room to find where there is one."""
    passages = sorted("-".join(sorted(edge)) for edge in ast.literal_eval(instance["Graph_Edges"]))
    return "; ".join([instance["Current_Position"], *passages, instance.get("Specific_Room", "")])


WHERE = "You are now in the $ANOTHER_ROOM$. Exits: $DIRECTIONS$"
STAY = "There is no way in that direction. You are still in the $SAME_ROOM$. Exits: $DIRECTIONS$"
START = "You are in the $INITIAL_ROOM$. Exits: $INITIAL_DIRECTIONS$"
EXAMPLE = """An example of the format:
You are in the Barn. Exits: west
{0}
You are now in the Shed. Exits: north, east
{1}
You are now in the Silo. Exits: south
{2}

Now it begins. """
LINES = ("GO: west", "GO: north", "DONE")
DRAWINGS = (
    '{"action": "GO: west", "graph": {"nodes": ["Barn"], "edges": {"north": [], "south": [], "east": [], "west": []}}}',
    '{"action": "GO: north", "graph": {"nodes": ["Barn", "Shed"], '
    '"edges": {"north": [], "south": [], "east": [], "west": [("Barn", "Shed")]}}}',
    '{"action": "DONE", "graph": {"nodes": ["Barn", "Shed", "Silo"], '
    '"edges": {"north": [("Shed", "Silo")], "south": [], "east": [], "west": [("Barn", "Shed")]}}}',
)
UNKNOWN = "You stand in a house that you do not know. "
STEP = "`GO: ` and one of north, south, east, west to walk through that exit"
FULL = {
    "rooms": (
        f"{UNKNOWN}Visit every room of it with as few steps as you can. Each turn, answer with one line and nothing else: "
        f"{STEP}, or `DONE` as soon as you are sure that no room is left to visit.\n\n" + EXAMPLE.format(*LINES) + START
    ),
    "graph": (
        f"{UNKNOWN}Visit every room of it with as few steps as you can, and draw the map while you walk. Each turn, answer "
        f"with one dictionary and nothing else. Its `action` is {STEP}, or `DONE` as soon as no room is left to visit. Its "
        "`graph` lists the rooms found so far as `nodes` and, under `edges`, for each direction the pairs (room, room that "
        "lies in this direction).\n\n" + EXAMPLE.format(*DRAWINGS) + START
    ),
    "room": (
        f"{UNKNOWN}Find one room of it. Each turn, answer with one line and nothing else: {STEP}, or `DONE` as soon as you are "
        "in the room you look for.\n\nAn example of the format:\nTarget room: Shed. You are in the Barn. Exits: west\n"
        "GO: west\nYou are now in the Shed. Exits: north, east\nDONE\n\nNow it begins. Target room: $GOAL$. " + START
    ),
}
SHORT = {
    "rooms": "Visit all rooms, then say DONE. To walk say GO: north (or south, east, west).\n" + START,
    "graph": "Visit all rooms, then DONE. Draw the map. Reply like this:\n" + DRAWINGS[1] + "\n" + START,
    "room": "Walk with GO: north (or south, east, west). Say DONE in the target room.\nTarget room: $GOAL$. " + START,
}


def settings(goal: str, level: str, form: str) -> dict:
    """Our prompts; they take the place of those in an instance."""
    prompt = {"full": FULL, "short": SHORT}[form][goal]
    return {"name": level, "Prompt": prompt, "Player2_positive_answer": WHERE, "Player2_negative_answer": STAY}
