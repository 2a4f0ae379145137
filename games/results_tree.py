"""The results tree of clembench: write finished plays so that its tools run on them, read recorded ones.

    RUN/run.json
    RUN/GAME/EXPERIMENT/experiment.json
    RUN/GAME/EXPERIMENT/instance_00000/{instance,interactions,scores,completed,player_1.requests}.json

RUN is named after the model. The layout is that of clemcore 3.7.2, on which `clem eval` and `clem transcribe` run. scores.json
holds the official scores already; `clem score` makes it anew for games whose scorer needs no events that only the official
engines log. `read` also knows older layouts.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import games
from games.core import Ask, Play

CLEM_VERSION = "3.7.2"
GM = "GM"
# games of the newer turn loop log their request counts round by round, the others as totals
BY_ROUND = ("clean_up", "st_clean_up", "dond", "clockwork_courier", "cryptolect", "get_to_the_point", "toh_multi_turn")
_NO_SETTINGS = ("game_instances", "game_name", "experiment_name", "player_models", "dialogue_partners", "timestamp", "duration")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
Exchange = tuple[Ask, str]


def write(folder: str | Path, model_name: str, plays: Iterable[Play], gen_args: Mapping[str, Any] | None = None) -> Path:
    """Write the plays of one model below `folder`; returns the folder of the run.

    An experiment is named by its settings' "name" (else the instance's level), an instance by its "game_id". An earlier run of
    the same model is added to, and what is played again is overwritten. Raises `ValueError` for a play without an outcome, for
    two plays of one instance, and for an experiment with two different settings.
    """
    now = datetime.datetime.now().isoformat(timespec="microseconds")
    run = Path(folder) / _folder_name(model_name)
    models = {"0": {"model_spec": {"model_name": model_name, "backend": "playpen_jax"}, "gen_args": dict(gen_args or {})}}
    experiments: dict[tuple[str, str], Mapping] = {}
    done: set[tuple[str, str, int]] = set()
    for play in plays:
        name, experiment = play.game.name, str(play.settings.get("name", play.instance.get("level", "default")))
        game_id = play.instance.get("game_id", len(done))
        where = f"{name}, experiment {experiment}, instance {game_id}"
        if play.outcome is None:
            raise ValueError(f"{where}: not finished")
        if (name, experiment, game_id) in done:
            raise ValueError(f"{where}: played twice; give each play a game_id of its own")
        if experiments.setdefault((name, experiment), play.settings) != play.settings:
            raise ValueError(f"{where}: an experiment cannot have two settings; give them different names")
        done.add((name, experiment, game_id))
        there = run / name / _folder_name(experiment)
        about = {"timestamp": now, "game_name": name, "player_models": models}
        _dump(there / "experiment.json", {**play.settings, "name": experiment, **about})
        meta = {"game_name": name, "experiment_name": experiment, "game_id": game_id, "results_folder": run.name}
        for file, content in _episode(play, meta, models, now).items():
            _dump(there / f"instance_{game_id:05d}" / f"{file}.json", content)
    _dump(run / "run.json", _run(run / "run.json", models, [name for name, _, _ in done], now))
    return run


def _run(path: Path, models: dict, played: list[str], now: str) -> dict:
    """What run.json says, with what it said before about other games."""
    first = {"clem_version": CLEM_VERSION, "created": now, "player_models": models, "games": {}}
    before: dict[str, Any] = _load(path) if path.exists() else first
    times = {"game_path": "", "benchmark_start": now, "benchmark_end": now, "duration": "0:00:00", "duration_seconds": 0.0}
    return before | {
        "games": before["games"] | {name: {**times, "num_instances": played.count(name)} for name in sorted(set(played))}
    }


def _episode(play: Play, meta: dict, models: dict, now: str) -> dict[str, dict]:
    """File name -> content for one episode."""
    game, official, rounds = play.game, play.ended.official(), _rounds(play)
    model = models["0"]["model_spec"]["model_name"]
    first = 0 if game.name.startswith("ta_") else 1  # the seats of TextArena are counted from 0
    names = {seat: f"Player {i}" for i, seat in enumerate(game.seats, first)}
    players = {GM: {"game_role": "Game Master", "model_name": "programmatic"}}
    players |= {names[s]: {"game_role": role, "model_name": model, "seat": s} for s, role in zip(game.seats, game.roles)}
    turns = [[event for ask, reply in exchanges for event in _events(names, ask, reply, now)] for exchanges in rounds]
    turns[-1].append(_event(GM, GM, now, play.ended.status, play.ended.reason))
    meta = {**meta, "clem_version": CLEM_VERSION, "round_count": len(rounds), "completed": True}
    by_round = game.name in BY_ROUND or game.name.startswith("ta_")
    round_scores = {str(i): {"Request Count": len(exchanges)} for i, exchanges in enumerate(rounds)}
    files = {
        "instance": {"game_id": meta["game_id"], **play.instance},
        "interactions": {
            "meta": meta,
            "player_models": models,
            "players": players,
            "turns": turns,
            **official,
            **(_counts(official, rounds) if by_round else {}),
        },
        "scores": {
            "meta": meta,
            "players": players,
            "round scores" if by_round else "turn scores": round_scores,
            "episode scores": official,
            "player_models": models,
        },
        "completed": {"timestamp": now},
    }
    for seat, name in names.items():
        calls = [
            {"round": i, "call": _call(ask.shown, reply, model, now)}
            for i, exchanges in enumerate(rounds)
            for ask, reply in exchanges
            if ask.seat == seat
        ]
        who = {"player_name": name, "game_role": players[name]["game_role"], "model_name": model}
        if calls:
            files[f"{name.lower().replace(' ', '_')}.requests"] = {"meta": {**meta, **who}, "calls": calls}
    return files


def _rounds(play: Play) -> list[list[Exchange]]:
    """The exchanges round by round: a round begins when an earlier seat speaks again; with one seat, with each reply."""
    order = {seat: i for i, seat in enumerate([*play.game.chance, *play.game.seats])}
    rounds: list[list[Exchange]] = []
    last = None
    for ask, reply in play.history:
        again = ask.seat == last and play.game.seats == (last,)
        if last is None or order[ask.seat] < order[last] or again:
            rounds.append([])
        rounds[-1].append((ask, reply))
        last = ask.seat
    return rounds or [[]]


def _events(names: Mapping[str, str], ask: Ask, reply: str, now: str) -> list[dict]:
    """Message and reply of a player; what a chance seat drew is an event of the game master, of the seat's name."""
    if ask.seat not in names:
        return [_event(GM, GM, now, ask.seat, reply)]
    said = [(*each, "pseudo", "pseudo") for each in ask.before]  # nobody was asked for these
    return [
        event
        for shown, answer, sent, heard in [*said, (ask.text, reply, "context", "response")]
        for event in (
            _event(GM, names[ask.seat], now, "send message", shown, label=sent),
            _event(names[ask.seat], GM, now, "get message", answer, label=heard),
        )
    ]


def _event(source: str, to: str, now: str, kind: str, content: str, **more: str) -> dict:
    return {"from": source, "to": to, "timestamp": now, "action": {"type": kind, "content": content, **more}}


def _call(text: str, reply: str, model: str, now: str) -> dict:
    prompt = [{"role": "user", "content": text}]
    return {"timestamp": now, "manipulated_prompt_obj": prompt, "raw_response_obj": {"response": reply, "model_name": model}}


def _counts(official: Mapping[str, Any], rounds: list[list[Exchange]]) -> dict[str, list[int]]:
    """The request counts as one number a round; which rounds were violated is not kept: the last ones are taken."""
    requests, rest = [len(exchanges) for exchanges in rounds], official["Violated Request Count"]
    violated: list[int] = []
    for count in reversed(requests):
        violated.insert(0, min(count, rest))
        rest -= violated[0]
    parsed = [one - other for one, other in zip(requests, violated)]
    return {"Request Count": requests, "Violated Request Count": violated, "Parsed Request Count": parsed}


def _folder_name(name: str) -> str:
    return re.sub(r'[/\\:*?"<>|]', "__", name)


def _dump(path: Path, content: dict) -> None:
    """Write JSON as clemcore does; half a surrogate pair, which no UTF-8 file can hold, becomes U+FFFD."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(_SURROGATE.sub("\ufffd", text), encoding="utf-8")


def read(folder: str | Path) -> Iterator[dict]:
    """The recorded episodes below a folder, in the shape that `games.records.replay` takes.

    Known layouts: clemcore 3.x (`EXPERIMENT/instance_00000`), and 2.x and before (`0_EXPERIMENT/episode_0`, players as texts).
    Episodes that crashed (no interactions.json) are left out; without scores.json "episode_scores" is empty. Raises
    `ValueError` that names the file for anything else that is missing or broken.
    """
    for path in sorted(Path(folder).rglob("interactions.json")):
        yield record(path)


def record(path: Path) -> dict:
    """One episode from its interactions.json and the files beside it; raises `ValueError` as `read` does."""
    log, instance = _load(path), _load(path.with_name("instance.json"))
    scores = _load(path.with_name("scores.json")) if path.with_name("scores.json").exists() else {}
    settings = next((_load(file) for file in sorted(path.parents[1].glob("experiment*.json"))), {})
    meta = log.get("meta", {})
    name = meta.get("game_name", path.parents[2].name)
    try:
        players = {player: who for player, who in log["players"].items() if player != GM}
        rounds = [[{"from": e["from"], "to": e["to"], **e["action"]} for e in turn] for turn in log["turns"]]
        roles = {player: _role(who) for player, who in players.items()}
    except (AttributeError, KeyError, TypeError) as error:  # a file from outside: say which
        raise ValueError(f"{path}: no interactions of clembench: {type(error).__name__}: {error}") from None
    found = {
        "suite": games.make(name).suite if name in games.names() else "indomain",
        "game": name,
        "experiment": settings.get("name", meta.get("experiment_name", re.sub(r"^\d+_", "", path.parents[1].name))),
        "game_id": instance.get("game_id", meta.get("game_id")),
        "model": path.parents[3].name,
        "instance": instance,
        "settings": {key: value for key, value in settings.items() if key not in _NO_SETTINGS},
        "players": roles,
        "rounds": rounds,
        "extra": {key: value for key, value in log.items() if key not in ("meta", "player_models", "players", "turns")},
        "episode_scores": scores.get("episode scores", {}),
        "turn_scores": scores.get("turn scores"),
    }
    seats = {player: who["seat"] for player, who in players.items() if "seat" in who and not isinstance(who, str)}
    return found | {"replies": _replies(rounds, seats)} if seats else found


def _replies(rounds: list[list[dict]], seats: Mapping[str, str]) -> list[tuple[str, str]]:
    """(seat, reply) in order of a tree that `write` made, the draws of chance seats among them."""
    events = [event for turn in rounds for event in turn]
    spoken = [(seats.get(event["from"], event["type"]), event) for event in events if event["type"] != "send message"]
    return [(seat, event["content"]) for seat, event in spoken[:-1]]  # the last event is the outcome


def _role(player: str | Mapping) -> str:
    """Older recorders wrote "Role: model" where newer ones have an object."""
    return player.split(": ")[0] if isinstance(player, str) else player["game_role"]


def _load(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except ValueError as error:  # broken JSON or broken UTF-8
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: an object is wanted")
    return content


def scored(folder: str | Path) -> Iterator[dict]:
    """What a tree's scores.json files say, one transcript-like object each: model, game, level, instance, outcome.

    The files alone are enough; who said what is not read. Raises `ValueError` that names a broken file.
    """
    for path in sorted(Path(folder).rglob("scores.json")):
        named = _load(path).get("episode scores")
        if not isinstance(named, dict):
            raise ValueError(f"{path}: 'episode scores' is missing")
        experiment, game = path.parents[1], path.parents[2]
        status = "aborted" if named.get("Aborted") else "success" if named.get("Success") else "lose"
        yield {
            "model": path.parents[3].name,
            "game": game.name,
            "level": re.sub(r"^\d+_", "", experiment.name),
            "game_id": path.parent.name,
            "instance": {"experiment": experiment.name, "episode": path.parent.name},
            "outcome": {"status": status, "score": named.get("Main Score"), "reason": "", "metrics": named},
            "stop": "end",
            "turns": [],
        }
