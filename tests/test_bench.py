"""The bench: what it prints for the engines, what it keeps, and that it stops where the loops do not agree."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

import games
from playpen_jax import bench
from tests.common import ROOT

NUMBERS = ("turns_per_second", "start_ms_p50", "turn_ms_p50", "turn_ms_p99", "turn_ms_max")


def test_games_prints_and_keeps_a_line_for_each_game(tmp_path):
    """In a process of its own: importing clemcore sets up logging anew."""
    out = tmp_path / "new" / "games.json"
    arguments = ["games", "--games=referencegame,codenames", "--episodes=4", f"--out={out}"]
    run = subprocess.run([sys.executable, "-m", "playpen_jax.bench", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["game"] for line in lines[:3]] == ["referencegame", "codenames", "all"]
    for line in lines[:2]:
        assert all(line[number] > 0 for number in NUMBERS)
        assert line["turn_ms_p50"] <= line["turn_ms_p99"] <= line["turn_ms_max"]
    assert lines[0]["episodes"] == 4 * bench.REPEATS and lines[0]["turns"] == 8 * bench.REPEATS
    slowest = max(lines[:2], key=lambda line: line["turn_ms_p99"])
    assert (lines[2]["slowest"], lines[2]["p99"]) == (slowest["game"], slowest["turn_ms_p99"])
    kept = json.loads(out.read_text())
    assert kept["lines"] == lines and kept["command"].startswith("python -m playpen_jax.bench games --games=")
    assert len(lines) == (6 if importlib.util.find_spec("clemcore") else 3)
    assert all(line["times_faster"] > 1 for line in lines[4:])


def test_chance_is_recorded_like_any_seat():
    game = games.make("codenames")
    scripts = bench.record(game, 14)
    assert {script.instance["level"] for script in scripts} == set(game.levels)
    assert bench.measure(bench.ours(game), scripts)["turns"] == bench.REPEATS * sum(len(s.replies) for s in scripts)


def test_loops_that_end_otherwise_are_not_compared():
    game = games.make("taboo")
    other = bench.ours(game)._replace(name="other", status=lambda play: "lost in thought")
    with pytest.raises(RuntimeError, match="other ended a recorded episode as lost in thought, not"):
        bench.measure(other, bench.record(game, 2))


def test_what_it_needs_must_be_there(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="error: .* package clemcore"):
        bench.main(["games", "--games=taboo", "--episodes=2", "--against-clemcore"])


def test_an_unknown_game_is_an_error_in_one_line(capsys):
    with pytest.raises(SystemExit):
        bench.main(["games", "--games=wordl"])
    assert "unknown game 'wordl': did you mean 'wordle'?" in capsys.readouterr().err.splitlines()[-1]


def test_a_part_must_be_named():
    with pytest.raises(SystemExit):
        bench.main([])


def test_the_engines_are_measured_without_jax():
    code = "import sys; from playpen_jax import bench; bench.main(['games', '--games=dond']); print('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"
