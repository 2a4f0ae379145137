"""A run that cannot be lost: pre-emption, kills, disks that refuse, numbers that are none, partners that never answer."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from games.core import Outcome
from playpen_jax import checkpoint, rollout, train
from playpen_jax import config as configs
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.learn import course, disk, grpo, interrupts, journal
from playpen_jax.learn.run import Run
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Counters
from playpen_jax.types import Episode, TokenRow, Turn
from tests.test_train import argv, assert_same_run, rows, run


def break_at(monkeypatch, target, name: str, count: int, action) -> list[int]:
    """`action()` comes before the call number `count` of `target.name`; the list counts the calls."""
    inner, calls = getattr(target, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            action()
        return inner(*args, **kwargs)

    monkeypatch.setattr(target, name, counted)
    return calls


# ---------------------------------------------------------------------------------------------- pre-emption


@pytest.mark.parametrize("place, count, step", [((rollout.Rollout, "_hear"), 100, 1), ((grpo, "prepared"), 3, 3)])
def test_sigterm_saves_ends_with_its_own_status_and_loses_nothing(
    played, short, tmp_path, monkeypatch, capsys, place, count, step
):
    """In the midst of a rollout it ends at once, in the midst of an update after it; 12 replies of evaluation, 48 a step."""
    with monkeypatch.context() as patch:
        break_at(patch, *place, count, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train.main(argv(tmp_path / "run", short)) == course.PREEMPTED == 75
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"SIGTERM: step {step} of 4 is saved; the same command goes on from there"
    assert checkpoint.find(tmp_path / "run").name == str(step) and len(rows(tmp_path / "run")) == step
    assert_same_run(run(tmp_path / "run", **short), played)


def test_signals_are_those_of_before_when_a_run_has_ended():
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


# ---------------------------------------------------------------------------------------------- rollouts in flight


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def kill():
    raise Killed


def test_episodes_that_had_ended_before_a_kill_are_not_played_again(played, short, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        heard = break_at(patch, rollout.Rollout, "_hear", 100, kill)
        train.main(argv(tmp_path / "run", short))
    assert len(heard) == 100
    ended = len((tmp_path / "run" / "journal" / "step_000002.0.jsonl").read_text().splitlines()) - 1
    assert 0 < ended < 32
    with monkeypatch.context() as patch:
        again = break_at(patch, rollout.Rollout, "_hear", 0, kill)
        assert_same_run(run(tmp_path / "run", **short), played)
    episodes = [line for line in (played / "episodes" / "step_000002.jsonl").read_text().splitlines()]
    assert len(episodes) == 32, "each episode once"
    assert len(again) < 4 * 48 + 2 * 12 - 48


def test_a_journal_of_other_weights_or_a_damaged_one_is_not_read(tmp_path, caplog):
    ids, mask = np.array([1, 2, 3], np.int32), np.array([False, True, True])
    logps = np.array([0, -0.1, -1 / 3], np.float32)
    played = Episode(
        "letters",
        {"letter": "a", "rounds": 1},
        2,
        (Turn("speaker", "learner", "Say a.", "\ud800 é", "length", True, (("Be short.", "Ok."),)),),
        Outcome("aborted", math.nan, 1, 0, 1, {"a": 0.1}, "nothing", "speaker", (0.25, 1 / 3)),
        "turns",
        {"speaker": TokenRow(ids, mask, logps, logps / 3, np.array([0, 1, 1], np.int16))},
    )
    jobs = [rollout.Job(None, played.instance, {})] * 3
    path = tmp_path / "journal" / "step_000001.0.jsonl"
    journal.Journal(path, jobs, [1.0, 2.0]).add(1, played)
    with open(path, "a") as file:
        file.write('{"job": 2, "episo')  # cut by a kill
    found = journal.Journal(path, jobs, [1.0, 2.0]).found
    assert list(found) == [1]
    again = found[1]
    for name in ("ids", "mask", "logps", "sampled_logps", "branches"):
        ours, theirs = getattr(again.rows["speaker"], name), getattr(played.rows["speaker"], name)
        assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()
    assert dataclasses.replace(again, rows={}).to_json() == played.to_json() and again.outcome.progress == (0.25, 1 / 3)
    assert not journal.Journal(path, jobs, [1.0, 2.5]).found
    assert not journal.Journal(path, jobs, [1.0, 2.0]).found, "it was begun anew"
    path.write_text("{\n{}\n")
    assert not journal.Journal(path, jobs, [1.0, 2.0]).found
    assert "played again" in caplog.text
    journal.forget(tmp_path, 0)
    assert path.exists()
    journal.forget(tmp_path, 1)
    assert not path.exists()


# ---------------------------------------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", folder], capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's threads, as they are let go
def test_a_full_disk_is_waited_for(played, short, small_disk, monkeypatch, capsys):
    """It fills up as the second step's checkpoint is to be written, and has room again when that was refused."""
    break_at(monkeypatch, course, "save", 2, lambda: fill(small_disk))
    pauses = break_at(monkeypatch, disk.time, "sleep", 0, kill)
    monkeypatch.setattr(disk.time, "sleep", lambda seconds: pauses.append((small_disk / "filler").unlink(missing_ok=True)))
    assert_same_run(run(small_disk / "run", **short, tensorboard=False), played)
    assert "cannot be written" in capsys.readouterr().err and pauses


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's threads, as they are let go
def test_a_disk_that_stays_full_ends_the_run_in_one_line_and_nothing_is_lost(played, short, small_disk, monkeypatch, capsys):
    settings = short | {"tensorboard": False, "checkpoints.patience": 0}
    with monkeypatch.context() as patch:
        break_at(patch, train, "save", 2, lambda: fill(small_disk))
        assert train.main(argv(small_disk / "run", settings)) == os.EX_IOERR
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "No space left on device" in last and "goes on from the newest checkpoint" in last
    (small_disk / "filler").unlink()
    assert_same_run(run(small_disk / "run", **settings), played)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's threads, as they are let go
def test_a_folder_that_vanishes_is_made_anew(played, short, tmp_path, monkeypatch):
    """As a bucket or a mount that is gone for a moment: from then on all is there, and the run can be resumed."""
    workdir = tmp_path / "run"
    break_at(monkeypatch, course, "save", 2, lambda: workdir.rename(tmp_path / "elsewhere"))
    run(workdir, **short, tensorboard=False)
    assert [row["step"] for row in rows(workdir)] == [1, 2, 3, 4]
    assert (workdir / "config.json").exists() and (workdir / "model" / "tokenizer.model").exists()
    assert checkpoint.find(workdir).name == "4"
    longer = run(workdir, **short | {"steps": 5, "tensorboard": False})
    assert len(rows(longer)) == 5


# ---------------------------------------------------------------------------------------------- numbers that are none


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_left_out_counted_and_its_batch_kept(short, tmp_path, monkeypatch, capsys, bad):
    inner = grpo.prepared

    def poisoned(made, number, played):
        batch, found = inner(made, number, played)
        poison = np.where(batch.mask > 0, np.float32(bad), 0)
        return (dataclasses.replace(batch, advantages=poison) if number == 1 else batch), found

    monkeypatch.setattr(grpo, "prepared", poisoned)
    settings = short | {"steps": 3, "eval.episodes": 0}
    workdir = run(tmp_path / "run", **settings)
    assert [row["skipped"] for row in rows(workdir)] == [0, 1, 0]
    assert [row["optim/skipped"] for row in rows(workdir)] == [0, 1, 1]
    params = [checkpoint.load_params(workdir / "checkpoints" / str(step))[1]["embed"] for step in (1, 2, 3)]
    assert np.array_equal(params[0], params[1]) and not np.array_equal(params[1], params[2])
    culprit = np.load(workdir / "culprits" / "step_000002.npz")
    assert not np.isfinite(culprit["advantages"]).all() and culprit["tokens"].any()
    assert "warning: step 2 is left out" in capsys.readouterr().err
    assert train.main(argv(tmp_path / "again", settings | {"optim.skips": 1})) == 2
    assert "1 updates were left out, as many as optim.skips allows" in capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------------------------------------- partners that hang


def test_episodes_of_a_partner_that_never_answers_are_given_up(tmp_path, monkeypatch, capsys):
    """The real clock and the real signal: four of six episodes end, then nothing happens."""
    config = configs.Config(rollout=configs.Rollout(patience=0.3))
    game = type("Game", (), {"name": "slow"})
    jobs = [rollout.Job(game, {"number": i}, {}) for i in range(6)]

    def play(self, todo, done):
        for job in todo[:4]:
            done(Episode("slow", job.instance, 0, (), Outcome("lose", 0.0, 0, 0, 0), "end"))
        time.sleep(60)

    monkeypatch.setattr(rollout.Rollout, "play", play)
    monkeypatch.setattr(Run, "sampler", lambda self, how, name, policy: type("S", (), {"counters": Counters()}))
    made = Run(config, tmp_path, tmp_path / "checkpoints", None, Chat(ByteTokenizer()), None)
    began = time.monotonic()
    with made.interrupts:
        rolled = made.play({}, jobs, Sampling(), "step 1")
    assert time.monotonic() - began < 30
    assert [episode is None for episode in rolled.episodes] == [False] * 4 + [True] * 2 and len(rolled.ended) == 4
    assert "no episode of slow has ended for 0.3 seconds: 2 of 6 are given up" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- one step ahead


@pytest.mark.slow
def test_plays_one_step_ahead_are_those_of_a_killed_run_too(short, tmp_path):
    """Two devices, one of which plays: the run differs from one without, and repeats to the bit after kills."""
    settings = short | {"mesh.rollout": 1, "eval.every": 3, "grpo.correction": "truncate", "checkpoints.every": 2}
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}

    def start(workdir, code=""):
        needed = "import os, signal, sys, time\nfrom playpen_jax import train\nfrom playpen_jax.learn import grpo"
        script = f"{needed}\n{code}\nsys.exit(train.main(sys.argv[1:]))"
        command = [sys.executable, "-W", "error", "-c", script, *argv(workdir, settings)]
        return subprocess.run(
            command, env=env | {"WAIT_FOR": str(workdir / "checkpoints" / "2")}, capture_output=True, text=True, timeout=600
        )

    whole = start(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr[-2000:]
    dying = """
inner, calls = grpo.prepared, []
def prepared(*args):
    calls.append(1)
    if len(calls) == 4:
        while not os.path.exists(os.environ["WAIT_FOR"]):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(*args)
grpo.prepared = prepared"""
    assert start(tmp_path / "killed", dying).returncode == -signal.SIGKILL
    assert checkpoint.find(tmp_path / "killed").name == "2"
    again = start(tmp_path / "killed")
    assert again.returncode == 0, again.stderr[-2000:]
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    gaps = [row["sampling/sampling_logp_difference/max"] for row in rows(tmp_path / "whole")]
    assert gaps[0] < 1e-4 < 1e-3 < gaps[1], "the second step was played by the weights from before the first update"
