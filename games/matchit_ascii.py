"""Match It: two players see one grid each and find out by talking whether they see the same one."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator, Mapping

from games import matchit_ascii_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, split_of

A, B = "player_a", "player_b"
KINDS = ("description", "question", "answer", "decision")
FULL, EMPTY = "X", "▢"
SIZE = 5


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """The fixed schedule of 4 D + 4 replies (D = decision_turn); the first reply out of form ends the game."""
    flags = _flags(settings)
    if instance["decision_turn"] < 1:
        raise InstanceError("decision_turn", "at least 1 is wanted")
    said: dict[tuple[str, str], str] = {}
    right: dict[str, bool] = {}
    requests = parsed = violated = 0
    end = functools.partial(_outcome, right)

    for seat, kind in _schedule(instance["decision_turn"]):
        reply = yield Ask(seat, _shown(seat, kind, said, instance, settings))
        said[seat, kind] = reply.strip()
        requests += 1
        if said[seat, kind].split("\n")[0].split(" ")[0] != flags[kind]:
            reason = f"{flags[kind]} was wanted at the start" if said[seat, kind] else "an empty reply"
            return end(requests, parsed, violated + 1, reason, seat, marked=reply.startswith("abort"))
        parsed += 1
        if kind == "decision":
            decisions = [f"{flags[kind]} {settings[way]}".lower() for way in ("solution", "wrong_solution")]
            decision = reply.lower().strip(".\n")
            if decision not in decisions:
                return end(requests + 1, parsed, violated + 1, "neither of the two decisions", seat)  # both counts, officially
            right[seat] = decision == decisions[0]
    return end(requests, parsed, violated, "both decided")


def _schedule(decision_turn: int) -> Iterator[tuple[str, str]]:
    """Who says what, in order."""
    yield from ((A, "description"), (B, "description"), (B, "question"))
    for turn in range(1, decision_turn + 1):
        yield from ((A, "answer"), (A, "question"), (B, "answer"))
        yield B, "decision" if turn == decision_turn else "question"
    yield A, "decision"


def _shown(seat: str, kind: str, said: Mapping, instance: Mapping, settings: Mapping) -> str:
    """What the seat has to know for its next reply and has not seen yet; nobody learns B's decision."""
    other = A if seat == B else B
    if kind == "description":
        return settings["initial_prompt"].replace("$GRID$", instance["grid_a" if seat == A else "grid_b"])
    answer = said.get((other, "answer"))
    heard = settings["desc_intro"] + said[other, "description"] if answer is None else answer
    if kind == "answer":
        return heard + "\n" + said[other, "question"] + settings["a_request"]
    if kind == "question":
        return settings["q_reprompt"] if (seat, "answer") in said else heard + "\n" + settings["q_reprompt"]
    return settings["d_reprompt"] if seat == B else heard + "\n" + settings["d_reprompt"]


def _outcome(
    right: Mapping[str, bool],
    requests: int,
    parsed: int,
    violated: int,
    reason: str,
    seat: str | None = None,
    marked: bool = False,
) -> Outcome:
    """The official numbers: a game that ended by a violation counts as lost, unless the reply itself began with "abort"."""
    score = 100 if right.get(A) and right.get(B) else 0
    player_score = 50 * sum(right.values())
    if seat is None:
        status: Status = "success" if score else "lose"
        return Outcome(status, score, requests, parsed, violated, {"Player Score": player_score}, reason)
    official = {"Aborted": 0, "Success": 0, "Lose": 1, "Main Score": 0, "Player Score": player_score}
    metrics = {"Player Score": math.nan} if marked else official
    return Outcome("aborted", math.nan, requests, parsed, violated, metrics, reason, seat)


def _flags(settings: Mapping) -> Mapping[str, str]:
    for kind in KINDS:
        if not isinstance(settings["flags"].get(kind), str):
            raise InstanceError("flags", f"{kind!r} is missing")
    return settings["flags"]


# --- our own grids and prompts

Grid = tuple[str, ...]


def generate(rng: random.Random, level: str, split: str) -> dict:
    """Two grids: unrelated, the same, one mirrored or turned, or one with two cells changed."""
    while True:
        a = _draw(rng)
        b = PARTNER[level](rng, a)
        instance = {"grid_a": _show(a), "grid_b": _show(b), "decision_turn": 3}
        if b and split_of(target(instance)) == split:
            return instance


def target(instance: Mapping) -> str:
    """The two grids, whoever holds which and however both are turned."""
    a, b = (_read(instance[key]) for key in ("grid_a", "grid_b"))
    return min("/".join((*x, "", *y)) for one, other in zip(_views(a), _views(b)) for x, y in ((one, other), (other, one)))


def _draw(rng: random.Random) -> Grid:
    """Some strokes and stray cells, drawn over each other on an empty or a full ground."""
    while True:
        marked: set = set()
        for _ in range(rng.randrange(1, 5)):
            marked ^= rng.choice(_strokes(rng.randrange(SIZE)))
        marked ^= {(rng.randrange(SIZE), rng.randrange(SIZE)) for _ in range(rng.randrange(3))}
        ink, ground = rng.choice(((FULL, EMPTY), (EMPTY, FULL)))
        if 3 <= len(marked) <= 20:
            return tuple("".join(ink if (r, c) in marked else ground for c in range(SIZE)) for r in range(SIZE))


def _strokes(k: int) -> tuple[set, ...]:
    """The strokes of one brush: row k, column k, two diagonals, a frame, a rising stair, a block in a corner."""
    span = range(SIZE)
    cells = [(r, c) for r in span for c in span]
    return (
        {(k, i) for i in span},
        {(i, k) for i in span},
        {(i, i) for i in span},
        {(i, SIZE - 1 - i) for i in span},
        {(r, c) for r, c in cells if max(abs(r - SIZE // 2), abs(c - SIZE // 2)) == 1 + k % 2},
        {(r, c) for r, c in cells if r > c + k - 2},
        {(r, c) for r, c in cells if r // 2 == k // 2 and c // 2 == k % 2},
    )


def _turn(rng: random.Random, grid: Grid) -> Grid | None:
    """One of the seven other views of the grid that differs from it in 2 to 12 cells."""
    views = [view for view in _views(grid) if 2 <= _distance(view, grid) <= 12]
    return rng.choice(views) if views else None


def _change(rng: random.Random, grid: Grid) -> Grid:
    cells = rng.sample([(r, c) for r in range(SIZE) for c in range(SIZE)], 2)
    flip = {FULL: EMPTY, EMPTY: FULL}
    return tuple("".join(flip[cell] if (r, c) in cells else cell for c, cell in enumerate(row)) for r, row in enumerate(grid))


def _other(rng: random.Random, grid: Grid) -> Grid:
    """An unrelated grid: 8 to 17 cells differ, however it is turned."""
    while True:
        other = _draw(rng)
        if all(8 <= _distance(view, grid) for view in _views(other)) and _distance(other, grid) <= 17:
            return other


def _views(grid: Grid) -> list[Grid]:
    """The grid in its four quarter turns, plain and mirrored."""
    views = []
    for _ in range(4):
        grid = tuple("".join(column) for column in zip(*grid[::-1]))
        views += [grid, grid[::-1]]
    return views


def _distance(a: Grid, b: Grid) -> int:
    return sum(x != y for one, other in zip(a, b) for x, y in zip(one, other))


def _show(grid: Grid | None) -> str:
    return "\n".join(" ".join(row) for row in grid or ())


def _read(text: str) -> Grid:
    return tuple(line.replace(" ", "") for line in text.split("\n"))


PARTNER = {"different_grid": _other, "same_grid": lambda _, grid: grid, "similar_grid_1": _turn, "similar_grid_2": _change}
TAGS = {kind: f"{kind.upper()}:" for kind in KINDS}
WAYS = ("same grid", "different grids")
TEXTS = {
    "full": {
        "initial_prompt": (
            "You and I each look at a grid of 5 rows with 5 cells, drawn with X and ▢. Neither of us sees the grid of the "
            "other. We work together: by describing, asking and answering we find out whether our two grids are the same in "
            "every cell, and at the end each of us decides. Every message starts with the tag that I ask for, and says nothing "
            "besides.\n\nAn example of the form:\nDESCRIPTION: all cells are ▢, but row 3 is XXXXX\n"
            "QUESTION: What does your row 5 look like?\nANSWER: row 5 is ▢▢▢▢X\nDECISION: different grids\n\n"
            'Begin with a short description of your grid that starts with "DESCRIPTION:". Your grid:\n$GRID$'
        ),
        "desc_intro": "Here is my ",
        "q_reprompt": 'Ask me a question that tells you more about my grid. Write it behind "QUESTION:", and nothing else.',
        "a_request": ' Answer this question. Write your answer behind "ANSWER:", and nothing else.',
        "d_reprompt": (
            'Decide now: do we have the same grid? Write "DECISION: same grid" if every cell is the same, or '
            '"DECISION: different grids" if any cell is not, and nothing else.'
        ),
    },
    "short": {
        "initial_prompt": "Same grid as mine or not? Start with DESCRIPTION: and describe yours.\n$GRID$",
        "desc_intro": "My ",
        "q_reprompt": "Ask QUESTION: ...",
        "a_request": " Say ANSWER: ...",
        "d_reprompt": "Say DECISION: same grid or DECISION: different grids",
    },
}


def settings(level: str, form: str) -> dict:
    """Our prompts; as in the official ones, the level says which decision is right."""
    solution, wrong = WAYS if level == "same_grid" else WAYS[::-1]
    return {"name": level, **TEXTS[form], "flags": TAGS, "solution": solution, "wrong_solution": wrong}


MATCHIT_ASCII = Game(
    name="matchit_ascii",
    suite="indomain",
    seats=(A, B),
    roles=("MatchItPlayer", "MatchItPlayer"),
    levels=tuple(PARTNER),
    fields={"grid_a": str, "grid_b": str, "decision_turn": int},
    settings_fields={key: str for key in (*TEXTS["full"], "solution", "wrong_solution")} | {"flags": dict},
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={A: players.PLAYERS, B: players.PLAYERS},
)
