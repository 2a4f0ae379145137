"""Runs that imitate given dialogues: from files to weights, with the account, mixed, noisy, one sample a turn, resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from playpen_jax import draws
from tests.test_train import refused, rows, run, state


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """120 dialogues of a player who says one letter, a or b by the question, and three bad rows."""
    path = tmp_path_factory.mktemp("spoken") / "spoken.jsonl"
    lines = []
    for n in range(120):
        asked = "ab"[n % 2]
        turns = [("user", f"Say {asked}."), ("assistant", asked), ("user", "again"), ("assistant", asked)][
            : 2 + 2 * (n % 3 > 0)
        ]
        meta = {
            "game": "letters",
            "experiment": "one",
            "task_id": n,
            "model": "m",
            "outcome": ("success", "failure")[n % 5 == 0],
        }
        lines.append(json.dumps({"messages": [{"role": r, "content": c} for r, c in turns], "meta": meta}))
    path.write_text("\n".join([*lines, "{", "{}", '{"messages": []}']) + "\n")
    return path


def settings(spoken, **more) -> dict:
    base = {"algorithm": "sft", "data.paths": spoken, "data.bad": "skip", "data.outcomes": "success", "data.unique": "false"}
    return base | {"steps": 30, "eval.episodes": 0, "checkpoints.every": 0, "tensorboard": "false"} | more


def test_a_run_on_given_dialogues_learns_them_and_keeps_the_account(spoken, tmp_path):
    workdir = run(tmp_path / "run", **settings(spoken))
    nll = [row["nll"] for row in rows(workdir)]
    assert nll[0] > 4 and nll[-1] < 0.2, "what is said follows from the question"
    account = json.loads((workdir / "data.json").read_text())
    assert (account["read"], account["bad"]) == (120, 3)
    assert account["bad_rows"][0].startswith(f"{spoken}: line 121: not JSON: Expecting property name")
    assert account["selection"]["kept"] == 96 == account["samples"]["rows"]
    assert account["samples"]["filled"] > 0.8


@pytest.mark.parametrize(
    "more",
    [{"sft.turns": "each", "sft.examples": 24}, {"sft.neftune": 5.0, "optim.learning_rate": 0.02}],
    ids=["each", "noise"],
)
def test_other_ways_to_imitate_learn_too(spoken, tmp_path, more):
    workdir = run(tmp_path / "run", **settings(spoken, **more))
    assert [row["nll"] for row in rows(workdir)][-1] < 0.5
    if "sft.examples" in more:
        count = json.loads((workdir / "data.json").read_text())["samples"]["rows"]
        assert count > 96 and rows(workdir)[-1]["epoch"] == pytest.approx(30 * 24 / count)


def test_a_run_cut_after_some_steps_ends_as_one_that_was_not(spoken, tmp_path):
    whole = run(tmp_path / "whole", **settings(spoken, **{"steps": 6, "sft.examples": 7, "sft.neftune": 1.0}))
    cut = settings(spoken, **{"sft.examples": 7, "sft.neftune": 1.0})
    run(tmp_path / "cut", **cut | {"steps": 3})
    run(tmp_path / "cut", **cut | {"steps": 6})
    keys = lambda workdir: [(row["step"], row["loss"], row["grad_norm"]) for row in rows(workdir)]
    assert keys(tmp_path / "cut") == keys(whole)
    a, b = (np.asarray(state(folder).params["embed"]) for folder in (whole, tmp_path / "cut"))
    np.testing.assert_array_equal(a, b)


def test_bad_rows_stop_a_run_in_one_line_unless_they_are_skipped(spoken, tmp_path, capsys):
    line = refused(capsys, tmp_path / "run", settings(spoken) | {"data.bad": "refuse"})
    assert line.startswith(f"error: {spoken}: line 121: not JSON") and line.endswith("data.bad=skip leaves such rows out")
    spoken.with_name("good.jsonl").write_text("".join(spoken.read_text().splitlines(True)[:120]))
    good = settings(spoken) | {"data.paths": spoken.with_name("good.jsonl")}
    line = refused(capsys, tmp_path / "run", good | {"data.games": "chess"})
    assert line.startswith("error: data: no row is left:") and "96 dropped: game is not among data.games" in line
    line = refused(capsys, tmp_path / "run", good | {"batch.length": 4})
    assert "no dialogue is left to imitate" in line


def test_every_epoch_visits_every_example_once_in_an_order_of_its_own():
    epochs = [draws.epoch_order(10, 0, first, 10) for first in (0, 10)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2 and not np.array_equal(*epochs)
    across = draws.epoch_order(10, 0, 7, 6)
    np.testing.assert_array_equal(across, np.concatenate([epochs[0][7:], epochs[1][:3]]))
    assert not np.array_equal(epochs[0], draws.epoch_order(10, 1, 0, 10))


def test_a_stream_is_learned_from_and_goes_on_at_the_example_where_it_stopped(spoken, tmp_path):
    more = settings(spoken, **{"data.stream": "true", "sft.examples": 16})
    whole = run(tmp_path / "whole", **more)
    assert [row["nll"] for row in rows(whole)][-1] < 0.3
    run(tmp_path / "cut", **more | {"steps": 7})
    run(tmp_path / "cut", **more | {"steps": 12})
    assert [row["loss"] for row in rows(tmp_path / "cut")] == pytest.approx([row["loss"] for row in rows(whole)][:12], rel=1e-5)
