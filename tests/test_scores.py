"""Scores by hand, and clembench's own golden table cell by cell."""

from __future__ import annotations

import csv
import json
import math
import zipfile
from collections import defaultdict

import pytest

from games.core import Outcome
from playpen_jax import scores
from playpen_jax.types import Episode, Turn
from tests.common import SHARED


def episode(game, quality, instance=0, sample=0, turns=1, status=None, named=None):
    status = status or ("aborted" if math.isnan(quality) else "success" if quality else "lose")
    said = (Turn("guesser", "learner", "Guess.", "GUESS: a", "stop"),) * turns
    return Episode(game, {"game_id": instance}, sample, said, Outcome(status, quality, 1, 1, 0, named or {}), "end")


def two_games():
    return [
        *(episode("a", quality, i, turns=i) for i, quality in enumerate((100.0, 50.0, 0.0, math.nan))),
        episode("b", math.nan, 0, turns=0),
    ]


def same(ours, theirs):
    return ours == theirs or (math.isnan(ours) and math.isnan(theirs))


def test_a_table_by_hand():
    made = scores.table(two_games())
    stderr = math.sqrt((62.5**2 + 12.5**2 + 2 * 37.5**2) / 3) / 2  # of 100, 50, 0, 0
    assert made["a"] == {
        "played": 75.0,
        "quality": 50.0,
        "std": 50.0,
        "score": 37.5,
        "stderr": pytest.approx(stderr),
        "success": 0.5,
        "turns": 1.5,
        "episodes": 4,
    }
    assert made["b"]["played"] == 0.0 and made["b"]["score"] == 0.0
    assert all(math.isnan(made["b"][key]) for key in ("quality", "std", "stderr"))
    over = made["all"]  # b drops out of the quality, not of the share played: a product of means
    assert (over["played"], over["quality"], over["clemscore"]) == (37.5, 50.0, 18.75)
    assert (over["score"], over["success"], over["turns"], over["episodes"]) == (18.75, 0.25, 0.75, 5)
    assert math.isnan(over["stderr"])


def test_rounding_happens_at_every_stage():
    third = [episode("a", 100.0), *(episode("a", math.nan) for _ in range(2))]
    made = scores.table([*third, *(episode("b", q) for q in (100.0, 0.0, 0.0))])
    assert (made["a"]["played"], made["b"]["quality"]) == (33.33, 33.33)
    assert (made["all"]["played"], made["all"]["quality"]) == (66.66, 66.66)  # of the rounded; 66.67 of the exact
    assert made["all"]["clemscore"] == 44.44
    assert scores.round2(0.125) == 0.12 and scores.round2(2.675) == 2.68  # as numpy, not as Python


def test_plays_of_one_instance_are_not_independent():
    twice = [episode("a", q, i, s) for i, q in enumerate((0.0, 100.0)) for s in range(50)]
    assert scores.table(twice)["a"]["stderr"] == pytest.approx(50.0)


def test_a_plain_dict_is_worth_the_episode():
    assert scores.table([json.loads(json.dumps(e.to_json())) for e in two_games()[:3]]) == scores.table(two_games()[:3])


def test_the_official_names_count():
    odd = episode("a", math.nan, status="aborted", named={"Main Score": 30.0})
    made = scores.table([odd, episode("a", 10.0)])["a"]
    assert (made["quality"], made["score"], made["played"]) == (20.0, 5.0, 50.0)
    made = scores.table([episode("a", 10.0, named={"Aborted": 1})])["a"]
    assert (made["played"], made["score"]) == (0.0, 0.0)


def test_nothing_played():
    made = scores.table([])
    assert list(made) == ["all"] and made["all"]["episodes"] == 0 and math.isnan(made["all"]["clemscore"])


def test_a_paired_difference_by_hand():
    before = [
        episode("a", q, i, s) for i, qs in enumerate(((0.0, 100.0), (0.0, 0.0), (math.nan, 0.0))) for s, q in enumerate(qs)
    ]
    after = [*(episode("a", q, i) for i, q in enumerate((100.0, 10.0, 0.0))), episode("a", 100.0, 9), episode("c", 1.0)]
    made = scores.compare(before + [episode("b", 1.0)], after)  # instance means 50 0 0 -> 100 10 0; the rest has no partner
    assert list(made) == ["a", "all"]
    assert made["a"] == {
        "before": pytest.approx(50 / 3),
        "after": pytest.approx(110 / 3),
        "difference": 20.0,
        "stderr": pytest.approx(math.sqrt((30**2 + 10**2 + 20**2) / 2 / 3)),
        "instances": 3,
    }
    with pytest.raises(ValueError, match="share no instance"):
        scores.compare(before, [episode("b", 1.0)])


def test_differences_over_games():
    games = ("a", "b")
    before = [episode(game, 0.0, i) for game in games for i in range(3)]
    after = [episode(game, q, i) for game, qs in zip(games, ((3, 6, 9), (0, 0, 30))) for i, q in enumerate(map(float, qs))]
    made = scores.compare(before, after)
    assert made["all"]["difference"] == 8.0 and made["all"]["instances"] == 6
    assert made["all"]["stderr"] == pytest.approx(math.hypot(math.sqrt(3), 10.0) / 2)


def test_files_of_an_evaluation(tmp_path):
    made = scores.write_results(tmp_path, "model, <b>", two_games())
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines[0] == (
        ',"-, clemscore","a, % Played","a, Quality Score","a, Quality Score (std)",'
        '"all, Average % Played","all, Average Quality Score",'
        '"b, % Played","b, Quality Score","b, Quality Score (std)"'
    )
    assert lines[1:] == ['"model, <b>",18.75,75.0,50.0,50.0,37.5,50.0,0.0,,']
    page = (tmp_path / "results.html").read_text()
    assert page.count("<td>") == 10 and "model, &lt;b&gt;" in page and "<b>" not in page
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["clemscore"] == 18.75 and summary["games"]["b"]["quality"] is None
    assert summary["games"]["a"] == made["a"]


def test_two_models_with_different_games():
    tables = {"y": scores.table([episode("a", 10.0)]), "x": scores.table([episode("b", 20.0)])}
    rows = list(csv.DictReader(scores.results_csv(tables).splitlines()))
    assert [row[""] for row in rows] == ["x", "y"]
    assert rows[0]["a, % Played"] == "" and rows[0]["b, Quality Score"] == "20.0" and rows[1]["-, clemscore"] == "10.0"


def test_an_evaluation_is_read_back(tmp_path):
    odd = episode("a", 1.0, named={"x": math.nan})
    made = scores.write_evaluation(tmp_path, 40, [odd, *two_games()])
    step, again = scores.read_evaluation(tmp_path / "evaluations" / "step_000040.json")
    assert step == 40 and list(again) == list(made)
    assert all(same(made[game][key], again[game][key]) for game in made for key in made[game])
    episodes = scores.read_episodes(tmp_path / "evaluations" / "step_000040.episodes.jsonl")
    assert len(episodes) == 6 and episodes[0]["outcome"]["metrics"] == {"x": None}


def test_text_tables_line_up():
    shown = scores.show(scores.table(two_games()))
    assert shown.splitlines() == [
        "game  % played  quality  score  stderr  success  turns  episodes",
        "----------------------------------------------------------------",
        "a         75.0     50.0   37.5    23.9    50.0%    1.5         4",
        "b          0.0        -    0.0       -     0.0%    0.0         1",
        "all       37.5     50.0   18.8       -    25.0%    0.8         5",
        "clemscore 18.75",
    ]
    shown = scores.show_difference(scores.compare(two_games(), two_games()))
    assert len({len(line) for line in shown.splitlines()}) == 1 and " 0.0 " in shown


@pytest.mark.skipif(SHARED is None, reason="no recorded data")
def test_clembench_golden_table_cell_by_cell():
    played = defaultdict(list)
    with zipfile.ZipFile(SHARED / "clemeval" / "runs-v2-llama8b.zip") as archive:
        for name in archive.namelist():
            if name.endswith("scores.json"):
                _, model, game, experiment, number, _ = name.split("/")
                official = json.loads(archive.read(name))["episode scores"]
                status = "aborted" if official["Aborted"] else "success" if official.get("Success") == 1 else "lose"
                outcome = {"status": status, "score": official["Main Score"]}
                instance = {"experiment": experiment, "number": number}
                played[model].append({"game": game, "instance": instance, "outcome": outcome, "turns": []})
    assert sum(map(len, played.values())) == 817
    ours = list(csv.reader(scores.results_csv({model: scores.table(each) for model, each in played.items()}).splitlines()))
    golden = list(csv.reader((SHARED / "clemeval" / "golden_results.csv").read_text().splitlines()))
    assert ours == golden and golden[1][1] == "28.09"
