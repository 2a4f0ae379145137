"""The layout of our TensorFlow Datasets, and how their examples are read: array_record, without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FORMAT = "array_record"  # tfrecord needs TensorFlow, and parquet silently loses rows (tensorflow-datasets 4.9.10)
META = ("game", "experiment", "task_id", "game_role", "player_name", "model", "outcome")
LISTS = {"interactions": ("messages",), "preferences": ("prompt", "chosen", "rejected")}  # data set -> its lists of messages
INFO = "dataset_info.json"  # the file by which such a folder is known


def decoded(example: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that an example came from."""
    meta = {key: value.decode("utf-8") for key, value in example["meta"].items()}
    more = json.loads(meta.pop("more"))
    found: dict[str, Any] = {"meta": {k: v for k, v in meta.items() if v} | more}
    for field in (field for fields in LISTS.values() for field in fields if field in example):
        columns = example[field]
        messages = [dict(zip(columns, values)) for values in zip(*columns.values())]
        found[field] = [{name: x.decode() if isinstance(x, bytes) else int(x) for name, x in m.items()} for m in messages]
    return found


def source(folder: Path, split: str = "train") -> Sequence[Mapping[str, Any]]:
    """The examples of a split, by number; raises `ValueError` for a split that is not there."""
    import tensorflow_datasets as tfds  # only where a data set is read

    made = tfds.builder_from_directory(str(folder))
    if split not in made.info.splits:
        raise ValueError(f"{folder}: no split {split!r}: one of {', '.join(made.info.splits)}")
    return made.as_data_source(split)
