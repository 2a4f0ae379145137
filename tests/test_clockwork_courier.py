"""Clockwork courier: the city's rules and scores by hand, plans in replies, the fastest way, recorded episodes."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter

import pytest

import games
from games.clockwork_courier import _POSITION, _Unreadable, read
from games.clockwork_courier_city import City, State
from games.clockwork_courier_route import fastest
from games.core import InstanceError, play_out
from tests import recorded

GAME = games.make("clockwork_courier")
# S1A.   the gate is open at even ticks, the guard walks below it
# #.p.
# ..x.
CITY = {
    "width": 4,
    "height": 3,
    "walls": [[1, 2]],
    "start": [1, 1],
    "gates": [{"id": "A", "cell": [3, 1], "period": 2, "open_phases": [0]}],
    "patrols": [{"id": "P", "route": [[3, 2], [4, 2], [4, 3], [4, 2]]}],
    "parcels": [{"id": 1, "pickup": [2, 1], "dropoff": [3, 3]}],
    "action_mode": "cardinal",
    "initial_heading": "E",
    "plan_length": 3,
    "tick_budget": 9,
    "max_rounds": 3,
    "optimal_ticks": 4,
    "map_render": "MAP",
    "schedules_text": "SCHEDULES",
    "parcels_text": "PARCELS",
}


def play(*plans: str, instance=CITY, **changes):
    """Plans with their predictions before them: "3,1: E E E"; other replies as they are."""
    mode = changes.pop("mode", "cardinal")
    started = GAME.start(instance | changes, GAME.settings("small", "full") | {"action_mode": mode})
    for plan in plans:
        where, _, moves = plan.partition(": ")
        started.reply(f"POSITION: {where}\nPLAN: {moves}" if re.match(r"[\d(]", plan) else plan)
    return started


def scores(*plans: str, **changes) -> tuple:
    official = play(*plans, **changes).outcome.official()
    keys = "Success|Main Score|Ticks Used|Efficiency|Prediction Accuracy|Bump Count|Capture Count|Forfeited Ticks"
    return tuple(None if math.isnan(official[key]) else official[key] for key in keys.split("|"))


@pytest.mark.parametrize(
    "plans, wanted",
    [
        # down at once: (2,1) (2,2) (2,3) (3,3)
        (["2,3: E S S", "3,3: E WAIT WAIT"], (1, 100, 4, 1, 1, 0, 0, 0)),
        (["2,3: e,s;s", "1,1: E N N"], (1, 100, 4, 1, 0.5, 0, 0, 0)),
        # the gate is open at t=2; the guard is at (4,3) at t=2, at (4,2) at t=3 and back at (3,2) at t=4
        (["3,2: E E S", "3,3: S S S"], (1, 100, 4, 1, 1, 0, 0, 0)),
        (["3,1: WAIT E E", "3,1: N N N", "1,1: W W W"], (0, 0, 9, None, 1 / 3, 6, 0, 0)),
        (["1,1: N W S", "1,1: N N N", "1,1: W W W"], (0, 0, 9, None, 1, 9, 0, 0)),
        # caught at t=4 on (3,2): two ticks are lost, the parcel is kept
        (["3,1: E E WAIT", "1,1: S S S", "2,3: E S S"], (0, 0, 9, None, 1, 0, 1, 2)),
        (["3,1: E E WAIT", "1,1: S S S", "2,3: E S S", "3,3: E E E"], None),
        (["2,1: WAIT E E", "2,3: S S N"], None),
    ],
)
def test_scores(plans, wanted):
    if wanted is not None:
        assert scores(*plans) == wanted
    elif len(plans) == 4:
        ended = play(*plans, max_rounds=4, tick_budget=12).outcome
        assert scores(*plans, max_rounds=4, tick_budget=12) == (1, pytest.approx(70 + 30 * 4 / 10), 10, 0.4, 1, 0, 1, 2)
        assert ended.progress == (0.5, 0.5, 0.5, 1) and ended.reason == "all parcels are delivered"
    else:
        assert play(*plans).ask.text.startswith("ROUND 2 RESULT (ticks 3 -> 6):\nt=4: S -> OK, now at (2,2).")


def test_a_bump_and_a_guard_come_together():
    # the guard steps onto the courier who bumps into the wall
    city = CITY | {"patrols": [{"id": "P", "route": [[2, 2], [2, 3], [2, 2], [2, 2]]}]}
    running = play("1,1: E S W", instance=city)  # (2,2) is free at t=1 only, so t=2 catches
    assert (
        "t=2: S -> CAUGHT by guard P at (2,2)! Back at (1,1).\nForfeited: the rest of your plan (1 of 3 moves)"
        in running.ask.text
    )
    running = play("1,1: E WAIT S", "1,1: W S S", instance=city | {"patrols": [{"id": "P", "route": [[3, 3]] * 3 + [[1, 1]]}]})
    assert running.ask.text.startswith("ROUND 2 RESULT (ticks 3 -> 6):\nt=4: W -> BUMP (wall), still at (2,2).")
    caught = play("1,1: WAIT WAIT N", instance=city | {"patrols": [{"id": "Q", "route": [[2, 3], [2, 3], [2, 3], [1, 1]]}]})
    for end in ("1,1: N W N", "1,1: N N N"):
        caught.reply(f"POSITION: {end[:3]}\nPLAN: {end[5:]}")
    official = caught.outcome.official()
    assert official["Bump Count"] == 5 and official["Capture Count"] == 2 and official["Forfeited Ticks"] == 2


def test_places_can_be_exchanged_with_a_guard_and_gates_hold_nobody():
    city = City(CITY | {"patrols": [{"id": "P", "route": [[2, 1], [1, 1]]}]}, "cardinal")
    state, event = city.move(city.first, "E")
    assert (state.cell, event.guard) == ((2, 1), None)
    city = City(CITY, "cardinal")
    on_gate = State((3, 1), "N", 2, (0,))
    assert city.move(on_gate, "WAIT")[1].bump is None and city.move(on_gate, "N")[1].bump == "border"
    assert city.move(State((2, 1), "N", 2, (0,)), "E")[1].bump == "gate A is closed at t=3"
    assert city.move(State((2, 1), "N", 3, (0,)), "E")[0].cell == (3, 1)


def test_egocentric_moves_and_predictions():
    plans = ["(2,2) FACING S: F R F", "(2,3) facing s: F WAIT L"]
    changes = {"mode": "egocentric", "plan_length": 3}
    running = play(*plans, **changes)
    assert "You are at (2,3) facing E. Carried: parcel 1. Delivered: nothing. Plans left: 1." in running.ask.text
    assert scores(*plans, "3,3 FACING E: F F F", **changes)[4] == pytest.approx(2 / 3)
    assert "does not say FACING" in play("2,1: F F F", **changes).ask.text
    assert play("2,1 FACING N: E S S").ask.text.startswith("ROUND")  # not asked for here, and no error
    # caught: as at the beginning, facing east
    ended = play("1,1 FACING E: F L L", instance=CITY | {"patrols": [{"id": "P", "route": [[2, 1]]}]}, **changes)
    assert "CAUGHT by guard P at (2,1)" in ended.ask.text and "You are at (1,1) facing E." in ended.ask.text


def test_minimal_feedback_tells_no_place():
    settings = GAME.settings("deadreckon", "full")
    running = GAME.start(CITY, settings)
    running.reply("POSITION: 2,1\nPLAN: E E N")
    assert not re.search(r"\(\d+,\d+\)", running.ask.text) and "t=1: E -> OK. PICKED UP parcel 1.\n" in running.ask.text
    assert "t=3: N -> BUMP.\nSTATUS: tick 3 of 9. Delivered 0 of 1 parcels. Plans left: 2.\n" in running.ask.text


@pytest.mark.parametrize(
    "reply, problem",
    [
        ("", "there is no POSITION line of this form"),
        ("**POSITION:** (1,1)\nPLAN: E E E", "there is no POSITION line of this form"),
        ("POSITION: (1,1) maybe\nPLAN: E E E", "there is no POSITION line of this form"),
        ("POSITION: (100,1)\nPLAN: E E E", "there is no POSITION line of this form"),
        ("POSITION: (1,1)", "there is no PLAN line"),
        ("POSITION: (1,1)\nPLAN:", "there is no PLAN line"),
        ("POSITION: (1,1)\nPLAN: E F up", "the PLAN has unknown moves: F, UP (known ones: N, S, E, W, WAIT)"),
        ("POSITION: (1,1)\nPLAN: a b c d f g h", "the PLAN has unknown moves: A, B, C, D, F (known ones: N, S, E, W, WAIT)"),
        ("POSITION: (1,1)\nPLAN: E E", "the PLAN has 2 moves, exactly 3 are wanted"),
        ("POSITION: (1,1)\nPLAN: E E E\nPLAN: ,", "the PLAN has 0 moves, exactly 3 are wanted"),
    ],
)
def test_replies_that_cannot_be_read(reply, problem):
    with pytest.raises(_Unreadable) as error:
        read(reply, "cardinal", 3)
    assert str(error.value) == problem
    assert play(reply).ask.text.startswith(f"Your reply could not be read: {problem}.\n")


@pytest.mark.parametrize(
    "reply, cell",
    [
        ("position: 2 , 3\nplan: n s wait", (2, 3)),
        ("PLAN: N, S; WAIT,\n\tPOSITION:\n( 2,3 )", (2, 3)),
        ("POSITION: (9,9)\nPLAN: E\nPOSITION: (2,3\nPLAN: N S WAIT", (2, 3)),
        ("POSITION: 2,3)  \r\nPLAN: N S WAIT\r\n", (2, 3)),
        ("POSITION: (02,3) FACING w\nPLAN: N S WAIT", (2, 3)),
        ("POSITION: (2,3)\nFACING N\nPLAN: N S WAIT", (2, 3)),
        ("POSITION: (2,3)\nFACING NO\nPLAN: N S WAIT", (2, 3)),
    ],
)
def test_replies_that_can_be_read(reply, cell):
    plan = read(reply, "cardinal", 3)
    assert plan.cell == cell and plan.moves == ["N", "S", "WAIT"]


def test_positions_are_found_as_by_the_plain_pattern():
    plain = r"^[ \t]*POSITION:\s*\(?\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)?\s*(?:FACING\s+([NSEW]))?[ \t]*$"
    plain, rng, hits = re.compile(plain, re.IGNORECASE | re.MULTILINE), random.Random(0), 0
    pieces = ["POSITION:", "(", ")", "1", "23", ",", " ", "\n", "\t", "\r", "FACING", "FACING n", "E", "x", "\u00a0", "\x0b"]
    good = ["POSITION:", " ", "(", "1", ",", "2", ")", " ", "FACING", " ", "N", "\n"]
    for _ in range(10_000):
        text = list(good) * rng.choice((1, 1, 2))
        for _ in range(rng.randint(0, 4)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randint(0, 2)] = rng.choices(pieces, k=rng.randint(0, 2))
        text = "".join(text)
        wanted = [found.groups() for found in plain.finditer(text)]
        hits += bool(wanted)
        assert [found.groups() for found in _POSITION.finditer(text)] == wanted, repr(text)
    assert 2_500 < hits < 9_500


def test_unreadable_replies_are_counted_by_round_and_episode():
    good = "POSITION: 1,1\nPLAN: N N N"
    assert play("x", "x").outcome.status == "aborted"
    ended = play(*["x", good] * 3, good, max_rounds=4, tick_budget=12).outcome
    assert (ended.status, ended.requests, ended.parsed, ended.violated) == ("lose", 7, 4, 3)
    ended = play(*["x", good] * 3, "x", max_rounds=4, tick_budget=12).outcome
    assert (ended.status, ended.requests, ended.parsed, ended.violated) == ("aborted", 7, 3, 4)
    assert math.isnan(ended.score) and math.isnan(ended.official()["Delivery Rate"]) and ended.seat == "courier"


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"width": 0}, "width"),
        ({"walls": [[5, 1]]}, "walls"),
        ({"walls": [[1, 1]]}, "start"),
        ({"start": [1]}, "start"),
        ({"gates": [1]}, "gates"),
        ({"gates": [{"id": "A", "cell": [3, 1], "period": 0, "open_phases": []}]}, "gates"),
        ({"gates": [{"id": "A", "cell": [3, 1], "period": 2, "open_phases": [[]]}]}, "gates"),
        ({"patrols": [{"id": "P", "route": []}]}, "patrols"),
        ({"patrols": [{"id": "P"}]}, "patrols"),
        ({"parcels": []}, "parcels"),
        ({"parcels": [{"id": 1, "pickup": [2, 1]}]}, "parcels"),
        ({"initial_heading": "up"}, "initial_heading"),
        ({"plan_length": 0}, "plan_length"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"optimal_ticks": 0}, "optimal_ticks"),
        ({"mode": "sideways"}, "action_mode"),
    ],
)
def test_malformed_instances(changes, field):
    with pytest.raises(InstanceError) as error:
        play(**changes)
    assert error.value.field == field


def test_feedback_is_one_of_two():
    with pytest.raises(InstanceError, match="feedback_mode"):
        GAME.start(CITY, GAME.settings("small", "full") | {"feedback_mode": "loud"})


def shortest(city: City, limit: int) -> int | None:
    """Ticks to the last delivery, by a plain search over states."""
    states = {city.first}
    for tick in range(1, limit + 1):
        steps = itertools.product(states, ("N", "S", "E", "W", "WAIT") if city.mode == "cardinal" else ("F", "L", "R", "WAIT"))
        after = (city.move(*step) for step in steps)
        states = {state for state, event in after if event.guard is None}
        if any(state.done for state in states):
            return tick
    return None


@pytest.mark.parametrize("mode", ["cardinal", "egocentric"])
def test_the_fastest_way_is_that_of_a_plain_search(mode):
    for instance in GAME.instances("train", 6, seed=4, level="small"):
        city = City(instance, mode)
        way = fastest(city, city.first, 20)
        assert (way and len(way)) == shortest(city, 20)
        state = city.first
        for move in way or []:
            state, event = city.move(state, move)
            assert event.bump is None and event.guard is None
        assert state.done == bool(way)


def test_fresh_cities_keep_the_rules_of_generation():
    for instance in GAME.instances("train", 8, seed=3):
        city, needed = City(instance, instance["action_mode"]), instance["optimal_ticks"]
        assert city.draw() == instance["map_render"] and len(fastest(city, city.first, 50)) == needed
        assert instance["tick_budget"] == instance["plan_length"] * instance["max_rounds"] > 1.5 * needed
        assert needed >= 2 * instance["plan_length"] and math.lcm(*(len(p["route"]) for p in instance["patrols"])) <= 24
        assert len(instance["walls"]) <= instance["width"] ** 2 / 2
        places = [tuple(gate["cell"]) for gate in instance["gates"]] + [tuple(instance["start"])]
        places += [tuple(parcel[stop]) for parcel in instance["parcels"] for stop in ("pickup", "dropoff")]
        assert len(set(places)) == len(places) and not city.walls.intersection(places)
        assert "$" not in GAME.start(instance).ask.text and "<" not in GAME.start(instance, form="short").ask.text


def test_a_stronger_courier_delivers_more():
    means = []
    for strength in (1.0, 0.2):
        players = {"courier": (GAME.players["courier"]["scripted"], strength)}
        ended = [play_out(GAME.start(i), players, i["game_id"]).outcome for i in GAME.instances("test", 8)]
        means.append(sum(o.score for o in ended) / len(ended))
    assert means[0] == 100 and means[1] < 70


@recorded.needed
def test_recorded_episodes_replay_equal():
    for record, ended in recorded.replayed("clockwork_courier", 120):
        assert not recorded.unequal(record, ended)
        for both in zip(recorded.sent(record), recorded.told(ended)):  # every number that is told, tick by tick
            ticks = [[line for line in text.split("\n") if re.match(r"t=\d+: ", line)] for text in both]
            assert [re.findall(r"\d+", line) for line in ticks[0]] == [re.findall(r"\d+", line) for line in ticks[1]]


@recorded.needed
def test_the_scripted_courier_takes_the_official_way():
    found = {(r["experiment"], r["game_id"]): r for r in recorded.episodes("clockwork_courier")}
    players = {"courier": (GAME.players["courier"]["scripted"], 1.0)}
    for record in found.values():
        instance = record["instance"]
        ended = play_out(GAME.start(instance, record["settings"]), players).outcome
        assert ended.score == 100 and ended.official()["Prediction Accuracy"] == 1
        city = City(instance, instance["action_mode"])
        assert city.draw() == instance["map_render"] and len(fastest(city, city.first, 50)) == instance["optimal_ticks"]
    assert Counter(experiment for experiment, _ in found) == {"standard": 10, "deadreckon": 10, "egocentric": 10}
