"""Recorded episodes and our transcripts as dialogues: what each player was shown and said, and how it ended."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import games
from games import records
from games.core import lesson
from playpen_jax.chat import Message
from playpen_jax.types import turn_from_json

GM = "GM"


def with_settings(row: dict, path: Path) -> dict:
    """A recorded episode with its experiment's settings, which lie in the file beside it (games/records.py)."""
    if "rounds" not in row or "settings" in row:
        return row
    beside = path.parent / "experiments" / (path.name.split(".")[0] + ".json.gz")
    return row | {"settings": _settings(beside).get(f"{row.get('suite')}/{row.get('experiment')}")}


@functools.lru_cache(maxsize=8)
def _settings(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    with records.open_text(path) as file:
        return json.load(file)


def dialogues(row: Mapping[str, Any]) -> Iterator[tuple[Sequence[Message], dict[str, Any]]]:
    """(messages, meta) of each player of an episode who said something; raises `ValueError` for a broken episode."""
    try:
        yield from _transcript(row) if "turns" in row and "rounds" not in row else _episode(row)
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # a row from outside: its fields may be anything
        raise ValueError(f"not an episode: {type(error).__name__}: {error}") from None


def _transcript(row: Mapping[str, Any]) -> Iterator[tuple[Sequence[Message], dict[str, Any]]]:
    """Of `types.Episode.to_json`."""
    game = games.make(row["game"]) if row["game"] in games.names() else None
    for number, seat in enumerate(dict.fromkeys(turn["seat"] for turn in row["turns"]), 1):
        turns = [turn_from_json(turn) for turn in row["turns"] if turn["seat"] == seat]
        if game and seat in game.chance:
            continue
        meta = {
            "game": row["game"],
            "experiment": row.get("level") or "",
            "task_id": row.get("game_id"),
            "game_role": game.roles[game.seats.index(seat)] if game else seat,
            "player_name": f"Player {game.seats.index(seat) + 1 if game else number}",
            "model": turns[0].player,
            "outcome": row["outcome"]["status"],
            "score": row["outcome"]["score"],
        }
        yield lesson([(turn.ask, turn.reply) for turn in turns], seat), meta


def _episode(row: Mapping[str, Any]) -> Iterator[tuple[Sequence[Message], dict[str, Any]]]:
    """Of a recorded episode; the programs among its players (the engine's own seats) are left out."""
    game = games.make(row["game"]) if row["game"] in games.names() else None
    players = list(row["players"])[: len(game.seats)] if game else list(row["players"])
    seats = dict(zip(players, game.seats)) if game else {}
    apart = _kept_apart(game, row, seats) if game and game.replies else {}
    for player in players:
        messages = apart.get(player) or _events(row, player)
        if any(message["role"] == "assistant" for message in messages):
            yield messages, _meta(row, player)


def _events(row: Mapping[str, Any], player: str) -> list[Message]:
    """What was sent to a player and what it answered, up to its last answer."""
    found: list[Message] = []
    for event in (event for turn in row["rounds"] for event in turn):
        if event["to"] == player and event["type"] == "send message":
            found.append({"role": "user", "content": event["content"]})
        elif event["from"] == player and event["type"] == "get message":
            found.append({"role": "assistant", "content": event["content"]})
    while found and found[-1]["role"] == "user":
        found.pop()
    return found


def _kept_apart(game: games.Game, row: Mapping[str, Any], seats: Mapping[str, str]) -> dict[str, Sequence[Message]]:
    """The dialogues of players some of whose replies are not in the events: the engine tells what was said in between."""
    spoken = records.replies(game, row)
    missing = {}
    for player, seat in seats.items():
        logged = [m["content"] for m in _events(row, player) if m["role"] == "assistant"]
        told = [text for other, text in spoken if other == seat]
        if told != logged:
            missing[player] = seat
    if not missing:
        return {}
    if not row.get("settings"):
        raise ValueError(f"no settings of the experiment, without which the messages of {game.name} cannot be told")
    play, differences = records.replay(row)
    if differences:
        raise ValueError(f"the engine plays it otherwise: {differences[0]}")
    return {player: _without_lost(lesson(play.history, seat)) for player, seat in missing.items()}


def _without_lost(messages: Sequence[Message]) -> Sequence[Message]:
    """Exchanges aside whose reply was not recorded (of several tries the last was) leave no trace: none was seen later."""
    lost = {i + shift for i, m in enumerate(messages) if m.get("aside") and not m["content"] for shift in (-1, 0)}
    return [message for i, message in enumerate(messages) if i not in lost]


def _meta(row: Mapping[str, Any], player: str) -> dict[str, Any]:
    scores = row["episode_scores"]
    outcome = "aborted" if scores.get("Aborted") else "success" if scores.get("Success") else "failure"
    return {
        "game": row["game"],
        "experiment": row["experiment"],
        "task_id": row["game_id"],
        "game_role": row["players"][player],
        "player_name": player,
        "model": row["model"],
        "outcome": outcome if scores else None,
        "score": scores.get("Main Score"),
    }
