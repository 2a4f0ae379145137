"""Clockwork courier: deliver parcels by plans of a few moves, past gates and guards that follow known schedules."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from games import clockwork_courier_players as players
from games.clockwork_courier_city import MOVES, Cell, City, Event, State
from games.clockwork_courier_make import LEVELS, NOTES, at, form, generate, legend, settings, target
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status
from games.patience import Patience
from games.templates import fill

SEAT = "courier"
# Possessive, so that long rows of blanks take linear time. After the cell comes FACING, or nothing more on a line.
_CELL = r"^[ \t]*POSITION:\s*(?:\(\s*)?(\d{1,2})\s*,\s*(\d{1,2})"
_FACING = r"(?:\s*+(?:\)\s*+)?FACING\s+([NSEW])[ \t]*+$|\s*+\)[^\S\n]*+$|[^\S\n]*+$)"
_POSITION = re.compile(_CELL + _FACING, re.IGNORECASE | re.MULTILINE)
_PLAN = re.compile(r"^[ \t]*PLAN:(.+)$", re.IGNORECASE | re.MULTILINE)
_FIELDS = (
    "Delivery Rate",
    "Ticks Used",
    "Optimal Ticks",
    "Efficiency",
    "Prediction Accuracy",
    "Bump Count",
    "Capture Count",
    "Forfeited Ticks",
)


class Plan(NamedTuple):
    """What a reply says: where the courier expects to be, and the moves."""

    cell: Cell
    heading: str | None
    moves: list[str]


class _Unreadable(Exception):
    """A reply without a plan of the form asked for; the text says why."""


def read(reply: str, mode: str, length: int) -> Plan:
    """The last POSITION and the last PLAN of a reply; raises `_Unreadable`."""
    positions, plans = list(_POSITION.finditer(reply)), list(_PLAN.finditer(reply))
    if not positions:
        raise _Unreadable("there is no POSITION line of this form")
    if not plans:
        raise _Unreadable("there is no PLAN line")
    column, row, heading = positions[-1].groups()
    if mode == "egocentric" and heading is None:
        raise _Unreadable("the POSITION line does not say FACING and where")
    moves = [move.upper() for move in re.split(r"[\s,;]+", plans[-1][1]) if move]
    unknown = [move[:20] for move in moves if move not in MOVES[mode]]
    if unknown:
        raise _Unreadable(f"the PLAN has unknown moves: {', '.join(unknown[:5])} (known ones: {', '.join(MOVES[mode])})")
    if len(moves) != length:
        raise _Unreadable(f"the PLAN has {len(moves)} moves, exactly {length} are wanted")
    return Plan((int(column), int(row)), heading and heading.upper(), moves)


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """A plan each round; one that cannot be read is asked for again. Progress: a parcel counts half when it is picked up."""
    trip = _Trip(instance, settings)
    text, patience = trip.prompt(settings["initial_prompt"]), Patience()
    progress: list[float] = []

    def end(status: Status, reason: str) -> Outcome:
        score, metrics = trip.scores(status)
        requests, seat = len(progress), SEAT if status == "aborted" else None
        parsed = requests - patience.total
        return Outcome(status, score, requests, parsed, patience.total, metrics, reason, seat, tuple(progress))

    for number in range(1, trip.rounds + 1):
        patience.next_round()
        plan = None
        while plan is None:
            reply = yield Ask(SEAT, text)
            progress.append(sum(trip.state.parcels) / (2 * len(trip.state.parcels)))
            try:
                plan = read(reply, trip.city.mode, trip.length)
            except _Unreadable as problem:  # the rules count these, and ask again
                if patience.lost():
                    return end("aborted", f"too many replies without a plan, the last one: {str(problem)[:80]}")
                again = f"Your reply could not be read: {problem}.\nReply in this form, with nothing after it:"
                text = f"{again}\nTHOUGHTS: <...>\n{form(trip.city.mode, trip.length)}"
        text = trip.go(number, plan)
        progress[-1] = sum(trip.state.parcels) / (2 * len(trip.state.parcels))
        if trip.state.done:
            return end("success", "all parcels are delivered")
    return end("lose", "no plans are left")


class _Trip:
    """One episode: the city, where the courier is, and what has been counted."""

    def __init__(self, instance: Mapping, settings: Mapping):
        self.instance, self.mode = instance, settings["feedback_mode"]
        if self.mode not in NOTES:
            raise InstanceError("feedback_mode", f"one of {', '.join(NOTES)} is wanted")
        for field in ("plan_length", "max_rounds", "optimal_ticks"):
            if instance[field] < 1:
                raise InstanceError(field, "at least 1 is wanted")
        self.city = City(instance, settings["action_mode"])
        self.length, self.rounds, self.state = instance["plan_length"], instance["max_rounds"], self.city.first
        self.plans = self.right = self.bumps = self.captures = self.forfeited = 0

    def prompt(self, template: str) -> str:
        fields = {"MAP": "map_render", "SCHEDULES": "schedules_text", "PARCELS": "parcels_text", "TICK_BUDGET": "tick_budget"}
        fields |= {"HEADING": "initial_heading", "PLAN_LENGTH": "plan_length", "MAX_ROUNDS": "max_rounds"}
        values = {mark: str(self.instance[field]) for mark, field in fields.items()}
        more = {"LEGEND": legend(self.instance), "START": at(self.city.first.cell), "FEEDBACK_NOTE": NOTES[self.mode]}
        return fill(template, values | more)

    def go(self, number: int, plan: Plan) -> str:
        """Carry a plan out; returns what the courier is told."""
        begin, lines = self.state.tick, []
        for done, move in enumerate(plan.moves, 1):
            self.state, event = self.city.move(self.state, move)
            lines.append(f"t={self.state.tick}: {move} -> {self._body(event)}.{self._extras(event)}")
            self.bumps += event.bump is not None
            if event.guard is not None:
                lines.append(self._caught(begin, self.length - done))
            if event.guard is not None or self.state.done:
                break
        self.plans += 1
        self.right += plan.cell == self.state.cell and plan.heading in self._headings()
        head = f"ROUND {number} RESULT (ticks {begin} -> {self.state.tick}):"
        ask = f"Your next plan of {self.length} moves, with the POSITION where it ends before it:"
        return "\n".join([head, *lines, self._status(number), ask])

    def _headings(self) -> tuple:
        """The headings that a right prediction may have."""
        return (self.state.heading,) if self.city.mode == "egocentric" else (None, "N", "E", "S", "W")

    def _body(self, event: Event) -> str:
        rich, where = self.mode == "rich", at(event.cell)
        if event.guard is not None:
            return (
                f"CAUGHT by guard {event.guard} at {where}! Back at {at(self.city.first.cell)}"
                if rich
                else "CAUGHT! Back at the start"
            )
        if event.bump:
            return f"BUMP ({event.bump}), still at {where}" if rich else "BUMP"
        return f"OK, now at {where}" if rich else "OK"

    def _extras(self, event: Event) -> str:
        delivered = "".join(f" DELIVERED parcel {self.city.names[i]}!" for i in event.delivered)
        return delivered + "".join(f" PICKED UP parcel {self.city.names[i]}." for i in event.picked)

    def _caught(self, begin: int, left: int) -> str:
        """Forfeit the rest of a plan."""
        self.captures += 1
        self.forfeited += left
        self.state = State(self.state.cell, self.state.heading, begin + self.length, self.state.parcels)
        return f"Forfeited: the rest of your plan ({left} of {self.length} moves); it is t={self.state.tick} now."

    def _status(self, number: int) -> str:
        have = [[self.city.names[i] for i, now in enumerate(self.state.parcels) if now == what] for what in (1, 2)]
        carried, delivered = (", ".join(f"parcel {name}" for name in names) or "nothing" for names in have)
        clock = f"STATUS: tick {self.state.tick} of {self.instance['tick_budget']}."
        left = f"Plans left: {self.rounds - number}."
        if self.mode == "minimal":
            return f"{clock} Delivered {len(have[1])} of {len(self.state.parcels)} parcels. {left}"
        facing = f" facing {self.state.heading}" if self.city.mode == "egocentric" else ""
        return f"{clock} You are at {at(self.state.cell)}{facing}. Carried: {carried}. Delivered: {delivered}. {left}"

    def scores(self, status: Status) -> tuple[float, dict]:
        """Main Score and the other official scores."""
        if status == "aborted":
            return math.nan, dict.fromkeys(_FIELDS, math.nan)
        best, used = self.instance["optimal_ticks"], self.state.tick
        rate = self.state.parcels.count(2) / len(self.state.parcels)
        speed = min(1.0, best / used) if status == "success" else math.nan
        values = (rate, used, best, speed, self.right / self.plans, self.bumps, self.captures, self.forfeited)
        return 100 * (0.7 * rate + 0.3 * (speed if status == "success" else 0)), dict(zip(_FIELDS, values))


_TEXTS = ("action_mode", "feedback_mode", "initial_prompt")
_NUMBERS = ("width", "height", "plan_length", "tick_budget", "max_rounds", "optimal_ticks")
_LISTS = ("walls", "start", "gates", "patrols", "parcels")

CLOCKWORK_COURIER = Game(
    name="clockwork_courier",
    suite="outofdomain",
    seats=(SEAT,),
    roles=("Courier",),
    levels=tuple(LEVELS),
    fields=dict.fromkeys(_NUMBERS, int)
    | dict.fromkeys(_LISTS, list)
    | dict.fromkeys(("initial_heading", "map_render", "schedules_text", "parcels_text"), str),
    settings_fields=dict.fromkeys(_TEXTS, str),
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={SEAT: {"scripted": players.deliver, "random": players.wander, "broken": players.break_plan}},
)
