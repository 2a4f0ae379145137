"""The results tree: what is written is read again and replays; older layouts; the official tools, where installed."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import re
import subprocess
import sys

import pytest

import games
from games import results_tree
from games.core import Ask, Game, Outcome, play_out
from games.records import read_records, replay, same
from tests.common import SHARED

GAMES = ("dond", "clean_up", "st_clean_up")


def plays(names=GAMES, count=6):
    """Finished plays of several games; the strongest players first, the last ones break the format."""
    found = []
    for game in map(games.make, names):
        for n, instance in enumerate(game.instances("train", count)):
            kind = ("scripted", "scripted", "scripted", "random", "random", "broken")[n % 6]
            seats = {seat: (game.players[seat][kind], 0.7) for seat in game.seats}
            found.append(play_out(game.start(instance), seats, seed=n))
    return found


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_files_are_those_of_clemcore(tmp_path):
    game = games.make("dond")
    play = game.start(game.instances("train", 1, level="coop")[0] | {"game_id": 7})
    for reply in ("hello", "hi", "[Proposal:]", "no [brackets]"):
        play.reply(reply)
    run = results_tree.write(tmp_path, "org/model", [play], {"temperature": 0.0})
    assert run == tmp_path / "org__model"
    there = run / "dond" / "coop_en"
    names = ["completed", "instance", "interactions", "player_1.requests", "player_2.requests", "scores"]
    assert sorted(path.name for path in (there / "instance_00007").iterdir()) == [f"{name}.json" for name in names]
    assert load(run / "run.json")["games"]["dond"]["num_instances"] == 1
    assert (
        load(there / "experiment.json")["mode"] == "coop" and load(there / "instance_00007" / "instance.json") == play.instance
    )
    log = load(there / "instance_00007" / "interactions.json")
    assert log["meta"]["game_id"] == 7 and log["meta"]["round_count"] == 2 and log["meta"]["completed"] is True
    assert log["players"]["Player 2"] == {"game_role": "DealOrNoDealPlayer", "model_name": "org/model", "seat": "player_b"}
    assert [[(e["from"], e["to"], e["action"]["type"]) for e in turn] for turn in log["turns"]] == [
        [
            ("GM", "Player 1", "send message"),
            ("Player 1", "GM", "get message"),
            ("GM", "Player 2", "send message"),
            ("Player 2", "GM", "get message"),
        ],
        [
            ("GM", "Player 1", "send message"),
            ("Player 1", "GM", "get message"),
            ("GM", "Player 2", "send message"),
            ("Player 2", "GM", "get message"),
            ("GM", "GM", "aborted"),
        ],
    ]
    assert (log["Request Count"], log["Violated Request Count"], log["Parsed Request Count"]) == ([2, 2], [0, 1], [2, 1])
    calls = load(there / "instance_00007" / "player_2.requests.json")["calls"]
    assert [(one["round"], one["call"]["raw_response_obj"]["response"]) for one in calls] == [(0, "hi"), (1, "no [brackets]")]
    scores = (there / "instance_00007" / "scores.json").read_text(encoding="utf-8")
    assert '\n    "Main Score": NaN' in scores and json.loads(scores)["episode scores"]["Aborted"] == 1


def test_what_was_written_replays_equal(tmp_path):
    played = plays()
    results_tree.write(tmp_path, "model", played)
    found = list(results_tree.read(tmp_path))
    assert len(found) == len(played)
    outcomes = {(play.game.name, play.instance["game_id"]): play.outcome for play in played}
    for record in found:
        again, different = replay(record)
        outcome = outcomes[record["game"], record["game_id"]]
        assert not different and again.outcome.reason == outcome.reason
        assert all(same(record["episode_scores"][key], value) for key, value in outcome.official().items() if key != "Moves")
        assert record["suite"] == games.make(record["game"]).suite and record["model"] == "model"


def test_half_surrogates_and_control_characters_can_be_written(tmp_path):
    game = games.make("dond")
    play = game.start(game.instances("train", 1)[0])
    for reply in ("a\ud83d b\udc4d \x00 \x85 é 😀", "[\ud800]"):
        play.reply(reply)
    run = results_tree.write(tmp_path, "model", [play])
    (record,) = results_tree.read(run)
    assert record["replies"] == [("player_a", "a\ufffd b\ufffd \x00 \x85 é 😀"), ("player_b", "[\ufffd]")]
    assert "é 😀" in next(run.rglob("interactions.json")).read_text(encoding="utf-8")


def test_runs_grow_and_repeat(tmp_path):
    first, second = plays(("dond",), 2), plays(("clean_up",), 2)
    results_tree.write(tmp_path, "model", first)
    results_tree.write(tmp_path, "model", second)
    run = results_tree.write(tmp_path, "model", first)
    assert set(load(run / "run.json")["games"]) == {"dond", "clean_up"} and len(list(results_tree.read(tmp_path))) == 4


def test_what_would_be_lost_is_refused(tmp_path):
    game = games.make("dond")
    instance = game.instances("train", 1)[0]
    one = game.start(instance)
    with pytest.raises(ValueError, match="dond.*instance 0: not finished"):
        results_tree.write(tmp_path, "model", [one])
    one.reply("[]")
    with pytest.raises(ValueError, match="played twice"):
        results_tree.write(tmp_path, "model", [one, one])
    other = game.start(instance | {"game_id": 1}, form="short")
    other.reply("[]")
    with pytest.raises(ValueError, match="two settings"):
        results_tree.write(tmp_path, "model", [one, other])


def test_rounds_chance_and_odd_names(tmp_path):
    def referee(instance, settings):
        for seat in ("dealer", "one", "one", "two", "dealer", "one"):
            yield Ask(seat, f"for {seat}")
        return Outcome("lose", 0.0, 4, 4, 0)

    made = Game(
        "toy", "indomain", ("one", "two"), ("First", "Second"), ("l",), {}, {}, referee, *[None] * 4, chance=("dealer",)
    )
    play = made.start({"level": "a/b", "game_id": 3}, {})
    for i in range(6):
        play.reply(str(i))
    run = results_tree.write(tmp_path, "m", [play])
    log = load(run / "toy" / "a__b" / "instance_00003" / "interactions.json")
    assert [[event["action"]["content"] for event in turn if event["to"] == "GM"] for turn in log["turns"]] == [
        ["0", "1", "2", "3"],
        ["4", "5", ""],
    ]
    assert log["Request Count"] == 4 and list(log["players"]) == ["GM", "Player 1", "Player 2"]
    (record,) = results_tree.read(tmp_path)
    order = ["dealer", "one", "one", "two", "dealer", "one"]
    assert record["experiment"] == "a/b" and record["replies"] == [(seat, str(i)) for i, seat in enumerate(order)]


def test_older_layouts(tmp_path):
    played = plays(("dond",), 3)
    run = results_tree.write(tmp_path / "new", "model-t0.0", played)
    old = tmp_path / "old" / "model-t0.0--model-t0.0" / "dond"
    for n, path in enumerate(sorted(run.rglob("interactions.json"))):
        log, there = load(path), old / f"{n}_{path.parents[1].name}" / f"episode_{n}"
        there.mkdir(parents=True)
        players = {name: f"{who['game_role']}: {who['model_name']}" for name, who in log["players"].items()}
        (there / "interactions.json").write_text(json.dumps({"players": players, "turns": log["turns"]}), encoding="utf-8")
        for file in ("instance.json", "scores.json") if n else ("instance.json",):
            (there / file).write_text(path.with_name(file).read_text(encoding="utf-8"), encoding="utf-8")
        settings = load(path.parents[1] / "experiment.json")
        settings = {key: settings[key] for key in settings if key != "player_models"} | {
            "dialogue_partners": "x",
            "duration": "1",
        }
        (there.parent / f"experiment_{settings['name']}.json").write_text(json.dumps(settings), encoding="utf-8")
    records = list(results_tree.read(tmp_path / "old"))
    assert [len(record["episode_scores"]) > 0 for record in records] == [False, True, True]
    for record in records:
        assert record["game"] == "dond" and record["model"] == "model-t0.0--model-t0.0" and "replies" not in record
        assert record["players"] == {"Player 1": "DealOrNoDealPlayer", "Player 2": "DealOrNoDealPlayer"}
        assert record["settings"] == games.make("dond").settings(record["experiment"].removesuffix("_en"), "full")
        assert bool(replay(record)[1]) is (not record["episode_scores"])  # without scores there is nothing to agree with


def test_broken_trees_say_which_file(tmp_path):
    run = results_tree.write(tmp_path, "model", plays(("dond",), 1))
    path = next(run.rglob("interactions.json"))
    good = path.read_text(encoding="utf-8")
    for text in ("{", "[]", '{"players": {}}', '{"players": {"Player 1": {}}, "turns": []}', '{"players": {}, "turns": [3]}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=re.escape(str(path))):
            list(results_tree.read(tmp_path))
    path.write_text(good, encoding="utf-8")
    path.with_name("instance.json").unlink()
    with pytest.raises(ValueError, match="instance.json: missing"):
        list(results_tree.read(tmp_path))


def test_an_empty_folder_has_no_records(tmp_path):
    assert list(results_tree.read(tmp_path)) == []


@pytest.mark.skipif(SHARED is None, reason="needs the recorded episodes")
def test_recorded_episodes_survive_the_tree(tmp_path):
    """Official episodes, fed through the engine and written by us, read like the originals."""
    records = list(read_records(SHARED / "replay" / "dond.jsonl.gz"))[::10]
    model = records[0]["model"]
    records = [record for record in records if record["model"] == model]
    run = results_tree.write(tmp_path, model, [replay(record)[0] for record in records])
    found = {(record["experiment"], record["game_id"]): record for record in results_tree.read(run)}
    for record in records:
        ours = found[record["experiment"], record["game_id"]]
        said = [
            [event["content"] for event in turn if event["type"] in ("get message", "send message")] for turn in ours["rounds"]
        ]
        assert said == [
            [event["content"] for event in turn if event["type"] in ("get message", "send message")]
            for turn in record["rounds"]
        ]
        assert ours["players"] == record["players"] and ours["settings"] == record["settings"]
        assert ours["instance"] == record["instance"] and set(ours["episode_scores"]) == set(record["episode_scores"])
        assert ours["extra"]["Request Count"] == record["extra"]["Request Count"]


# a game as the official benchmark has it, of which scoring needs the scorer alone
MASTER = """
from clemcore.clemgame import GameBenchmark
from {module} import GameScorer


class Scorer(GameScorer):
    def score_turns(self, interactions):
        pass

    def compute_round_score(self, number, events):
        pass

    def compute_episode_scores(self, interactions):
        self.log_episode_score("Main Score", interactions["Main Score"])

    log_main_score = compute_episode_scores


class Benchmark(GameBenchmark):
    def create_game_scorer(self, experiment, instance):
        return Scorer(self.game_name, experiment, instance)
"""


def official_games(folder, names):
    """Write a game for the official tools for each name: the newer scorer reads counts by round, the older one totals."""
    for name in names:
        module = "clemcore.clemgame.metrics" if name in results_tree.BY_ROUND else "clemcore.clemgame.legacy.scorer"
        there = folder / name
        there.mkdir()
        (there / "master.py").write_text(MASTER.format(module=module), encoding="utf-8")
        spec = {"game_name": name, "description": name, "players": len(games.make(name).seats), "languages": ["en"]}
        more = {"main_game": name, "image": "none", "benchmark": ["2.0"], "roles": list(games.make(name).roles)}
        (there / "clemgame.json").write_text(json.dumps(spec | more), encoding="utf-8")


@pytest.mark.skipif(not importlib.util.find_spec("clemcore"), reason="needs the package clemcore")
def test_the_official_tools_run(tmp_path):
    names = (*GAMES, "taboo", "privateshared")
    official_games(tmp_path, names)
    played = plays(names)
    run = results_tree.write(tmp_path / "results", "some-model", played)
    ours = {path: load(path)["episode scores"] for path in run.rglob("scores.json")}
    for path in ours:
        path.unlink()
    command = "sys.argv = ['clem', '{}', '-r', 'results']; main()"
    code = ["import sys; from clemcore.cli import main", *map(command.format, ("score", "transcribe", "eval"))]
    tools = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=tmp_path, capture_output=True, text=True)
    assert tools.returncode == 0, tools.stderr
    assert len(ours) == len(played)
    for path, wanted in ours.items():
        found = load(path)["episode scores"]
        assert len(found) == 8 and all(same(wanted[key], value) for key, value in found.items()), path
    assert len(list(run.rglob("transcript.html"))) == len(list(run.rglob("transcript.tex"))) == len(played)
    with open(tmp_path / "results" / "results.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    quality, shares = [], []
    for name in names:
        ends = [play.outcome.official() for play in played if play.game.name == name]
        scores = [end["Main Score"] for end in ends if not math.isnan(end["Main Score"])]
        quality.append(round(sum(scores) / len(scores), 2))
        shares.append(round(100 * sum(1 - end["Aborted"] for end in ends) / len(ends), 2))
        assert float(row[f"{name}, Quality Score"]) == quality[-1] and float(row[f"{name}, % Played"]) == shares[-1]
    mean = [round(sum(column) / len(column), 2) for column in (shares, quality)]
    assert float(row["-, clemscore"]) == round(mean[0] / 100 * mean[1], 2)
