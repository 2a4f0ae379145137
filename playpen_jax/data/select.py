"""Which dialogues are learned from, and an account of what was kept, what was dropped, and why."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from playpen_jax import config as configs
from playpen_jax.data.read import Dialogue, Row


@dataclasses.dataclass
class Account:
    """How many rows each rule dropped, and per game how many were there and how many are left."""

    seen: Counter = dataclasses.field(default_factory=Counter)
    kept: Counter = dataclasses.field(default_factory=Counter)
    dropped: dict[str, Counter] = dataclasses.field(default_factory=dict)

    def drop(self, row: Row, why: str) -> None:
        self.dropped.setdefault(why, Counter())[game_of(row)] += 1

    def to_json(self) -> dict[str, Any]:
        dropped = {why: {"rows": games.total(), "games": dict(games)} for why, games in self.dropped.items()}
        return {"rows": self.seen.total(), "kept": self.kept.total(), "dropped": dropped, "kept_by_game": dict(self.kept)}

    def lines(self) -> list[str]:
        """The same for the terminal."""
        kept = f"{self.kept.total():,} of {self.seen.total():,} rows kept"
        return [kept, *(f"  {games.total():,} dropped: {why}" for why, games in self.dropped.items())]


def game_of(row: Row) -> str:
    return str(row.meta.get("game", ""))


def instance_of(row: Row) -> tuple[str, ...]:
    """What names the instance and the role: rows of equal keys are plays of the same thing."""
    return tuple(str(row.meta.get(key, "")) for key in ("game", "experiment", "task_id", "game_role", "player_name"))


def select(rows: Iterable[Row], settings: configs.Data, seed: int) -> tuple[list[Row], Account]:
    """The rows that the settings keep, in their order."""
    account, tests, seen = Account(), filters(settings), set()
    kept, best = [], Ranking()
    for row in rows:
        account.seen[game_of(row)] += 1
        best.count(row)  # a model is ranked by all that it played
        why = next((why for why, test in tests.items() if not test(row.meta)), None)
        if why is None and settings.unique and (digest := _digest(row)) in seen:
            why = "the same dialogue came before (data.unique)"
        if why is not None:
            account.drop(row, why)
            continue
        if settings.unique:
            seen.add(digest)
        kept.append(row)
    kept = _best_models(kept, settings.best_models, best.scores(), account)
    kept = _cap(kept, settings.per_experiment, "experiment", seed, account)
    kept = _cap(kept, settings.per_game, "game", seed, account)
    account.kept.update(map(game_of, kept))
    return kept, account


def _among(key: str, wanted: Sequence[str], meta: Mapping) -> bool:
    return meta.get(key) in wanted


def filters(settings: configs.Data) -> dict[str, Callable[[Mapping], bool]]:
    """Why a row would be dropped -> whether its meta passes."""
    found: dict[str, Callable[[Mapping], bool]] = {}
    for key, names in (("outcome", "outcomes"), ("game", "games"), ("game_role", "roles"), ("model", "models")):
        wanted = getattr(settings, names)
        if wanted:
            found[f"{key} is not among data.{names}"] = partial(_among, key, wanted)
    least = settings.min_score
    if least is not None:
        found["score is less than data.min_score, or unknown"] = lambda meta: _score(meta) >= least
    return found


def _score(meta: Mapping[str, Any]) -> float:
    score = meta.get("score")
    return score if isinstance(score, (int, float)) and not math.isnan(score) else -math.inf


def _digest(row: Row) -> bytes:
    texts = row.messages if isinstance(row, Dialogue) else (row.prompt, row.chosen, row.rejected)
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).digest()


class Ranking:
    """Models by clemscore over all rows: mean share of episodes played times mean quality of those, means over games."""

    def __init__(self):
        self.played: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        self.quality: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def count(self, row: Row) -> None:
        model, game, outcome = str(row.meta.get("model", "")), game_of(row), row.meta.get("outcome")
        self.played[model][game].append(outcome != "aborted")
        if outcome != "aborted":
            score = _score(row.meta)
            self.quality[model][game].append(score if math.isfinite(score) else 100.0 * (outcome == "success"))

    def scores(self) -> dict[str, float]:
        """model -> clemscore, 0..100."""
        mean = lambda values: sum(values) / len(values) if values else 0.0
        return {
            model: mean([mean(x) for x in games.values()]) * mean([mean(x) for x in self.quality[model].values()])
            for model, games in self.played.items()
        }


def _best_models(rows: list[Row], count: int, scores: Mapping[str, float], account: Account) -> list[Row]:
    """Per instance and role, the rows of the `count` best models that are there (arXiv 2504.08590)."""
    if not count:
        return rows
    models: dict[tuple, set[str]] = defaultdict(set)
    for row in rows:
        models[instance_of(row)].add(str(row.meta.get("model", "")))
    best = {key: sorted(names, key=lambda name: (-scores[name], name))[:count] for key, names in models.items()}
    return _kept(rows, lambda row: str(row.meta.get("model", "")) in best[instance_of(row)], account, "not of the best models")


def _cap(rows: list[Row], most: int, by: str, seed: int, account: Account) -> list[Row]:
    """At most `most` rows of each game, or of each experiment of a game: an even draw."""
    if not most:
        return rows
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[instance_of(row)[: 1 if by == "game" else 2]].append(row)
    left: set[int] = set()
    for key, group in groups.items():
        drawn = group if len(group) <= most else random.Random(f"{seed}/{'/'.join(key)}").sample(group, most)
        left.update(map(id, drawn))
    return _kept(rows, lambda row: id(row) in left, account, f"more than data.per_{by}={most}")


def _kept(rows: Sequence[Row], test: Callable[[Row], bool], account: Account, why: str) -> list[Row]:
    found = []
    for row in rows:
        if test(row):
            found.append(row)
        else:
            account.drop(row, why)
    return found
