"""Scripted players of adventuregame: they know the texts they were shown, and search in what they have seen."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

from games.adventuregame_route import CARRIED, Errand, route
from games.core import Player, View

_ROOM = re.compile(r"You are in an? ([a-z ]+?) now")
_LIST = re.compile(r"\ban? ([a-z ]+?)(?=, an? | and an? |$)")
_GOAL = re.compile(r"the ([a-z ]+?) (on|in) the ([a-z ]+?)(?=, the | and the |$)")
_HELD = re.compile(r"The ([a-z ]+?) is (on|in) the ([a-z ]+)")
_STATE = re.compile(r"The ([a-z ]+?) is (?:now )?(open|closed)")
_INSIDE = re.compile(r"In the ([a-z ]+?) there (?:is|are) (.+)")
_PUT = re.compile(r"You put the ([a-z ]+?) (on|in) the ([a-z ]+)")
_SHOWN = {
    "go": ("go {}", "go to {}", "go to the {}"),
    "open": ("open {}", "open the {}"),
    "close": ("close {}", "close the {}"),
    "take": ("take {}", "take the {}", "pick up the {}"),
    "put": ("put {} {} {}", "put {} {} the {}", "put the {} {} the {}"),
    "examine": ("examine {}", "look closely"),  # the second is no command: now and then a weak player guesses
    "done": ("done",),
}


class Memory:
    """What the messages so far have told: rooms, things and the inventory, all by name."""

    def __init__(self, seen: Sequence[str]):
        goal = seen[0].rpartition("Put ")[2].partition(".")[0]
        self.goals = [(thing, prep, place) for thing, prep, place in _GOAL.findall(goal)]
        self.room = ""
        self.exits: dict[str, list[str]] = {}  # of the rooms that were visited
        self.at: dict[str, str] = {}  # thing -> room, or CARRIED
        self.holder: dict[str, str] = {}  # thing -> what it is on or in
        self.closed: set[str] = set()
        self.boxes: set[str] = set()
        start = seen[0].rfind("You are in a")
        for text in (seen[0][start:], *seen[1:]):
            for sentence in text.split("."):
                self._read(sentence.strip())

    def _read(self, sentence: str) -> None:
        if found := _ROOM.fullmatch(sentence):
            self.room = found[1]
            self.exits[self.room] = []
        elif sentence.startswith("There ") and sentence.endswith(" here"):
            self.exits[self.room] = _LIST.findall(sentence.removesuffix(" here").replace("a passage to ", ""))
        elif sentence.startswith("There "):
            self._place(_LIST.findall(sentence), "")
        elif sentence.startswith("In your inventory"):
            carried = _LIST.findall(sentence)
            self.at |= dict.fromkeys(carried, CARRIED)
            self.holder |= dict.fromkeys(carried, CARRIED)
        elif found := _INSIDE.fullmatch(sentence):
            self._place(_LIST.findall(found[2]), found[1])
        elif found := (_HELD.fullmatch(sentence) or _PUT.fullmatch(sentence)):
            self._place([found[1]], found[3])
        elif found := _STATE.fullmatch(sentence):
            self.boxes.add(found[1])
            (self.closed.add if found[2] == "closed" else self.closed.discard)(found[1])

    def _place(self, things: Sequence[str], holder: str) -> None:
        self.at |= dict.fromkeys(things, self.room)
        self.holder |= dict.fromkeys(things, holder)

    def here(self) -> list[str]:
        """The things in the room."""
        return [thing for thing, room in self.at.items() if room == self.room]

    def carried(self) -> list[str]:
        """The things in the inventory."""
        return [thing for thing, room in self.at.items() if room == CARRIED]


def sensible(memory: Memory, limit: int | None) -> list[tuple]:
    """The steps of a good player: the shortest way if all is known, else what can be done here, else a look at new places."""
    goals = [(thing, prep, place) for thing, prep, place in memory.goals if memory.holder.get(thing) != place]
    if not goals:
        return [("done",)]
    carried = memory.carried()
    for thing in carried:
        if limit and thing not in [goal[0] for goal in goals]:
            return [("put", thing, "on", "floor")]
    errands = [_errand(memory, *goal) for goal in goals if goal[0] in memory.at and goal[2] in memory.at]
    search = _search(memory)
    if len(errands) == len(goals) or not search:
        return [*(route(memory.room, memory.exits, errands, limit) or []), ("done",)]
    full = limit is not None and len(carried) >= limit
    for thing, prep, place in goals:
        if memory.at.get(place) == memory.room and memory.at.get(thing) in (memory.room, CARRIED):
            return [("open", place)] * (place in memory.closed) + [("put", thing, prep, place), *search]
        if memory.at.get(thing) == memory.room and not full:
            return [("take", thing), *search]
    ready = [errand for errand in errands if errand.source == CARRIED]
    if full and ready:
        return route(memory.room, memory.exits, ready, limit) or search
    return search


def _errand(memory: Memory, thing: str, prep: str, place: str) -> Errand:
    holder = memory.holder[thing]
    box = holder if holder in memory.closed else ""
    return Errand(thing, memory.at[thing], box, place, memory.at[place], place if place in memory.closed else "", prep)


def _search(memory: Memory) -> list[tuple]:
    """The steps to the nearest closed box or room not seen yet; empty if there is none."""
    paths: dict[str, list[tuple]] = {memory.room: []}
    queue = deque(paths)
    while queue:
        room = queue.popleft()
        boxes = [box for box in memory.boxes if memory.at.get(box) == room and box in memory.closed]
        if boxes or room not in memory.exits:
            return [*paths[room], *(("open", box) for box in sorted(boxes)[:1])]
        for neighbour in memory.exits[room]:
            if neighbour not in paths:
                paths[neighbour] = [*paths[room], ("go", neighbour)]
                queue.append(neighbour)
    return []


def aimless(memory: Memory, view: View) -> tuple:
    """A step that is possible, more or less, but has no aim."""
    here = memory.here()
    steps: list[tuple] = [("go", room) for room in memory.exits.get(memory.room, ())] + [("examine", thing) for thing in here]
    steps += [("open" if thing in memory.closed else "close", thing) for thing in here if thing in memory.boxes]
    steps += [("take", thing) for thing in here if memory.holder.get(thing)]
    steps += [("put", thing, "on", place) for thing in memory.carried() for place in here if place != thing]
    return view.rng.choice(steps or [("go", "hallway")])


def scripted(view: View) -> str:
    """Plays well; at strength s a turn is sensible with probability s and aimless otherwise."""
    memory = Memory(view.seen)
    limit = 2 if _limit_sentence(view.settings) in view.seen[0] else None
    steps = sensible(memory, limit) if memory.goals and view.rng.random() < view.strength else [aimless(memory, view)]
    return _reply(view, steps)


def random(view: View) -> str:
    """Any step, and now and then the end of the game."""
    memory = Memory(view.seen)
    return _reply(view, [("done",) if view.rng.random() < 0.03 else aimless(memory, view)])


def broken(view: View) -> str:
    """Forgets the tag, talks, or leaves the plan out; every second reply is right."""
    reply = _reply(view, [aimless(Memory(view.seen), view)])
    command = reply.split("\n")[0]
    plan = "Next actions:" in view.seen[0]
    wrong = [
        command[2:],
        f" {reply}",
        f"**{command}**",
        f"I think I should {command[2:]} now.",
        "I have successfully finished the task.",
        command if plan else f"Action: {command[2:]}",
        command + " Next actions: look, wait" if plan else "",
    ]
    return reply if view.rng.random() < 0.5 else view.rng.choice(wrong)


def _limit_sentence(settings: Mapping) -> str:
    return str(settings.get("limit", "up to two objects in your inventory")).strip()


def _reply(view: View, steps: Sequence[tuple]) -> str:
    """The first step as a command; where plans are wanted the next ones below it, in plain words so that they can be kept."""
    verb, *names = steps[0]
    if "Next actions:" not in view.seen[0]:
        return "> " + view.rng.choice(_SHOWN[verb]).format(*names)
    plain = [_SHOWN[verb][0].format(*names) for verb, *names in steps[:6]]
    return f"> {plain[0]}\nNext actions: {', '.join(plain[1:] or ['done'])}"


PLAYERS: dict[str, Player] = {"scripted": scripted, "random": random, "broken": broken}
