"""Dialogues and pairs from files: JSON lines, clembench results trees, recorded episodes, our own transcripts.

A line of JSON is one of these, told apart by its fields:

    {"messages": [{"role", "content"}, ...], "meta": {...}}           a dialogue as one player saw it (playpen-data)
    {"prompt", "chosen", "rejected", "meta"}                          a preference; each a text or a list of messages
    {"game", "players", "rounds", "episode_scores", ...}              a recorded episode: one dialogue for each player
    {"game", "turns", "outcome", "instance", ...}                     a transcript of ours (episodes/): likewise

Data sets that `playpen_jax.dataset` wrote are read too.

`meta` may hold game, experiment, task_id, game_role, player_name, model, outcome, and further keys such as score. What cannot
be used is reported with its file and line and skipped, or refused: nothing is lost silently. Memory does not grow with rows.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from games import results_tree
from playpen_jax.chat import Message
from playpen_jax.data import examples, recorded

ROLES = ("system", "user", "assistant")
OUTCOMES = {"success": "success", "failure": "failure", "lose": "failure", "aborted": "aborted"}
SHOWN, NAMED = 5, 100  # bad rows that are told at once, and that the account names


class BadRow(ValueError):
    """A row that cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class Dialogue:
    """What one player was shown and said: an optional system message, then user and assistant in turn."""

    messages: tuple[Message, ...]
    meta: Mapping[str, Any]
    where: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two continuations of the same messages, the first one preferred; each begins with the assistant."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    meta: Mapping[str, Any]
    where: str


Row = Dialogue | Pair


@dataclasses.dataclass
class Reader:
    """Reads rows and keeps the account: how many were read, how many were bad and why."""

    skip: bool = False
    largest: int = 1_000_000
    quiet: bool = False
    read: int = 0
    reasons: Counter = dataclasses.field(default_factory=Counter)
    shown: list[str] = dataclasses.field(default_factory=list)

    def rows(self, paths: Iterable[str | Path]) -> Iterator[Row]:
        """All rows under these paths, in order; raises `ValueError` for a path with none, and for a bad row unless skipped."""
        for path in map(Path, paths):
            before = self.read + self.reasons.total()
            for where, read in _places(path):
                yield from self.made(where, read)
            if self.read + self.reasons.total() == before:
                raise ValueError(f"{path}: holds no dialogues (JSON lines, recorded episodes, or a clembench results tree)")

    def made(self, where: str, read: Callable[[], dict]) -> list[Row]:
        """The rows of the object that `read` returns; none, and counted, if it is bad."""
        try:
            found = [checked(row, self.largest) for row in rows_of(read(), where)]
        except (ValueError, RecursionError) as error:  # a row from outside: not UTF-8, not JSON, nested without end, a BadRow
            self._bad(where, _reason(error))
            return []
        self.read += len(found)
        return found

    def _bad(self, where: str, why: str) -> None:
        if not self.skip:
            raise ValueError(f"{where}: {why}; data.bad=skip leaves such rows out")
        self.reasons[why.split(":")[0]] += 1
        if len(self.shown) < NAMED:
            self.shown.append(f"{where}: {why}")
        if self.quiet:
            return
        if self.reasons.total() <= SHOWN:
            print(f"warning: {where}: {why}; left out", file=sys.stderr)
        elif self.reasons.total() == SHOWN + 1:
            print("warning: more bad rows are left out; the account names them", file=sys.stderr)

    def account(self) -> dict[str, Any]:
        """What was read and what was bad, for the report."""
        return {"read": self.read, "bad": self.reasons.total(), "bad_because": dict(self.reasons), "bad_rows": list(self.shown)}


def _places(path: Path) -> Iterator[tuple[str, Callable[[], dict]]]:
    """(where it stands, how to read it) of everything under a path."""
    if (path / examples.INFO).exists():
        for i, example in enumerate(examples.source(path)):
            yield f"{path}: example {i}", partial(examples.decoded, example)
    elif path.is_dir():
        episodes = sorted(path.rglob("interactions.json"))
        for file in episodes:
            yield str(file), partial(results_tree.record, file)
        for file in () if episodes else sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")]):
            yield from _lines(file)
    elif path.exists():
        yield from _lines(path)
    else:
        raise ValueError(f"{path}: no such file or folder")


def _lines(path: Path) -> Iterator[tuple[str, Callable[[], dict]]]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}: line {number}", partial(parsed, line, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:  # the file is cut or broken: no line of it can be trusted
        raise ValueError(f"{path}: not a whole gzip file: {error}") from None


def parsed(line: bytes, path: Path) -> dict:
    """The object of a line of this file; raises `ValueError` for one that is none."""
    row = json.loads(line.decode("utf-8"))
    if not isinstance(row, dict):
        raise BadRow("an object is wanted")
    return recorded.with_settings(row, path)


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    return str(error)


def rows_of(row: Mapping[str, Any], where: str) -> Iterator[Row]:
    """The dialogues, or the pair, that one object holds; raises `BadRow` for one that is none of the known kinds."""
    if "messages" in row:
        yield Dialogue(_messages(row["messages"], "messages"), _meta(row), where)
    elif "chosen" in row or "rejected" in row:
        yield _pair(row, where)
    elif "rounds" in row or "turns" in row:
        for messages, meta in recorded.dialogues(row):
            yield Dialogue(_messages(messages, "messages"), _meta({"meta": meta}), where)
    else:
        raise BadRow("no field 'messages', 'chosen' and 'rejected', 'rounds', or 'turns'")


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    meta = row.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise BadRow("field 'meta': an object is wanted")
    if meta.get("outcome") is None:
        return dict(meta)
    if not isinstance(meta["outcome"], str) or meta["outcome"] not in OUTCOMES:
        raise BadRow(f"field 'meta.outcome': one of {', '.join(OUTCOMES)} is wanted")
    return dict(meta) | {"outcome": OUTCOMES[meta["outcome"]]}


def _messages(value: Any, field: str, role: str = "user") -> tuple[Message, ...]:
    """A list of messages, or a text: one message of `role`."""
    if isinstance(value, str) and field != "messages":
        return ({"role": role, "content": value},)
    if not isinstance(value, (list, tuple)) or not value:
        raise BadRow(f"field '{field}': a list of messages is wanted")
    for i, message in enumerate(value):
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise BadRow(f"field '{field}[{i}].content': a text is wanted")
        if message.get("role") not in ROLES:
            raise BadRow(f"field '{field}[{i}].role': one of {', '.join(ROLES)} is wanted")
        for mark in ("weight", "aside"):
            if message.get(mark) not in (None, 0, 1):
                raise BadRow(f"field '{field}[{i}].{mark}': 0 or 1 is wanted")
    return tuple(_message(message) for message in value)


def _message(given: Mapping[str, Any]) -> Message:
    """What we keep of a message: its marks only where they say something (`chat.Message`)."""
    kept = {"role": given["role"], "content": given["content"]}
    if given["role"] == "assistant" and given.get("weight") == 0:
        kept["weight"] = 0
    return kept | {"aside": True} if given.get("aside") else kept


def _pair(row: Mapping[str, Any], where: str) -> Pair:
    """A preference; without `prompt` it is what both sides have in common."""
    for field in ("chosen", "rejected"):
        if field not in row:
            raise BadRow(f"field '{field}': missing")
    chosen, rejected = (_messages(row[field], field, "assistant") for field in ("chosen", "rejected"))
    if row.get("prompt"):
        prompt = _messages(row["prompt"], "prompt")
        shared = len(prompt) if chosen[: len(prompt)] == prompt == rejected[: len(prompt)] else 0
    else:
        shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected)) if a != b), min(len(chosen), len(rejected)))
        prompt = chosen[:shared]
    return Pair(prompt, chosen[shared:], rejected[shared:], _meta(row), where)


def checked(row: Row, largest: int) -> Row:
    """The row with user messages that follow each other joined; raises `BadRow` for what cannot be learned from."""
    if isinstance(row, Dialogue):
        return dataclasses.replace(row, messages=_in_turn(row.messages, largest))
    if any(message.get("aside") for message in (*row.prompt, *row.chosen, *row.rejected)):
        raise BadRow("prompt, chosen or rejected has messages aside: give what was seen there as the prompt")
    for side in (row.chosen, row.rejected):
        if not side or side[0]["role"] != "assistant":
            raise BadRow("roles out of order: chosen and rejected begin with different messages of the assistant")
        _in_turn((*row.prompt, *side), largest)
    if row.chosen == row.rejected:
        raise BadRow("chosen and rejected are the same")
    return dataclasses.replace(row, prompt=_in_turn(row.prompt, largest, replies=False))


def _in_turn(messages: tuple[Message, ...], largest: int, replies: bool = True) -> tuple[Message, ...]:
    """Messages in the order system, user, assistant, user, ...; recorders log a prompt and the first message apart."""
    found: list[Message] = []
    for i, message in enumerate(messages):
        if len(message["content"]) > largest:
            raise BadRow(f"message too long: message {i} has {len(message['content'])} characters (data.largest={largest})")
        before, role = (found[-1]["role"] if found else None), message["role"]
        if role == before == "user":
            found[-1] = {**message, "content": f"{found[-1]['content']}\n\n{message['content']}"}
            continue
        if role == "system" and i or role == "assistant" and before != "user":
            raise BadRow(f"roles out of order: message {i} is the {role}'s after {'nothing' if before is None else before}")
        found.append(message)
    if replies and not any(message["role"] == "assistant" and message.get("weight", 1) for message in found):
        raise BadRow("no learner turn: the assistant says nothing to be learned")
    return tuple(found)
