"""Rows that stay on disk: in a seeded order, mixed, sharded, resumed to the example; data sets written and read back."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

from playpen_jax import dataset
from playpen_jax.config import ConfigError, Data
from playpen_jax.data import build, gather, stream
from playpen_jax.data.read import Dialogue, Pair, Reader
from tests.test_data_select import row, write


def file(path, count: int, first: int = 0):
    return write(path, [row(n, task_id=n, outcome=("success", "failure")[n % 3 == 0]) for n in range(first, first + count)])


def spoil(path) -> None:
    """Add a line that is no row."""
    path.write_text(path.read_text() + "{\n")


def numbers(found) -> list[int]:
    return [int(messages[0]["content"][1:]) for messages in found]


def test_an_epoch_of_a_stream_is_every_row_once_in_an_order_of_its_own(tmp_path):
    path = file(tmp_path / "rows.jsonl", 60)
    settings = Data(paths=(path,), stream=True, unique=False, outcomes=("success",))
    found = gather.stream(settings, seed=0)
    kept = [n for n in range(60) if n % 3]
    assert len(found) == 40 and found.account["selection"]["kept"] == 40
    epochs = [numbers(found[i] for i in range(e * 40, (e + 1) * 40)) for e in (0, 1)]
    assert [sorted(epoch) for epoch in epochs] == [kept, kept] and epochs[0] != epochs[1] != kept
    again = gather.stream(settings, seed=0)
    assert numbers(again[i] for i in range(17, 60)) == (epochs[0] + epochs[1])[17:60], "resumed at any example"
    assert numbers(gather.stream(settings, seed=1)[i] for i in range(40)) != epochs[0]


def test_streams_are_mixed_by_weight_and_dealt_out_to_hosts(tmp_path):
    games, general = file(tmp_path / "games.jsonl", 60), file(tmp_path / "general.jsonl", 20, first=1000)
    settings = Data(paths=(games,), general=(general,), general_weight=0.25, stream=True, unique=False)
    found = numbers(gather.stream(settings, 0)[i] for i in range(400))
    assert np.mean([n >= 1000 for n in found]) == pytest.approx(0.25, abs=0.01)
    assert {n for n in found if n < 1000} == set(range(60))
    parts = [stream.Lines([tmp_path / "games.jsonl"], Reader(), lambda row: True)]
    whole = stream.mixture(parts, [1.0], 0)
    shards = [stream.mixture(parts, [1.0], 0, shard, 3) for shard in range(3)]
    dealt = [shards[i % 3][i // 3] for i in range(90)]
    assert [row.where for row in dealt] == [whole[i].where for i in range(90)] and dealt == [whole[i] for i in range(90)]
    reader = iter(whole.to_iter_dataset())
    first = [next(reader) for _ in range(13)]
    saved = reader.get_state()
    rest = [next(reader) for _ in range(13)]
    other = iter(whole.to_iter_dataset())
    other.set_state(saved)
    assert [next(other) for _ in range(13)] == rest and first != rest


def test_what_a_stream_cannot_do_is_refused(tmp_path):
    path = file(tmp_path / "rows.jsonl", 3)
    for settings, why in (
        (Data(paths=(path,)), "data.unique=True compares rows"),
        (Data(paths=(path,), unique=False, per_game=3), "data.per_game=3 compares rows"),
        (Data(paths=(str(tmp_path / "none"),), unique=False), "no such file or folder"),
        (Data(paths=(path,), unique=False, games=("chess",)), "no row is left of 3 that were read"),
    ):
        with pytest.raises(ConfigError, match=why):
            gather.stream(settings, 0)
    spoil(tmp_path / "rows.jsonl")
    with pytest.raises(ConfigError, match="rows.jsonl: line 4: not JSON"):
        gather.stream(Data(paths=(path,), unique=False), 0)
    assert gather.stream(Data(paths=(path,), unique=False, bad="skip"), 0).account["bad"] == 1


def rows() -> list[Dialogue | Pair]:
    found: list[Dialogue | Pair] = [row(n, task_id=n // 2, more={"a": [n]}, score=float(n)) for n in range(60)]
    (asked, said), other = found[0].messages, found[1].messages
    marked = (asked, said | {"weight": 0}, *(message | {"aside": True} for message in other))
    found[0] = dataclasses.replace(found[0], messages=marked)
    text = ({"role": "assistant", "content": "ä\n\u2581"},), ({"role": "assistant", "content": ""},)
    return [*found, *(Pair(({"role": "user", "content": f"q{n}"},), *text, {"game": "g"}, "") for n in range(9))]


def test_a_data_set_is_written_and_read_back_and_instances_stay_together(tmp_path):
    there = build.build(tmp_path, lambda: iter(rows()), "1.2.0")
    assert [str(path.relative_to(tmp_path)) for path in there] == ["interactions/1.2.0", "preferences/1.2.0"]
    plain = lambda rows: sorted(json.dumps([r.messages, r.meta], sort_keys=True) for r in rows)
    back = {split: [] for split in ("train", "validation", "test")}
    from playpen_jax.data.examples import decoded, source
    from playpen_jax.data.read import rows_of

    for split in back:
        back[split] = [r for example in source(there[0], split) for r in rows_of(decoded(example), "")]
    assert plain(sum(back.values(), [])) == plain(rows()[:60]), "every row once, as it was"
    instances = [{r.meta["task_id"] for r in found} for found in back.values()]
    assert all(instances) and sum(map(len, instances)) == 30 == len(set.union(*instances))
    read = list(Reader().rows([there[0]]))
    assert plain(read) == plain(back["train"])
    pairs = [r for split in ("train",) for r in Reader().rows([there[1]])]
    assert all(r.chosen == rows()[-1].chosen and r.rejected[0]["content"] == "" for r in pairs) and pairs
    streamed = gather.stream(Data(paths=(str(there[0]),), stream=True, unique=False), 0)
    assert sorted(numbers(streamed[i] for i in range(len(streamed)))) == sorted(numbers(r.messages for r in read))
    with pytest.raises(ValueError, match="1.2.0 exists"):
        build.build(tmp_path, lambda: iter(rows()), "1.2.0")
    with pytest.raises(ValueError, match="no split 'all'"):
        source(there[0], "all")


def test_the_program_writes_a_data_set_without_tensorflow(tmp_path, capsys):
    path = file(tmp_path / "rows.jsonl", 30)
    spoil(tmp_path / "rows.jsonl")
    assert dataset.main([str(tmp_path / "out"), path, "--skip"]) == 0
    where, account = capsys.readouterr().out.splitlines()[-2:]
    assert where == str(tmp_path / "out" / "interactions" / "1.0.0") and json.loads(account)["bad"] == 1
    with pytest.raises(SystemExit) as stop:
        dataset.main([str(tmp_path / "out2"), path])
    assert stop.value.code == 2 and "line 31: not JSON" in capsys.readouterr().err
    assert "tensorflow" not in sys.modules, "no TensorFlow came along"


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """4,000 rows of 1 kB pass through the reader within a fraction of the 4 MB that they are."""
    import tracemalloc

    messages = [{"role": "user", "content": "x" * 1000}, {"role": "assistant", "content": "y"}]
    line = json.dumps({"messages": messages, "meta": {}})
    path = tmp_path / "rows.jsonl"
    path.write_text((line + "\n") * 4_000)
    tracemalloc.start()
    count = sum(1 for _ in Reader().rows([path]))
    index = stream.Lines([path], Reader(), lambda row: True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == len(index) == 4_000 and peak < 1e6
