"""Intervals, paired tests, and the LM Playschool challenge's measures of what training gained and what it cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import games
from playpen_jax.scores import Row, mean, round2, row, table

SUITES = ("indomain", "outofdomain", "reference")
DRAWS = 2000  # of a bootstrap or of a permutation test


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean and the interval that holds 95 % of its bootstrap draws; `units` were resampled."""

    value: float
    low: float
    high: float
    units: int

    def json(self) -> list[float | None]:
        return [None if math.isnan(x) else round2(x) for x in (self.value, self.low, self.high)]


def bootstrap(plays: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Mean over units (instances) of the mean over their plays; both are resampled (Davison and Hinkley 1997, 3.8)."""
    if not plays:
        return Estimate(math.nan, math.nan, math.nan, 0)
    rng, n = np.random.default_rng(seed), len(plays)
    value = mean([mean(each) for each in plays])
    if n == 1:
        return Estimate(value, math.nan, math.nan, 1)
    most = max(map(len, plays))
    padded = np.array([list(each) + [0.0] * (most - len(each)) for each in plays])
    counts = np.array([len(each) for each in plays])
    units = rng.integers(0, n, (DRAWS, n))
    picks = (rng.random((DRAWS, n, most)) * counts[units][..., None]).astype(int)
    weights = (np.arange(most) < counts[units][..., None]) / counts[units][..., None]
    drawn = np.take_along_axis(padded[units], picks, 2) if most > 1 else padded[units]
    low, high = np.percentile((drawn * weights).sum(2).mean(1), (2.5, 97.5))
    return Estimate(value, float(low), float(high), n)


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of paired differences under random signs; exact up to 12 of them; NaN for none.

    With draws the observed signs count as one of them, so that p is never 0 (Phipson and Smyth 2010).
    """
    values = np.asarray(differences, float)
    if not len(values):
        return math.nan
    seen, small = abs(values.sum()), len(values) <= 12
    if small:
        bits = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((2 * bits - 1) @ values) >= seen - 1e-9))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (DRAWS, len(values)))
    return float((1 + np.sum(np.abs(signs @ values) >= seen - 1e-9)) / (DRAWS + 1))


def by_suite(episodes: Iterable[Any]) -> dict[str, list[Any]]:
    """suite -> its episodes; a game that is not known here belongs to "other"."""
    found: dict[str, list[Any]] = {}
    for episode in episodes:
        name = episode["game"] if isinstance(episode, Mapping) else episode.game
        suite = games.make(name).suite if name in games.names() else "other"
        found.setdefault(suite, []).append(episode)
    return found


def suite_scores(episodes: Iterable[Any]) -> dict[str, float]:
    """suite -> clemscore (0..100) of its games; "reference" -> statscore, the plain mean over tasks with aborts as 0."""
    tables = {suite: table(part) for suite, part in by_suite(episodes).items()}
    return {s: made["all"]["score" if s == "reference" else "clemscore"] for s, made in tables.items()}


def estimates(episodes: Iterable[Any], part: str = "game") -> dict[str, Estimate]:
    """Score (0..100, aborts 0) with its interval, per "game", per "level" (game/level) or for "all" together."""
    plays: dict[str, dict[str, list[float]]] = {}
    for episode in episodes:
        one: Row = row(episode)
        level = (episode.get("level") if isinstance(episode, Mapping) else episode.level) or "-"
        key = {"game": one.game, "level": f"{one.game}/{level}", "all": "all"}[part]
        plays.setdefault(key, {}).setdefault(f"{one.game} {one.instance}", []).append(one.score)
    return {key: bootstrap(list(each.values())) for key, each in sorted(plays.items())}


@dataclasses.dataclass(frozen=True)
class Change:
    """What a model gained over its base on the instances that both played: mean difference, interval, p of equal means."""

    difference: Estimate
    p: float


def changes(base: Iterable[Any], tuned: Iterable[Any]) -> dict[str, Change]:
    """game -> change of the mean score of each shared instance."""
    first, second = _instances(base), _instances(tuned)
    pairs: dict[str, list[float]] = {}
    for key in first.keys() & second.keys():
        pairs.setdefault(key[0], []).append(mean(second[key]) - mean(first[key]))
    return {
        game: Change(bootstrap([[d] for d in sorted(pairs[game])]), sign_flip(sorted(pairs[game]))) for game in sorted(pairs)
    }


def _instances(episodes: Iterable[Any]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for one in map(row, episodes):
        found.setdefault((one.game, one.instance), []).append(one.score)
    return found


def challenge(base: Mapping[str, float], tuned: Mapping[str, float]) -> dict[str, float]:
    """The measures of the challenge from the suite scores of two models; NaN where a suite was not played.

    delta_{suite}: tuned - base. adjusted: the change of the clemscore out of domain (in domain where that was not played),
    lowered by what the statscore lost. gap: out of domain - in domain of the tuned model. error_reduction: the change in
    domain as a share of what the base lacked to 100.
    """
    delta = {suite: tuned.get(suite, math.nan) - base.get(suite, math.nan) for suite in SUITES}
    clem = delta["indomain"] if math.isnan(delta["outofdomain"]) else delta["outofdomain"]
    lacked = 100 - base.get("indomain", math.nan)
    lost = delta["reference"]
    return {f"delta_{suite}": value for suite, value in delta.items()} | {
        "adjusted": clem + (0.0 if math.isnan(lost) else min(0.0, lost)),
        "gap": tuned.get("outofdomain", math.nan) - tuned.get("indomain", math.nan),
        "error_reduction": delta["indomain"] / lacked if lacked else math.nan,
    }
