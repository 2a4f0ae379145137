"""Textmapworld: the three goals, their scores by hand, hostile drawings, and every recorded episode."""

from __future__ import annotations

import ast
import collections
import itertools
import math
import random
import re
import time

import pytest

import games
from games.core import InstanceError, play_out, split_of
from games.textmapworld import GRAPHREASONING, LINEAR, SPECIFICROOM, TEXTMAPWORLD
from games.textmapworld_graph import edit_distance, first_steps, similarity
from games.textmapworld_make import DRAWN, GO, STOP
from tests import recorded
from tests.common import answered

GAMES = (TEXTMAPWORLD, GRAPHREASONING, SPECIFICROOM)
#  Attic - Bath - Cave
#            |
#          Den
HOUSE = {
    "Prompt": "Find $GOAL$. $INITIAL_ROOM$: $INITIAL_DIRECTIONS$",
    "Player2_positive_answer": "now $ANOTHER_ROOM$: $DIRECTIONS$",
    "Player2_negative_answer": "still $SAME_ROOM$: $DIRECTIONS$",
    "Move_Construction": GO,
    "Stop_Construction": STOP,
    "Response_Construction": DRAWN,
    "Graph_Nodes": "['Attic', 'Bath', 'Cave', 'Den']",
    "Graph_Edges": "[('Attic', 'Bath'), ('Bath', 'Cave'), ('Bath', 'Den')]",
    "Directions": "[('Attic', ['east']), ('Bath', ['south', 'west', 'east']), ('Cave', ['west']), ('Den', ['north'])]",
    "Moves": "[{'node': 'Attic', 'node_moves': [('east', 'Bath')]}, {'node': 'Cave', 'node_moves': [('west', 'Bath')]}, "
    "{'node': 'Bath', 'node_moves': [('west', 'Attic'), ('east', 'Cave'), ('south', 'Den')]}, "
    "{'node': 'Den', 'node_moves': [('north', 'Bath')]}]",
    "Current_Position": "Attic",
    "Specific_Room": "Den",
}
PLAIN = {"name": "small"}


def walk(game, *replies, instance=HOUSE):
    return answered(game.start(instance, PLAIN), replies)


def drawing(action, nodes="", edges=""):
    return f'{{"action": "{action}", "graph": {{"nodes": [{nodes}], "edges": {{"north": [{edges}]}}}}}}'


def test_a_full_tour_by_hand():
    play = walk(TEXTMAPWORLD, "GO: east", "go:East\n", "GO: north", "GO:west", "GO:\nsouth", "DONE")
    texts = [ask.text for ask, _ in play.history]
    assert texts[0] == "Find . Attic: east"
    assert texts[1:] == [
        "now Bath: south, west, east",
        "now Cave: west",
        "still Cave: west",
        "now Bath: south, west, east",
        "now Den: north",
    ]
    outcome = play.outcome
    assert (outcome.status, outcome.requests, outcome.violated, outcome.score) == ("success", 6, 0, 100)
    assert outcome.progress == (0.5, 0.75, 0.75, 0.75, 1, 1)
    assert outcome.metrics["moves"] == 4 and outcome.metrics["efficiency"] == 100
    assert outcome.metrics["seen"] == outcome.metrics["number_visited"] == 4


def test_efficiency_and_loops_by_hand():
    # Attic Bath Attic Bath Cave: steps 1, 3 and 4 are on a shortest way, the second goes back; one loop after the third
    outcome = walk(TEXTMAPWORLD, "GO: east", "GO: west", "GO: east", "GO: east", "DONE").outcome
    assert outcome.status == "lose"
    assert (outcome.metrics["efficiency"], outcome.metrics["exploration"], outcome.metrics["loops"]) == (75, 75, 1)
    assert outcome.score == 75
    # the fourth back and forth step counts again in the main game, but not where the list starts anew after a loop
    steps = ["GO: east", "GO: west", "GO: east", "GO: west", "DONE"]
    assert walk(TEXTMAPWORLD, *steps).outcome.metrics["loops"] == 2
    assert walk(SPECIFICROOM, *steps).outcome.metrics["loops"] == 1


def test_done_at_once_is_lost_with_nothing():
    outcome = walk(TEXTMAPWORLD, "done\n").outcome
    assert (outcome.status, outcome.score, outcome.metrics["seen"]) == ("lose", 0, 2)


@pytest.mark.parametrize(
    "reply", ["", " GO: east", "GO: east.", "GO: east\nGO: west", "DONE.", "Go east", "GO: up", "DONE GO: east", "\ud800"]
)
def test_a_broken_format_aborts(reply):
    outcome = walk(TEXTMAPWORLD, reply).outcome
    assert outcome.status == "aborted" and outcome.seat == "guesser" and outcome.violated == 1
    assert math.isnan(outcome.score) and math.isnan(outcome.metrics["moves"])


def test_twenty_rounds_without_done_abort():
    play = walk(TEXTMAPWORLD, *["GO: north"] * 19)
    assert play.outcome is None
    play.reply("GO: north")
    assert play.outcome.status == "aborted" and (play.outcome.violated, play.outcome.seat) == (0, None)
    assert walk(TEXTMAPWORLD, *["GO: north"] * 19, "DONE").outcome.status == "lose"


def test_the_room_to_find():
    won = walk(SPECIFICROOM, "GO: east", "GO: south", "DONE").outcome
    assert (won.status, won.score, won.metrics["exploration"]) == ("success", 100, 75)
    assert won.metrics["old_benchscore"] == pytest.approx(600 / 7)
    assert won.progress == (0.5, 1, 1)
    assert walk(SPECIFICROOM, "GO: east", "DONE").outcome.score == 0
    assert walk(SPECIFICROOM, "GO: east", "GO: south", "DONE", instance=HOUSE | {"Specific_Room": "dEN"}).outcome.score == 100


def test_the_drawn_map():
    last = drawing("GO: south", '"Attic", "Bath", "Cave"', '("attic", "bath"), ("BATH", "cave")')
    steps = [drawing("GO: east"), drawing("GO: east"), drawing("GO: West"), drawing("GO: west")]
    outcome = walk(GRAPHREASONING, *steps, last, drawing("done", '"only"')).outcome
    assert (outcome.status, outcome.score, outcome.requests) == ("success", 100, 6)
    assert outcome.metrics["graph_similarity"] == pytest.approx(200 / (1 + math.e))  # one node and one edge are missing
    assert walk(GRAPHREASONING, drawing("DONE")).outcome.metrics["graph_similarity"] == 0


@pytest.mark.parametrize(
    "reply",
    [
        "GO: east",
        drawing("GO: east") + "}",
        drawing("GO: east")[:-1],
        drawing("GO: DONE"),
        drawing("GO: east", "null"),
        drawing("DONE", "null"),
        drawing("GO: east").replace("action", "ACTION"),
        drawing("GO: east", '"\0"'),
        drawing("GO: east", "[" * 9999),
        drawing("GO: east", "-" * 99999 + "1"),
    ],
)
def test_a_drawing_that_nobody_can_read_aborts(reply):
    assert walk(GRAPHREASONING, reply).outcome.status == "aborted"


def test_odd_drawings_are_played_and_score_nothing():
    for nodes in ("1", "[]", "{}", '"\\d"', '"a"', '"a" "b"'):
        play = walk(GRAPHREASONING, drawing("GO: east", nodes, "3"), drawing("DONE"))
        assert play.outcome.metrics["graph_similarity"] == 0


def test_the_linear_pattern_is_the_official_one():
    rng = random.Random(0)
    parts = [
        '{"action": "GO: x", "graph": {"nodes": [',
        "]",
        ', "edges": {',
        "}",
        " ",
        '"',
        "],",
        '"edges":{',
        "a",
        "[",
        "}}}",
        "{",
    ]
    official, ours = re.compile(DRAWN, re.I), re.compile(LINEAR[DRAWN], re.I)
    assert DRAWN != LINEAR[DRAWN]
    hits = 0
    for _ in range(4000):
        text = parts[0] + "".join(rng.choice(parts) for _ in range(rng.randrange(14)))
        a, b = official.search(text), ours.search(text)
        assert (a and a.groups()) == (b and b.groups())
        hits += bool(a)
    assert hits > 20
    start = time.process_time()
    assert not ours.search(parts[0] + '],"edges":{' * 20_000 + "}")
    assert time.process_time() - start < 1


def test_edit_distances_by_hand():
    edges = lambda *pairs: {frozenset(pair) for pair in pairs}
    path, star = edges("ab", "bc", "cd"), edges("ab", "ac", "ad")
    assert edit_distance(set("abcd"), path, set("wxyz"), edges("wx", "xy", "yz")) == 0
    assert edit_distance(set("abcd"), path, set("abcd"), star) == 2
    assert edit_distance(set("abcd"), star, set("abc"), edges("ab", "bc", "ca")) == 1 + 3 + 3 - 2 * 2
    assert edit_distance(set("abcd"), star, set(), set()) == 7
    # slow but sure: try every assignment
    rng = random.Random(1)
    for _ in range(60):
        a, b = range(rng.randrange(2, 6)), range(rng.randrange(1, 6))
        ea, eb = ({frozenset(rng.sample(list(n), 2)) for _ in range(rng.randrange(8)) if len(n) > 1} for n in (a, b))
        small, large, es, el = (a, b, ea, eb) if len(a) <= len(b) else (b, a, eb, ea)
        kept = max(
            sum(frozenset(image[i] for i in edge) in el for edge in es) for image in itertools.permutations(large, len(small))
        )
        assert edit_distance(set(a), ea, set(b), eb) == abs(len(a) - len(b)) + len(ea) + len(eb) - 2 * kept


def test_a_huge_drawing_takes_no_time():
    near = {i: {(i - 1) % 8, (i + 1) % 8} for i in range(8)}
    nodes = [f"r{i}" for i in range(500)]
    star = {"nodes": nodes, "edges": {"north": [("hub", node) for node in nodes]}}
    pairs = {"nodes": [], "edges": {"north": [(f"a{i}", f"b{i}") for i in range(5000)]}}
    start = time.process_time()
    assert similarity(near, star) == similarity(near, pairs) == 0
    assert time.process_time() - start < 0.2


def test_first_steps_see_the_whole_frontier():
    near = {"a": {"b", "c"}, "b": {"a", "d"}, "c": {"a"}, "d": {"b"}}
    assert first_steps(near, "a", {"a"}) == {"c"}  # a c a b; a walk to b first would have to go on to d, which is new to it
    assert first_steps(near, "b", {"a", "b"}) == {"d"}  # b d b a c
    assert first_steps({"a": {"b", "c"}, "b": {"a"}, "c": {"a"}}, "a", {"a"}) == {"b", "c"}
    assert first_steps(near, "a", {"a", "c"}) == {"b"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Graph_Nodes", "['Attic'"),
        ("Graph_Nodes", "[1, 2]"),
        ("Graph_Edges", "[('Attic', 'Bath')]"),
        ("Moves", "[{'node': 'Attic'}]"),
        ("Moves", "[3]"),
        ("Directions", "[('Attic', [['east']])]"),
        ("Directions", "[('Attic', ['east'])]"),
        ("Current_Position", "Cellar"),
        ("Specific_Room", "Cellar"),
        ("Move_Construction", "GO: ("),
        ("Move_Construction", "GO: east"),
        ("Ambiguity", [2]),
        ("Loop_Reminder", True),
    ],
)
def test_a_malformed_map_says_so(field, value):
    with pytest.raises(InstanceError):
        SPECIFICROOM.start(HOUSE | {field: value}, PLAIN)


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
@pytest.mark.parametrize("form", ["full", "short"])
def test_our_walkers(game, form):
    wins = collections.Counter()
    for strength in (0.3, 0.6, 1.0):
        for instance in game.instances("train", 30):
            play = play_out(game.start(instance, form=form), {"guesser": (game.players["guesser"]["scripted"], strength)}, 3)
            wins[strength] += play.outcome.status == "success"
            assert play.outcome.status != "aborted" or strength < 1
    assert wins[1.0] == 30 and wins[0.3] < wins[0.6] < 30
    broken = [
        play_out(game.start(instance), {"guesser": (game.players["guesser"]["broken"], 1.0)}, 5).outcome.status
        for instance in game.instances("train", 10)
    ]
    assert broken.count("aborted") > 5


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_our_maps(game):
    targets = {split: {game.target(i) for i in game.instances(split, 12)} for split in ("train", "validation", "test")}
    assert all(len(found) == 12 for found in targets.values())
    assert all(split_of(target) == split for split, found in targets.items() for target in found)
    for instance in game.instances("test", 10):
        assert game.start(instance, {"name": "official"}).ask.text  # an instance alone has all that the official settings lack
        rooms, edges = (len(ast.literal_eval(instance[key])) for key in ("Graph_Nodes", "Graph_Edges"))
        assert (edges >= rooms) == ("cycle" in instance["level"]) == (instance["Cycle"] == "cycle_true")
        if game is SPECIFICROOM:
            assert instance["Specific_Room_Distance"] in {"on": "0", "close": "12", "far": "34"}[instance["level"]]
    assert len(game.settings(game.levels[0], "short")["Prompt"].split()) <= 40


@recorded.needed
@pytest.mark.parametrize("game, count", list(zip(GAMES, (200, 120, 120))), ids=lambda value: getattr(value, "name", ""))
def test_recorded_episodes_are_equal(game, count):
    for record, play in recorded.replayed(game.name, count):
        assert not recorded.unequal(record, play) and recorded.told(play) == recorded.sent(record, "Player 1")


@recorded.needed
def test_our_walkers_understand_the_official_prompts():
    for game in GAMES:
        first = recorded.episodes(game.name)[0]
        play = game.start(first["instance"], first["settings"])
        assert (
            play_out(play, {"guesser": (games.make(game.name).players["guesser"]["scripted"], 1.0)}).outcome.status == "success"
        )
