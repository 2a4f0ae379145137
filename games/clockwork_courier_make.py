"""Fresh cities and the texts of Clockwork courier."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping

from games.clockwork_courier_city import HEADINGS, MOVES, Cell, City
from games.clockwork_courier_route import fastest
from games.core import split_of


@dataclasses.dataclass(frozen=True)
class Level:
    """How big and how hard; `slack`: ticks allowed over ticks needed, `budget`: the most ticks."""

    size: int
    walls: float
    gates: int
    guards: int
    parcels: int
    moves: int
    slack: float
    budget: int
    mode: str = "cardinal"
    feedback: str = "rich"


LEVELS = {
    "small": Level(6, 0.15, 1, 1, 1, 5, 2.0, 40),
    "standard": Level(9, 0.18, 2, 2, 2, 5, 1.7, 50),
    "deadreckon": Level(9, 0.18, 2, 2, 2, 5, 1.8, 50, feedback="minimal"),
    "egocentric": Level(8, 0.15, 1, 2, 2, 6, 1.8, 48, mode="egocentric"),
}


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A city in which the way that would be best without gates and guards fails."""
    size = LEVELS[level]
    while True:
        instance = _city(rng, size)
        if instance is None or split_of(target(instance)) != split:
            continue
        needed = _needed(instance, size)
        if needed is not None:
            return instance | needed | {"schedules_text": schedules(instance), "parcels_text": parcels(instance)}


def target(instance: Mapping) -> str:
    """The map and its schedules in one line."""
    fields = ("walls", "start", "gates", "patrols", "parcels", "action_mode")
    return f"{instance['width']}x{instance['height']} " + " ".join(str(instance[field]) for field in fields)


def _needed(instance: dict, size: Level) -> dict | None:
    """Ticks that are needed and allowed; None if that is too few or too many, or if the schedules do not matter."""
    city, still = City(instance, size.mode), City(instance | {"gates": [], "patrols": []}, size.mode)
    direct = fastest(still, still.first, size.budget)
    if direct is None or _works(city, direct):
        return None
    best = fastest(city, city.first, size.budget)
    if best is None or len(best) < 2 * size.moves:
        return None
    rounds = math.ceil(size.slack * len(best) / size.moves)
    if rounds * size.moves > size.budget:
        return None
    found = {"tick_budget": rounds * size.moves, "max_rounds": rounds, "optimal_ticks": len(best)}
    return found | {"static_optimal_ticks": len(direct), "map_render": city.draw()}


def _works(city: City, moves: list[str]) -> bool:
    """Do these moves deliver all parcels, without a bump and a guard?"""
    state = city.first
    for move in moves:
        state, event = city.move(state, move)
        if event.bump or event.guard:
            return False
    return state.done


def _city(rng: random.Random, size: Level) -> dict | None:
    """Walls, gates, guards and parcels; None if there is no room for them."""
    floor = _floor(rng, size)
    every = [(x, y) for y in range(1, size.size + 1) for x in range(1, size.size + 1)]
    corridors = [cell for cell in every if cell in floor and _corridor(cell, floor)]
    if 2 * len(floor) < len(every) or len(corridors) < size.gates:
        return None
    gates = sorted(rng.sample(corridors, size.gates))
    free = [cell for cell in every if cell in floor and cell not in gates]
    start = free.pop(rng.randrange(len(free)))
    routes = [route for _ in range(size.guards) if (route := _route(rng, free)) is not None]
    if len(routes) < size.guards:
        return None
    stops = rng.sample(free, 2 * size.parcels)
    return {
        "width": size.size,
        "height": size.size,
        "walls": [list(cell) for cell in every if cell not in floor],
        "start": list(start),
        "gates": [{"id": "AB"[i], "cell": list(cell), **_phases(rng)} for i, cell in enumerate(gates)],
        "patrols": [{"id": "PQ"[i], "route": [list(cell) for cell in route]} for i, route in enumerate(routes)],
        "parcels": [
            {"id": i + 1, "pickup": list(stops[2 * i]), "dropoff": list(stops[2 * i + 1])} for i in range(size.parcels)
        ],
        "action_mode": size.mode,
        "initial_heading": "N",
        "plan_length": size.moves,
    }


def _around(cell: Cell) -> list[Cell]:
    return [(cell[0] + dx, cell[1] + dy) for dx, dy in HEADINGS.values()]


def _floor(rng: random.Random, size: Level) -> set[Cell]:
    """The cells without walls, all connected: walls beside the largest part go until it is the only one."""
    every = [(x, y) for y in range(1, size.size + 1) for x in range(1, size.size + 1)]
    floor = {cell for cell in every if rng.random() >= size.walls}
    while True:
        parts, rest = [], set(floor)
        while rest:
            parts.append(_part(min(rest), rest))
            rest -= parts[-1]
        if len(parts) <= 1:
            return floor
        main = max(parts, key=len)
        floor.add(rng.choice([cell for cell in every if cell not in floor and main.intersection(_around(cell))]))


def _part(cell: Cell, floor: set[Cell]) -> set[Cell]:
    """The cells that can be reached from one."""
    found, todo = {cell}, [cell]
    while todo:
        new = (floor - found).intersection(_around(todo.pop()))
        found |= new
        todo += sorted(new)
    return found


def _corridor(cell: Cell, floor: set[Cell]) -> bool:
    """Has the cell exactly two neighbours, opposite of each other?"""
    north, east, south, west = (other in floor for other in _around(cell))
    return (north, east) == (south, west) and north != east


def _phases(rng: random.Random) -> dict:
    """A gate's schedule: open for half of its period."""
    period = rng.choice((2, 4, 6))
    offset = rng.randrange(period)
    return {"period": period, "open_phases": sorted((offset + i) % period for i in range(period // 2))}


def _route(rng: random.Random, free: list[Cell]) -> list[Cell] | None:
    """A guard's way to and fro over three to five cells; None if it got stuck."""
    length, path = rng.randint(3, 5), [rng.choice(free)]
    while len(path) < length:
        steps = [cell for cell in _around(path[-1]) if cell in free and cell not in path]
        if not steps:
            return None
        path.append(rng.choice(steps))
    return path + path[-2:0:-1]


def at(cell) -> str:
    """A cell as players write it."""
    return f"({cell[0]},{cell[1]})"


def schedules(instance: Mapping) -> str:
    """The schedules in our own words."""
    lines = []
    for gate in instance["gates"]:
        phases = ", ".join(map(str, gate["open_phases"]))
        where = f"Gate {gate['id']} at {at(gate['cell'])}"
        lines.append(
            f"{where}: can be stepped onto at ticks t with t mod {gate['period']} in {{{phases}}}, and at no other tick."
        )
    for guard in instance["patrols"]:
        steps = len(guard["route"])
        places = ", ".join(f"{i}: {at(cell)}" for i, cell in enumerate(guard["route"]))
        lines.append(f"Guard {guard['id']}: repeats {steps} steps. Its cell by t mod {steps}: {places}.")
    return "\n".join(lines)


def parcels(instance: Mapping) -> str:
    """The parcels in our own words."""
    signs = ((p, "xyz"[i % 3]) for i, p in enumerate(instance["parcels"]))
    return "\n".join(
        f"Parcel {p['id']}: from {at(p['pickup'])} ({p['id']} on the map) to {at(p['dropoff'])} ({x})." for p, x in signs
    )


def legend(instance: Mapping) -> str:
    """What the signs of the map mean."""
    lines = ["S = start, where you are at t=0", "# = wall; the border is one too", ". = floor"]
    gates = [gate["id"] for gate in instance["gates"]]
    lines += [f"{', '.join(gates)} = gate{'s' * (len(gates) > 1)}, to be entered only when open"] if gates else []
    for i, parcel in enumerate(instance["parcels"]):
        lines.append(f"{parcel['id']} = where parcel {parcel['id']} waits; {'xyz'[i % 3]} = where it belongs")
    guards = [str(guard["id"]).lower() for guard in instance["patrols"]]
    lines += [f"{', '.join(guards)} = guard{'s' * (len(guards) > 1)} at t=0; they move with every tick"] if guards else []
    return "\n".join(lines)


NOTES = {
    "rich": "After each plan you are told tick by tick what happened and where you are.",
    "minimal": "After each plan you are told tick by tick only OK, BUMP, CAUGHT, PICKED UP or DELIVERED, never where you are "
    "and what you bumped into: keep track of it yourself.",
}


def form(mode: str, moves: int) -> str:
    """The two lines that a reply must have."""
    facing = " FACING <N|S|E|W>" if mode == "egocentric" else ""
    return f"POSITION: (x,y){facing}\nPLAN: <exactly {moves} moves from {{{', '.join(MOVES[mode])}}}, separated by spaces>"


def settings(level: str, form: str) -> dict:
    """Our own settings in the official schema."""
    size = LEVELS[level]
    prompt = PROMPTS[form].replace("<MOVES>", _MOVES[size.mode]).replace("<FORM>", _FORMS[size.mode])
    return {
        "name": level,
        "action_mode": size.mode,
        "feedback_mode": size.feedback,
        "plan_length": size.moves,
        "initial_prompt": prompt,
    }


_MOVES = {
    "cardinal": "N (a row up), S (a row down), E (a column to the right), W (to the left) or WAIT",
    "egocentric": "F (a step to where you face), L or R (a quarter turn on the spot) or WAIT; you face $HEADING$ at first, and "
    "N is a row up",
}
_FORMS = {"cardinal": "POSITION: (3,2)\nPLAN: N E E WAIT S", "egocentric": "POSITION: (3,2) FACING E\nPLAN: F R F F WAIT L"}
PROMPTS = {
    "full": (
        "You deliver parcels in a city that runs like a clock. All about it is told here, and nothing is left to chance. Cells "
        "are named (column,row), from (1,1) at the top left.\n\n$MAP$\n\n$LEGEND$\n\n"
        "Rules\n"
        "- Each tick, from t to t+1, you make one move: <MOVES>.\n"
        "- A move into a wall, over the border or onto a gate that is closed at t+1 is a bump: you stay, and the tick is lost. "
        "Who stands on a gate already may stay there.\n"
        "- Then the guards step to where they are at t+1. If you share a cell with one, you are caught: you keep your parcels, "
        "but are back at $START$ as you began, and the rest of your plan passes without you. To change places with a guard is "
        "safe.\n"
        "- If you are not caught, you deliver here what you carry for this cell, and take up a parcel that waits here.\n\n"
        "Schedules\n$SCHEDULES$\n\n"
        "Task\n$PARCELS$\nDeliver all within $TICK_BUDGET$ ticks. You move by plans of exactly $PLAN_LENGTH$ moves and have at "
        "most $MAX_ROUNDS$ plans. With the last delivery the game is won at once; the faster, the better.\n\n"
        "$FEEDBACK_NOTE$\n\n"
        "Form of a reply (think as long as you like before these lines, after THOUGHTS:; write nothing after them). POSITION "
        "is where you expect to be when the plan has ended; it is noted, but not commented. An example:\n\n"
        "THOUGHTS: the gate is closed at t=4, so I wait\n<FORM>\n\n"
        "You are at $START$ and it is t=0. Your first plan:"
    ),
    "short": (
        "$MAP$\n$SCHEDULES$\n$PARCELS$\n$TICK_BUDGET$ ticks. Moves: <MOVES>.\nReply with $PLAN_LENGTH$ moves and where they "
        "end, like\n<FORM>"
    ),
}
