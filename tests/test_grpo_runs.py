"""Whole runs with what a single step cannot show: partners that are earlier selves, forks, general data, a moving reference."""

from __future__ import annotations

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from playpen_jax import checkpoint, metrics, train
from tests.test_train import argv, rows, run

QUICK = {"eval.episodes": 0, "tensorboard": False, "checkpoints.every": 1, "checkpoints.keep": 10}


def test_earlier_selves_and_other_policies_play_along_and_are_not_learned_from(imitated, tmp_path):
    pool = f"letters_pair.right=past*2|folder:{imitated}|learner"
    settings = {"games": "letters_pair", "players": pool, "pool.every": 1, "pool.keep": 2, "model.path": imitated}
    workdir = run(tmp_path / "run", **QUICK, **settings, steps=3)
    seated = set()
    for step in (1, 2, 3):
        for episode in metrics.read(workdir / "episodes" / f"step_{step:06d}.jsonl"):
            players = {turn["seat"]: turn["player"] for turn in episode["turns"]}
            assert players["left"] == "learner"
            seated.add(players["right"])
    assert seated == {"past", f"folder:{imitated}", "learner"}
    assert sorted(path.name for path in (workdir / "pool").iterdir()) == ["1", "2"]
    for row in rows(workdir):
        assert row["games/letters_pair/left/reward"] > 0
        assert row["sampling/sampling_logp_difference/max"] < 1e-4, "a row of other weights would be far off"


class Partner(BaseHTTPRequestHandler):
    """Says h, but will not answer a quarter of the draws, whoever asks again."""

    asked: list[dict] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        status = 400 if body["seed"] % 4 == 0 else 200
        raw = json.dumps({"choices": [{"message": {"content": "h"}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


def test_a_partner_behind_an_endpoint_plays_along_and_its_faults_are_left_out(imitated, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Partner)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spec = f"http://127.0.0.1:{server.server_address[1]}/v1#partner"
    settings = {"games": "letters_pair", "players": f"letters_pair.right={spec}", "model.path": imitated}
    workdir = run(tmp_path / "run", **QUICK, **settings, steps=2)
    server.shutdown()
    server.server_close()
    found = rows(workdir)
    lost = sum(row["rollout/failed"] for row in found)
    assert 0 < lost < 32, "a quarter of the first tries, and of the second ones"
    played = [e for step in (1, 2) for e in metrics.read(workdir / "episodes" / f"step_{step:06d}.jsonl")]
    assert len(played) == 64 - lost and {e["stop"] for e in played} == {"end"}
    assert {t["reply"] for e in played for t in e["turns"] if t["player"] == spec} == {"h"}
    assert all(math.isfinite(row["loss"]) and row["games/letters_pair/left/reward"] > 0 for row in found)
    assert {len(body["messages"]) for body in Partner.asked} == {1, 3} and {body["model"] for body in Partner.asked} == {
        "partner"
    }


def test_forks_two_updates_a_mask_a_moving_reference_and_general_data_in_one_run(imitated, tmp_path):
    general = tmp_path / "general.jsonl"
    said = [{"role": "user", "content": "Say a."}, {"role": "assistant", "content": "h"}]
    general.write_text(json.dumps({"messages": said}) + "\n")
    settings = {
        **{"grpo.variant": "gspo", "grpo.credit": "fork", "grpo.updates": 2, "grpo.correction": "mask", "grpo.beta": 0.1},
        **{"grpo.kl": "k2", "grpo.reference": "average", "grpo.reference_every": 2, "grpo.reference_decay": 0.25},
        **{"data.general": general, "replay.weight": 0.5, "replay.rows": 2, "data.unique": False},
    }
    workdir = run(tmp_path / "run", **QUICK, **settings, **{"model.path": imitated}, steps=3)
    found = rows(workdir)
    assert all(math.isfinite(value) for row in found for value in row.values())
    assert found[0]["replay/nll"] > found[2]["replay/nll"] > 0, "the general data is learned too"
    assert found[0]["ratio/mean"] == pytest.approx(1, abs=0.1)
    weights = [checkpoint.load_params(workdir / "checkpoints" / str(2 * step))[1] for step in (1, 2, 3)]
    start = checkpoint.load_params(checkpoint.find(imitated))[1]
    average = start["embed"]
    for params in weights:
        average = 0.25 * average + 0.75 * params["embed"]
    kept = read_reference(workdir / "checkpoints" / "6", start)
    np.testing.assert_allclose(kept["embed"], average, rtol=1e-5, atol=1e-7)
    masked = metrics.read(workdir / "samples" / "step_000001.jsonl")
    assert any(advantage for sample in masked for _, advantage in sample["pieces"])
    assert "What the loss saw" in (workdir / "report.html").read_text()


def read_reference(folder, like):
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as reader:
        return reader.restore((folder / "reference").absolute(), like)


def test_a_run_stops_when_a_score_falls_below_its_floor(imitated, tmp_path, capsys):
    settings = {"eval.floor": "letters=99", "eval.every": 1, "eval.episodes": 4, "eval.plays": 1, "tensorboard": False}
    assert train.main(argv(tmp_path / "run", settings | {"model.path": imitated, "steps": 5, "optim.learning_rate": 0.0})) == 0
    assert "stopped early at step 1: letters scores" in capsys.readouterr().out
    ended = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert ended["stopped"] == 1 and "below its floor of 99.0" in ended["why"]
    assert checkpoint.find(tmp_path / "run").name == "1"
