"""adventuregame: the grammar, the rules of the world, the scores, fresh worlds, the players, and the recorded episodes."""

from __future__ import annotations

import math
import random
import re
from collections import deque

import pytest

import games
from games.adventuregame import read_world
from games.adventuregame_grammar import Command, parse
from games.adventuregame_make import LEVELS, target
from games.adventuregame_players import Memory
from games.adventuregame_route import CARRIED, Errand, route
from games.core import SPLITS, InstanceError, play_out, split_of
from tests import recorded
from tests.common import answered

GAME = games.make("adventuregame")
PLAN = "\nNext actions:"
NAMED = {"name": "test"}


def instance(*more: str, limited: bool = False, **changes) -> dict:
    """Kitchen - hallway - broom closet; an apple and a closed cupboard with a plate in the kitchen, a shelf in the hallway."""
    at = "kitchen1floor1 kitchen1 hallway1floor1 hallway1 broomcloset1floor1 broomcloset1 table1 kitchen1 cupboard1 kitchen1 "
    at += "apple1 kitchen1 plate1 kitchen1 player1 kitchen1 shelf1 hallway1 book1 hallway1 mop1 broomcloset1"
    words = at.split()
    facts = [f"at({x},{room})" for x, room in zip(words[::2], words[1::2])]
    facts += [f"type({x},{'floor' if 'floor' in x else x[:-1]})" for x in words[::2]]
    facts += [f"room({room}1,{room})" for room in ("kitchen", "hallway", "broomcloset")]
    facts += [
        "exit(kitchen1,hallway1)",
        "exit(hallway1,kitchen1)",
        "exit(hallway1,broomcloset1)",
        "exit(broomcloset1,hallway1)",
    ]
    facts += [
        "on(apple1,table1)",
        "in(plate1,cupboard1)",
        "on(book1,shelf1)",
        "on(mop1,broomcloset1floor1)",
        "closed(cupboard1)",
    ]
    limit = "_invlimit" if limited else ""
    return {
        "variant": "basic",
        "prompt": "Bring it.\n\n",
        "initial_state": [*facts, *more],
        "goal_state": ["on(apple1,shelf1)", "in(book1,cupboard1)"],
        "max_turns": 12,
        "optimal_turns": 6,
        "action_definitions": [f"basic_actions_v2{limit}.json"],
        "entity_definitions": ["home_entities.json"],
    } | changes


def played(replies: list[str], **changes):
    return answered(GAME.start(instance(**changes), NAMED), replies)


def scores(replies: list[str], **changes) -> dict:
    return played(replies, **changes).outcome.official()


def results(commands: str, limited: bool = False) -> list[str]:
    """What each of some commands, separated by commas, came to: the verb done or the type of failure."""
    world, _ = read_world(instance(limited=limited))
    found = [world.act(command.strip()) for command in commands.split(",")]
    return [result.verb or result.fail for result in found]


WON = "> take apple,> open cupboard,> go to hallway,> put apple on shelf,> take book,> go kitchen,> put book in cupboard".split(
    ","
)


@pytest.mark.parametrize(
    "text, verb, first, second",
    [
        ("open the large cupboard", "open", "cupboard", ""),
        ("Take Apple!", "take", "apple", ""),
        ("pick up the apple", "take", "apple", ""),
        ("get up", "take", "up", ""),
        ("take apple out of the old refrigerator", "take", "apple", "refrigerator"),
        ("take apple from table in kitchen", "take", "apple", "table"),
        ("take apple from on table", "take", "apple from", "table"),
        ("put plate back on table", "put", "plate", "table"),
        ("put potted plant freezer", "put", "potted plant", "freezer"),
        ("put plate side table", "put", "plate side", "table"),
        ("put apple the side table", "put", "apple", "side table"),
        ("put apple wooden table", "put", "apple", "table"),
        ("put plate and mop on counter", "put", "plate and mop", "counter"),
        ("put the pillow on the table in the living room", "put", "pillow on the table", "living room"),
        ("put apple on", "put", "apple", "on"),
        ("drop potted plant", "put", "potted", "plant"),
        ("return back to the kitchen", "go", "kitchen", ""),
        ("go into the hallway", "go", "into the hallway", ""),
        ("go to", "go", "to", ""),
        ("examine the", "examine", "the", ""),
        ("check bob's table", "examine", "bob's table", ""),
        ("quit.", "done", "", ""),
        ("done now", "", "done", ""),
        ("put mop", "", "put", ""),
        ("drop book", "", "drop", ""),
        ("take plate and mop and put them on counter", "", "take", ""),
        ("open b c d e f", "", "open", ""),
        ("open", "", "open", ""),
        ("walk to the table", "", "walk", ""),
    ],
)
def test_grammar(text, verb, first, second):
    assert parse(text)[:3] == (verb, first, second)


@pytest.mark.parametrize(
    "text", ["", ".", "go kitchen, go hallway", "take apple's", "take äpfel", "take apple..", "take\u00a0apple", "go 2"]
)
def test_text_that_is_not_words(text):
    assert parse(text) is None


def test_the_last_preposition_is_kept():
    assert parse("put apple up on the table") == Command("put", "apple", "table", "on")


@pytest.mark.parametrize(
    "commands, expected",
    [
        (
            "walk around, drop apple, put apple, open",
            "undefined_action_verb undefined_action_verb malformed_command malformed_command",
        ),
        ("take fridge, take kitchen, open hallway", "undefined_repr_str manipulating_room manipulating_room"),
        ("go cellar, go shelf, go hallway, go kitchen, go broom closet", "undefined_repr_str no_exit_to go go no_exit_to"),
        ("go kitchen, go bedroom", "going_to_current_room take_non_takeable_object"),
        (
            "open cupboard, open cupboard, close cupboard, close cupboard",
            "open entity_state_mismatch close entity_state_mismatch",
        ),
        ("open table, open shelf, close apple", "entity_state_mismatch entity_not_accessible entity_state_mismatch"),
        ("take plate, examine plate, open cupboard, examine plate", "entity_not_accessible entity_not_accessible open examine"),
        ("open cupboard, close cupboard, examine plate", "open close entity_not_accessible"),
        ("examine floor, examine inventory, examine kitchen, examine you", " ".join(["entity_not_accessible"] * 4)),
        ("take shelf, take floor, take you", " ".join(["take_non_takeable_object"] * 3)),
        ("take table", "domain_trait_type_mismatch"),
        ("take apple from shelf, take apple from cupboard", "entity_already_inventory entity_state_mismatch"),
        ("take apple, take apple, take apple from inventory", "take entity_state_mismatch taking_from_inventory"),
        ("take apple from inventory", "taking_from_inventory"),
        ("take apple from kitchen, take apple from hallway", "entity_already_inventory other_room_argument"),
        ("put plate in cupboard, put apple on plate", "entity_state_mismatch entity_trait_mismatch"),
        ("put table on table, put apple on shelf", "domain_trait_type_mismatch entity_not_accessible"),
        ("put apple on inventory, put apple in oven", "entity_not_accessible undefined_repr_str"),
        ("put plate on table, put apple on floor", "put put"),
        ("take apple, open cupboard, take plate, go hallway, take book", "take open take go take"),
        ("take apple, take plate from apple, pick apple from table", "take entity_not_accessible entity_state_mismatch"),
    ],
)
def test_rules(commands, expected):
    assert results(commands) == expected.split()


def test_rules_with_a_limit():
    commands = (
        "take apple, take apple, open cupboard, take plate, go hallway, take book from cupboard, take book, put plate on shelf"
    )
    expected = "take entity_already_inventory open take go entity_not_accessible inventory_limit_exceeded put"
    assert results(commands + ", take book", limited=True) == [*expected.split(), "take"]


def test_the_living_room_never_passes_as_a_second_name():
    world, _ = read_world(instance())
    for command in ("go hallway", "go broom closet"):
        assert world.act(command).verb == "go"
    assert world.act("take mop from broom closet").fail == "other_room_argument"
    assert world.act("take mop").verb == "take"


def test_what_is_put_without_being_carried_lies_in_two_places():
    world, _ = read_world(instance())
    world.act("put plate on table")
    assert {("on", "plate1", "table1"), ("in", "plate1", "cupboard1")} <= world.facts.keys()
    assert ("accessible", "plate1") not in world.facts


def test_what_is_carried_comes_along():
    world, _ = read_world(instance())
    for command in ("take apple", "go hallway"):
        assert not world.act(command).fail
    assert ("at", "apple1", "hallway1") in world.facts and ("at", "plate1", "kitchen1") in world.facts


def test_texts():
    play = played([])
    assert play.ask.text == (
        "Bring it.\n\nYou are in a kitchen now. There are a table, a cupboard and an apple. The cupboard is closed. "
        "The apple is on the table. There is a passage to a hallway here."
    )
    texts = []
    for reply in WON[:3]:
        play.reply(reply)
        texts.append(play.ask.text)
    assert texts[0] == "You take the apple. In your inventory you have an apple.\n"
    assert texts[1] == "The cupboard is now open. In the cupboard there is a plate.\n"
    assert texts[2] == (
        "You are in a hallway now. There are a shelf and a book. The book is on the shelf. "
        "There are passages to a kitchen and a broom closet here.\n"
    )


def test_success():
    play = played([*WON, "> done"])
    found = play.outcome.official()
    assert (found["Success"], found["Main Score"], found["Request Count"], found["Violated Request Count"]) == (1, 100, 8, 0)
    assert (found["turns_over_par"], found["successful_actions"], found["hallucination_count"]) == (2, 8, 0)
    assert found["turn_ratio"] == pytest.approx(2 / 3) and found["finish_speed"] == pytest.approx(1 / 3)
    assert play.outcome.progress == (0, 0, 0, 0.5, 0.5, 0.5, 1, 1)


def test_done_too_early_keeps_partial_credit():
    found = scores([*WON[:4], "> done"])
    assert (found["Lose"], found["Main Score"], found["hallucination_count"]) == (1, 50, 1)
    assert math.isnan(found["turns_over_par"])


def test_goals_undone_after_they_were_reached():
    found = scores([*WON, "> take book", "> done"])
    assert (found["Success"], found["Main Score"], found["achieved_goal_ratio"]) == (1, 50, 0.5)


def test_the_limit_of_turns_beats_done():
    found = scores([*WON, *["> look"] * 4, "> done"])
    assert (found["Aborted"], found["Success"], found["turn_limit_loss"], found["Request Count"]) == (1, 0, 1, 12)
    assert math.isnan(found["Main Score"]) and found["turns_over_par"] == 6
    assert (found["undefined_action_verb"], found["action_parsing_fail"], found["successful_actions"]) == (4, 4, 8)


@pytest.mark.parametrize(
    "reply, claims", [("", 0), (" > take apple", 0), ("take apple", 0), ("I am done", 1), ("Successfully", 0)]
)
def test_a_reply_without_the_tag_ends_the_game(reply, claims):
    found = scores(["> take apple", reply])
    assert (found["Aborted"], found["Violated Request Count"], found["Parsed Request Count"]) == (1, 1, 1)
    assert (found["hallucination_count"], found["turn_limit_loss"]) == (claims, 0)


def test_a_plan_is_wanted_in_the_planning_variant():
    assert scores(["> take apple"], variant="plan")["Aborted"] == 1
    assert scores(["> take apple Next actions: open cupboard"], variant="plan")["Violated Request Count"] == 1
    assert scores(["> done"], variant="plan")["Lose"] == 1
    assert played(["> take apple not done"], variant="plan").outcome is None


def test_scores_of_plans():
    replies = [
        f"> take apple{PLAN} go hallway, put apple on shelf",  # both work: 1
        f"> go hallway{PLAN} look, take book",  # as planned; the first step fails: 0
        f"> look{PLAN} put apple on shelf, put apple on shelf, fly, done",  # a bad plan followed; 2 of 4
        f"> Put apple on shelf{PLAN}done",  # not to the letter: not followed; 1
        "> done",  # the latest plan again: 1, and "look"... is not the plan before it
    ]
    found = scores(replies, variant="plan")
    assert found["plan_followed_ratio"] == pytest.approx(2 / 5)
    assert found["plan_average_viability_ratio"] == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    assert (found["bad_plan_follow_ratio"], found["bad_plan_dismiss_ratio"]) == (pytest.approx(1 / 5), pytest.approx(4 / 5))


def test_plans_are_tried_in_a_silent_copy():
    world, _ = read_world(instance())
    before, twin = world.describe(), world.copy()
    assert twin.act("go hallway") == ("", "go", "", "resolution") and twin.room == "hallway1"
    assert world.describe() == before and world.room == "kitchen1"
    plan = ",".join(["go kitchen", "go hallway"] * 4000)
    play = played([f"> go hallway{PLAN} {plan}", "give up"], variant="plan")
    assert play.outcome.metrics["plan_average_viability_ratio"] == 1 / 2


def test_players_read_names_that_begin_with_a_vowel():
    memory = Memory(["Put the egg on the bench.\n\nYou are in an orchard now. There are an egg and a bench."])
    assert memory.room == "orchard" and memory.at == {"egg": "orchard", "bench": "orchard"}
    memory = Memory(["", "You are in a yard now. There are passages to an orchard and a henhouse here."])
    assert memory.exits == {"yard": ["orchard", "henhouse"]}


def test_a_plan_changes_nothing():
    play = played([f"> take apple{PLAN} go hallway, put apple on shelf"], variant="plan")
    play.reply(f"> examine cupboard{PLAN} done")
    assert play.ask.text == "You look at the cupboard. It is closed.\n" and play.outcome is None


@pytest.mark.parametrize(
    "field, value",
    [
        ("variant", "other"),
        ("optimal_turns", 12),
        ("entity_definitions", ["witch_entities.json"]),
        ("entity_definitions", [{}]),
        ("action_definitions", []),
        ("goal_state", []),
        ("goal_state", ["on(ghost1,table1)"]),
        ("goal_state", ["on(table1)"]),
        ("initial_state", ["at(player1,kitchen1)"]),
        ("initial_state", [3]),
        ("initial_state", ["type(player1,player)", "room(kitchen1,kitchen)"]),
        ("initial_state", ["type(player1,player)", "room(kitchen1,kitchen)", "at(player1,player1)"]),
    ],
)
def test_malformed_instances(field, value):
    with pytest.raises(InstanceError) as error:
        GAME.start(instance(**{field: value}), NAMED)
    assert error.value.field == field


def test_settings_without_a_prompt_for_the_variant():
    with pytest.raises(InstanceError):
        GAME.start(instance(), NAMED | {"prompts": {"plan": ""}})


def test_strange_replies_are_verdicts_of_the_rules():
    rng = random.Random(1)
    words = (
        "take put on in from out of the a old apple plate table cupboard go to back kitchen . bob's floor inventory you".split()
    )
    strange = [
        "\ud800",
        "> \ud800",
        ">\x00",
        "> " + "x" * 100_000,
        "> take " + "on small " * 5_000,
        "> put " + "small " * 20_000,
    ]
    strange += ["> " + " ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(1000)]
    for reply in strange:
        for limited in (False, True):
            play = GAME.start(instance(limited=limited), NAMED)
            play.reply(reply)
            assert (play.ask is None) == (not reply.startswith(">"))


@pytest.mark.parametrize("level", LEVELS)
def test_fresh_worlds_are_solved_by_their_commands(level):
    spec, targets = LEVELS[level], {}
    for split in SPLITS:
        for fresh in GAME.instances(split, 3, level=level):
            targets[target(fresh)] = split
            assert split_of(target(fresh)) == split
            assert spec.optimal[0] <= fresh["optimal_turns"] <= spec.optimal[1]
            assert len(fresh["goal_state"]) == spec.goals and (fresh["variant"] == spec.variant)
            tail = f"{PLAN} done" if spec.variant == "plan" else ""
            play = GAME.start(fresh, NAMED)
            for command in [*fresh["optimal_commands"], "done"]:
                play.reply(f"> {command}{tail}")
            assert (play.outcome.status, play.outcome.metrics["turns_over_par"]) == ("success", 1)
            assert play.outcome.metrics["successful_actions"] == fresh["optimal_turns"] + 1
    assert len(targets) == 9


def test_the_least_number_of_commands_is_the_least():
    for fresh in GAME.instances("train", 8, level="basic_mini"):
        world, goals = read_world(fresh)
        thing, place = (world.called(x) for x in goals[0][1:])
        boxes = [world.called(f[1]) for f in world.facts if f[0] == "closed"]
        rooms = [world.called(f[1]) for f in world.facts if f[0] == "room"]
        commands = [f"go {room}" for room in rooms] + [f"open {box}" for box in boxes]
        commands += [f"take {thing}", f"put {thing} on {place}"]
        queue, seen = deque([(world, 0)]), set()
        while goals[0] not in queue[0][0].facts:
            world, depth = queue.popleft()
            for command in commands:
                twin = world.copy()
                if not twin.act(command).fail and (state := frozenset(twin.facts)) not in seen:
                    seen.add(state)
                    queue.append((twin, depth + 1))
        assert queue[0][1] == fresh["optimal_turns"]


def test_route_with_and_without_a_limit():
    exits = {"a": ["b"], "b": ["a"]}
    errands = [Errand(thing, "b", "", "table", "a", "") for thing in ("x", "y", "z")]
    assert len(route("a", exits, errands, None)) == 2 + 6
    assert len(route("a", exits, errands, 2)) == 4 + 6
    assert route("a", exits, [Errand("x", CARRIED, "", "box", "b", "box", "in")], 2) == [
        ("go", "b"),
        ("open", "box"),
        ("put", "x", "in", "box"),
    ]
    assert route("a", exits, [Errand("x", "c", "", "table", "a", "")], None) is None


def test_our_settings():
    for level, spec in LEVELS.items():
        fresh = GAME.generate(random.Random(3), level, "train")
        short, full = (GAME.start(fresh, GAME.settings(level, form)).ask.text for form in ("short", "full"))
        assert full.startswith(fresh["prompt"]) and "$" not in short + full
        rules = short.partition("Put the ")[0]
        assert len(rules.split()) < 40
        for text in (short, full):
            assert (("two things" in text), (PLAN[1:] in text)) == (spec.limited, spec.variant == "plan")
            assert re.search(r"Put the [^.]+ (on|in) the [^.]+\.", text)


@pytest.mark.parametrize("form", ["full", "short"])
def test_players(form):
    fresh = GAME.instances("test", 18)

    def wins(name: str, strength: float) -> list[str]:
        player = GAME.players["adventurer"][name]
        return [play_out(GAME.start(i, form=form), {"adventurer": (player, strength)}).outcome.status for i in fresh]

    assert wins("scripted", 1.0).count("success") == 18
    assert wins("scripted", 0.6).count("success") >= 12
    assert wins("scripted", 0.3).count("success") <= 6
    assert wins("random", 1.0).count("success") <= 1
    assert wins("broken", 1.0).count("aborted") == 18


@recorded.needed
def test_recorded_episodes():
    equal = 0
    for record, play in recorded.replayed("adventuregame", 160):
        if not any("floor" in reply.split("\n")[0] for _, reply in play.history):
            assert not recorded.unequal(record, play)
            equal += 1
    assert equal > 100


@recorded.needed
def test_the_scripted_player_wins_official_instances():
    official = {(record["experiment"], record["game_id"]): record for record in recorded.episodes("adventuregame")}
    for record in official.values():
        play = GAME.start(record["instance"], record["settings"])
        play_out(play, {"adventurer": (GAME.players["adventurer"]["scripted"], 1.0)})
        assert play.outcome.status == "success"
