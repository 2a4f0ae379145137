"""Fresh worlds for adventuregame: levels, prompts and the generator."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from games.adventuregame_route import Errand, route
from games.adventuregame_world import TRAITS, WORLDS, Fact, Words, load_words
from games.core import split_of


class Level(NamedTuple):
    """What makes a level; `optimal` is the range of the fewest commands that solve it, `done` not counted."""

    variant: str
    limited: bool  # two things in the inventory at most
    goals: int
    spread: bool  # every thing to a place of its own, not all to one
    optimal: tuple[int, int]
    rooms: int | None = None  # None: all rooms and things of the world
    max_turns: int = 50


LEVELS = {
    "basic_mini": Level("basic", False, 1, False, (2, 6), rooms=3, max_turns=20),
    "basic_easy": Level("basic", False, 3, False, (8, 12)),
    "basic_easy_invlimittwo": Level("basic", True, 3, False, (8, 12)),
    "planning_easy": Level("plan", False, 3, False, (8, 12)),
    "planning_easy_invlimittwo": Level("plan", True, 3, False, (8, 12)),
    "basic_hard": Level("basic", False, 3, True, (15, 19)),
    "basic_hard_invlimittwo": Level("basic", True, 3, True, (15, 19)),
    "planning_hard": Level("plan", False, 3, True, (15, 19)),
    "planning_hard_invlimittwo": Level("plan", True, 3, True, (15, 19)),
}

_FULL = """This is a small text adventure. I tell you what you see; you answer with one command, \
on a line that begins with >, and write
nothing before it.

Commands: go to ROOM, open THING, close THING, take THING, put THING on PLACE, put THING in PLACE, examine THING, done.
Only what is in the same room can be used. Closed things may hide others: open them. What you take goes with you.$LIMIT$

A reply looks like this:
> open drawer
$PLAN$
Your task: $GOAL$
There are $TURNS$ turns at most. When all of it is done, reply with:
> done

"""
_FULL_PLAN = """Next actions: take spoon, go to cellar

The second line begins with "Next actions:" and names the commands you mean to give after this one, with commas between them.
"""
_SHORT = "Reply: > go ROOM, > open THING, > take THING, > put THING on PLACE.$PLAN$$LIMIT$ $GOAL$ Then > done.\n\n"
_SHORT_PLAN = " Second line: Next actions: COMMAND, COMMAND."


def settings(level: str, form: str) -> dict[str, Any]:
    """Our experiment settings: prompts for both variants, and the sentence on the limit where the inventory has one."""
    prompt, plan = (_FULL, _FULL_PLAN) if form == "full" else (_SHORT, _SHORT_PLAN)
    prompts = {"basic": prompt.replace("$PLAN$", ""), "plan": prompt.replace("$PLAN$", plan)}
    return {"name": level, "prompts": prompts, "limit": " You can carry two things at most."}


def fill(prompt: str, limit: str, turns: int, goals: Sequence[Fact], called: Callable[[str], str]) -> str:
    """A prompt of our settings for one instance; `called` gives the name of a thing, `limit` is "" where there is none."""
    return prompt.replace("$LIMIT$", limit).replace("$TURNS$", str(turns)).replace("$GOAL$", goal_sentence(goals, called))


def goal_sentence(goals: Sequence[Fact], called: Callable[[str], str]) -> str:
    """ "Put the A on the X, the B on the Y and the C in the Z."."""
    parts = [f"the {called(x)} {rel} the {called(place)}" for rel, x, place in goals]
    return f"Put {' and '.join([', '.join(parts[:-1]), parts[-1]] if parts[:-1] else parts)}."


def target(instance: Mapping) -> str:
    """The world and the goals, whatever the variant: what two splits must not share."""
    return " ".join([*sorted(instance["initial_state"]), "goal", *sorted(instance["goal_state"])])


def generate(rng: random.Random, level: str, split: str) -> dict[str, Any]:
    """A fresh world that can be solved within the level's range of commands, drawn until it falls into `split`."""
    spec = LEVELS[level]
    while True:
        world = WORLDS[0] if rng.random() < 0.5 else rng.choice(WORLDS[1:])
        words = load_words(world)
        facts = _draw_facts(rng, words, spec)
        goals = _draw_goals(rng, facts, words, spec)
        state = {"initial_state": [_text(f) for f in facts], "goal_state": [_text(f) for f in goals]}
        if not goals or split_of(target(state)) != split:
            continue
        steps = _solve(facts, goals, spec.limited)
        if steps is not None and spec.optimal[0] <= len(steps) <= spec.optimal[1]:
            break
    called = lambda x: words.called[x.removesuffix("1")]
    prompts = settings(level, "full")
    limit = "_invlimit" if spec.limited else ""
    return {
        "variant": spec.variant,
        "prompt": fill(prompts["prompts"][spec.variant], prompts["limit"] if limit else "", spec.max_turns, goals, called),
        **state,
        "max_turns": spec.max_turns,
        "optimal_turns": len(steps),
        "optimal_solution": [[word for word in step if word not in ("on", "in")] for step in steps],
        "optimal_commands": [" ".join([step[0], *(w if w in ("on", "in") else called(w) for w in step[1:])]) for step in steps],
        "action_definitions": [f"basic_actions_v2{limit}.json"],
        "room_definitions": [f"{world}_rooms.json"],
        "entity_definitions": [f"{world}_entities.json"],
        "domain_definitions": [f"{world}_domain{limit}.json"],
    }


def _draw_facts(rng: random.Random, words: Words, spec: Level) -> list[Fact]:
    """Everything in one of its usual rooms, things on or in something there (else on the floor), all containers closed."""
    exits = _draw_exits(rng, words, spec.rooms)
    kept = [t for t, kind in words.kinds.items() if kind in TRAITS and (spec.rooms is None or rng.random() < 0.7)]
    rooms = {t: rng.choice(usual) for t in kept if (usual := [r for r in words.where.get(t, ()) if r in exits])}
    furniture = {t: room for t, room in rooms.items() if words.kinds[t] != "item"}
    types = {f"{room}1floor1": "floor" for room in exits} | {f"{t}1": t for t in rooms} | {"player1": "player"}
    facts: list[Fact] = [("at", f"{room}1floor1", f"{room}1") for room in exits]
    facts += [("at", f"{t}1", f"{room}1") for t, room in rooms.items()]
    facts += [("at", "player1", f"{rng.choice(list(exits))}1")]
    facts += [("type", x, t) for x, t in types.items()]
    facts += [("room", f"{room}1", room) for room in exits]
    facts += [("exit", f"{a}1", f"{b}1") for a, neighbours in exits.items() for b in neighbours]
    for t, room in rooms.items():
        if words.kinds[t] == "item":
            holder = rng.choice([h for h, place in furniture.items() if place == room] or [None])
            rel = "in" if holder and words.kinds[holder] == "container" else "on"
            facts.append((rel, f"{t}1", f"{holder}1" if holder else f"{room}1floor1"))
    facts += [(trait, x) for x, t in types.items() for trait in TRAITS.get(words.kinds[t], ())]
    return facts + [("closed", f"{t}1") for t in furniture if words.kinds[t] == "container"]


def _draw_exits(rng: random.Random, words: Words, count: int | None) -> dict[str, list[str]]:
    """Passages between rooms that may lie side by side, no more than a room's doors, with every room in reach."""
    while True:
        rooms = [rng.choice(list(words.doors))]
        while len(rooms) < (count or len(words.doors)):
            rooms.append(rng.choice(sorted({n for r in rooms for n in words.where[r]} - set(rooms))))
        pairs = [(a, b) for a in rooms for b in words.where[a] if b in rooms and rooms.index(a) < rooms.index(b)]
        exits: dict[str, list[str]] = {room: [] for room in rooms}
        for a, b in rng.sample(pairs, len(pairs)):
            if rng.random() < 0.8 and all(len(exits[room]) < words.doors[room] for room in (a, b)):
                exits[a].append(b)
                exits[b].append(a)
        reached = rooms[:1]
        for room in reached:
            reached += [n for n in exits[room] if n not in reached]
        if len(reached) == len(rooms):
            return exits


def _draw_goals(rng: random.Random, facts: Sequence[Fact], words: Words, spec: Level) -> list[Fact]:
    """Goals for different things, each to a place where it is not yet; empty if this draw does not allow it."""
    kinds = {f[1]: words.kinds[f[2]] for f in facts if f[0] == "type"}
    things = [x for x, kind in kinds.items() if kind == "item"]
    places = [x for x, kind in kinds.items() if kind == "support" or (spec.spread and kind == "container")]
    if len(things) < spec.goals or len(places) < (spec.goals if spec.spread else 1):
        return []
    chosen = rng.sample(places, spec.goals) if spec.spread else [rng.choice(places)] * spec.goals
    goals: list[Fact] = [
        ("on" if kinds[h] == "support" else "in", x, h) for x, h in zip(rng.sample(things, spec.goals), chosen)
    ]
    return [] if any(goal in facts for goal in goals) else goals


def _solve(facts: Sequence[Fact], goals: Sequence[Fact], limited: bool) -> list[tuple] | None:
    """The fewest steps from these facts to the goals."""
    at = {f[1]: f[2] for f in facts if f[0] == "at"}
    holder = {f[1]: f[2] for f in facts if f[0] in ("on", "in")}
    closed = {f[1] for f in facts if f[0] == "closed"}
    exits = {room: [f[2] for f in facts if f[0] == "exit" and f[1] == room] for room in set(at.values())}
    errands = [
        Errand(x, at[x], holder[x] if holder[x] in closed else "", h, at[h], h if h in closed else "", rel)
        for rel, x, h in goals
    ]
    return route(at["player1"], exits, errands, 2 if limited else None)


def _text(fact: Fact) -> str:
    return f"{fact[0]}({','.join(fact[1:])})"
