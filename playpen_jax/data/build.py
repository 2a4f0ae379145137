"""Interactions as a TensorFlow Datasets folder: versioned, split by instance, in array_record, without TensorFlow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from games.core import split_of
from playpen_jax.data.examples import FORMAT, LISTS, META
from playpen_jax.data.read import Dialogue, Row


def build(folder: str | Path, read: Callable[[], Iterable[Row]], version: str = "1.0.0", about: str = "") -> list[Path]:
    """Write the rows that `read()` gives as data sets below `folder`; returns their folders.

    The rows are read once to be counted and once for each split, so that they need not fit in memory. Raises `ValueError` for a
    version that exists.
    """
    counts = Counter((kind(row), split(row)) for row in read())
    found = []
    for name in sorted({name for name, _ in counts}):
        splits = {split: n for (other, split), n in sorted(counts.items()) if other == name}
        found.append(_write(Path(folder), name, version, splits, read, about))
    return found


def kind(row: Row) -> str:
    return "interactions" if isinstance(row, Dialogue) else "preferences"


def split(row: Row) -> str:
    """The split of a row: that of its instance, or, where it tells none, of its first message."""
    instance = "/".join(str(row.meta.get(key, "")) for key in ("game", "experiment", "task_id"))
    first = (row.messages if isinstance(row, Dialogue) else row.prompt)[0]["content"]
    return split_of(instance if row.meta.get("task_id") is not None else first)


def _write(folder: Path, name: str, version: str, splits: Mapping[str, int], read: Callable, about: str) -> Path:
    import tensorflow_datasets as tfds  # only where a data set is written

    there = folder / name / version
    if there.exists():
        raise ValueError(f"{there} exists: a version that was published does not change; choose another")
    text, number = tfds.features.Text, tfds.features.Scalar(np.int32)
    message = {"role": text(), "content": text(), "weight": number, "aside": number}
    features = {field: tfds.features.Sequence(message) for field in LISTS[name]}
    features |= {"meta": {key: text() for key in META} | {"more": text()}}

    def examples(wanted: str) -> Iterator[tuple[int, dict]]:
        found = (row for row in read() if (kind(row), split(row)) == (name, wanted))
        return ((i, encoded(row)) for i, row in enumerate(found))

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]  # a base without types
        VERSION = tfds.core.Version(version)

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(builder=self, description=about or name, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager) -> dict[str, Iterator]:
            return {wanted: examples(wanted) for wanted in splits}

        def _generate_examples(self):
            raise NotImplementedError  # the class wants one; the splits bring their own

    Builder.name = name
    made = Builder(data_dir=folder, file_format=FORMAT)
    made.download_and_prepare()
    for wanted, count in splits.items():
        there_are = len(made.as_data_source(wanted))
        if there_are != count:
            raise RuntimeError(f"{there}: {wanted} holds {there_are} rows of {count} that were written")
    return there


def encoded(row: Row) -> dict[str, Any]:
    """The example of a row; meta beyond the published fields is JSON in `more`."""
    lists = {"messages": row.messages} if isinstance(row, Dialogue) else vars(row)
    fields = [field for name in LISTS for field in LISTS[name] if field in lists]
    found: dict[str, Any] = {field: [{"weight": 1, "aside": 0, **m} for m in lists[field]] for field in fields}
    known = {key: _text(row.meta.get(key)) for key in META}
    more = {k: v for k, v in row.meta.items() if k not in META or not isinstance(v, str)}
    return found | {"meta": known | {"more": json.dumps(more)}}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
