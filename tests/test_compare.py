"""Comparing evaluations, and going on with one that was cut."""

from __future__ import annotations

import csv
import json
import zipfile

import pytest

from playpen_jax import compare, evaluate, metrics, rollout, suites
from tests.common import ROOT
from tests.test_statistics import episode

GOLDEN = ROOT.parent / "shared" / "clemeval"


def folder(path, episodes):
    path.mkdir()
    (path / "episodes.jsonl").write_text("".join(json.dumps(e) + "\n" for e in episodes))
    return path


def test_two_evaluations_on_one_page(tmp_path, capsys):
    turn = {"seat": "guesser", "player": "learner", "message": "Guess <b>.", "reply": "crane & co", "stop": "stop"}
    base = [episode("wordle", n, None if n % 2 else 0) | {"turns": [turn], "game_id": n} for n in range(10)]
    tuned = [episode("wordle", n, 100) | {"turns": [turn], "game_id": n} for n in range(10)]
    first, second = folder(tmp_path / "one", base), folder(tmp_path / "two", tuned)
    (second / "cost.json").write_text('{"seconds": 61.5, "tokens_said": 1234, "tokens_read": 5}')
    assert compare.main([f"base={first}", f"tuned={second}", f"--out={tmp_path / 'out'}"]) == 0
    assert "tuned" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    tuned_run = found["runs"][1]
    assert found["base"] == "base" and tuned_run["changes"]["wordle"]["difference"] == [100.0, 100.0, 100.0]
    assert tuned_run["challenge"]["delta_indomain"] == 100.0 and tuned_run["cost"]["characters"] == 100
    assert tuned_run["cost"]["seconds"] == 61.5
    page = (tmp_path / "out" / "report.html").read_text()
    assert ">1,234<" in page
    assert "Guess &lt;b&gt;." in page and "<b>." not in page and "http" not in page
    assert [row[""] for row in csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines())] == ["base", "tuned"]


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden evaluation is not here")
def test_the_golden_tree_gives_the_golden_table(tmp_path):
    zipfile.ZipFile(GOLDEN / "runs-v2-llama8b.zip").extractall(tmp_path)
    assert compare.main([str(tmp_path / "runs"), f"--out={tmp_path / 'out'}"]) == 0
    made, golden = (tmp_path / "out" / "results.csv").read_text(), (GOLDEN / "golden_results.csv").read_text()
    assert made == golden and ",28.09," in golden


@pytest.mark.parametrize("problem", ["missing", "empty", "twice"])
def test_what_cannot_be_compared_is_said_in_one_line(problem, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    good = folder(tmp_path / "good", [episode("wordle", 0, 100)])
    runs = {"missing": ["nowhere"], "empty": [str(tmp_path / "empty")], "twice": [str(good), str(good)]}[problem]
    with pytest.raises(SystemExit) as stop:
        compare.main([*runs, f"--out={tmp_path / 'out'}"])
    (line,) = capsys.readouterr().err.splitlines()
    told = {"missing": "nowhere: no such folder", "empty": "no episodes.jsonl", "twice": "two runs are called 'good'"}
    assert stop.value.code == 2 and told[problem] in line


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def evaluation(out, *more):
    argv = ["--checkpoint=tiny", "--suite=guesswhat,textmapworld_specificroom", f"--out={out}", "--episodes=4", "--plays=2"]
    return evaluate.main([*argv, "--rows=4", "--context=256", "--max-tokens=24", "--temperature=1.0", *more])


def test_an_evaluation_that_was_cut_goes_on_to_the_same_result(tmp_path, monkeypatch, capsys):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert evaluation(whole) == 0
    told, count = rollout.Rollout.play, 0

    def cut(self, jobs, done):
        def counted(one):
            nonlocal count
            done(one)
            count += 1
            if count == 5:
                raise Killed

        return told(self, jobs, counted)

    with monkeypatch.context() as patch:
        patch.setattr(rollout.Rollout, "play", cut)
        with pytest.raises(Killed):
            evaluation(torn)
    with open(torn / suites.PARTIAL, "a") as file:
        file.write('{"game": "gue')  # the kill came in the middle of a line
    assert len(metrics.read(torn / suites.PARTIAL)) == 5
    capsys.readouterr()
    assert evaluation(torn) == 0
    assert "5 of 16 episodes were finished already" in capsys.readouterr().out
    for name in ("episodes.jsonl", "summary.json", "results.csv"):
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (torn / suites.PARTIAL).exists()


def test_a_folder_of_another_evaluation_is_left_alone(tmp_path, capsys):
    (tmp_path / "setup.json").write_text(json.dumps({"checkpoint": "tiny", "seed": 7}) + "\n")
    with pytest.raises(SystemExit):
        evaluation(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds another evaluation" in line and "seed: 7 is now 1" in line
