"""The text of a program compiled for TPUs: the compiler's own cycles and what its collectives move, loops counted turn by turn.

The compiler writes at each of its kernels how many cycles it reckons with. Pallas kernels carry no such number and count as
nothing. `cost_analysis` counts the body of a loop once; here it counts as often as the loop turns.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute", "all-to-all")
BITS = {"pred": 8, "s4": 4, "u4": 4, "f8e4m3fn": 8, "f8e5m2": 8, "bf16": 16}  # the others' names end in their number of bits
KNOWN = 1 << 62  # what it cannot reckon has more cycles than this


class Work(NamedTuple):
    """Cycles of one chip, and bytes that come to it over its links."""

    cycles: float = 0.0
    link_bytes: float = 0.0

    def plus(self, other: Work, times: float = 1.0) -> Work:
        return Work(self.cycles + times * other.cycles, self.link_bytes + times * other.link_bytes)


def collectives(text: str) -> dict[str, int]:
    """How often each kind of collective stands in a compiled program; one inside a loop stands there once."""
    names = "|".join(COLLECTIVES)
    return dict(Counter(re.findall(rf" = .*? ({names})(?:-start)?\(", text)).most_common())


def work(text: str) -> tuple[Work, Work]:
    """What a program does, and what one turn does of its longest loop that ends by what it computes; that one counts once.

    Such loops are those over the micro-batches of an update, and over the tokens that are decoded.
    """
    parts, entry = computations(text)
    turns = [Work()]

    def of(name: str) -> Work:
        found = Work()
        for line in parts[name]:
            found = found.plus(own(line, parts))
            if loop := re.search(r" while\(.* condition=%?([^\s,]+), body=%?([^\s,]+)", line):
                body, times = of(loop[2]), trips(parts[loop[1]])
                found = found.plus(body, times or 1)
                if times is None:
                    turns.append(body)
            elif " conditional(" in line:  # the longest of its branches
                found = found.plus(max((of(branch) for branch in branches(line)), key=lambda each: each.cycles))
            elif called := re.search(r" call\(.* to_apply=%?([^\s,]+)", line):
                found = found.plus(of(called[1]))
        return found

    return of(entry), max(turns, key=lambda each: each.cycles)


def computations(text: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation, by its name, and the name of that which is the program."""
    parts: dict[str, list[str]] = {}
    entry, inside = "", None
    for line in text.splitlines():
        if head := re.match(r"(ENTRY )?%?([^\s(]+) \(.*\{$", line):
            inside = parts[head[2]] = []
            entry = head[2] if head[1] else entry
        elif line == "}":
            inside = None
        elif inside is not None:
            inside.append(line)
    return parts, entry


def own(line: str, parts: dict[str, list[str]]) -> Work:
    """What one instruction does, without what it calls but for the collective that a fusion is built around."""
    reckoned = re.search(r'"estimated_cycles":"(\d+)"', line)
    cycles = int(reckoned[1]) if reckoned else 0
    found = Work(cycles if cycles < KNOWN else 0, moved(line))
    if fused := re.search(r" fusion\(.* calls=%?([^\s,]+)", line):
        share = 0.5 if "all-reduce-scatter" in fused[1] else 1.0  # each chip keeps its part alone
        found = found.plus(Work(0, share * sum(map(moved, parts[fused[1]]))))
    return found


def trips(condition: list[str]) -> int | None:
    """The turns of a loop that counts from 0 up to a constant; None: its end depends on what it computes."""
    limits = [int(found) for line in condition for found in re.findall(r" constant\((\d+)\)", line)]
    counts = any(line.lstrip().startswith("ROOT") and "direction=LT" in line for line in condition)
    return limits[0] if counts and len(limits) == 1 else None


def branches(line: str) -> list[str]:
    found = re.search(r"branch_computations=\{([^}]*)\}", line)
    names = found[1].split(",") if found else re.findall(r"(?:true|false)_computation=([^\s,]+)", line)
    return [name.strip().lstrip("%") for name in names]


def moved(line: str) -> float:
    """Bytes that a collective brings to each chip by the best way around a ring; 0 for any other instruction."""
    found = re.search(rf" = (.*?) ({'|'.join(COLLECTIVES)})(-start)?\(", line)
    if not found:
        return 0.0
    shapes, kind, begun = found.groups()
    n, size = group(line), sum(math.prod(map(int, dims.split(","))) * bits(of) / 8 for of, dims in arrays(shapes))
    if kind == "collective-permute":
        return size / 2 if begun else size  # what is begun names its operand too
    if kind == "all-gather" and begun:
        size *= n / (n + 1)
    return size * {"all-gather": n - 1, "all-to-all": n - 1, "all-reduce": 2 * (n - 1), "reduce-scatter": n * (n - 1)}[kind] / n


def arrays(shapes: str) -> list[tuple[str, str]]:
    """(type, sizes) of the arrays of a type; flags and counters are left out."""
    return re.findall(r"\b([a-z]+\d+\w*|pred)\[(\d[\d,]*)\]", shapes)


def bits(kind: str) -> int:
    return BITS.get(kind) or int(re.sub(r"\D*", "", kind))


def group(line: str) -> int:
    """How many chips a collective joins."""
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", line):
        return int(found[1])
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line):
        sizes = dict(re.findall(r"'([^']*)'=(\d+)", found[1]))
        return math.prod(int(part or sizes[axis]) for axis, part in re.findall(r"'([^']*)'(?::\(\d+\)(\d+))?", found[2]))
    first = re.search(r"replica_groups=\{\{([^}]*)\}", line)
    return len(first[1].split(",")) if first else 2
