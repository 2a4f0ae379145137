"""What the study makes of its rows: changes paired by instance, the tables, the plot."""

from __future__ import annotations

import importlib.util
import json
import shutil
import xml.etree.ElementTree as xml
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import games
from playpen_jax import config as configs
from tests.common import ROOT


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study", ROOT / "benchmarks" / "study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(study: ModuleType, row: str, seed: int, more: float = 0.0) -> dict:
    """A row whose trained games score `more` than 10, 20, ..., 80, and all others just these."""
    scores = np.arange(10.0, 90.0, 10.0)
    one = {}
    for game in study.GAMES:
        gained = scores + more * (game in study.GROUPS["trained"])
        one[game] = {"score": gained.tolist(), "played": [100.0] * len(scores)}
    losses = dict.fromkeys(study.GAMES, 0.5)
    costs = {"base": {"processor": 9.0}, row: {"processor": 3.0}}
    found = {"row": row, "seed": seed, "cost": costs, "sampled": one, "greedy": one, "text_loss": losses}
    return found | {"reward": [0.1, 0.2], "levels": {"on": {"score": 20.0, "replies": 1.0 + seed}}}


@pytest.fixture
def rows(study: ModuleType) -> dict[str, list[dict]]:
    found = {"base": [made(study, "base", 0)]}
    for row, gains in {"sft": (4.0, 6.0), "sft_dpo": (5.0, 7.0)}.items():
        found[row] = [made(study, row, seed, more) for seed, more in enumerate(gains)]
    return found


def test_a_change_is_paired_by_instance(study: ModuleType, rows: dict):
    found = study.summary(rows)["rows"]["sft"]
    trained, unseen = found["sampled"]["trained"]["to_base"], found["sampled"]["unseen"]["to_base"]
    assert trained["by_seed"] == [4.0, 6.0] and trained["difference"][0] == 5.0
    assert 4.0 <= trained["difference"][1] < 5.0 < trained["difference"][2] <= 6.0, "scores of 10 to 80 add nothing to it"
    assert unseen["difference"] == [0.0, 0.0, 0.0] and unseen["p"] == 1.0
    assert found["processor_seconds"] == [3.0, 3.0], "the base is not the row's cost"


def test_what_follows_sft_is_compared_with_the_sft_of_its_seed(study: ModuleType, rows: dict):
    found = study.summary(rows)["rows"]
    assert found["sft_dpo"]["sampled"]["trained"]["to_sft"]["by_seed"] == [1.0, 1.0]
    assert "to_sft" not in found["sft"]["sampled"]["trained"]


def test_tables_and_plot_show_all_rows(study: ModuleType, rows: dict):
    summary = study.summary(rows)
    text = study.tables(summary)
    assert "| `sft` | 2 | 50.0 | +5.0 [" in text and "| `base` | 1 | 45.0 |  |" in text
    assert "| `sft` | 20.0 (1.5) |" in text
    again = study.replication(summary, study.summary({**rows, "grpo": rows["sft"]}))
    assert "| `sft` | +5.0 [" in again and "`grpo`" not in again, "a row that this base lacks is left out"
    drawn = xml.fromstring(study.forest(summary, "sampled"))
    assert {"sft", "sft_dpo"} <= {element.text for element in drawn.iter() if element.tag.endswith("text")}


def test_no_unseen_game_is_trained_and_every_stage_is_a_config(study: ModuleType):
    assert len(set(study.GAMES)) == len(study.GAMES)
    assert set(study.GAMES) == set(configs.load("study_base.py").games)
    assert all(games.make(game).suite == "reference" for game in study.GROUPS["reference"])
    for config, settings, reads in study.STAGES.values():
        overrides = {key: str(value) for key, value in (study.SETTINGS | settings | dict.fromkeys(reads, "x")).items()}
        assert configs.load(config, overrides).form == "short"
        assert set(reads.values()) <= set(study.DATA)
    for row, stages in study.ROWS.items():
        assert set(stages) <= set(study.STAGES), row
    for names, who, _, _ in study.DATA.values():
        assert not set(names) & set(study.GROUPS["unseen"]) and who in ("teacher", *study.ROWS)


def test_what_the_pilot_found_best_is_what_the_rows_use(study: ModuleType):
    tried = json.loads((ROOT / "docs" / "results" / "study_pilot.json").read_text())["rows"]
    for row, settings in study.PILOT.items():
        assert [each["settings"] for each in tried[row]] == list(settings), row
        best = max(tried[row], key=lambda each: each["score"]["mean"])["settings"]
        assert best.items() <= study.STAGES[study.ROWS[row][-1]][1].items(), row


def test_the_text_loss_of_a_game_that_the_model_knows_is_the_smaller_one(study: ModuleType, monkeypatch):
    monkeypatch.setattr(study, "EPISODES", 4)
    monkeypatch.setattr(study, "GAMES", ("textmapworld", "ta_mastermind"))
    found = study.text_loss("tiny")
    assert 0 < found["textmapworld"] < 1 < found["ta_mastermind"]


@pytest.mark.slow
def test_rows_are_made_from_a_base_and_shown(study: ModuleType, monkeypatch, tmp_path: Path):
    shutil.copytree(ROOT / "playpen_jax" / "tiny", tmp_path / "base")
    (tmp_path / "base" / "metrics.jsonl").touch()
    (tmp_path / "base" / "account.json").write_text('{"processor": 1.0, "wall": 1.0}')
    few = {stage: (config, settings | {"steps": 2}, reads) for stage, (config, settings, reads) in study.STAGES.items()}
    monkeypatch.setattr(study, "STAGES", few)
    monkeypatch.setattr(study, "DATA", {"teacher": (("textmapworld",), "teacher", {"instances": 8}, "interactions")})
    monkeypatch.setattr(study, "EPISODES", 2)
    monkeypatch.setattr(study, "PILOT", {"sft": ({"optim.learning_rate": 1e-4},)})
    monkeypatch.setattr(study, "PILOT_PLAYS", {"instances": 2, "plays": 2})
    for row in ("base", "sft", "grpo"):
        study.run(row, 0, tmp_path)
        before = (tmp_path / "rows" / f"{row}-0.json").stat().st_mtime_ns
        study.run(row, 0, tmp_path)
        assert (tmp_path / "rows" / f"{row}-0.json").stat().st_mtime_ns == before, "a row that is there is left alone"
    text = study.tables(study.summary(study.read(tmp_path)))
    assert "| `grpo` | 1 |" in text and "nan" not in text
    (tried,) = study.pilot(tmp_path)["sft"]
    assert tried["settings"] == {"optim.learning_rate": 1e-4} and 0 <= tried["score"]["mean"] <= 100
