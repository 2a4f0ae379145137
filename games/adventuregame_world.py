"""The world of adventuregame: its words, and what a command does to a set of facts.

A fact is a tuple such as ("on", "book1", "table1"). Facts are kept as the keys of a dict: a set with an order of its own.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable
from typing import NamedTuple

from games.adventuregame_grammar import SYNONYMS, Command, parse

Fact = tuple[str, ...]

WORLDS = ("home", "farm", "harbour", "theatre")  # one resource file each
TRAITS = {
    "support": ("support",),
    "floor": ("support",),
    "container": ("container", "openable"),
    "item": ("takeable", "movable", "needs_support"),
}


class Words(NamedTuple):
    """The vocabulary of a world: types are written together ("sidetable"), names as they are spoken ("side table")."""

    kinds: dict[str, str]  # type -> room, support, container, item, floor or hidden
    called: dict[str, str]  # type -> name
    types: dict[str, str]  # name -> type
    where: dict[str, tuple[str, ...]]  # type -> its usual rooms; for a room: those that may lie next to it
    doors: dict[str, int]  # room type -> how many passages it may have


@functools.cache
def load_words(world: str) -> Words:
    """The vocabulary of one of `WORLDS`, from `resources/adventuregame_WORLD.tsv`."""
    kinds = {"floor": "floor", "inventory": "hidden", "player": "hidden"}
    called = {"floor": "floor", "inventory": "inventory", "player": "you"}
    where: dict[str, tuple[str, ...]] = {}
    doors: dict[str, int] = {}
    text = importlib.resources.files("games").joinpath(f"resources/adventuregame_{world}.tsv").read_text("utf-8")
    for line in text.splitlines():
        kind, type_, name, rooms, *most = line.split("\t")
        kinds[type_], called[type_], where[type_] = kind, name, tuple(rooms.split(","))
        if most:
            doors[type_] = int(most[0])
    return Words(kinds, called, {name: type_ for type_, name in called.items()}, where, doors)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


class Result(NamedTuple):
    """What a command did: the text that the player reads, and the verb done, or the type and phase of the failure."""

    text: str
    verb: str = ""
    fail: str = ""
    phase: str = "resolution"


class World:
    """Facts that change by commands. `limited`: the inventory holds two things at most."""

    def __init__(self, words: Words, facts: Iterable[Fact], limited: bool):
        self.words, self.limited, self.silent = words, limited, False
        self.facts: dict[Fact, None] = dict.fromkeys(facts)
        self.types = {f[1]: f[2] for f in self.facts if f[0] in ("type", "room")} | {"inventory": "inventory"}
        self.ids = {type_: x for x, type_ in reversed(self.types.items())}
        self.player = self.ids["player"]
        self.room = next(f[2] for f in self.facts if f[:2] == ("at", self.player))
        self.facts |= dict.fromkeys((t, x) for x, type_ in self.types.items() for t in TRAITS.get(words.kinds[type_], ()))
        furniture = [x for x, type_ in self.types.items() if words.kinds[type_] in ("support", "container")]
        held = [x for rel, x, h in self._held() if rel == "on" or h == "inventory" or ("open", h) in self.facts]
        self.facts |= dict.fromkeys(("accessible", x) for x in furniture + held)

    def copy(self) -> World:
        """The same world, to try commands in; it does not describe its rooms, which takes the most time."""
        twin = World.__new__(World)
        twin.__dict__.update(self.__dict__, facts=dict(self.facts), silent=True)
        return twin

    def describe(self) -> str:
        """What the player sees in the room."""
        if self.silent:
            return ""
        held = self._held()
        covered = {x for rel, x, h in held if rel == "in" and (h == "inventory" or ("closed", h) in self.facts)}
        there = [f[1] for f in self.facts if f[0] == "at" and f[2] == self.room]
        seen = [x for x in there if self._kind(x) not in ("hidden", "floor") and x not in covered]
        parts = [f"You are in {_a(self.called(self.room))} now."]
        parts += [f"There {self._listed(seen)}."] if seen else []
        for x in seen:
            parts += [f"The {self.called(x)} is {state}." for state in ("open", "closed") if (state, x) in self.facts]
            parts += [f"The {self.called(x)} is {rel} the {self.called(h)}." for rel, y, h in held if y == x]
        exits = [f[2] for f in self.facts if f[0] == "exit" and f[1] == self.room]
        if exits:
            listed = self._listed(exits).replace("is a", "is a passage to a", 1).replace("are a", "are passages to a", 1)
            parts.append(f"There {listed} here.")
        return " ".join(parts)

    def act(self, text: str) -> Result:
        """Try a command; the facts change only if it succeeds."""
        command = parse(text)
        if command is None:
            return Result("That is not a command I can read.", fail="lark_exception", phase="parsing")
        if command.verb == "done":
            return Result("You end the game here.", "done")
        problem = self._misread(command)
        if problem is not None:
            return problem
        first, second = (self._resolve(name) for name in (command.first, command.second))
        if first is None or (second is None and command.second):
            return Result("There is nothing like that in this game.", fail="take_non_takeable_object")
        match command.verb:
            case "open" | "close":
                return self._turn(command.verb, first)
            case "take":
                return self._take(first, second)
            case "put":
                return self._put(first, second or "", command.prep)
            case "go":
                return self._go(first)
            case _:
                return self._examine(first)

    def _misread(self, command: Command) -> Result | None:
        """The failures that words alone decide."""
        verb, words = command.verb, self.words
        if not verb:
            if command.first in SYNONYMS:
                return Result(f"I do not understand what you want to {command.first}.", "", "malformed_command", "parsing")
            return Result(f"There is no action called '{command.first[:40]}'.", "", "undefined_action_verb", "parsing")
        unknown = "There is nothing called '{}'."
        first, second = words.types.get(command.first), words.types.get(command.second)
        if first is None:
            return Result(unknown.format(command.first[:40]), "", "undefined_repr_str", "parsing")
        if words.kinds[first] == "room" and verb in ("take", "put", "open", "close"):
            return Result(f"You cannot {verb} a whole room.", "", "manipulating_room", "parsing")
        if verb == "take" and second == "inventory":
            carried = ("in", self._resolve(command.first), "inventory") in self.facts
            phase = "resolution" if carried else "parsing"
            return Result("What is in your inventory is taken already.", "", "taking_from_inventory", phase)
        if command.second and second is None:
            return Result(unknown.format(command.second[:40]), "", "undefined_repr_str", "parsing")
        # the type of the named room is compared with the name of this one: a room whose two words differ never passes
        if second and words.kinds[second] == "room" and second != self.called(self.room):
            return Result(f"The {command.second} is not where you are.", "", "other_room_argument", "parsing")
        return None

    def _turn(self, verb: str, x: str) -> Result:
        before, after = ("closed", "open") if verb == "open" else ("open", "closed")
        if not self._here(x):
            return self._absent(x)
        if (before, x) not in self.facts:
            return Result(f"The {self.called(x)} is not {before}, so you cannot {verb} it.", fail="entity_state_mismatch")
        self._change([(after, x)], [(before, x)])
        inside = [("accessible", y) for rel, y, h in self._held() if (rel, h) == ("in", x) and self._kind(y) == "item"]
        if verb == "close":
            self._change([], inside)
            return Result(f"The {self.called(x)} is now closed.", "close")
        self._change(inside, [])
        return Result(f"The {self.called(x)} is now open. {self._contents(x)}", "open")

    def _take(self, x: str, source: str | None) -> Result:
        source = source or next((h for _, y, h in self._held() if y == x), None)
        problem = self._untakeable(x, source)
        if problem is not None:
            return problem if source else problem._replace(fail="take_non_takeable_object")
        if ("takeable", x) not in self.facts:
            return Result(f"You cannot carry the {self.called(x)} around.", fail="domain_trait_type_mismatch")
        self._change([("in", x, "inventory")], [("on", x, source or ""), ("in", x, source or "")])
        return Result(f"You take the {self.called(x)}. {self._contents('inventory')}", "take")

    def _untakeable(self, x: str, source: str | None) -> Result | None:
        """The first condition of taking that fails, in the official order; a missing source is no condition."""
        name, facts = self.called(x), self.facts
        carried = ("in", x, "inventory") in facts
        if not self._here(x):
            return self._absent(x)
        if self.limited and carried:
            return Result(f"You carry the {name} already.", fail="entity_already_inventory")
        if source and not self._here(source) and not carried:
            fail = "entity_not_accessible" if self.limited else "entity_already_inventory"
            return Result(f"The {name} is not there.", fail=fail)
        if ("accessible", x) not in facts:
            return self._absent(x)
        if self.limited and sum(f[0] == "in" and f[2] == "inventory" for f in facts) >= 2:
            return Result("You carry two things already, and more is not allowed.", fail="inventory_limit_exceeded")
        lies = ("on", x, source) in facts
        inside = ("in", x, source) in facts and ("open", source) in facts and ("container", source) in facts
        if source and not (lies and ("support", source) in facts) and not inside:
            fail = "entity_trait_mismatch" if lies else "entity_state_mismatch"
            return Result(f"You cannot take the {name} from the {self.called(source)}.", fail=fail)
        return None

    def _put(self, x: str, target: str, prep: str) -> Result:
        name, holder, facts = self.called(x), self.called(target), self.facts
        for y in (x, target):
            if not self._here(y):
                return self._absent(y)
        support, container = ("support", target) in facts, ("container", target) in facts
        if not support and not (container and ("open", target) in facts):
            if not container:
                return Result(f"Nothing can be put on or in the {holder}.", fail="entity_trait_mismatch")
            return Result(f"The {holder} is closed.", fail="entity_state_mismatch")
        if ("movable", x) not in facts:
            return Result(f"You cannot move the {name}.", fail="domain_trait_type_mismatch")
        added = [(rel, x, target) for rel, fits in (("on", support), ("in", container)) if fits]
        self._change(added, [("in", x, "inventory")])  # where a thing lay that was not carried, it lies still
        return Result(f"You put the {name} {prep or added[0][0]} the {holder}.", "put")

    def _go(self, room: str) -> Result:
        name = self.called(room)
        if ("at", self.player, room) in self.facts:
            return Result(f"The {name} is where you are.", fail="going_to_current_room")
        if ("exit", self.room, room) not in self.facts:
            return Result(f"No passage leads from here to {_a(name)}.", fail="no_exit_to")
        movers = [self.player, *(x for rel, x, h in self._held() if (rel, h) == ("in", "inventory"))]
        self._change([("at", x, room) for x in movers], [("at", x, self.room) for x in movers])
        self.room = room
        return Result(self.describe(), "go")

    def _examine(self, x: str) -> Result:
        name = self.called(x)
        if not self._here(x) or ("accessible", x) not in self.facts:
            return self._absent(x)
        parts = [f"You look at the {name}."]
        parts += [f"It is {state}." for state in ("open", "closed") if (state, x) in self.facts]
        parts += [f"It is {rel} the {self.called(h)}." for rel, y, h in self._held() if y == x]
        if self._kind(x) != "item" and ("closed", x) not in self.facts:
            parts.append(self._contents(x))
        return Result(" ".join(parts), "examine")

    def _here(self, x: str) -> bool:
        return ("at", x, self.room) in self.facts

    def _absent(self, x: str) -> Result:
        return Result(f"You see no {self.called(x)} here.", fail="entity_not_accessible")

    def _change(self, add: Iterable[Fact], remove: Iterable[Fact]) -> None:
        for fact in remove:
            self.facts.pop(fact, None)
        self.facts |= dict.fromkeys(add)

    def _held(self) -> list[Fact]:
        return [f for f in self.facts if f[0] in ("on", "in")]

    def _kind(self, x: str) -> str:
        return self.words.kinds[self.types[x]]

    def called(self, x: str) -> str:
        """The name of a thing or room."""
        return self.words.called[self.types[x]]

    def _resolve(self, name: str) -> str | None:
        """The thing that a name means: the only one of its type; of the floors, the one of this room."""
        type_ = self.words.types.get(name)
        if type_ == "floor":
            return next((f[1] for f in self.facts if f[0] == "at" and f[2] == self.room and self._kind(f[1]) == "floor"), None)
        return self.ids.get(type_) if type_ else None

    def _listed(self, things: list[str]) -> str:
        """ "is a X", "are a X, an Y and a Z"."""
        *most, last = [_a(self.called(x)) for x in things]
        return f"are {', '.join(most)} and {last}" if most else f"is {last}"

    def _contents(self, holder: str) -> str:
        rel = "on" if ("support", holder) in self.facts else "in"
        inside = [x for r, x, h in self._held() if (r, h) == (rel, holder)]
        if holder == "inventory":
            return f"In your inventory you have {self._listed(inside).split(' ', 1)[1]}."
        if rel == "in" and not inside:
            return f"The {self.called(holder)} is empty."
        listed = self._listed(inside) if inside else "is nothing"
        return f"{rel.capitalize()} the {self.called(holder)} there {listed}."
