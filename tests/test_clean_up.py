"""Clean up: commands, moves, ends and scores by hand, fresh grids, players, recorded episodes."""

from __future__ import annotations

import math
import random
import re

import pytest

from games import clean_up_make as make
from games.clean_up import CLEAN_UP, SEATS, ST_CLEAN_UP, STUCK
from games.clean_up_rules import Rules
from games.core import SPLITS, InstanceError, play_out, split_of
from tests import recorded
from tests.common import answered

ROOM = {
    "modality": "text",
    "background": "╔═╤═╗\n║◌│◌║\n║◌│◌║\n║◌│◌║\n╚═╧═╝",
    "empty_symbol": "◌",
    "objects_1": [{"id": "A", "coord": [1, 1]}, {"id": "B", "coord": [3, 3]}],
    "objects_2": [{"id": "A", "coord": [1, 3]}, {"id": "B", "coord": [3, 1]}],
    "max_penalties": 2,
    "max_rounds": 4,
}
MEADOW = ROOM | {
    "modality": "semantic_text",
    "background": "╔════════╗\n║◌[♠♠♠]◌◌║\n║◌◌◌◌◌◌◌◌║\n║◌◌◌◌◌◌◌◌║\n╚════════╝",
}


def play(*replies, game=CLEAN_UP, room=ROOM, **changes):
    """Feed replies to an episode; returns the play."""
    return answered(game.start(room | changes), replies)


def end(*replies, **kwargs):
    return play(*replies, **kwargs).outcome


def parse(text, opening=False, game=CLEAN_UP, room=ROOM):
    return Rules(game.settings("easy", "full") | room).parse(text, opening)


def test_commands_are_read_as_the_rules_say():
    assert parse(" `SAY: hi there`\n") == ("say", "hi there")
    assert parse("```\nMOVE: A, (12,3)\n```") == ("move", "A", 12, 3)
    assert parse("MOVE: A , (1, 3)") == ("move", "A ", 1, 3)
    assert parse("MOVE: A,  (1, 3)") == parse("move: A, (1, 3)") == parse("SAY:hi") == parse("") == ("error", "invalid_format")
    assert parse("I SAY: hi") == parse("SAY: a SAY: b") == ("error", "head")
    assert parse("SAY: hi\nthere") == parse("MOVE: A, (1, 3).") == ("error", "tail")
    assert parse("x\nMOVE: A, (1, 3)\nx") == ("error", "head_tail")
    assert parse("SAY: I try MOVE: A, (1, 3)") == ("error", "several_commands")
    assert parse("SAY: I try MOVE: A (1, 3)") == ("say", "I try MOVE: A (1, 3)")
    assert parse("SAY: one\nSAY: \n") == ("error", "tail")  # a SAY without a message is none
    assert parse("MOVE: A, (1, 3)", opening=True) == parse("??", opening=True) == ("error", "invalid_start")
    assert parse("so SAY: hi", opening=True) == ("error", "head")
    assert parse("MOVE: A, (٣, " + "9" * 5000 + ")") == ("move", "A", 3, 10**9)


def test_commands_are_found_where_the_official_patterns_find_them():
    rules, rng = Rules(CLEAN_UP.settings("easy", "full") | ROOM), random.Random(0)
    say = re.compile(rules.texts["say_pattern"], re.DOTALL)
    move = re.compile(rules.texts["move_pattern"], re.DOTALL)
    parts = ["SAY: ", "MOVE: ", "A", ", (1, 2)", ", (1,", "2)", "\n", " ", ",", "SAY:", "x"]
    hits = 0
    for _ in range(4000):
        text = "".join(rng.choices(parts, k=rng.randint(1, 7))).strip()
        one, two = say.search(text), move.search(text)
        assert rules._find_say(text) == (one and (one["head"], one["tail"], "say", one["message"]))
        assert rules._find_move(text) == (two and (two["head"], two["tail"], "move", two["obj"], int(two["x"]), int(two["y"])))
        hits += bool(one) + bool(two)
    assert hits > 900


def test_who_reads_what():
    episode = play()
    assert "║A│◌║ 1\n║◌│◌║ 2\n║◌│B║ 3\n╚═╧═╝\n```" in episode.ask.text and "```\n 123\n╔" in episode.ask.text
    episode.reply("SAY: hello $round")
    assert episode.ask.seat == "player_2" and '"hello $round"' in episode.ask.text and "║◌│B║ 1" in episode.ask.text
    episode.reply("MOVE: A, (1, 1)")
    relay = "Your partner gets your message.\n\n"
    assert (
        episode.ask.text
        == relay + "Round 1 of 4. Penalties so far: 0 of 2.\nYour partner has moved a letter.\n\nYour next command?"
    )
    episode.reply("nonsense")
    assert episode.ask.seat == "player_1" and episode.ask.text.endswith("Penalties so far: 1 of 2.\nTry again.")
    assert "no command" in episode.ask.text and relay not in episode.ask.text
    episode.reply("SAY: on")
    assert episode.ask.text.startswith("A is at (1, 1) now. Your grid:\n```\n 123\n╔═╤═╗\n║A│B║ 1\n")
    assert "Round 2 of 4. Penalties so far: 1 of 2.\n" in episode.ask.text


def test_moves_go_to_empty_cells_only():
    cells = {"(2, 1)": "holds '│'", "(3, 3)": "holds 'B'", "(1, 1)": "holds 'A'", "(0, 0)": "holds '╔'", "(9, 1)": "outside"}
    for cell, why in cells.items():
        episode = play("SAY: hi", "SAY: hi", f"MOVE: A, {cell}")
        assert episode.ask.seat == "player_1" and why in episode.ask.text
    assert "no letter 'C'" in play("SAY: hi", "SAY: hi", "MOVE: C, (1, 2)").ask.text
    done = end("SAY: hi", "SAY: finished?", "MOVE: A, (2, 2)", "MOVE: A, (1, 3)", "MOVE: B, (3, 3)", "SAY: finished!")
    assert done.status == "success" and done.score == pytest.approx(100 * (1 / (0.5 - 2) + 1.5))
    ends = done.metrics
    assert (ends["Valid Moves"], ends["Invalid Moves"], ends["Penalties"], ends["Parse Errors"]) == (2, 1, 1, 0)
    assert (done.requests, done.parsed, done.violated) == (6, 6, 0)


def test_scores_by_hand():
    # A: 2 apart, B: 2 apart; after player_1 moves A to (1, 2): 1 and 2
    done = end("SAY: hi", "SAY: ho", "nonsense", "MOVE: A, (1, 2)", "SAY: finished?", "SAY: finished!")
    mean = 24 / 15  # expected distance along one axis: (5 * 5 - 1) / (3 * 5)
    expected = 2 * math.sqrt(2 * mean**2)
    scores = done.official()
    assert scores["Expected Distance Sum"] == pytest.approx(expected)
    assert (scores["Init Distance Sum"], scores["End Distance Sum"]) == (4, 3)
    assert scores["Distance Score"] == pytest.approx((1 - 3 / expected + 1 - 3 / 4) / 2)
    assert scores["Penalty Score"] == pytest.approx(1 / (0.5 - 2) + 1.5)
    assert scores["Main Score"] == done.score == pytest.approx(100 * scores["Distance Score"] * scores["Penalty Score"])
    assert scores["Coverage Score"] == pytest.approx(2 / 3 * 1 / 3)
    assert (scores["Shifts"], scores["Min Shifts"], scores["Max Shifts"]) == (0, 1, 2) and "Consistency Score" not in scores
    assert (scores["Success"], scores["Lose"], scores["Aborted"]) == (1, 0, 0)
    assert (scores["Rounds"], scores["Parse Errors"], scores["Moves"]) == (2, 2, [["Player 1", "A"]])
    assert (done.requests, done.parsed, done.violated) == (6, 5, 1)
    assert done.progress == (0, 0, 0, 0.25, 0.25, 0.25)


def test_shifts_between_letters():
    done = end(
        "SAY: hi",
        "MOVE: A, (1, 2)",
        "MOVE: B, (3, 2)",
        "MOVE: A, (1, 1)",
        "MOVE: B, (3, 1)",
        "SAY: finished?",
        "SAY: finished!",
    )
    assert done.score == 100 and done.metrics["Shifts"] == 3 and done.metrics["Consistency Score"] == 1 - (3 - 1) / (2 + 1 - 1)
    assert done.metrics["Rounds"] == 3  # closed by player_1: its round does not count


def test_farther_than_chance_is_lost_but_officially_a_success_too():
    far = end(*["SAY: hi"] * 8, objects_1=[{"id": "A", "coord": [1, 1]}], objects_2=[{"id": "A", "coord": [3, 3]}])
    assert far.status == "lose" and far.score == 0
    assert (far.official()["Success"], far.official()["Lose"], far.official()["Rounds"]) == (1, 1, 4)


def test_the_round_limit_ends_with_success():
    done = end(*["SAY: hi"] * 8)
    assert (done.status, done.requests, done.metrics["Rounds"]) == ("success", 8, 4)


def test_finished_flags_stay():
    done = end("SAY: are we finished?", "SAY: no", "SAY: go on", "SAY: now finished!")
    assert (done.status, done.requests, done.metrics["Rounds"]) == ("success", 4, 2)
    assert end("SAY: finished!", "SAY: finished!").status == "success"  # the answer alone raises the flag, too
    assert play("SAY: finished?", "SAY: finished?", "SAY: Finished!").outcome is None


def test_penalties_abort_only_at_a_parse_error():
    bad = "SAY: a\nb"
    done = end("SAY: hi", bad, bad, bad)
    assert (done.status, done.seat, done.requests, done.parsed, done.violated) == ("aborted", "player_2", 4, 1, 3)
    assert math.isnan(done.score) and done.metrics["Distance Score"] > 0 and done.official()["Success"] == 0
    episode = play("SAY: hi", "MOVE: A, (0, 0)", "MOVE: A, (0, 0)", "MOVE: A, (0, 0)")
    assert episode.outcome is None
    episode.reply("MOVE: A, (1, 2)")
    episode.reply(bad)
    assert episode.outcome.status == "aborted" and episode.outcome.metrics["Penalties"] == 4


def test_endless_invalid_moves_end():
    stuck = end("SAY: hi", *["MOVE: A, (0, 0)"] * STUCK)
    assert (stuck.status, stuck.seat, stuck.violated, stuck.metrics["Invalid Moves"]) == ("aborted", "player_2", 0, STUCK)


def test_many_invalid_moves_pay_nothing_in_training():
    wrong = ["MOVE: A, (0, 0)"] * 5
    done = end("SAY: hi", *wrong, "MOVE: A, (1, 1)", "SAY: finished?", "SAY: finished!")
    assert done.official()["Main Score"] > 100 and done.score == 0  # the official formula passes its pole at 4 penalties
    assert end("SAY: hi", *wrong[1:], "SAY: finished?", "SAY: finished!").metrics["Penalty Score"] == 0


def test_words_only():
    def meadow(*replies, **changes):
        return play(*replies, game=ST_CLEAN_UP, room=MEADOW, **changes)

    assert " 1    6    \n╔" in meadow().ask.text
    for text in ("to 5", "third row", "grow", "outline it", "a column"):
        assert meadow("SAY: hi", f"SAY: {text}").ask.seat == "player_2"
    assert meadow("SAY: hi", "SAY: Row, Line").ask.seat == "player_1"  # upper case is not forbidden
    assert play("SAY: hi", "SAY: third row").ask.seat == "player_1"  # nor is anything in the other variant
    frame = meadow("SAY: hi", "MOVE: A, (0, 0)", "SAY: ok", "MOVE: A, (3, 1)")
    assert frame.ask.seat == "player_1" and frame.outcome is None
    closing = meadow("SAY: finished?", "SAY: finished! all in a row").outcome
    assert (closing.status, closing.violated, closing.metrics["Rounds"]) == ("success", 1, 0)
    limit = meadow("SAY: finished?", "SAY: 1", "SAY: 2", "SAY: 3 finished!").outcome
    assert limit.status == "aborted"


def test_the_top_of_a_pile_moves():
    start = [{"id": "A", "coord": [1, 3]}, {"id": "B", "coord": [3, 3]}]
    episode = play("SAY: hi", "MOVE: B, (1, 3)", "SAY: ok", "MOVE: A, (7, 1)", game=ST_CLEAN_UP, room=MEADOW, objects_2=start)
    episode.reply("SAY: ok")
    assert "]A◌║ 1" in episode.ask.text and "║A◌◌◌◌◌◌◌║ 3" in episode.ask.text  # B left the picture, A is still in it


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modality", "image"),
        ("background", "╔═╗\n║◌◌║\n╚═╝"),
        ("objects_1", [{"id": "A", "coord": [1, 9]}]),
        ("objects_1", [{"id": "A", "coord": ["1", 1]}]),
        ("objects_2", [{"id": "A", "coord": [1, 1]}]),
        ("max_rounds", 0),
        ("max_penalties", 0),
        ("say_pattern", "SAY (.*)"),
        ("move_pattern", "(?P<head>.*)MOVE"),
        ("move_messages", {"successful": "ok"}),
        ("p1_initial_prompt", None),
    ],
)
def test_malformed_instances_say_which_field(field, value):
    with pytest.raises(InstanceError, match=field):
        CLEAN_UP.start(ROOM | {field: value})


def test_no_distance_at_the_start_does_not_divide_by_zero():
    assert end("SAY: finished?", "SAY: finished!", objects_2=ROOM["objects_1"]).score == 100


@pytest.mark.parametrize("level", make.WALLS)
def test_fresh_walls_keep_the_rules(level):
    side, empty, branches, letters = make.WALLS[level]
    for split in SPLITS:
        for room in CLEAN_UP.instances(split, 3, level=level):
            assert split_of(CLEAN_UP.target(room)) == split
            assert (
                room["background"].count("◌") == room["empty_cells"] == empty
                and len(room["background"]) == side * (side + 1) - 1
            )
            assert sum(room["background"].count(tile) for tile in "├┤┬┴┼╟╢╤╧") == branches
            assert letters[0] <= len(room["objects_1"]) <= letters[1] and well_formed(room["background"])


def well_formed(background: str) -> bool:
    """The tiles of a drawn background obey the rules of the walls."""
    arms = {symbol: frozenset(key) for table in (make._INSIDE, make._FRAME) for key, symbol in table.items()}
    rows = background.split("\n")
    tiles = {(x, y): arms[symbol] for y, row in enumerate(rows) for x, symbol in enumerate(row) if symbol != "◌"}
    return make.well_formed(tiles, len(rows)) and make.draw(tiles, len(rows)) == background


def test_walls_that_break_the_rules_are_noticed():
    assert well_formed("╔═╤═╗\n║◌│◌║\n║◌│◌║\n║◌│◌║\n╚═╧═╝")
    assert not well_formed("╔═╤═╗\n║◌│◌║\n║◌│◌║\n║◌◌◌║\n╚═══╝")  # a wall that ends in nothing
    assert not well_formed("╔═╤╤╗\n║◌││║\n║◌││║\n║◌││║\n╚═╧╧╝")  # walls side by side


@pytest.mark.parametrize("level", make.LANDMARKS)
def test_fresh_landmarks(level):
    for split in SPLITS:
        for room in ST_CLEAN_UP.instances(split, 3, level=level):
            rows = room["background"].split("\n")
            assert split_of(ST_CLEAN_UP.target(room)) == split and {len(row) for row in rows} == {make.LANDMARKS[level][0]}
            assert all(row[1:3] == row[-3:-1] == "◌◌" for row in rows[1:-1]) and "[" in room["background"]
            assert re.fullmatch(r"(?:◌|\[(♠{3}|♦{4}|▲{5}|☾{6}|★{7})\])+", "".join(row[1:-1] for row in rows[1:-1]))


GAMES = [(game, level) for game in (CLEAN_UP, ST_CLEAN_UP) for level in game.levels]


@pytest.mark.parametrize("form", ["full", "short"])
@pytest.mark.parametrize(("game", "level"), GAMES)
def test_tidy_players_win_and_weaker_ones_do_worse(game, level, form):
    def mean(name, strength):
        seats = {seat: (game.players[seat][name], strength) for seat in SEATS}
        ends = [play_out(game.start(room, form=form), seats, seed=i).outcome for i, room in enumerate(rooms)]
        return sum(end.score for end in ends if end.status == "success") / len(ends)

    rooms = game.instances("train", 10, level=level)
    strong, weak = mean("scripted", 1), mean("scripted", 0.2)
    assert strong == 100 > weak > 0 and mean("random", 1) < 60 and mean("broken", 1) < 10


def test_letters_that_block_each_other_change_places():
    one = [{"id": "A", "coord": [1, 1]}, {"id": "B", "coord": [3, 3]}]
    two = [{"id": "A", "coord": [3, 3]}, {"id": "B", "coord": [1, 1]}]
    episode = play(*["SAY: Plan: A to (1, 1), B to (3, 3)."], objects_1=one, objects_2=two)
    play_out(episode, {seat: (CLEAN_UP.players[seat]["scripted"], 1.0) for seat in SEATS})
    assert episode.outcome.score == 100 and episode.outcome.metrics["Valid Moves"] == 3


def test_short_prompts_are_short():
    for game in (CLEAN_UP, ST_CLEAN_UP):
        words = game.settings("easy", "short")["p1_initial_prompt"].split()
        assert len(words) < 45


def test_players_bear_half_a_character_from_their_partner():
    episode = play("SAY: A to (1, 1), B to (3, 3) \udc80")
    assert CLEAN_UP.players["player_2"]["scripted"](episode.view("player_2")).startswith("MOVE: ")


def test_strange_replies_never_raise():
    rng = random.Random(0)
    odd = [
        "SAY: ",
        "MOVE: ",
        "A",
        ", (1, 2)",
        ", (",
        "\ud800",
        "\x00",
        "finished?",
        "finished!",
        "\n",
        "`",
        "$grid",
        "{}",
        "9" * 5000,
    ]
    for game, room in ((CLEAN_UP, ROOM), (ST_CLEAN_UP, MEADOW)):
        for _ in range(200):
            episode = play(game=game, room=room)
            while episode.ask:
                episode.reply("".join(rng.choices(odd, k=rng.randint(0, 6))))
            ended = episode.outcome
            assert ended.parsed + ended.violated == ended.requests == len(episode.history) == len(ended.progress)


@recorded.needed
@pytest.mark.parametrize(("name", "episodes"), [("clean_up", 72), ("st_clean_up", 24)])
def test_recorded_episodes_are_equal(name, episodes):
    for record, episode in recorded.replayed(name, episodes):
        assert not recorded.unequal(record, episode) and set(episode.outcome.official()) == set(record["episode_scores"])
        assert recorded.told(episode) == recorded.sent(record)
        assert name == "st_clean_up" or well_formed(record["instance"]["background"])
