"""Pegs and disks: how they are named and drawn, which moves are allowed, how far it is to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from games.core import InstanceError

GOAL = 2  # the last peg
MOST = 9  # disks that have one-letter names either way
Pegs = Sequence[Sequence[int]]  # the sizes on each peg, from bottom to top; 1 is the smallest
_CHOICES = {"align": ("horizontal", "vertical"), "peg_names": ("alpha", "num"), "disk_order": ("ascending", "descending")}


def distance(pegs: Pegs) -> int:
    """Moves of the shortest way to all disks on the last peg: whatever hinders the largest disk must go to the third peg."""
    at = {size: peg for peg, stack in enumerate(pegs) for size in stack}
    moves, goal = 0, GOAL
    for size in sorted(at, reverse=True):
        if at[size] != goal:
            moves += 2 ** (size - 1)
            goal = 3 - goal - at[size]
    return moves


def moves(pegs: Pegs) -> list[tuple[int, int]]:
    """The allowed moves, as indices of pegs."""
    top = [stack[-1] if stack else 0 for stack in pegs]
    return [(a, b) for a in range(3) for b in range(3) if top[a] and a != b and not 0 < top[b] < top[a]]


def moved(pegs: Pegs, source: int, target: int) -> Pegs:
    """The pegs after a move."""
    after = [list(stack) for stack in pegs]
    after[target].append(after[source].pop())
    return after


class Board:
    """The pegs of a running episode, with the names of an instance."""

    def __init__(self, fields: Mapping):
        for field, allowed in _CHOICES.items():
            if fields[field] not in allowed:
                raise InstanceError(field, f"one of {', '.join(allowed)} is wanted")
        self.size = fields["num_disks"]
        if not 1 <= self.size <= MOST:
            raise InstanceError("num_disks", f"1 to {MOST} is wanted")
        full = list(range(self.size, 0, -1))
        self.pegs: Pegs = fields.get("start", [full, [], []])
        _check(self.pegs, full)
        self.vertical = fields["align"] == "vertical"
        letters, digits = "ABCDEFGHI", "123456789"
        pegs, disks = (letters, digits) if fields["peg_names"] == "alpha" else (digits, letters)
        self.names = tuple(pegs[:3])
        # the name of size s is disks[s - 1]
        self.disks = disks[: self.size][:: -1 if fields["disk_order"] == "ascending" else 1]

    def problem(self, source: str, target: str) -> str | None:
        """Why a move is not allowed, or None."""
        for name in (target, source):
            if name not in self.names:
                return f"peg '{name}' does not exist!"
        a, b = self.pegs[self.names.index(source)], self.pegs[self.names.index(target)]
        if not a:
            return f"peg '{source}' is empty!"
        if source == target:
            return "source and target pegs are the same!"
        if b and b[-1] < a[-1]:
            return f"you cannot place disk '{self._disk(a[-1])}' on top of smaller disk '{self._disk(b[-1])}'!"
        return None

    def move(self, source: str, target: str) -> str:
        """Make an allowed move; returns the line that reports it."""
        a, b = self.names.index(source), self.names.index(target)
        self.pegs = moved(self.pegs, a, b)
        return f"Moved disk '{self._disk(self.pegs[b][-1])}' from '{source}' to '{target}'."

    def _disk(self, size: int) -> str:
        """How a disk is drawn."""
        return self.disks[size - 1] if self.vertical else self.disks[size - 1].center(2 * size + 1, "-")

    def draw(self) -> str:
        """The board as text, each line with its end."""
        if self.vertical:
            rows = [[f"{name}:", *map(self._disk, stack), "\n"] for name, stack in zip(self.names, self.pegs)]
            return "".join(map(" ".join, rows))
        levels, width = reversed(range(self.size + 1)), 2 * self.size + 1
        rows = [[self._disk(stack[level]) if level < len(stack) else "|" for stack in self.pegs] for level in levels]
        return "".join(" ".join(cell.center(width) for cell in row) + "\n" for row in [*rows, self.names])


def _check(pegs: object, disks: list[int]) -> None:
    """Is this a position of these disks?"""
    stacks = list(pegs) if isinstance(pegs, (list, tuple)) else []
    good = len(stacks) == 3 and all(isinstance(stack, (list, tuple)) for stack in stacks)
    if not good or any(size not in disks for stack in stacks for size in stack):
        raise InstanceError("start", "three lists of sizes are wanted")
    if sorted(sum(map(list, stacks), []), reverse=True) != disks or any(list(s) != sorted(s, reverse=True) for s in stacks):
        raise InstanceError("start", "each disk once is wanted, none on a smaller one")
    if len(stacks[GOAL]) == len(disks):
        raise InstanceError("start", "all disks are on the last peg already")
