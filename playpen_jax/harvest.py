"""Plays for a data set: by whom, which of them are kept, and the parts of the folder they are written in."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

import games
from playpen_jax import config as configs
from playpen_jax import draws, forks, metrics, players, policy, rollout
from playpen_jax.data.read import OUTCOMES
from playpen_jax.data.recorded import dialogues
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.types import Episode

FROZEN = "frozen"
SAME = ("seed", "games", "players", "form", "model", "rollout", "collect")  # settings that a folder was made with


def seats(config: configs.Config) -> dict[str, dict[str, str]]:
    """game -> seat -> player; raises `ValueError` or `KeyError` for one that does not exist."""
    specs, found = players.parse(config.players, config.games), {}
    for name in config.games:
        found[name] = players.seating(games.make(name), specs[name])
        players.check_seats(games.make(name), found[name], (players.LEARNER, FROZEN))
    asked = {player for cast in found.values() for player in cast.values()}
    if FROZEN in asked and config.collect.frozen is None:
        raise ValueError(f"players: {FROZEN!r} sits in a seat, but collect.frozen names no policy")
    if players.LEARNER in asked and config.model.path is None:
        raise ValueError("players: a seat is the learner's, but model.path names no policy")
    if config.collect.forks and players.LEARNER not in asked:
        raise ValueError("collect.forks samples turns of the learner anew, but it sits in no seat")
    if config.collect.forks and any(map(players.is_remote, asked)):
        raise ValueError("collect.forks plays policies and scripted players, no endpoints")
    return found


def load(config: configs.Config, cast: dict[str, dict[str, str]]) -> dict[str, policy.Policy]:
    """The policies that sit somewhere."""
    asked = {player for seats in cast.values() for player in seats.values()}
    paths = {players.LEARNER: config.model.path, FROZEN: config.collect.frozen}
    found = {name: policy.load(path, config.model.dtype) for name, path in paths.items() if path and name in asked}
    for name, loaded in found.items():
        if loaded.chat is None:
            raise ValueError(f"{paths[name]}: no tokenizer, so it cannot play")
    return found


def table(config: configs.Config, policies: dict[str, policy.Policy]) -> rollout.Rollout:
    """The table at which all is played."""
    r, samplers = config.rollout, {}
    for name, loaded in policies.items():
        how = Sampling(r.temperature, r.top_k, r.top_p)
        samplers[name] = Sampler(loaded.config, r.rows, r.context, how, loaded.speech.stops, r.chunk)
        samplers[name].load(loaded.params)
    chats = {name: loaded.speech for name, loaded in policies.items()}
    return rollout.Rollout(samplers, chats, rollout.Limits(r.max_tokens, r.max_turns), temperature=r.temperature)


def jobs(config: configs.Config, cast: dict[str, dict[str, str]], first: int, last: int) -> Iterator[rollout.Job]:
    """All plays of the instances `first` to `last` - 1 of every game, the plays of an instance side by side."""
    for name in config.games:
        for number in range(first, last):
            instance, seed = draws.training_instance(config, name, number), f"{config.seed}/collect/{name}/{number}"
            for sample in range(config.collect.plays):
                yield rollout.Job(games.make(name), instance, cast[name], sample, f"{seed}/{sample}", config.form)


def kept(config: configs.Config, episodes: Sequence[Episode], counts: Counter) -> Iterator[Episode]:
    """The plays that the settings keep, of each instance the best ones, and a count of all others by why."""
    plays, c = config.collect.plays, config.collect
    for first in range(0, len(episodes), plays):
        group = sorted(episodes[first : first + plays], key=lambda e: (-e.score, not e.played, e.sample))
        best = {id(episode) for episode in group[: c.best_of or plays]}
        for episode in episodes[first : first + plays]:
            outcome = OUTCOMES[episode.outcome.status]
            if episode.stop == "error":
                counts["dropped: its engine failed"] += 1
            elif c.outcomes and outcome not in c.outcomes:
                counts[f"dropped: {outcome}"] += 1
            elif id(episode) not in best:
                counts["dropped: not among the best of its instance"] += 1
            else:
                counts["kept"] += 1
                yield episode


def rows(episode: Episode, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """One row for each seat; `names`: what the policies are called."""
    for messages, meta in dialogues(episode.to_json()):
        model, outcome = names.get(meta["model"], meta["model"]), OUTCOMES[meta["outcome"]]
        yield {"messages": messages, "meta": meta | {"model": model, "outcome": outcome, "sample": episode.sample}}


def open_folder(config: configs.Config, folder: Path) -> None:
    """Make DIR, or go on with it if it was made with these settings."""
    file = folder / "config.json"
    plain = {key: value for key, value in json.loads(json.dumps(dataclasses.asdict(config))).items() if key in SAME}
    if file.exists() and (before := json.loads(file.read_text("utf-8"))) != plain:
        other = [key for key in SAME if before.get(key) != plain[key]]
        raise configs.ConfigError(f"--workdir={folder} was made with other settings ({', '.join(other)}): choose another")
    for name in ("interactions", "episodes", *(["pairs"] if config.collect.forks else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    metrics.replace(file, json.dumps(plain, indent=1))


def play(config: configs.Config, folder: Path, cast: dict[str, dict[str, str]], policies: dict[str, policy.Policy]) -> Counter:
    """Play what is not yet there, part by part; a part that was written is whole. Returns the counts of this run."""
    c, at = config.collect, table(config, policies)
    counts: Counter[str] = Counter()
    names = {players.LEARNER: str(config.model.path), FROZEN: str(c.frozen)}
    for first in tqdm(range(0, c.instances, c.part), desc="collect", unit="part", disable=None):
        name = f"part_{first:08d}.jsonl"
        if (folder / "interactions" / name).exists():
            continue
        todo = list(jobs(config, cast, first, min(first + c.part, c.instances)))
        episodes = at.play(todo)
        counts["episodes"] += len(episodes)
        lines = [metrics.json_text(episode.to_json()) + "\n" for episode in episodes]
        metrics.replace(folder / "episodes" / name, "".join(lines))
        found = [row for episode in kept(config, episodes, counts) for row in rows(episode, names)]
        counts["rows"] += len(found)
        if c.forks:
            pairs = forks.pairs(todo, episodes, at.play, c.forks, str(config.model.path))
            counts["pairs"] += len(pairs)
            metrics.replace(folder / "pairs" / name, "".join(metrics.json_text(row) + "\n" for row in pairs))
        metrics.replace(folder / "interactions" / name, "".join(metrics.json_text(row) + "\n" for row in found))
    return counts
