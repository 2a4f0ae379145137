"""Whole runs of a tiny model on a tiny game: what they write, that they learn, repeat to the bit and survive any kill."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from playpen_jax import checkpoint, metrics, optim, sharding, train, update
from playpen_jax import config as configs
from playpen_jax.learn import folder, stopping
from playpen_jax.learn.run import NothingToLearn
from playpen_jax.state import TrainState
from tests.common import ROOT
from tests.test_checkpoint import DAMAGE, bits, restore

CONFIG = ROOT / "tests" / "letters.py"
STEPS = 4
SHORT = {"steps": STEPS, "grpo.beta": 0.05, "checkpoints.every": 1, "checkpoints.keep": 10, "eval.every": 2}
TIMES = ("time/", "step_time", "rollout/")  # metrics that no two runs share: what was in the journal is not sampled again


def argv(workdir: Path, settings: dict) -> list[str]:
    return [f"--config={CONFIG}", f"--workdir={workdir}", *(f"--config.{key}={value}" for key, value in settings.items())]


def run(workdir: Path, **settings) -> Path:
    """A run from its start to its end in this process."""
    assert train.main(argv(workdir, settings)) == os.EX_OK
    return workdir


def refused(capsys, workdir: Path, settings: dict) -> str:
    """The one line with which a run is refused."""
    with pytest.raises(SystemExit) as stop:
        train.main(argv(workdir, settings))
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def rows(workdir: Path) -> list[dict]:
    return metrics.read(workdir / "metrics.jsonl")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def state(workdir: Path) -> TrainState:
    """What the newest checkpoint holds."""
    config = configs.from_json(json.loads((workdir / "config.json").read_text()))
    c, params = checkpoint.load_params(checkpoint.find(workdir))
    tx, mesh = optim.make(config.optim, 1), sharding.make_mesh(configs.Mesh(), jax.devices()[:1])
    return restore(workdir / "checkpoints", update.fresh_state(tx, params, update.state_shardings(c, tx, mesh)))


def assert_same_run(found: Path, wanted: Path) -> None:
    """The same weights, optimizer, transcripts, evaluations and metrics, to the bit; every step once."""
    assert bits(state(found)) == bits(state(wanted))
    for part in ("episodes", "evaluations"):
        assert files(found / part) == files(wanted / part)
    ours, theirs = rows(found), rows(wanted)
    assert [row["step"] for row in ours] == list(range(1, len(theirs) + 1))
    for a, b in zip(ours, theirs, strict=True):
        assert {k: v for k, v in a.items() if not k.startswith(TIMES)} == {
            k: v for k, v in b.items() if not k.startswith(TIMES)
        }


# ---------------------------------------------------------------------------------------------- what a run writes


def test_a_run_of_play_writes_what_is_promised(played, imitated):
    names = {path.name for path in played.iterdir()}
    assert names == {
        *("checkpoints", "command.txt", "config.json", "episodes", "evaluations", "finished.json", "leaks.json", "samples"),
        *("journal", "metrics.jsonl", "model", "moved.json", "report.html", "tensorboard"),
    }
    config = configs.from_json(json.loads((played / "config.json").read_text()))
    assert (config.steps, config.grpo.beta, config.model.path) == (STEPS, 0.05, str(imitated))
    assert config.rollout == configs.load(str(CONFIG)).rollout
    assert [row["step"] for row in rows(played)] == [1, 2, 3, 4]
    assert sorted(path.name for path in (played / "checkpoints").iterdir()) == ["1", "2", "3", "4"]
    assert sorted(path.name for path in (played / "evaluations").iterdir()) == [
        f"step_{step:06d}.{kind}" for step in (0, 2, 4) for kind in ("episodes.jsonl", "json")
    ]
    assert {"config.json", "tokenizer.model"} <= {path.name for path in (played / "model").iterdir()}
    assert "reward" in (played / "report.html").read_text()
    assert any(path.stat().st_size > 1000 for path in (played / "tensorboard").glob("events.*"))
    assert (played / "command.txt").read_text().startswith("python -m playpen_jax.train --config=")


def test_metrics_have_the_names_that_users_of_trl_know_and_a_family_per_game(played):
    for row in rows(played):
        assert set(row) >= {
            *("step", "loss", "reward", "reward_std", "frac_reward_zero_std", "kl", "entropy", "grad_norm", "learning_rate"),
            *("num_tokens", "step_time", "completions/mean_length", "completions/clipped_ratio", "clip_ratio/region_mean"),
            *("clip_ratio/low_mean", "clip_ratio/high_mean", "sampling/sampling_logp_difference/mean"),
            *("sampling/sampling_logp_difference/max", "sampling/importance_sampling_ratio/mean"),
            *(f"games/letters/{name}" for name in ("score", "success", "aborted", "turns")),
            *(f"games/letters/level/{level}/score" for level in ("one", "two")),
        }
        assert all(value is not None and math.isfinite(value) for value in row.values())
        assert row["games/letters/score"] == pytest.approx(100 * row["reward"])
    counts = [row["num_tokens"] for row in rows(played)]
    assert all(a < b for a, b in zip(counts, counts[1:]))


def test_transcripts_hold_every_episode_and_replay_to_their_outcome(played):
    import games

    for step in range(1, STEPS + 1):
        episodes = metrics.read(played / "episodes" / f"step_{step:06d}.jsonl")
        assert len(episodes) == 4 * 8
        scores = [(episode["outcome"]["score"] or 0) / 100 for episode in episodes]  # null if aborted
        assert np.mean(scores) == pytest.approx(rows(played)[step - 1]["reward"])
        for episode in episodes:
            play = games.make("letters").start(episode["instance"])
            for turn in episode["turns"]:
                play.reply(turn["reply"])
            assert play.outcome.status == episode["outcome"]["status"]
            assert np.nan_to_num(play.outcome.score) == (episode["outcome"]["score"] or 0)


def test_sampler_and_learner_agree_on_every_step_of_a_run(played):
    for row in rows(played):
        assert row["sampling/sampling_logp_difference/max"] < 1e-4
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-5)
        assert row["clip_ratio/region_mean"] == 0


def test_the_kl_to_the_reference_is_nothing_at_first_and_then_grows(played):
    kl = [row["kl"] for row in rows(played)]
    assert 0 <= kl[0] < 1e-9
    assert kl[1] > 1e-4 and kl[-1] > kl[1]


def test_imitation_lowers_its_loss_and_can_be_loaded(imitated):
    nll = [row["nll"] for row in rows(imitated)]
    assert nll[0] > 5 and nll[-1] < 1.3  # ln(vocabulary), and half of ln(8): a letter and its end of turn
    assert [row["loss"] for row in rows(imitated)] == nll
    assert sorted(path.name for path in (imitated / "checkpoints").iterdir()) == ["40"]
    moved = json.loads((imitated / "finished.json").read_text())["moved"]
    assert min(moved.values()) > 0.01
    assert not (imitated / "episodes").exists()


def test_playing_raises_the_reward(imitated, tmp_path):
    """From one of eight letters, guessed, to the one that is paid."""
    workdir = run(tmp_path / "run", **{"model.path": imitated, "steps": 12})
    reward = [row["reward"] for row in rows(workdir)]
    assert np.mean(reward[:2]) < 0.3 and np.mean(reward[-2:]) > 0.8
    before, after = (json.loads((workdir / "evaluations" / f"step_{i:06d}.json").read_text())["table"] for i in (0, 12))
    assert before["letters"]["score"] < 40 and after["letters"]["score"] > 80


# ---------------------------------------------------------------------------------------------- again, and further


def test_the_same_seed_gives_the_same_run_to_the_bit_and_another_does_not(played, short, tmp_path):
    assert_same_run(run(tmp_path / "same", **short), played)
    other = run(tmp_path / "other", **short | {"seed": 1, "steps": 1, "eval.episodes": 0})
    assert files(other / "episodes")["step_000001.jsonl"] != files(played / "episodes")["step_000001.jsonl"]
    assert rows(other)[0]["grad_norm"] != rows(played)[0]["grad_norm"]


def test_a_finished_run_is_left_alone(played, short, capsys):
    stamps = {path: path.stat().st_mtime_ns for path in played.rglob("*")}
    before = files(played)
    assert train.main(argv(played, short)) == os.EX_OK
    assert "has made its 4 steps" in capsys.readouterr().out
    assert files(played) == before
    assert {path: path.stat().st_mtime_ns for path in played.rglob("*") if path != played} == {
        path: stamp for path, stamp in stamps.items() if path != played
    }


def test_a_finished_run_can_be_made_longer(played, short, tmp_path):
    workdir = Path(shutil.copytree(played, tmp_path / "run"))
    run(workdir, **short | {"steps": STEPS + 1})
    assert [row["step"] for row in rows(workdir)] == [1, 2, 3, 4, 5]
    assert rows(workdir)[:STEPS] == rows(played)
    assert checkpoint.find(workdir).name == "5" and len(files(workdir / "evaluations")) == 2 * 4
    assert json.loads((workdir / "finished.json").read_text())["steps"] == 5


def test_other_settings_on_the_same_folder_are_refused_in_one_line(played, short, capsys):
    before = files(played)
    line = refused(capsys, played, short | {"optim.learning_rate": 0.5, "seed": 3})
    assert line.startswith(f"error: --workdir={played} holds a run of other settings (seed: 0 is now 3; optim: ")
    assert line.endswith("choose another") and files(played) == before


def test_a_start_that_fails_can_be_mended_on_the_same_folder(imitated, tmp_path, capsys):
    line = refused(capsys, tmp_path / "run", {"model.path": tmp_path / "nothing"})
    assert "no such folder" in line and "Traceback" not in line
    run(tmp_path / "run", **{"model.path": imitated, "steps": 1, "eval.episodes": 0})


def test_a_damaged_checkpoint_is_passed_over_and_the_run_ends_as_if_nothing_had_been(played, short, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoint.logging, "warning", lambda text, *values: said.append(text % values))
    workdir = Path(shutil.copytree(played, tmp_path / "run"))
    DAMAGE["a bit flipped in the weights"](workdir / "checkpoints" / "4")
    (workdir / "finished.json").unlink()
    run(workdir, **short)
    assert [text for text in said if "checkpoints/4 cannot be read" in text]
    assert_same_run(workdir, played)


def test_if_no_checkpoint_can_be_read_a_run_says_so_in_one_line(played, short, tmp_path, capsys):
    workdir = Path(shutil.copytree(played, tmp_path / "run"))
    (workdir / "finished.json").unlink()
    for step in (1, 2, 3, 4):
        DAMAGE["weights cut short"](workdir / "checkpoints" / str(step))
    assert train.main(argv(workdir, short)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {workdir / 'checkpoints'}: none of the checkpoints [1, 2, 3, 4] can be read"]
    assert rows(workdir) == rows(played)


# ---------------------------------------------------------------------------------------------- kills


def killed(workdir: Path, settings: dict, place: str, count: int, wait_for: str = "") -> None:
    """A run in a process of its own that kills itself as it calls `module.name` for the `count`th time."""
    module, _, name = place.rpartition(":")
    script = f"""
import importlib, os, signal, sys, time
from pathlib import Path
from playpen_jax import train
*names, last = {name!r}.split(".")
target = importlib.import_module({module!r})
for name in names:
    target = getattr(target, name)
inner, calls = getattr(target, last), 0
def dying(*args, **kwargs):
    global calls
    calls += 1
    if calls == {count}:
        while {wait_for!r} and not (Path({str(workdir)!r}) / {wait_for!r}).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(*args, **kwargs)
setattr(target, last, dying)
train.main(sys.argv[1:])
"""
    command = [sys.executable, "-c", script, *argv(workdir, settings)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, f"{place} was not reached: {done.stderr[-2000:]}"


def test_a_run_killed_while_it_plays_saves_and_evaluates_ends_with_the_same_bits(played, short, tmp_path):
    workdir = tmp_path / "run"
    killed(workdir, short, "playpen_jax.rollout:Rollout._hear", 100, "checkpoints/1")  # 12 replies of the evaluation, 48 a step
    assert len(rows(workdir)) == 1 == len(files(workdir / "episodes"))
    killed(workdir, short, "playpen_jax.checkpoint:digests", 2)  # in the midst of the second save from here
    assert checkpoint.find(workdir).name == "2" and (workdir / "checkpoints" / "3.orbax-checkpoint-tmp").exists()
    killed(workdir, short, "playpen_jax.scores:write_evaluation", 1, "checkpoints/4")  # nothing is left but this
    assert len(rows(workdir)) == 4 and not (workdir / "evaluations" / "step_000004.json").exists()
    assert_same_run(run(workdir, **short), played)


def progress(workdir: Path) -> dict[Path, int]:
    """The bytes of what grows as a run goes on: its journals, a line an episode, and its metrics, a line a step."""
    found = {}
    for file in (*workdir.glob("journal/step_*.jsonl"), workdir / "metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # a journal is deleted when a checkpoint holds what came of it
            found[file] = file.stat().st_size
    return found


def kill_after(growth: int, delay: float, workdir: Path, settings: dict) -> tuple[int, int, bool]:
    """A run that is killed some seconds after its files grew by so many bytes; at which step, episode, and save.

    What the run itself has done says when, not the clock: on a loaded machine it is killed no earlier.
    """
    command = [sys.executable, "-m", "playpen_jax.train", *argv(workdir, settings)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        grown, before = 0, progress(workdir)
        while grown < growth and process.poll() is None:
            time.sleep(0.002)
            now = progress(workdir)
            grown, before = grown + sum(max(0, size - before.get(file, 0)) for file, size in now.items()), now
        time.sleep(delay)
        process.kill()
        said = process.stderr.read()
    assert process.returncode == -signal.SIGKILL, f"the run ended before it was killed: {said[-2000:]}"
    journals = sorted(workdir.glob("journal/step_*"))
    ended = len(journals[-1].read_bytes().splitlines()) - 1 if journals else 0
    saving = any(workdir.glob("checkpoints/*tmp*"))
    return len(rows(workdir)) if (workdir / "metrics.jsonl").exists() else 0, ended, saving


@pytest.mark.slow
def test_one_run_killed_at_twenty_five_random_moments_ends_with_the_same_bits(short, tmp_path, capsys):
    """Each start is killed after a random amount of work, in whatever it does then, and the run goes on from there."""
    rng, steps, workdir = random.Random(0), 120, tmp_path / "run"
    settings = short | {"steps": steps, "optim.learning_rate": 1e-4, "eval.every": 30}
    settings |= {"checkpoints.every": 2, "checkpoints.keep": 2}
    undisturbed = run(tmp_path / "undisturbed", **settings)
    moments = [kill_after(rng.randint(1, 60_000), rng.uniform(0, 0.1), workdir, settings) for _ in range(25)]
    assert_same_run(run(workdir, **settings), undisturbed)
    played = [line for i in range(steps) for line in metrics.read(workdir / "episodes" / f"step_{i + 1:06d}.jsonl")]
    assert len(played) == len({(str(e["instance"]), e["sample"], e["game_id"]) for e in played}) == steps * 32
    with capsys.disabled():
        print(json.dumps({"kills": len(moments), "steps written, episodes in the journal, a save under way": moments}))
    assert len(set(moments)) > 12, f"the kills came at the same moment: {moments}"
    assert len({step for step, _, _ in moments}) > 5, f"the kills came at the same step: {moments}"
    assert any(0 < episodes < 32 for _, episodes, _ in moments), f"no kill came while it played: {moments}"


def test_a_run_on_a_mesh_of_fakes_begins_with_the_same_play(played, short, tmp_path):
    """Two devices that share weights and rows: the first step's transcripts are those of one, the update's numbers nearly."""
    settings = short | {"steps": 2, "mesh.fsdp": 2, "eval.episodes": 0, "batch.micro": 1}  # fewer rows than devices
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-W", "error", "-m", "playpen_jax.train", *argv(tmp_path / "run", settings)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 cpu device(s)" in done.stdout
    first = "step_000001.jsonl"
    assert files(tmp_path / "run" / "episodes")[first] == files(played / "episodes")[first]
    for name in ("reward", "loss", "entropy", "grad_norm", "update_norm"):
        assert rows(tmp_path / "run")[0][name] == pytest.approx(rows(played)[0][name], rel=1e-4, abs=1e-6)
    folder.open_workdir(train.parse(argv(tmp_path / "run", settings))[0], tmp_path / "run")  # it may go on


# ---------------------------------------------------------------------------------------------- runs that cannot learn


def test_a_step_without_anything_to_learn_from_is_said_and_too_many_end_the_run(capsys):
    config = configs.Config()
    idle = {"grad_norm": 0.0, "frac_reward_zero_std": 1.0, "reward": 0.25, "skipped": 0.0}
    assert stopping.idle_steps(config, 1, idle | {"grad_norm": 1.0, "frac_reward_zero_std": 0.5}, 7) == 0
    assert not capsys.readouterr().err
    assert stopping.idle_steps(config, 2, idle, 0) == 1
    assert stopping.idle_steps(config, 3, idle | {"grad_norm": 0.1}, 1) == 2  # only the KL pulls
    assert stopping.idle_steps(config, 4, idle | {"frac_reward_zero_std": 0.5}, 2) == 3
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "warning: step 2 has nothing to learn from: all plays of each instance earned the same reward",
        "warning: step 3 has nothing to learn from: all plays of each instance earned the same reward",
        "warning: step 4 has nothing to learn from: the gradient is exactly 0",
    ]
    assert stopping.idle_steps(config, 20, idle, 18) == 19
    with pytest.raises(NothingToLearn, match=r"in 20 steps in a row \(mean reward 0.25\)"):
        stopping.idle_steps(config, 21, idle, 19)
    assert stopping.idle_steps(config, 5, {"grad_norm": math.nan, "skipped": 1.0}, 4) == 4  # it counts as left out
    with pytest.raises(NothingToLearn, match="step 1: the gradient is exactly 0"):
        stopping.idle_steps(configs.Config(algorithm="sft"), 1, {"grad_norm": 0.0, "skipped": 0.0}, 0)


def test_a_run_whose_plays_are_all_alike_ends_with_an_error(imitated, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stopping, "IDLE", 3)
    settings = {"model.path": imitated, "rollout.temperature": 0, "steps": 9, "eval.episodes": 0}  # greedy: no two plays differ
    assert train.main(argv(tmp_path / "run", settings)) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said if line.startswith(("warning", "error"))] == ["warning"] * 3 + ["error"]
    assert "all plays of each instance earned the same reward in 3 steps in a row" in said[-1]
    assert [row["frac_reward_zero_std"] for row in rows(tmp_path / "run")] == [1, 1, 1]


def test_a_run_in_which_the_learner_never_speaks_ends_with_an_error(imitated, tmp_path, capsys):
    settings = {"model.path": imitated, "rollout.context": 4, "steps": 9, "eval.episodes": 0}
    assert train.main(argv(tmp_path / "run", settings)) == 2
    assert "error: step 1: the learner said nothing in any of 32 episodes (more than 4 tokens)" in capsys.readouterr().err


def test_imitation_of_nothing_is_refused(tmp_path, capsys):
    line = refused(capsys, tmp_path / "run", {"algorithm": "sft", "batch.length": 4})
    assert line == "error: no dialogue is left to imitate: batch.length or sft.episodes is too small"


def test_imitation_without_a_gradient_ends_with_an_error(imitated, tmp_path, capsys, monkeypatch):
    nothing = {"grad_norm": 0.0, "loss": 1.0, "skipped": 0.0}
    monkeypatch.setattr(update, "make", lambda *_, **__: lambda state, ref, batch, used: (state, nothing))
    settings = {"algorithm": "sft", "model.path": imitated, "steps": 9, "eval.episodes": 0}
    assert train.main(argv(tmp_path / "run", settings)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: step 1: the gradient is exactly 0"


def test_rows_that_cannot_be_dealt_out_are_refused_in_one_line(imitated, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sharding, "make_mesh", lambda *_: jax.sharding.AbstractMesh((3, 1, 1), ("data", "fsdp", "tensor")))
    line = refused(capsys, tmp_path / "run", {"model.path": imitated})
    assert line == "error: batch.micro=8 rows cannot be dealt out to 3 devices"
