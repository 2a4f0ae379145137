"""The metrics file survives any kill; what a batch of episodes says is counted by hand."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest

from games.core import Outcome
from playpen_jax import metrics
from playpen_jax.types import Episode, Turn


def episode(game="toy", status="success", score=100.0, level="easy", stops=("stop",), stop="end", seat=None):
    turns = tuple(Turn("guesser", "learner", "Guess.", "GUESS: a", how) for how in stops)
    return Episode(game, {"level": level}, 0, turns, Outcome(status, score, 1, 1, 0, seat=seat), stop)


def test_a_line_a_step_and_nothing_but_json(tmp_path):
    with metrics.Writer(tmp_path, tensorboard=False) as writer:
        writer.write(0, {"reward": np.float32(0.5), "kl": math.nan, "loss": -math.inf})
        writer.write(3, {"reward": 1})
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()  # flushed already
    assert lines == ['{"step": 0, "reward": 0.5, "kl": null, "loss": null}', '{"step": 3, "reward": 1.0}']
    assert metrics.read(tmp_path / "metrics.jsonl")[1] == {"step": 3, "reward": 1.0}
    assert not (tmp_path / "tensorboard").exists()


def test_steps_must_grow(tmp_path):
    with metrics.Writer(tmp_path, tensorboard=False) as writer:
        writer.write(1, {"a": 1})
        with pytest.raises(ValueError, match="step 1 comes after step 1"):
            writer.write(1, {"a": 2})
        with pytest.raises(ValueError, match="called 'step'"):
            writer.write(2, {"step": 2})


@pytest.mark.parametrize("saved", [None, 0, 1, 2])
def test_killed_at_any_byte_and_resumed_every_step_is_there_once(tmp_path, saved):
    def run(resume, last=3):
        with metrics.Writer(tmp_path, resume=resume, tensorboard=False) as writer:
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
    with metrics.Writer(tmp_path) as writer:
        writer.write(1, {"games/toy/score": 0.5, "kl": math.nan})
        writer.write(2, {"games/toy/score": 0.25})
    assert events(tmp_path / "tensorboard") == ([(1, "games/toy/score", 0.5), (2, "games/toy/score", 0.25)], [0])
    with metrics.Writer(tmp_path, resume=1) as writer:
        writer.write(2, {"games/toy/score": 0.75})
    scalars, hidden = events(tmp_path / "tensorboard")
    assert (2, "games/toy/score", 0.75) in scalars and 2 in hidden


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
