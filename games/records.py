"""Recorded episodes and official instance files: read them, feed them through the engines, compare."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import games
from games.core import Game, InstanceError, Outcome, Play

COMPARED = (
    "Aborted",
    "Success",
    "Lose",
    "Request Count",
    "Parsed Request Count",
    "Violated Request Count",
    "Main Score",
)


def open_text(path: Path):
    """Open a text file for reading, through gzip if its name ends in .gz."""
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")


def read_instances(path: str | Path, name: str) -> list[tuple[dict, dict]]:
    """All (instance, experiment settings) of an official instance file, each checked against the game `name`.

    Raises `ValueError` with file, line and field for the first thing that cannot be played.
    """
    path, game = Path(path), games.make(name)
    with open_text(path) as file:
        text = file.read()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(data, dict) or not isinstance(data.get("experiments"), list):
        raise ValueError(f"{path}: line 1: field 'experiments': a list of experiments is wanted")
    found = []
    for e, experiment in enumerate(data["experiments"]):
        if not isinstance(experiment, dict) or not isinstance(experiment.get("game_instances"), list):
            raise ValueError(f"{path}: line {_line(text, e)}: field 'experiments[{e}].game_instances': a list is wanted")
        settings = {key: value for key, value in experiment.items() if key != "game_instances"}
        for i, instance in enumerate(experiment["game_instances"]):
            try:
                if not isinstance(instance, dict):
                    raise InstanceError("game_instances", "an object is wanted")
                game.start(instance, settings)
            except InstanceError as error:
                raise ValueError(f"{path}: line {_line(text, e, i)}: experiments[{e}].game_instances[{i}]: {error}") from None
            found.append((instance, settings))
    return found


def _line(text: str, experiment: int, instance: int | None = None) -> int:
    """The line on which an experiment, or one of its instances, begins."""
    starts: dict[int, int] = {}
    decoder = json.JSONDecoder()
    parse = json.decoder.JSONObject  # type: ignore[attr-defined]  # of the decoder in Python, which typeshed leaves out

    def remember(s_and_end, *rest):
        value, end = parse(s_and_end, *rest)
        starts[id(value)] = s_and_end[1]
        return value, end

    decoder.parse_object = remember  # type: ignore[attr-defined]
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    target = decoder.decode(text)["experiments"][experiment]
    if instance is not None and isinstance(target["game_instances"][instance], dict):
        target = target["game_instances"][instance]
    return text.count("\n", 0, starts.get(id(target), 0)) + 1


def read_records(path: str | Path) -> Iterator[dict]:
    """The recorded episodes of one `GAME.jsonl[.gz]`, with their experiment's settings under "settings".

    The settings lie beside it in `experiments/GAME.json.gz`. Raises `ValueError` with file and line for a broken row.
    """
    path = Path(path)
    beside = path.parent / "experiments" / (path.name.split(".")[0] + ".json.gz")
    settings: Mapping[str, Any] = {}
    if beside.exists():
        with open_text(beside) as file:
            settings = json.load(file)
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                key = f"{record['suite']}/{record['experiment']}"
                yield record | {"settings": record.get("settings") or settings[key]}
            except (json.JSONDecodeError, KeyError, TypeError) as error:  # a row from outside: say where
                raise ValueError(f"{path}: line {number}: {type(error).__name__}: {error}") from None


def replies(game: Game, record: Mapping) -> list[tuple[str, str]]:
    """(seat, reply) in order: as a tree of ours kept them, as the game reads them, or every "get message" of a player."""
    if "replies" in record:
        return [(seat, text) for seat, text in record["replies"]]
    if game.replies is not None:
        return game.replies(record)
    seats = dict(zip(record["players"], game.seats))
    events = (event for turn in record["rounds"] for event in turn)
    return [(seats[event["from"]], event["content"]) for event in events if event["type"] == "get message"]


def replay(record: Mapping) -> tuple[Play, list[str]]:
    """Feed a recorded episode through its engine; returns the play and what differs from the official scores."""
    game = games.make(record["game"])
    play = game.start(record["instance"], record["settings"])
    for seat, text in replies(game, record):
        if play.ask is None:
            return play, [f"the engine ended ({play.ended.status}: {play.ended.reason}) before {seat} said {text[:60]!r}"]
        if play.ask.seat != seat:
            return play, [f"the engine asked {play.ask.seat}, the record has {seat}"]
        play.reply(text)
    if play.ask is not None:
        return play, [f"the record ended, the engine still asks {play.ask.seat}"]
    if not any(key in record["episode_scores"] for key in COMPARED):
        return play, ["the record holds no scores to compare with"]
    return play, differences(play.ended, record["episode_scores"])


def differences(outcome: Outcome, scores: Mapping[str, Any]) -> list[str]:
    """Official scores (those that were recorded) that the outcome does not reproduce."""
    ours = outcome.official()
    return [
        f"{key}: official {scores[key]}, ours {ours[key]}"
        for key in COMPARED
        if key in scores and not same(scores[key], ours[key])
    ]


def same(a: Any, b: Any) -> bool:
    """Equal to 1e-9, NaN equal to NaN."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=0, abs_tol=1e-9)
    return a == b
