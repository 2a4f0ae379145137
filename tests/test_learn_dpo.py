"""Runs that learn by preference: from files to weights, on dialogues and on turns, with every way to keep the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest

from playpen_jax import moves, train, update
from tests.test_launch import start, weights
from tests.test_train import argv, refused, rows, run


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A policy that says one of four letters, each as often."""
    path = tmp_path_factory.mktemp("base") / "spoken.jsonl"
    talk = lambda n: [("user", "Say a."), ("assistant", "abcd"[n % 4]), ("user", "2?"), ("assistant", "abcd"[n // 4 % 4])]
    lines = [{"messages": [{"role": r, "content": c} for r, c in talk(n)], "meta": {}} for n in range(160)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"algorithm": "sft", "data.paths": path, "data.unique": "false", "steps": 40, "eval.episodes": 0}
    return run(tmp_path_factory.mktemp("base") / "run", **settings, **{"checkpoints.every": 0, "tensorboard": "false"})


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    """Two-turn plays of 16 instances: those that say a twice succeed, one in five of the others is aborted."""
    path = tmp_path_factory.mktemp("plays") / "plays.jsonl"
    lines = []
    for n in range(160):
        words = "abcd"[n % 4], "abcd"[n // 4 % 4]
        outcome = "success" if words == ("a", "a") else ("aborted", "failure")[n % 5 > 0]
        talk = [("user", "Say a."), ("assistant", words[0]), ("user", "2?"), ("assistant", words[1])]
        meta = {"game": "letters", "experiment": "two", "task_id": n // 64, "game_role": "Speaker", "outcome": outcome}
        lines.append({"messages": [{"role": r, "content": c} for r, c in talk], "meta": meta})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def settings(base, plays, **more) -> dict:
    found = {"algorithm": "dpo", "model.path": base, "data.paths": plays, "steps": 15, "optim.learning_rate": 3e-3}
    found |= {"data.unique": "false", "dpo.negatives": 0, "dpo.pairs": 8, "eval.episodes": 0, "checkpoints.every": 0}
    return found | {"tensorboard": "false"} | more


@pytest.mark.parametrize(
    "more", [{}, {"dpo.level": "turn", "dpo.reference": "precomputed", "dpo.sft": 0.1}], ids=["dialogue", "turn"]
)
def test_a_run_learns_to_prefer_and_begins_where_nothing_is_preferred(base, plays, tmp_path, more):
    workdir = run(tmp_path / "run", **settings(base, plays, **more))
    found = rows(workdir)
    assert found[0]["loss"] - more.get("dpo.sft", 0) * found[0]["nll"] == pytest.approx(0.6931, abs=1e-3)
    assert abs(found[0]["rewards/margins"]) < 1e-4 < found[-1]["rewards/margins"]
    assert found[-1]["rewards/accuracies"] > 0.9 and found[-1]["loss"] < 0.9 * found[0]["loss"]
    assert found[-1]["logps/chosen"] > found[-1]["logps/rejected"]
    account = json.loads((workdir / "data.json").read_text())
    assert account["pairs"]["kept"] == account["rows"]["pairs"] == account["rows"]["rows"] > 0
    assert account["rows"]["tokens_shared"] > 0
    assert (workdir / "reference").exists() == ("dpo.reference" in more)
    assert max(json.loads((workdir / "finished.json").read_text())["moved"].values()) > 0


def test_the_reference_kept_on_disk_and_the_frozen_one_give_the_same_run(base, plays, tmp_path):
    runs = [
        run(tmp_path / kind, **settings(base, plays, **{"dpo.reference": kind, "steps": 3}))
        for kind in ("frozen", "precomputed")
    ]
    losses = [[row["loss"] for row in rows(workdir)] for workdir in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0][2] < losses[0][0]


def test_what_cannot_be_preferred_is_refused_in_one_line(base, plays, tmp_path, capsys):
    good = settings(base, plays)
    for more, why in (
        ({"model.path": "none"}, "error: algorithm=dpo starts from a model that can play: model.path is None"),
        ({"dpo.kinds": "success"}, "error: dpo: no success has a play of the same instance and role to be preferred to"),
        ({"dpo.beta": 0}, "error: dpo: beta > 0, sft >= 0 and 0 <= smoothing < 0.5 are wanted"),
        ({"batch.length": 4}, "error: dpo: no pair fits batch.length=4: "),
        ({"data.paths": ""}, "error: algorithm=dpo learns from pairs or dialogues: data.paths names none"),
    ):
        assert refused(capsys, tmp_path / "run", good | more).startswith(why)


def test_a_run_proves_that_it_trained_or_ends_with_an_error(base, plays, tmp_path, capsys, monkeypatch):
    workdir = run(tmp_path / "run", **settings(base, plays, steps=2))
    moved = json.loads((workdir / "moved.json").read_text())
    assert {name.partition(".")[0] for name in moved} == {"embed", "layers", "norm"}
    assert {"layers.q.0", "layers.q.1"} < set(moved) and min(moved[name] for name in moved if "norm" not in name) > 0
    assert "How far the weights moved" in (workdir / "report.html").read_text()
    still = settings(base, plays, **{"steps": 2, "optim.learning_rate": 1e-20})
    capsys.readouterr()
    assert train.main(argv(tmp_path / "still", still)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: after 2 steps no weight has moved: nothing was trained"
    assert not (tmp_path / "still" / "finished.json").exists()
    nothing = {"grad_norm": 0.0, "loss": 1.0, "skipped": 0.0}
    monkeypatch.setattr(update, "make", lambda *_, **__: lambda state, ref, batch, used: (state, nothing))
    assert train.main(argv(tmp_path / "vain", settings(base, plays))) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: step 1: the gradient is exactly 0"


def test_a_table_of_moves_names_what_stood_still():
    table = moves.section({"embed": 0.02, "layers.q.0": 0.01, "layers.q.1": 0.0, "norm": 0.001})
    assert moves.blocks({"embed": 1.0, "layers.q.0": 2.0, "layers.q.1": 3.0}) == {"embed": [1.0], "layers.q": [2.0, 3.0]}
    assert "Did not move: layers.q.1." in table and table.count("<tr>") == 3 and "<b>0</b>" in table
    assert moves.section({}) == "" and "Every block moved." in moves.section({"norm": 0.1})


@pytest.mark.slow
def test_two_processes_share_a_reference_kept_on_disk_and_learn_what_one_learns(base, plays, tmp_path):
    """Weights are cut over both; after a restart the first process finds the file, the other does not."""
    found = {}
    more = {"dpo.reference": "precomputed", "mesh.fsdp": 2, "checkpoints.every": 1}
    for count, goes in ((2, (1, 3)), (1, (3,))):
        workdir = tmp_path / str(count)
        for steps in goes:
            own = argv(workdir, settings(base, plays, steps=steps, **more))
            process = start(count, workdir, *(word for word in own if "--workdir" not in word), devices=2 // count)
            _, err = process.communicate(timeout=600)
            assert process.returncode == 0, err
        log = (workdir / "logs" / "process-0.log").read_text()  # the first process speaks
        assert (log.count("rows written to"), log.count("rows read from")) == (1, len(goes) - 1)
        found[count] = [row["loss"] for row in rows(workdir)], weights(workdir)
    assert len(list((tmp_path / "2" / "reference").iterdir())) == 1 and len(found[2][0]) == 3
    np.testing.assert_allclose(found[2][0], found[1][0], rtol=1e-4)
    for a, b in zip(found[2][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_the_reference_of_fresh_adapters_is_the_model_without_them(base, plays, tmp_path, capsys):
    runs = [
        run(tmp_path / kind, **settings(base, plays, **{"dpo.reference": kind, "steps": 3, "lora.rank": 4}))
        for kind in ("off", "frozen")
    ]
    losses = [[row["loss"] for row in rows(workdir)] for workdir in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][0] == pytest.approx(0.6931, abs=1e-3) and losses[0][2] < losses[0][0]
    line = refused(capsys, tmp_path / "run", settings(base, plays, **{"dpo.reference": "off"}))
    assert line == "error: dpo.reference=off is the model without its adapters, but lora.rank is 0"
