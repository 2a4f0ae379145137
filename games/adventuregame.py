"""adventuregame: bring things to their places in a small world of rooms, by text commands, then say done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from games.adventuregame_make import LEVELS, fill, generate, settings, target
from games.adventuregame_players import PLAYERS
from games.adventuregame_world import WORLDS, Fact, Result, World, load_words
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status

SEAT = "adventurer"
PLAN = "\nNext actions:"
FAILS = (
    "lark_exception malformed_command undefined_action_verb undefined_action undefined_repr_str manipulating_room "
    "undefined_argument_type taking_from_inventory other_room_argument domain_trait_type_mismatch domain_type_discrepancy "
    "world_state_discrepancy entity_not_accessible entity_state_mismatch entity_trait_mismatch entity_already_inventory "
    "going_to_current_room no_exit_to inventory_limit_exceeded"
).split()


class Turn(NamedTuple):
    """What one well-formed reply came to."""

    result: Result
    held: int  # goals that hold since the last command that succeeded
    idle: bool  # said done before the goals were reached
    followed: bool  # the command is the first one of the plan before the latest
    viability: float  # the part of the latest plan that could be carried out from here


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """One episode; a reply in a wrong format ends it, every other mistake only costs the turn."""
    world, goals = read_world(instance)
    planning = instance["variant"] == "plan"
    turns: list[Turn] = []
    plans: list[list[str]] = []
    held, finished = _held(world, goals), False
    status: Status
    text = _prompt(instance, settings, world, goals) + world.describe()
    while True:
        reply = yield Ask(SEAT, text)
        violation = _violation(reply, planning)
        if violation:
            status, reason = "aborted", violation
            break
        if planning and PLAN in reply:
            plans.append([step.strip() for step in reply.split(PLAN)[1].split(",")])
        command = reply[1:].split("\n", 1)[0].strip()
        result = world.act(command)
        if not result.fail:
            held = _held(world, goals)
            finished = finished or held == len(goals)
        followed = len(plans) > 1 and command == plans[-2][0]
        viability = _viability(world, plans[-1]) if plans else 0.0
        turns.append(Turn(result, held, result.verb == "done" and not finished, followed, viability))
        if len(turns) >= instance["max_turns"]:
            status, reason = "aborted", "turn limit"
            break
        if result.verb == "done":
            status, reason = ("success", "goals reached") if finished else ("lose", "done said before the goals were reached")
            break
        text = result.text + "\n"
    progress = [turn.held / len(goals) for turn in turns] + [held / len(goals)] * bool(violation)
    metrics = _metrics(turns, instance, finished, violation, reply) | {"achieved_goal_ratio": held / len(goals)}
    score = math.nan if status == "aborted" else 100 * held / len(goals)
    seat = SEAT if violation else None
    return Outcome(status, score, len(progress), len(turns), int(bool(violation)), metrics, reason, seat, tuple(progress))


def read_world(instance: Mapping) -> tuple[World, list[Fact]]:
    """The world of an instance and its goals; raises `InstanceError` for what cannot be played."""
    if instance["variant"] not in ("basic", "plan"):
        raise InstanceError("variant", f"{instance['variant']!r} given, 'basic' or 'plan' wanted")
    if not 0 <= instance["optimal_turns"] < instance["max_turns"]:
        raise InstanceError("optimal_turns", "must be less than max_turns")
    for field in ("action_definitions", "entity_definitions"):
        if not instance[field] or not all(isinstance(name, str) for name in instance[field]):
            raise InstanceError(field, "a list of file names is wanted")
    name = instance["entity_definitions"][0].removesuffix("_entities.json")
    if name not in WORLDS:
        raise InstanceError("entity_definitions", f"unknown world {name!r}: one of {', '.join(WORLDS)}")
    facts, goals = (_facts(instance, field) for field in ("initial_state", "goal_state"))
    words = load_words(name)
    types = {f[1]: f[2] for f in facts if f[0] in ("type", "room")} | {"inventory": "inventory"}
    kinds = {x: words.kinds.get(type_) for x, type_ in types.items()}
    for fact in facts:
        known = [kinds.get(x) for x in (fact[1:2] if fact[0] in ("type", "room") else fact[1:])]
        if fact[0] in ("type", "room", "at", "exit", "on", "in") and None in known:
            raise InstanceError("initial_state", f"{fact} names something of no known type")
        if fact[0] in ("at", "exit") and known[1] != "room":
            raise InstanceError("initial_state", f"{fact} does not name a room")
    if not list(types.values()).count("player") == [types[f[1]] for f in facts if f[0] == "at"].count("player") == 1:
        raise InstanceError("initial_state", "one player in one room is wanted")
    for fact in goals:
        if fact[0] not in ("on", "in") or not all(x in types for x in fact[1:]):
            raise InstanceError("goal_state", f"{fact} is not a place for a known thing")
    return World(words, facts, "invlimit" in instance["action_definitions"][0]), goals


def _prompt(instance: Mapping, settings: Mapping, world: World, goals: list[Fact]) -> str:
    """The instance's own prompt, or, where the settings have prompts, theirs."""
    if "prompts" not in settings:
        return instance["prompt"]
    if not isinstance(settings["prompts"], Mapping) or not isinstance(settings["prompts"].get(instance["variant"]), str):
        raise InstanceError("prompts", f"no prompt for the variant {instance['variant']!r}")
    limit = str(settings.get("limit", "")) if world.limited else ""
    return fill(settings["prompts"][instance["variant"]], limit, instance["max_turns"], goals, world.called)


def _facts(instance: Mapping, field: str) -> list[Fact]:
    """The facts of a field: `pred(a)` or `pred(a,b)`, of which there must be some."""
    facts = []
    for text in instance[field]:
        predicate, _, rest = text.partition("(") if isinstance(text, str) else ("", "", "")
        arguments = rest[:-1].split(",", 1)
        if not all((predicate, *arguments)):
            raise InstanceError(field, f"{text!r} is not a fact")
        if predicate in ("type", "room", "at", "exit", "on", "in") and len(arguments) != 2:
            raise InstanceError(field, f"{text!r}: two arguments are wanted")
        facts.append((predicate, *arguments))
    if not facts:
        raise InstanceError(field, "no facts")
    return facts


def _held(world: World, goals: list[Fact]) -> int:
    return sum(goal in world.facts for goal in goals)


def _violation(reply: str, planning: bool) -> str:
    """Which rule of the format a reply breaks, or ""."""
    if not reply.startswith(">"):
        return "the reply does not begin with >"
    return "the reply has no line of next actions" if planning and PLAN not in reply and "done" not in reply else ""


def _viability(world: World, plan: list[str]) -> float:
    """The part of a plan that succeeds, from here up to the first failure, in a copy of the world."""
    twin = world.copy()
    for count, step in enumerate(plan):
        if twin.act(step).fail:
            return count / len(plan)
    return 1.0


def _metrics(turns: list[Turn], instance: Mapping, finished: bool, violation: str, reply: str) -> dict[str, Any]:
    """The official episode scores, from the turns and, if it broke the format, the last reply."""
    requests = len(turns) + bool(violation)
    phases = [turn.result.phase if turn.result.fail else "" for turn in turns]
    counts = {fail: sum(turn.result.fail == fail for turn in turns) for fail in FAILS}
    claims = not reply.startswith(">") and any(word in reply for word in ("complete", "finish", "done", "successfully"))
    over = requests - instance["optimal_turns"]
    ratio = 1 - over / (instance["max_turns"] - instance["optimal_turns"])
    planning = instance["variant"] == "plan"
    misled = sum(now.followed and before.viability == 0 for before, now in zip(turns, turns[1:])) if planning else 0
    return counts | {
        "hallucination_count": sum(turn.idle for turn in turns) + claims,
        "action_parsing_fail": phases.count("parsing"),
        "action_resolution_fail": phases.count("resolution"),
        "successful_actions": phases.count(""),
        "turn_limit_loss": int(not violation and len(turns) >= instance["max_turns"]),
        "turns_over_par": over if finished else math.nan,
        "turn_ratio": ratio if finished else math.nan,
        "finish_speed": 1 - ratio if finished else math.nan,
        "plan_followed_ratio": sum(turn.followed for turn in turns) / requests,
        "plan_average_viability_ratio": sum(turn.viability for turn in turns) / requests,
        "bad_plan_follow_ratio": misled / requests,
        "bad_plan_dismiss_ratio": 1 - misled / requests,
    }


ADVENTUREGAME = Game(
    name="adventuregame",
    suite="indomain",
    seats=(SEAT,),
    roles=("Adventurer",),
    levels=tuple(LEVELS),
    fields={
        "variant": str,
        "prompt": str,
        "initial_state": list,
        "goal_state": list,
        "max_turns": int,
        "optimal_turns": int,
        "action_definitions": list,
        "entity_definitions": list,
    },
    settings_fields={"name": str},
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={SEAT: PLAYERS},
)
