"""The metrics file survives any kill; what a batch of episodes says is counted by hand."""

from __future__ import annotations

import functools
import json
import math
import resource
import struct
import sys

import numpy as np
import pytest

from games.core import Outcome
from playpen_jax import metrics, trackers
from playpen_jax.types import Episode, Turn


def episode(game="toy", status="success", score=100.0, level="easy", stops=("stop",), stop="end", seat=None):
    turns = tuple(Turn("guesser", "learner", "Guess.", "GUESS: a", how) for how in stops)
    return Episode(game, {"level": level}, 0, turns, Outcome(status, score, 1, 1, 0, seat=seat), stop)


def test_a_line_a_step_and_nothing_but_json(tmp_path):
    with metrics.Writer(tmp_path) as writer:
        writer.write(0, {"reward": np.float32(0.5), "kl": math.nan, "loss": -math.inf})
        writer.write(3, {"reward": 1})
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()  # flushed already
    assert lines == ['{"step": 0, "reward": 0.5, "kl": null, "loss": null}', '{"step": 3, "reward": 1.0}']
    assert metrics.read(tmp_path / "metrics.jsonl")[1] == {"step": 3, "reward": 1.0}
    assert not (tmp_path / "tensorboard").exists()


def test_steps_must_grow(tmp_path):
    with metrics.Writer(tmp_path) as writer:
        writer.write(1, {"a": 1})
        with pytest.raises(ValueError, match="step 1 comes after step 1"):
            writer.write(1, {"a": 2})
        with pytest.raises(ValueError, match="called 'step'"):
            writer.write(2, {"step": 2})


@pytest.mark.parametrize("saved", [None, 0, 1, 2])
def test_killed_at_any_byte_and_resumed_every_step_is_there_once(tmp_path, saved):
    def run(resume, last=3):
        with metrics.Writer(tmp_path, resume=resume) as writer:
            for step in range(0 if resume is None else resume + 1, last + 1):
                writer.write(step, {"value": step / 7})

    path = tmp_path / "metrics.jsonl"
    run(None)
    whole = path.read_bytes()
    first = 0 if saved is None else len(b"".join(whole.splitlines(keepends=True)[: saved + 1]))
    for cut in range(first, len(whole) + 1):  # the lines up to the checkpoint were flushed before it was saved
        path.write_bytes(whole[:cut])
        run(saved)
        assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_cut_last_line_is_left_out_and_a_broken_one_before_it_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n\n{"step": 2, "caf\xc3')
    assert metrics.read(path) == [{"step": 1}]
    path.write_bytes(b'{"step": 1}\n{"ste\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2"):
        metrics.read(path)


def test_replace_leaves_the_old_file_if_writing_fails(tmp_path):
    path = tmp_path / "file"
    metrics.replace(path, "old")
    with pytest.raises(UnicodeEncodeError):
        metrics.replace(path, "\ud800")
    assert path.read_text() == "old"


def events(folder):
    """(step, tag, value) of the event files, and the steps from which on older ones are hidden."""
    from tensorboardX.proto.event_pb2 import Event

    scalars, hidden = [], []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            scalars += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            hidden += [event.step] if event.HasField("session_log") else []
    return scalars, hidden


def test_tensorboard_gets_the_same_numbers(tmp_path):
    with metrics.Writer(tmp_path, None, [trackers.TensorBoard(tmp_path, 0)]) as writer:
        writer.write(1, {"games/toy/score": 0.5, "kl": math.nan})
        writer.write(2, {"games/toy/score": 0.25})
    assert events(tmp_path / "tensorboard") == ([(1, "games/toy/score", 0.5), (2, "games/toy/score", 0.25)], [0])
    with metrics.Writer(tmp_path, 1, [trackers.TensorBoard(tmp_path, 2)]) as writer:
        writer.write(2, {"games/toy/score": 0.75})
    scalars, hidden = events(tmp_path / "tensorboard")
    assert (2, "games/toy/score", 0.75) in scalars and 2 in hidden


class Shown:
    """A package of the interface that wandb and trackio share."""

    def __init__(self):
        self.calls = []
        self.init, self.log, self.finish = (functools.partial(self._note, kind) for kind in ("init", "log", "finish"))

    def _note(self, kind, /, *args, **options):
        self.calls.append((kind, args, options))


@pytest.mark.parametrize("name", trackers.SERVICES)
def test_a_service_gets_the_same_numbers_and_goes_on_with_the_same_run(tmp_path, monkeypatch, name):
    module = Shown()
    monkeypatch.setitem(sys.modules, name, module)
    for first in (1, 2):
        with metrics.Writer(tmp_path, first - 1 or None, [trackers.Service(name, tmp_path, {"seed": 3})]) as writer:
            writer.write(first, {"reward": 0.5, "kl": math.nan})
    inits = [options for kind, _, options in module.calls if kind == "init"]
    assert inits[0] == inits[1] and inits[0]["config"] == {"seed": 3} and inits[0]["resume"] == "allow"
    assert [(kind, args, options) for kind, args, options in module.calls if kind == "log"] == [
        ("log", ({"reward": 0.5},), {"step": 1}),
        ("log", ({"reward": 0.5},), {"step": 2}),
    ]
    assert [kind for kind, _, _ in module.calls].count("finish") == 2


def test_a_service_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ValueError, match="tracker=trackio needs the package trackio: pip install trackio"):
        trackers.check("trackio")


def test_a_line_that_the_disk_cuts_short_can_be_written_again(tmp_path):
    """The limit on the size of files is the kernel's own full disk."""
    with metrics.Writer(tmp_path) as writer:
        writer.write(1, {"a": 1})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, hard))
        try:
            with pytest.raises(OSError):
                writer.write(2, {"a": 2})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / "metrics.jsonl").stat().st_size == 30  # a part of the line
        writer.write(2, {"a": 2})
        (tmp_path / "metrics.jsonl").unlink()
        writer.write(3, {"a": 3})
    assert metrics.read(tmp_path / "metrics.jsonl") == [{"step": n, "a": float(n)} for n in (1, 2, 3)]


def test_tensorboard_whose_thread_has_died_does_not_hold_up_the_run(tmp_path, caplog):
    board = trackers.TensorBoard(tmp_path, 0)
    worker = board._board.file_writer.event_writer._worker
    worker.stop()
    for step in range(50):  # more than its queue holds
        board.write(step, {"a": 1.0})
    board.close()
    assert [r.getMessage() for r in caplog.records if "TensorBoard's writer has died" in r.getMessage()]


def test_json_text_of_anything_we_write():
    value = {"a": [math.nan, np.float32(2), np.arange(2)], 3: (True, None, "\ud800é"), "b": {"c": math.inf}}
    assert json.loads(metrics.json_text(value)) == {"a": [None, 2.0, [0, 1]], "3": [True, None, "\ud800é"], "b": {"c": None}}
    assert metrics.json_text("é").isascii()


def test_episode_metrics_counted_by_hand():
    made = metrics.episode_metrics(
        [
            episode(score=50.0, stops=("stop", "length", "text")),
            episode(status="lose", score=0.0, level="hard"),
            episode(status="aborted", score=math.nan, seat="guesser", stops=()),
            episode(status="aborted", score=math.nan, stop="context", stops=("text",)),
            episode("other", score=80.0),
        ]
    )
    assert made == {
        "games/toy/score": 12.5,
        "games/toy/success": 0.25,
        "games/toy/aborted": 0.5,
        "games/toy/turns": 1.25,
        "games/toy/level/easy/score": pytest.approx(50 / 3),
        "games/toy/level/hard/score": 0.0,
        "games/toy/aborted_by/guesser": 0.25,
        "games/other/score": 80.0,
        "games/other/success": 1.0,
        "games/other/aborted": 0.0,
        "games/other/turns": 1.0,
        "stops/end": 0.8,
        "stops/turns": 0.0,
        "stops/context": 0.2,
        "reply_stops/stop": 0.75,
        "reply_stops/length": 0.25,
    }
    assert metrics.episode_metrics([]) == {}
