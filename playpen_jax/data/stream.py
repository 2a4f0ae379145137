"""Rows read one by one in a seeded order, from files that need not fit in memory: only the places of the rows are kept.

Grain (`pip install 'playpen-jax[data]'`) shuffles, mixes and shards; an example is a pure function of its number, so a run goes
on exactly where it stopped.
"""

from __future__ import annotations

import array
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from playpen_jax.chat import Message
from playpen_jax.data import examples
from playpen_jax.data.read import Dialogue, Reader, Row, checked, parsed, rows_of


class Lines:
    """The rows of files of JSON lines, by number; 18 bytes of memory a row. Every line was read once, checked and counted."""

    def __init__(self, paths: Sequence[Path], reader: Reader, keep: Callable[[Row], bool]):
        self.paths, self.largest = list(paths), reader.largest
        self._files = [os.open(path, os.O_RDONLY) for path in self.paths]
        self._at, self._size, self._file, self._part = (array.array(kind) for kind in "QIIH")
        for number, path in enumerate(self.paths):
            if path.suffix == ".gz":
                raise ValueError(f"{path}: rows of a packed file cannot be read in any order; unpack it, or data.stream=false")
            self._index(number, path, reader, keep)

    def _index(self, number: int, path: Path, reader: Reader, keep: Callable[[Row], bool]) -> None:
        at = 0
        with open(path, "rb") as file:
            for line, text in enumerate(file, 1):
                found = reader.made(f"{path}: line {line}", partial(parsed, text, path)) if text.strip() else ()
                for part, row in enumerate(found):
                    if keep(row):
                        for column, value in zip((self._at, self._size, self._file, self._part), (at, len(text), number, part)):
                            column.append(value)
                at += len(text)

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, i: int) -> Row:
        file = self._file[i]
        text = os.pread(self._files[file], self._size[i], self._at[i])  # without a position, so that threads may share it
        rows = list(rows_of(parsed(text, self.paths[file]), str(self.paths[file])))
        return checked(rows[self._part[i]], self.largest)


class Examples:
    """The rows of a TensorFlow Datasets folder, by number."""

    def __init__(self, folder: Path, reader: Reader, keep: Callable[[Row], bool], split: str = "train"):
        self._source, self._folder, self._largest = examples.source(folder, split), folder, reader.largest
        self._kept = array.array("Q")
        for i in range(len(self._source)):
            found = reader.made(f"{folder}: {split} {i}", partial(self._decoded, i))
            self._kept.extend([i] * sum(map(keep, found)))

    def _decoded(self, i: int) -> dict[str, Any]:
        return examples.decoded(self._source[i])

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, i: int) -> Row:
        (row,) = rows_of(examples.decoded(self._source[self._kept[i]]), str(self._folder))
        return checked(row, self._largest)


Source = Sequence[Row] | Lines | Examples


def sources(paths: Sequence[str | Path], reader: Reader, keep: Callable[[Row], bool]) -> list[Source]:
    """One source for each path: JSON lines, or a TensorFlow Datasets folder; raises `ValueError` for a path without rows."""
    found: list[Source] = []
    for path in map(Path, paths):
        if (path / examples.INFO).exists():
            found.append(Examples(path, reader, keep))
        elif path.exists():
            files = sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")]) if path.is_dir() else [path]
            found.append(Lines(files, reader, keep))
        else:
            raise ValueError(f"{path}: no such file or folder")
        if not len(found[-1]):
            raise ValueError(f"{path}: no row is left of {reader.read:,} that were read")
    return found


def mixture(parts: Sequence[Source], weights: Sequence[float], seed: int, shard: int = 0, shards: int = 1) -> Any:
    """The endless sequence of examples of one of `shards` hosts: each part shuffled anew in every epoch, mixed by weight.

    Example i is the same in every run of the same seed: `mixture(...)[i]`, or an iterator whose state can be saved.
    """
    try:
        import grain  # of the extra `data`
    except ImportError:
        raise ValueError("data.stream needs Grain: pip install 'playpen-jax[data]'") from None
    mixed = [grain.MapDataset.source(part).seed(seed + i).shuffle().repeat() for i, part in enumerate(parts)]
    whole = grain.MapDataset.mix(mixed, weights=list(weights)) if len(mixed) > 1 else mixed[0]
    return whole[shard::shards]


class Stream:
    """Dialogues in the order of `mixture`, with the account of what was read; its length is the number of different ones."""

    def __init__(self, parts: Sequence[Source], weights: Sequence[float], seed: int, account: Mapping[str, Any]):
        self._all, self._count, self.account = mixture(parts, weights, seed), sum(map(len, parts)), dict(account)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(self._count))]
        return messages(self._all[i])

    def __iter__(self) -> Iterator[list[Message]]:
        return (self[i] for i in range(self._count))


def messages(row: Row) -> list[Message]:
    """The dialogue of a row; of a pair the chosen side."""
    return list(row.messages) if isinstance(row, Dialogue) else [*row.prompt, *row.chosen]
