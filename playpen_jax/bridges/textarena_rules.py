"""Allowed moves in those of TextArena's games whose rules are simple, read from what a seat was shown; None: none found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from games.core import View


def _last(view: View, pattern: str) -> re.Match | None:
    """The last hit in the newest message that has one."""
    for text in reversed(view.seen):
        if hits := list(re.finditer(pattern, text, re.MULTILINE)):
            return hits[-1]
    return None


def _rows(view: View, pattern: str) -> list[Any]:
    """The rows of the board that was shown last, each a text, or its groups where the pattern has several."""
    for text in reversed(view.seen):
        board = text.rpartition("[GAME]")[2]
        if rows := re.findall(pattern, board, re.MULTILINE) or re.findall(pattern, text, re.MULTILINE):
            return rows
    return []


def _pick(view: View, options: Sequence[str]) -> str | None:
    return view.rng.choice(options) if options else None


def nim(view: View) -> str | None:
    piles = [tuple(map(int, row)) for row in _rows(view, r"pile (\d+): (\d+)")][-3:]
    return _pick(view, [f"[{pile} {view.rng.randint(1, n)}]" for pile, n in piles if n])


def connect_four(view: View) -> str | None:
    rows = _rows(view, r"^[.XO](?: [.XO])+$")
    return _pick(view, [f"[col {i}]" for i, cell in enumerate(rows[-6].split()) if cell == "."] if len(rows) >= 6 else [])


def briscola(view: View) -> str | None:
    return _pick(view, [f"[play {n}]" for n in _rows(view, r"^  (\d)\. ")])


def blotto(view: View) -> str | None:
    fields, units = _last(view, r"fields: ([A-Z, ]+)$"), _last(view, r"allocate: (\d+)")
    if not fields or not units:
        return None
    names, rest = fields[1].split(", "), int(units[1])
    shares = [view.rng.randint(0, rest // len(names)) for _ in names[1:]]
    return f"[{' '.join(f'{name}{n}' for name, n in zip(names, [rest - sum(shares), *shares]))}]"


def battleship(view: View) -> str | None:
    cells = [
        f"[{row.lower()}{i}]"
        for row, line in re.findall(r"^([A-Z])((?:   ?\S)+)", view.seen[0], re.MULTILINE)
        for i in range(5)
    ]
    return _pick(view, [cell for cell in cells if cell not in view.said])


def bandit(view: View) -> str | None:
    names = re.search(r"buttons: ([a-z, ]+)\.", view.seen[0])
    return f"[{view.rng.choice(names[1].split(', '))}]" if names else None


def chopsticks(view: View) -> str | None:
    hands = {int(seat): (int(a), int(b)) for seat, a, b in _rows(view, r"Player (\d): \[(\d+), (\d+)\]")}
    mine = int(view.seat[-1])
    if len(hands) < 2:
        return None
    own, others = hands[mine], hands[1 - mine]
    return _pick(view, [f"[attack {m} {o}]" for m in (0, 1) for o in (0, 1) if own[m] and others[o]])


def minesweeper(view: View) -> str | None:
    rows = _rows(view, r"^ ?(\d+)((?:  ?\S)+) ?$")
    cells = [f"[{row} {i}]" for row, line in rows for i, cell in enumerate(line.split()) if cell == "."]
    return _pick(view, [cell for cell in cells if cell not in view.said])


def mastermind(view: View) -> str | None:
    size = re.search(r"(\d+) digits long, each digit from 1 to (\d+)", view.seen[0])
    guess = view.rng.sample(range(1, int(size[2]) + 1), int(size[1])) if size else []
    return f"[{' '.join(map(str, guess))}]" if size else None


def lights(view: View) -> str | None:
    return f"[{view.rng.randrange(5)} {view.rng.randrange(5)}]"


def hanoi(view: View) -> str | None:
    pegs = {peg: re.findall(r"\d+", disks) for peg, disks in _rows(view, r"([ABC]): \[(.*?)\]")}
    top = {peg: int(disks[-1]) if disks else 99 for peg, disks in pegs.items()}
    return _pick(view, [f"[{a} {b}]" for a in top for b in top if top[a] < top[b]])


def memory(view: View) -> str | None:
    rows = _rows(view, r"^(\d) ([. A-Z0-9]+)$")
    cells = [f"{row} {i}" for row, line in rows[-4:] for i, cell in enumerate(line.split()) if cell == "."]
    return f"[{' '.join(view.rng.sample(cells, 2))}]" if len(cells) >= 2 else None


def slide(view: View) -> str | None:
    """2048: a direction in which something moves or merges."""
    grid = [row.split() for row in _rows(view, r"^\| +((?:\S+ +)+)\|$")][-4:]
    turned = [list(column) for column in zip(*grid)]
    ways = {"Left": grid, "Right": [row[::-1] for row in grid], "Up": turned, "Down": [row[::-1] for row in turned]}
    moves = lambda row: any(b != "." and a in (".", b) for a, b in zip(row, row[1:]))
    return _pick(view, [f"[{way}]" for way, rows in ways.items() if any(map(moves, rows))])


def ultimatum(view: View) -> str | None:
    return "[Accept]" if re.search(r"Offer: \$", view.seen[-1].rpartition("begins!")[2]) else "[Offer: $3]"


def recruit(view: View) -> str | None:
    return (
        view.rng.choice(("[Accept]", "[Reject]", f"[Propose] {'ABCDE'[view.rng.randrange(5)] * 8}"))
        if len(view.seen) > 1
        else ("[Accept]" if "[Propose]" in view.seen[-1].rpartition("negotiating effectively")[2] else "[Propose] ABCDEABC")
    )


def two_dollar(view: View) -> str | None:
    return (
        "This is fair. [Accept]" if "[Propose]" in view.seen[-1].rpartition("===")[2] else "Half of it is fair. [Propose] $1.00"
    )


def poker(view: View) -> str | None:
    state = _last(view, r"Current bet: (\d+)(?:.|\n)*")
    own = re.search(rf"P{view.seat[-1]} .*\| bet (\d+)", state[0]) if state else None
    return ("[Call]" if int(state[1]) > int(own[1]) else "[Check]") if state and own else None


def liars_dice(view: View) -> str | None:
    return "[Call]" if "[Bid:" in view.seen[-1].rpartition("New round")[2] else f"[Bid: 1, {view.rng.randint(1, 6)}]"


def truth(view: View) -> str | None:
    return f"[Fact {view.rng.randint(1, 2)}]" if len(view.said) >= 3 else "Believe me in this."


def spite(view: View) -> str | None:
    """Cards are played as long as some can be; a pile is never built by discarding alone."""
    listed = re.findall(r"\[[^\[\]]+\]", view.seen[-1].rpartition("Available Moves:")[2])
    plays = [action for action in listed if action.startswith("[play")] or [a for a in listed if a == "[draw]"] or listed
    return _pick(view, plays)


def golf(view: View) -> str | None:
    swap = f"[swap {view.rng.randint(1, 2)} {view.rng.randint(1, 3)}]"
    return view.rng.choice(("[draw]", "[take]")) if "[draw]" in view.seen[-1].rpartition("options:")[2] else swap


def slitherlink(view: View) -> str | None:
    a, b = view.rng.randrange(4), view.rng.randrange(5)
    return view.rng.choice((f"[h {b} {a}]", f"[v {a} {b}]"))


def _board(view: View) -> dict[tuple[int, int], str]:
    """(file, rank) -> piece of a board whose rows are `8 | B B ...`, rank 1 below."""
    rows = _rows(view, r"^ ?(\d) \| ((?:\S ?)+)$")
    return {(i, int(rank)): cell for rank, line in rows for i, cell in enumerate(line.split())}


def breakthrough(view: View) -> str | None:
    board, white = _board(view), view.seat.endswith("0")
    own, other, step = ("W", "B", 1) if white else ("B", "W", -1)
    steps = [(x, y, x + d, y + step) for (x, y), cell in board.items() if cell == own for d in (-1, 0, 1)]
    allowed = [
        one
        for one in steps
        if board.get(one[2:]) == "." and one[0] == one[2] or board.get(one[2:]) == other and one[0] != one[2]
    ]
    return _pick(view, [f"[{'abcdefgh'[a]}{b}{'abcdefgh'[c]}{d}]" for a, b, c, d in allowed])


def alquerque(view: View) -> str | None:
    """A step forward or a jump over an enemy, straight ahead or to a side."""
    board, first = _board(view), view.seat.endswith("0")
    own, other, step = ("R", "B", 1) if first else ("B", "R", -1)
    mine = [place for place, cell in board.items() if cell == own]
    found = [(x, y, x, y + step) for x, y in mine if board.get((x, y + step)) == "."]
    for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        over = [(x, y) for x, y in mine if board.get((x + dx, y + dy)) == other and board.get((x + 2 * dx, y + 2 * dy)) == "."]
        found += [(x, y, x + 2 * dx, y + 2 * dy) for x, y in over]
    return _pick(view, [f"[{'abcde'[a]}{b} {'abcde'[c]}{d}]" for a, b, c, d in found])


def countdown(view: View) -> str | None:
    """Sums of the first two numbers."""
    return "[0 1 +]" if len(_rows(view, r"^  \[(\d)\] ")) >= 2 else None


def sudoku(view: View) -> str | None:
    """A free cell, as a whole solution of the grid has it."""
    rows = [re.findall(r"[.\d]", line) for line in _rows(view, r"^R\d((?: +[.\d|])+)$")][-9:]
    solved = _solve([list(row) for row in rows]) if len(rows) == 9 and all(len(row) == 9 for row in rows) else None
    cells = [(r, c, solved[r][c]) for r in range(9) for c in range(9) if rows[r][c] == "."] if solved else []
    return _pick(view, [f"[{r + 1} {c + 1} {digit}]" for r, c, digit in cells])


def _solve(grid: list[list[str]]) -> list[list[str]] | None:
    free = [(r, c) for r in range(9) for c in range(9) if grid[r][c] == "."]
    if not free:
        return grid
    taken = lambda r, c: {
        *grid[r],
        *(row[c] for row in grid),
        *(x for row in grid[r // 3 * 3 :][:3] for x in row[c // 3 * 3 :][:3]),
    }
    r, c = max(free, key=lambda cell: len(taken(*cell)))
    for digit in sorted(set("123456789") - taken(r, c)):
        grid[r][c] = digit
        if _solve(grid):
            return grid
    grid[r][c] = "."
    return None


def sokoban(view: View) -> str | None:
    """A step to where nothing stands."""
    rows = [row.split() for row in _rows(view, r"^(\S(?: \S){4,})$")]
    here = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "P"]
    ways = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    if not here:
        return None
    r, c = here[-1]
    return _pick(view, [f"[{way}]" for way, (dr, dc) in ways.items() if rows[r + dr][c + dc] in "_O"])


def rush_hour(view: View) -> str | None:
    """A car with a free cell before or behind it."""
    rows = [row.split()[:6] for row in _rows(view, r"^(\S(?: \S){5}(?: >)?)$")][-6:]
    at = {name: [(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x == name] for row in rows for name in row}
    found = []
    for name, cells in at.items():
        (r, c), (s, d) = cells[0], cells[-1]
        ends = {"-": (r, c - 1), "+": (s, d + 1)} if r == s else {"-": (r - 1, c), "+": (s + 1, d)}
        inside = [sign for sign, (y, x) in ends.items() if 0 <= y < len(rows) and 0 <= x < 6 and rows[y][x] == "."]
        found += [f"[{name}{sign}]" for sign in inside if name != "."]
    return _pick(view, found)


def cryptarithm(view: View) -> str | None:
    """Each letter a digit of its own, one after the other."""
    letters = sorted(set(re.sub(r"[^A-Z]", "", (_last(view, r"^[A-Z]+ \+ [A-Z]+ = [A-Z]+$") or [""])[0])))
    given = {action[1] for action in view.said if re.fullmatch(r"\[[A-Z] \d\]", action)}
    rest = [letter for letter in letters if letter not in given]
    return f"[{rest[0]} {len(given)}]" if rest else None


RULES: dict[str, Callable[[View], str | None]] = {
    "2048": slide,
    "Bandit": bandit,
    "Battleship": battleship,
    "Briscola": briscola,
    "Chopsticks": chopsticks,
    "ColonelBlotto": blotto,
    "ConnectFour": connect_four,
    "IteratedUltimatumGame": ultimatum,
    "LiarsDice": liars_dice,
    "LightsOut": lights,
    "Mastermind": mastermind,
    "MemoryGame": memory,
    "Minesweeper": minesweeper,
    "NewRecruit": recruit,
    "Nim": nim,
    "Poker": poker,
    "TowerOfHanoi": hanoi,
    "TruthAndDeception": truth,
    "SpiteAndMalice": spite,
    "Golf": golf,
    "Slitherlink": slitherlink,
    "Breakthrough": breakthrough,
    "Alquerque": alquerque,
    "Sudoku": sudoku,
    "Sokoban": sokoban,
    "RushHour": rush_hour,
    "Cryptarithm": cryptarithm,
    "Countdown": countdown,
    "TwoDollar": two_dollar,
}
