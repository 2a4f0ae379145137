"""The fastest way to deliver all parcels without being caught: a search in breadth over ticks, all cells at once.

A set of cells is one number with a bit for each cell, so that one tick of the whole city is a few shifts for each heading and
state of the parcels.
"""

from __future__ import annotations

from collections.abc import Iterator

from games.clockwork_courier_city import HEADINGS, MOVES, Cell, City, State

Layer = dict[tuple[str, tuple[int, ...]], int]  # (heading, parcels) -> the cells where the courier can be


class _Bits:
    """Sets of cells as numbers; a row has one bit more than columns, so that no step leads into another row."""

    def __init__(self, city: City):
        self.city, self.stride = city, city.width + 1
        every = [(x, y) for x in range(1, city.width + 1) for y in range(1, city.height + 1)]
        self.floor = sum(self.of(cell) for cell in every if cell not in city.walls)
        self.spots = sorted({cell for parcel in city.parcels for cell in parcel})

    def of(self, cell: Cell) -> int:
        return 1 << (cell[1] * self.stride + cell[0])

    def shifted(self, cells: int, step: tuple[int, int]) -> int:
        by = step[1] * self.stride + step[0]
        return cells << by if by > 0 else cells >> -by

    def tick(self, layer: Layer, tick: int) -> Layer:
        """Where the courier can be at that tick, uncaught."""
        city = self.city
        free = self.floor & ~sum(self.of(cell) for cell in city.gates if city.closed(cell, tick))
        safe = ~sum(map(self.of, city.guards_at(tick)))
        after: Layer = {}
        for (heading, parcels), cells in layer.items():
            steps = [heading] if city.mode == "egocentric" else HEADINGS
            moved = cells
            for step in steps:
                moved |= self.shifted(cells, HEADINGS[step]) & free
            self._settle(after, heading, parcels, moved & safe)
            if city.mode == "egocentric":
                around = list(HEADINGS)
                for turn in (1, -1):
                    turned = around[(around.index(heading) + turn) % 4]
                    self._settle(after, turned, parcels, cells & safe)
        return after

    def _settle(self, layer: Layer, heading: str, parcels: tuple[int, ...], cells: int) -> None:
        """Add cells to a layer, with what happens to the parcels there."""
        for spot in self.spots:
            here = cells & self.of(spot)
            if here:
                changed = self.city.handle(parcels, spot)[0]
                if changed != parcels:
                    layer[heading, changed] = layer.get((heading, changed), 0) | here
                    cells ^= here
        if cells:
            layer[heading, parcels] = layer.get((heading, parcels), 0) | cells


def fastest(city: City, state: State, limit: int) -> list[str] | None:
    """The moves of a fastest way from a state to the last delivery within that many ticks; None if there is none."""
    bits = _Bits(city)
    layers: list[Layer] = [{(state.heading, state.parcels): bits.of(state.cell)}]
    done = (2,) * len(city.parcels)
    for tick in range(state.tick + 1, state.tick + limit + 1):
        layers.append(bits.tick(layers[-1], tick))
        for (heading, parcels), cells in layers[-1].items():
            if parcels == done:
                place = (cells & -cells).bit_length() - 1
                end = State((place % bits.stride, place // bits.stride), heading, tick, done)
                return _traced(bits, layers, end)
    return None


def _traced(bits: _Bits, layers: list[Layer], end: State) -> list[str]:
    """The moves that lead through the layers to a state."""
    moves: list[str] = []
    for layer in reversed(layers[:-1]):
        end, move = next(step for before in _candidates(bits, layer, end) for step in _steps(bits.city, before, end))
        moves.append(move)
    return moves[::-1]


def _steps(city: City, before: State, after: State) -> Iterator[tuple[State, str]]:
    """(the state before, move) for the moves that lead without a bump or a guard from one state to the next."""
    for move in MOVES[city.mode]:
        state, event = city.move(before, move)
        if state == after and event.bump is None and event.guard is None:
            yield before, move


def _candidates(bits: _Bits, layer: Layer, end: State) -> Iterator[State]:
    """States of a layer one tick before, on the same cell or beside it."""
    for step in ((0, 0), *HEADINGS.values()):
        cell = (end.cell[0] - step[0], end.cell[1] - step[1])
        if bits.city.inside(cell):
            for (heading, parcels), cells in layer.items():
                if cells & bits.of(cell):
                    yield State(cell, heading, end.tick - 1, parcels)
