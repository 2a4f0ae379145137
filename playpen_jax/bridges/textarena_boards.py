"""Allowed moves on the boards of TextArena's games, read from what a seat was shown; None: none found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from games.core import View

Place = tuple[int, int]


def last(view: View, pattern: str) -> re.Match | None:
    """The last hit in the newest message that has one."""
    for text in reversed(view.seen):
        if hits := list(re.finditer(pattern, text, re.MULTILINE)):
            return hits[-1]
    return None


def lines(view: View, pattern: str) -> list[Any]:
    """The rows of the board that was shown last, each a text, or its groups where the pattern has several."""
    for text in reversed(view.seen):
        board = text.rpartition("[GAME]")[2]
        if rows := re.findall(pattern, board, re.MULTILINE) or re.findall(pattern, text, re.MULTILINE):
            return rows
    return []


def pick(view: View, options: Sequence[str]) -> str | None:
    return view.rng.choice(options) if options else None


def connect_four(view: View) -> str | None:
    rows = lines(view, r"^[.XO](?: [.XO])+$")
    return pick(view, [f"[col {i}]" for i, cell in enumerate(rows[-6].split()) if cell == "."] if len(rows) >= 6 else [])


def battleship(view: View) -> str | None:
    cells = [
        f"[{row.lower()}{i}]"
        for row, line in re.findall(r"^([A-Z])((?:   ?\S)+)", view.seen[0], re.MULTILINE)
        for i in range(5)
    ]
    return pick(view, [cell for cell in cells if cell not in view.said])


def minesweeper(view: View) -> str | None:
    rows = lines(view, r"^ ?(\d+)((?:  ?\S)+) ?$")
    cells = [f"[{row} {i}]" for row, line in rows for i, cell in enumerate(line.split()) if cell == "."]
    return pick(view, [cell for cell in cells if cell not in view.said])


def slide(view: View) -> str | None:
    """2048: a direction in which something moves or merges."""
    grid = [row.split() for row in lines(view, r"^\| +((?:\S+ +)+)\|$")][-4:]
    turned = [list(column) for column in zip(*grid)]
    ways = {"Left": grid, "Right": [row[::-1] for row in grid], "Up": turned, "Down": [row[::-1] for row in turned]}
    moves = lambda row: any(b != "." and a in (".", b) for a, b in zip(row, row[1:]))
    return pick(view, [f"[{way}]" for way, rows in ways.items() if any(map(moves, rows))])


def slitherlink(view: View) -> str | None:
    a, b = view.rng.randrange(4), view.rng.randrange(5)
    return view.rng.choice((f"[h {b} {a}]", f"[v {a} {b}]"))


def squares(view: View) -> dict[Place, str]:
    """(file, rank) -> piece of a board whose rows are `8 | B B ...`, rank 1 below."""
    rows = lines(view, r"^ ?(\d) \| ((?:\S ?)+)$")
    return {(i, int(rank)): cell for rank, line in rows for i, cell in enumerate(line.split())}


def breakthrough(view: View) -> str | None:
    board, white = squares(view), view.seat.endswith("0")
    own, other, step = ("W", "B", 1) if white else ("B", "W", -1)
    steps = [(x, y, x + d, y + step) for (x, y), cell in board.items() if cell == own for d in (-1, 0, 1)]
    allowed = [
        one
        for one in steps
        if board.get(one[2:]) == "." and one[0] == one[2] or board.get(one[2:]) == other and one[0] != one[2]
    ]
    return pick(view, [f"[{'abcdefgh'[a]}{b}{'abcdefgh'[c]}{d}]" for a, b, c, d in allowed])


def alquerque(view: View) -> str | None:
    """A step forward or a jump over an enemy, straight ahead or to a side."""
    board, first = squares(view), view.seat.endswith("0")
    own, other, step = ("R", "B", 1) if first else ("B", "R", -1)
    mine = [place for place, cell in board.items() if cell == own]
    found = [(x, y, x, y + step) for x, y in mine if board.get((x, y + step)) == "."]
    for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        over = [(x, y) for x, y in mine if board.get((x + dx, y + dy)) == other and board.get((x + 2 * dx, y + 2 * dy)) == "."]
        found += [(x, y, x + 2 * dx, y + 2 * dy) for x, y in over]
    return pick(view, [f"[{'abcde'[a]}{b} {'abcde'[c]}{d}]" for a, b, c, d in found])


def sudoku(view: View) -> str | None:
    """A free cell, as a whole solution of the grid has it."""
    rows = [re.findall(r"[.\d]", line) for line in lines(view, r"^R\d((?: +[.\d|])+)$")][-9:]
    solved = _solve([list(row) for row in rows]) if len(rows) == 9 and all(len(row) == 9 for row in rows) else None
    cells = [(r, c, solved[r][c]) for r in range(9) for c in range(9) if rows[r][c] == "."] if solved else []
    return pick(view, [f"[{r + 1} {c + 1} {digit}]" for r, c, digit in cells])


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
    rows = [row.split() for row in lines(view, r"^(\S(?: \S){4,})$")]
    here = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "P"]
    ways = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    if not here:
        return None
    r, c = here[-1]
    return pick(view, [f"[{way}]" for way, (dr, dc) in ways.items() if rows[r + dr][c + dc] in "_O"])


def rush_hour(view: View) -> str | None:
    """A car with a free cell before or behind it."""
    rows = [row.split()[:6] for row in lines(view, r"^(\S(?: \S){5}(?: >)?)$")][-6:]
    at = {name: [(r, c) for r, row in enumerate(rows) for c, x in enumerate(row) if x == name] for row in rows for name in row}
    found = []
    for name, cells in at.items():
        (r, c), (s, d) = cells[0], cells[-1]
        ends = {"-": (r, c - 1), "+": (s, d + 1)} if r == s else {"-": (r - 1, c), "+": (s + 1, d)}
        inside = [sign for sign, (y, x) in ends.items() if 0 <= y < len(rows) and 0 <= x < 6 and rows[y][x] == "."]
        found += [f"[{name}{sign}]" for sign in inside if name != "."]
    return pick(view, found)


def ultimate(view: View) -> str | None:
    """A free square of the small board that is asked for; one that wins it, if there is one."""
    text = view.seen[-1] if "Current board" in view.seen[-1] else next(t for t in reversed(view.seen) if "Current board" in t)
    named, asked = text.rpartition("Current board")[2], re.findall(r"must now play in micro board (\d)", text)
    free = re.findall(r"\[(\d),(\d)\]", named)
    return pick(view, [f"[{a} {b}]" for a, b in free if not asked or a == asked[-1]])


def wild(view: View) -> str | None:
    return pick(view, re.findall(r"\[[XO] \d\]", view.seen[-1].rpartition("Available Moves:")[2]))


def quantum(view: View) -> str | None:
    """Two squares that have not collapsed: the same again where it can be, which closes a circle."""
    board = lines(view, r"^(.{10})(.{10})(.{10})$")
    cells = [[board[3 * r + i][c].strip() for i in range(3)] for r in range(3) for c in range(3)] if len(board) >= 9 else []
    free = [i for i, (_, *marks) in enumerate(cells) if not {"X", "O"} & set(marks)]
    again = [text for text in view.said[-1:] if set(map(int, re.findall(r"\d", text))) <= set(free)]
    return pick(view, again or [f"[{a},{b}]" for a in free for b in free if a < b])


def lines_of_action(view: View) -> str | None:
    """As many squares as there are pieces in the line, over no enemy and onto no piece of one's own."""
    board = {(x, int(y)): row[4 * x + 1] for y, row in lines(view, r"^(\d) \|((?: . \|){8})") for x in range(8)}
    own = "O" if view.seat.endswith("0") else "X"
    found = []
    for (x, y), cell in board.items():
        for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1), (-1, 0), (0, -1), (-1, -1), (-1, 1)) if cell == own else ():
            n = sum(board.get((x + k * dx, y + k * dy), " ") != " " for k in range(-7, 8))
            way = [board.get((x + k * dx, y + k * dy)) for k in range(1, n + 1)]
            if set(way[:-1]) <= {" ", own} and way[-1] not in (own, None):
                found.append(f"[{'abcdefgh'[x]}{y}{'abcdefgh'[x + n * dx]}{y + n * dy}]")
    return pick(view, found)


def peg_jump(view: View) -> str | None:
    """Over a peg into a hole, row by row; TextArena's table has no jumps along the last row, and four that bend."""
    full = {int(n): peg == "●" for n, peg in re.findall(r"(\d+)([●○])", view.seen[-1])}
    place = {(r, c): r * (r + 1) // 2 + c + 1 for r in range(5) for c in range(r + 1)}
    jumps = [
        (n, place[r + dr, c + dc], place[r + 2 * dr, c + 2 * dc])
        for (r, c), n in place.items()
        for dr, dc in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1))
        if (r + 2 * dr, c + 2 * dc) in place and (r < 4 or dr)
    ]
    bent = [(7, 11, 13), (8, 12, 14), (9, 12, 13), (9, 13, 15)]
    jumps += [*bent, *((b, over, a) for a, over, b in bent)]
    return pick(view, [f"[{a} {b}]" for a, over, b in jumps if full and full[a] and full[over] and not full[b]])


def santorini(view: View) -> str | None:
    """A worker's step of one level up at the most, then a level beside it; as high as it gets."""
    text = next(text for text in reversed(view.seen) if "│" in text)
    cells = re.findall(r"│ (\d) (\w\d|  )", text)[-25:]
    board = {divmod(i, 5): (int(height), worker.strip()) for i, (height, worker) in enumerate(cells)}
    own = "NWG"[int(view.seat[-1])]
    near = lambda at: [(at[0] + a, at[1] + b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (at[0] + a, at[1] + b) in board]
    named = lambda at: f"{'ABCDE'[at[0]]}{at[1] + 1}"
    free = lambda at: board[at][0] < 4 and not board[at][1]
    steps = [
        (worker, at, to)
        for at, (height, worker) in board.items()
        for to in near(at)
        if worker.startswith(own) and free(to) and board[to][0] <= height + 1
    ]
    highest = max((board[to][0] for _, _, to in steps), default=0)
    return pick(
        view,
        [
            f"[{worker}{named(at)}{named(to)}{named(build)}]"
            for worker, at, to in steps
            if board[to][0] == highest
            for build in near(to)
            if build != to and (free(build) or build == at)
        ],
    )


BOARDS: dict[str, Callable[[View], str | None]] = {
    "2048": slide,
    "Alquerque": alquerque,
    "Battleship": battleship,
    "Breakthrough": breakthrough,
    "ConnectFour": connect_four,
    "LinesOfAction": lines_of_action,
    "Minesweeper": minesweeper,
    "PegJump": peg_jump,
    "QuantumTicTacToe": quantum,
    "RushHour": rush_hour,
    "SantoriniBaseFixed": santorini,
    "Slitherlink": slitherlink,
    "Sokoban": sokoban,
    "Sudoku": sudoku,
    "UltimateTicTacToe": ultimate,
    "WildTicTacToe": wild,
}
