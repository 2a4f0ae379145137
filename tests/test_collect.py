"""Playing for a data set: any players, best of n, a filter of successes, rows that are read back, and runs that go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playpen_jax import collect, metrics
from playpen_jax.data.read import Reader
from tests.common import ROOT

CONFIG = ROOT / "tests" / "letters.py"


def run(folder: Path, **settings) -> Path:
    argv = [f"--config={CONFIG}", f"--workdir={folder}", *(f"--config.{key}={value}" for key, value in settings.items())]
    assert collect.main(argv) == 0
    return folder


SCRIPTED = {"players": "letters.speaker=scripted:0.5", "collect.instances": 12, "collect.plays": 4, "collect.part": 5}


def test_what_is_played_is_kept_as_rows_that_can_be_read_and_as_transcripts(tmp_path):
    folder = run(tmp_path / "all", **SCRIPTED)
    rows = list(Reader().rows([folder / "interactions"]))
    episodes = [e for path in sorted((folder / "episodes").iterdir()) for e in metrics.read(path)]
    assert len(rows) == len(episodes) == 48 == json.loads((folder / "collect.json").read_text())["kept"]
    assert {row.meta["outcome"] for row in rows} == {"success", "failure"}
    for row, episode in zip(rows, episodes, strict=True):
        assert [m["content"] for m in row.messages[1::2]] == [turn["reply"] for turn in episode["turns"]]
        meta = {"game": "letters", "game_role": "Speaker", "player_name": "Player 1", "model": "scripted:0.5"}
        assert meta.items() <= row.meta.items() and row.meta["task_id"] == episode["game_id"]
        assert (row.meta["score"], row.meta["experiment"]) == (episode["outcome"]["score"], episode["level"])
    assert [row.messages for row in Reader().rows([folder / "episodes"])] == [row.messages for row in rows]
    plays = {}
    for row in rows:
        plays.setdefault(row.meta["task_id"], set()).add(json.dumps(row.messages))
    assert max(map(len, plays.values())) > 1, "each play is drawn anew"


def test_the_best_of_each_instance_and_successes_alone(tmp_path):
    everything = list(Reader().rows([run(tmp_path / "all", **SCRIPTED) / "interactions"]))
    best = list(Reader().rows([run(tmp_path / "best", **SCRIPTED, **{"collect.best_of": 1}) / "interactions"]))
    assert [row.meta["task_id"] for row in best] == list(range(12))
    for row in best:
        scores = [other.meta["score"] for other in everything if other.meta["task_id"] == row.meta["task_id"]]
        assert row.meta["score"] == max(scores)
    folder = run(tmp_path / "won", **SCRIPTED, **{"collect.outcomes": "success"})
    won = list(Reader().rows([folder / "interactions"]))
    assert len(won) == sum(row.meta["outcome"] == "success" for row in everything) < 48
    counts = json.loads((folder / "collect.json").read_text())
    assert counts == {"episodes": 48, "kept": len(won), "dropped: failure": 48 - len(won), "rows": len(won)}


def test_a_run_that_was_killed_goes_on_after_the_parts_it_wrote(tmp_path, capsys):
    whole, folder = run(tmp_path / "whole", **SCRIPTED), run(tmp_path / "cut", **SCRIPTED)
    parts = sorted((folder / "interactions").iterdir())
    assert len(parts) == 3
    parts[1].unlink()
    capsys.readouterr()
    run(folder, **SCRIPTED)
    assert json.loads(capsys.readouterr().out)["episodes"] == 20
    assert [p.read_bytes() for p in sorted((folder / "interactions").iterdir())] == [
        p.read_bytes() for p in sorted((whole / "interactions").iterdir())
    ]
    run(folder, **SCRIPTED)
    assert "holds all plays already" in capsys.readouterr().out


def test_learner_and_frozen_policy_sit_at_one_table(tmp_path, toy_folder):
    """The toy's replies are nonsense; what matters is who said them."""
    settings = {
        "games": "taboo",
        "form": "short",
        "model.path": toy_folder,
        "collect.frozen": toy_folder,
        "collect.instances": 2,
    }
    settings |= {"players": "taboo.guesser=frozen", "rollout.rows": 4, "rollout.context": 256, "rollout.max_tokens": 8}
    rows = list(Reader().rows([run(tmp_path / "two", **settings) / "interactions"]))
    assert {row.meta["game_role"] for row in rows} >= {"WordDescriber"} and {row.meta["model"] for row in rows} == {
        str(toy_folder)
    }


def test_forks_go_on_from_turns_of_the_plays(tmp_path):
    settings = {"games": "textmapworld", "players": "", "form": "short", "model.path": "tiny", "rollout.temperature": 1.0}
    settings |= {
        "collect.instances": 6,
        "collect.forks": 4,
        "rollout.rows": 8,
        "rollout.context": 256,
        "rollout.max_tokens": 16,
    }
    folder = run(tmp_path / "forks", **settings)
    plays = {row.meta["task_id"]: list(row.messages) for row in Reader().rows([folder / "interactions"])}
    pairs = list(Reader().rows([folder / "pairs"]))
    assert 0 < len(pairs) == json.loads((folder / "collect.json").read_text())["pairs"] <= len(plays) == 6
    for pair in pairs:
        assert list(pair.prompt) == plays[pair.meta["task_id"]][: 2 * pair.meta["turn"] + 1]
        assert pair.meta["scores"]["chosen"] > pair.meta["scores"]["rejected"] and pair.chosen != pair.rejected


def test_what_cannot_be_played_is_refused_in_one_line(tmp_path, capsys):
    for settings, why in (
        ({"players": "letters.speaker=frozen"}, "'frozen' sits in a seat, but collect.frozen names no policy"),
        ({"players": ""}, "a seat is the learner's, but model.path names no policy"),
        ({"players": "letters.speaker=poet"}, "letters.speaker has no player 'poet'"),
        ({"players": "", "model.path": tmp_path / "none"}, "no such folder"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(tmp_path / "run", **settings)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and why in line
    run(tmp_path / "made", **SCRIPTED)
    with pytest.raises(SystemExit):
        run(tmp_path / "made", **SCRIPTED | {"seed": 3})
    assert "was made with other settings (seed): choose another" in capsys.readouterr().err
