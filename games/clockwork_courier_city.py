"""A clockwork city: walls, gates and guards on fixed schedules, parcels; what a move does, and the fastest way to the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from games.core import InstanceError

HEADINGS = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}  # clockwise
MOVES = {"cardinal": ("N", "S", "E", "W", "WAIT"), "egocentric": ("F", "L", "R", "WAIT")}
MOST = 99  # columns and rows that a prediction can name
Cell = tuple[int, int]  # column and row, from (1, 1) at the top left


@dataclasses.dataclass(frozen=True)
class State:
    """Where the courier is at a tick; of each parcel 0: it waits, 1: it is carried, 2: it is delivered."""

    cell: Cell
    heading: str
    tick: int
    parcels: tuple[int, ...]

    @property
    def done(self) -> bool:
        return set(self.parcels) <= {2}


@dataclasses.dataclass(frozen=True)
class Event:
    """What a tick brought: why the move bumped, who caught the courier (None: nothing, nobody), where; parcels by index."""

    bump: str | None
    guard: str | None
    cell: Cell
    delivered: tuple[int, ...] = ()
    picked: tuple[int, ...] = ()


class City:
    """The city of an instance, checked; `mode` says how moves are meant."""

    def __init__(self, fields: Mapping, mode: str):
        self.width, self.height, self.mode = fields["width"], fields["height"], mode
        for field in ("width", "height"):
            if not 1 <= fields[field] <= MOST:
                raise InstanceError(field, f"1 to {MOST} is wanted")
        if mode not in MOVES:
            raise InstanceError("action_mode", f"one of {', '.join(MOVES)} is wanted")
        if fields["initial_heading"] not in HEADINGS:
            raise InstanceError("initial_heading", f"one of {', '.join(HEADINGS)} is wanted")
        self.walls = frozenset(self._cells(fields["walls"], "walls"))
        (start,) = self._cells([fields["start"]], "start")
        if start in self.walls:
            raise InstanceError("start", "a cell without a wall is wanted")
        rows = {field: list(_rows(fields, field)) for field in ("gates", "patrols", "parcels")}
        self.gates = {self._cells([gate.get("cell")], "gates")[0]: _gate(gate) for gate in rows["gates"]}
        self.guards = {str(guard.get("id")): self._cells(guard.get("route"), "patrols") for guard in rows["patrols"]}
        self.parcels = [tuple(self._cells([p.get("pickup"), p.get("dropoff")], "parcels")) for p in rows["parcels"]]
        self.names = [str(parcel.get("id")) for parcel in rows["parcels"]]
        if not self.parcels or not all(self.guards.values()):
            raise InstanceError("patrols" if self.parcels else "parcels", "at least one is wanted")
        self.first = State(start, fields["initial_heading"], 0, (0,) * len(self.parcels))

    def _cells(self, cells: object, field: str) -> list[Cell]:
        """Pairs of numbers as cells of the city."""
        found = [tuple(cell) if isinstance(cell, (list, tuple)) else () for cell in cells] if isinstance(cells, list) else [()]
        pairs = [(cell[0], cell[1]) for cell in found if len(cell) == 2 and all(isinstance(n, int) for n in cell)]
        if len(pairs) < len(found) or not all(map(self.inside, pairs)):
            raise InstanceError(field, f"cells from [1, 1] to [{self.width}, {self.height}] are wanted")
        return pairs

    def inside(self, cell: Cell) -> bool:
        return 1 <= cell[0] <= self.width and 1 <= cell[1] <= self.height

    def closed(self, cell: Cell, tick: int) -> bool:
        """Is there a gate that cannot be stepped onto at that tick?"""
        gate = self.gates.get(cell)
        return gate is not None and tick % gate[1] not in gate[2]

    def guards_at(self, tick: int) -> dict[Cell, str]:
        """Where the guards are; of two on one cell the first."""
        places: dict[Cell, str] = {}
        for name, route in self.guards.items():
            places.setdefault(route[tick % len(route)], name)
        return places

    def move(self, state: State, move: str) -> tuple[State, Event]:
        """One tick. A caught courier is back at the start at once; the clock's jump is left to the caller."""
        tick, heading, cell, bump = state.tick + 1, state.heading, state.cell, None
        if move in ("L", "R"):
            around = list(HEADINGS)
            heading = around[(around.index(heading) + (1 if move == "R" else -1)) % 4]
        elif move != "WAIT":
            step = HEADINGS[heading if move == "F" else move]
            there = (cell[0] + step[0], cell[1] + step[1])
            bump = self._obstacle(there, tick)
            cell = cell if bump else there
        guard = self.guards_at(tick).get(cell)
        if guard is not None:
            return State(self.first.cell, self.first.heading, tick, state.parcels), Event(bump, guard, cell)
        parcels, delivered, picked = self.handle(state.parcels, cell)
        return State(cell, heading, tick, parcels), Event(bump, None, cell, delivered, picked)

    def _obstacle(self, cell: Cell, tick: int) -> str | None:
        if not self.inside(cell):
            return "border"
        if cell in self.walls:
            return "wall"
        return f"gate {self.gates[cell][0]} is closed at t={tick}" if self.closed(cell, tick) else None

    def handle(self, parcels: tuple[int, ...], cell: Cell) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Deliver here what is carried, then pick up what waits here."""
        delivered = tuple(i for i, (_, to) in enumerate(self.parcels) if parcels[i] == 1 and to == cell)
        picked = tuple(i for i, (where, _) in enumerate(self.parcels) if parcels[i] == 0 and where == cell)
        now = tuple(2 if i in delivered else 1 if i in picked else what for i, what in enumerate(parcels))
        return now, delivered, picked

    def draw(self) -> str:
        """The map at t=0, as official instances show it."""
        signs = {route[0]: name.lower() for name, route in reversed(self.guards.items())}
        signs |= {to: "xyz"[i % 3] for i, (_, to) in enumerate(self.parcels)}
        signs |= {where: self.names[i] for i, (where, _) in enumerate(self.parcels)}
        signs |= {cell: gate[0] for cell, gate in self.gates.items()} | {self.first.cell: "S"} | dict.fromkeys(self.walls, "#")
        columns = range(1, self.width + 1)
        rows = ["".join(signs.get((x, y), ".") for x in columns) for y in range(1, self.height + 1)]
        bar = f"  +{'-' * self.width}+"
        numbered = [f"{y:2d}|{row}|" for y, row in enumerate(rows, 1)]
        return "\n".join([f"   {''.join(str(x % 10) for x in columns)}", bar, *numbered, bar])


def _rows(fields: Mapping, field: str) -> Iterator[Mapping]:
    for row in fields[field]:
        if not isinstance(row, Mapping):
            raise InstanceError(field, "a list of objects is wanted")
        yield row


def _gate(gate: Mapping) -> tuple[str, int, frozenset[int]]:
    """A gate's name, its period and the phases in which it is open."""
    period, phases = gate.get("period"), gate.get("open_phases")
    if not isinstance(period, int) or period < 1 or not isinstance(phases, list) or not all(isinstance(p, int) for p in phases):
        raise InstanceError("gates", "a period of at least 1 and a list of open_phases are wanted")
    return str(gate.get("id")), period, frozenset(phases)
