"""Clean up: two seats have the same grid with the same letters at other places, and bring equal letters to equal places.

Modality "text" draws walls and allows moves onto empty cells only; "semantic_text" (st_clean_up) draws landmarks, allows
every cell, and forbids coordinates in messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from games import clean_up_make as make
from games import clean_up_texts as texts
from games.clean_up_players import PLAYERS
from games.clean_up_rules import Grid, Rules
from games.core import Ask, Game, Outcome, Referee, Status, Suite

SEATS = ("player_1", "player_2")
STUCK = 100  # so many invalid moves abort the episode; the official game counts them but never ends by them


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Replies are SAY or MOVE commands; the texts stand in the instance (officially) or in the settings (ours)."""
    rules = Rules(dict(settings) | dict(instance))
    state = _State(rules)
    relay, pending = ["", ""], [rules.fill("p1_initial_prompt", grid=state.grids[0].draw()), ""]
    seat, other = 0, 1
    while True:
        reply = yield Ask(SEATS[seat], relay[seat] + pending[seat])
        relay[seat], number = "", state.rounds
        command = rules.parse(reply, opening=seat == 0 and number == 0)
        problem = state.judge(seat, command)
        if state.end:
            return state.outcome()
        counter = rules.fill("penalty_counter", penalty=state.penalties)
        if problem:
            pending[seat] = problem + "\n" + counter + rules.fill("penalty_reprompt")
            continue
        if command[0] == "say":
            relay[seat] = rules.fill("message_relay")
            news = rules.fill("new_turn", turn_message=command[1])
        else:
            _, letter, x, y = command
            relay[seat] = rules.fill("successful", object=letter, x=x, y=y, grid=state.grids[seat].draw())
            news = rules.fill("new_turn_move")
        pending[other] = rules.fill("round_counter", round=number + 1) + counter + news + rules.fill("command_prompt")
        if seat == 0 and number == 0:
            pending[other] = rules.fill("p2_initial_prompt", start_message=command[1], grid=state.grids[1].draw())
        seat, other = other, seat


class _State:
    """Grids, counters and flags of a running episode; `end` is (status, reason, seat) once it is over."""

    def __init__(self, rules: Rules):
        self.rules, fields = rules, rules.fields
        step = 1 if fields["modality"] == "text" else 5
        self.grids = [Grid(fields["background"], fields[f"objects_{i}"], step) for i in (1, 2)]
        self.first = self.distance()
        self.start = {f"state_{i + 1}": grid.places() for i, grid in enumerate(self.grids)}
        self.requests = self.violated = self.invalid = self.penalties = self.rounds = 0
        self.finished = [False, False]
        self.moves: list[list[str]] = []
        self.progress: list[float] = []
        self.end: tuple[Status, str, str | None] | None = None

    def judge(self, seat: int, command: tuple) -> str:
        """Apply a command; returns what was wrong with it ("" if it was accepted and the turn passes)."""
        self.requests += 1
        kinds: dict[str, Callable[..., str]] = {"error": self._error, "say": self._say, "move": self._move}
        problem = kinds[command[0]](seat, *command[1:])
        if not problem:
            self.rounds += seat
            if seat == 1 and self.rounds >= self.rules.max_rounds and not self.end:
                self.end = ("success", f"all {self.rules.max_rounds} rounds are over", None)
        self.progress.append(max(0.0, 1 - self.distance() / self.first) if self.first else 1.0)
        return problem

    def _error(self, seat: int, key: str) -> str:
        self.penalties, self.violated = self.penalties + 1, self.violated + 1
        if self.penalties > self.rules.max_penalties:
            self.end = ("aborted", f"more than {self.rules.max_penalties} penalties, the last one: {key}", SEATS[seat])
        return self.rules.fill("invalid_response", reason=self.rules.texts[key])

    def _say(self, seat: int, message: str) -> str:
        question, answer = self.rules.texts["terminate_question"], self.rules.texts["terminate_answer"]
        self.finished[seat] |= question in message or answer in message
        if answer in message and self.finished[1 - seat]:
            self.end = ("success", "both seats have finished", None)  # even if the message is forbidden
        if any(pattern.search(message) for pattern in self.rules.restricted):
            return self._error(seat, "restriction")
        return ""

    def _move(self, seat: int, letter: str, x: int, y: int) -> str:
        grid, fill = self.grids[seat], self.rules.fill
        problem = ""
        if letter not in grid.at:
            problem = fill("obj_not_found", object=letter)
        elif x >= grid.width or y >= grid.height:
            problem = fill("out_of_bounds", x=x, y=y)
        elif self.rules.fields["modality"] == "text" and grid.top((x, y)) != self.rules.fields["empty_symbol"]:
            problem = fill("not_empty", x=x, y=y, object=grid.top((x, y)))
        if problem:
            self.penalties, self.invalid = self.penalties + 1, self.invalid + 1
            if self.invalid >= STUCK:
                self.end = ("aborted", f"{STUCK} invalid moves", SEATS[seat])
            return problem
        grid.move(letter, (x, y))
        self.moves.append([f"Player {seat + 1}", letter])
        return ""

    def distance(self) -> float:
        """Sum over letters of how far apart their two places are."""
        one, two = (grid.at for grid in self.grids)
        return sum(math.dist(one[letter], two[letter]) for letter in one)

    def outcome(self) -> Outcome:
        """Status, official quality and all official sub-scores."""
        assert self.end, "called at the end"
        status, reason, seat = self.end
        grid, last, count = self.grids[0], self.distance(), len(self.grids[0].at)
        width, height = ((side**2 - 1) / (3 * side) for side in (grid.width, grid.height))
        expected = count * math.hypot(width, height)
        nearer = max(0.0, 1 - last / self.first) if self.first else float(last == 0)
        distance_score = 0.0 if last > expected else (max(0.0, 1 - last / expected) + nearer) / 2
        share = self.penalties / self.rules.max_penalties
        penalty_score = 1 / (share - 2) + 1.5 if share != 2 else 0.0  # the official formula has a pole here
        changes = sum(a[1] != b[1] for a, b in zip(self.moves, self.moves[1:]))
        moved = [len({letter for name, letter in self.moves if name == f"Player {i}"}) for i in (1, 2)]
        ended = status == "success"
        quality = distance_score * penalty_score * 100 if ended else math.nan
        metrics = {
            "Success": int(ended),
            "Lose": int(ended and last > expected),
            "Main Score": quality,
            "Distance Score": distance_score,
            "Coverage Score": math.prod((n + 1) / (count + 1) for n in moved),
            "Penalty Score": penalty_score,
            "Moves": self.moves,
            "Init States": self.start,
            "End States": {f"state_{i + 1}": grid.places() for i, grid in enumerate(self.grids)},
            "Shifts": changes,
            "Max Shifts": 2 * (count - 1),
            "Min Shifts": count - 1,
            "End Distance Sum": last,
            "Init Distance Sum": self.first,
            "Expected Distance Sum": expected,
            "Penalties": self.penalties,
            "Max Penalties": self.rules.max_penalties,
            "Rounds": self.rounds,
            "Max Rounds": self.rules.max_rounds,
            "Object Count": count,
            "Valid Moves": len(self.moves),
            "Invalid Moves": self.invalid,
            "Parse Errors": 2 * self.violated,
        }
        if changes >= count - 1:
            metrics["Consistency Score"] = 1 - (changes - (count - 1)) / (2 * (count - 1) + 1 - (count - 1))
        if metrics["Lose"]:
            status, reason = "lose", reason + ", the letters are farther apart than by chance"
        score = max(quality, 0.0) if share < 2 else quality * 0  # (the official formula pays for penalties beyond its pole)
        parsed = self.requests - self.violated
        return Outcome(status, score, self.requests, parsed, self.violated, metrics, reason, seat, tuple(self.progress))


def _game(name: str, suite: Suite, levels: Mapping[str, tuple]) -> Game:
    return Game(
        name=name,
        suite=suite,
        seats=SEATS,
        roles=("GridCleaner", "GridCleaner"),
        levels=tuple(levels),
        fields={
            "modality": str,
            "background": str,
            "empty_symbol": str,
            "objects_1": list,
            "objects_2": list,
            "max_penalties": int,
            "max_rounds": int,
        },
        settings_fields={},
        referee=referee,
        generate=make.walls if levels is make.WALLS else make.landmarks,
        target=make.target,
        settings=texts.wall_settings if levels is make.WALLS else texts.landmark_settings,
        players={seat: PLAYERS for seat in SEATS},
    )


CLEAN_UP = _game("clean_up", "indomain", make.WALLS)
ST_CLEAN_UP = _game("st_clean_up", "outofdomain", make.LANDMARKS)
