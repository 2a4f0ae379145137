"""Intervals, paired tests and the challenge's measures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from playpen_jax import statistics


def episode(game: str, number: int, score: float | None, level: str = "easy", sample: int = 0) -> dict:
    status = "aborted" if score is None else "success" if score == 100 else "lose"
    outcome = {"status": status, "score": score, "reason": "", "metrics": {}}
    return {
        "game": game,
        "level": level,
        "instance": {"n": number},
        "sample": sample,
        "outcome": outcome,
        "turns": [],
        "stop": "end",
    }


def test_a_bootstrap_of_equal_units_has_no_width():
    made = statistics.bootstrap([[40.0, 40.0]] * 5)
    assert (made.value, made.low, made.high, made.units) == (40.0, 40.0, 40.0, 5)


def test_a_bootstrap_without_or_with_one_unit_claims_nothing():
    assert math.isnan(statistics.bootstrap([]).value)
    one = statistics.bootstrap([[10.0, 20.0]])
    assert one.value == 15.0 and math.isnan(one.low) and math.isnan(one.high)


def test_a_bootstrap_of_single_plays_is_as_wide_as_the_normal_one():
    values = np.random.default_rng(3).normal(50, 10, 400)
    made = statistics.bootstrap([[x] for x in values])
    half = 1.96 * values.std(ddof=1) / 20
    assert made.high - made.value == pytest.approx(half, rel=0.12)
    assert made.value - made.low == pytest.approx(half, rel=0.12)


def test_plays_of_unlike_number_are_resampled_within_their_instance():
    """Two instances that agree, whose plays differ: the width comes from the plays alone."""
    one = statistics.bootstrap([[0.0, 100.0] * 8, [50.0]])
    assert one.value == 50.0
    few, many = ([[0.0, 100.0] * n] * 20 for n in (1, 50))
    assert statistics.bootstrap(few).high - 50 > 3 * (statistics.bootstrap(many).high - 50)


def test_coverage_is_near_95_per_cent():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        made = statistics.bootstrap([[x] for x in rng.normal(0, 1, 40)], seed=trial)
        hits += made.low <= 0 <= made.high
    assert 180 <= hits <= 199


def test_sign_flip_by_hand():
    # signs of (1, 2, 3): the sums are 6, 4, 2, 0, 0, -2, -4, -6; two of eight are as far out as 6
    assert statistics.sign_flip([1.0, 2.0, 3.0]) == 0.25
    assert statistics.sign_flip([1.0, 2.0, -3.0]) == 1.0
    assert math.isnan(statistics.sign_flip([]))
    assert statistics.sign_flip([0.0] * 20) == 1.0
    assert statistics.sign_flip([5.0] * 30) < 0.001


def test_changes_are_paired_by_instance():
    base = [episode("a", n, 10.0 * n) for n in range(6)] + [episode("b", 0, 50.0)]
    tuned = [episode("a", n, 10.0 * n + 5) for n in range(5)] + [episode("c", 0, 50.0)]
    made = statistics.changes(base, tuned)
    assert list(made) == ["a"]
    assert made["a"].difference.value == 5.0 and made["a"].difference.units == 5
    assert made["a"].difference.low == made["a"].difference.high == 5.0
    assert made["a"].p == 2 / 2**5


def test_estimates_per_game_level_and_all():
    episodes = [episode("a", n, s, level) for n, (s, level) in enumerate([(100, "easy"), (None, "easy"), (50, "hard")])]
    assert statistics.estimates(episodes)["a"].value == 50.0
    levels = statistics.estimates(episodes, "level")
    assert {key: each.value for key, each in levels.items()} == {"a/easy": 50.0, "a/hard": 50.0}
    assert statistics.estimates(episodes, "all")["all"].units == 3


def test_suites_are_scored_apart():
    played = [episode("wordle", 0, 100), episode("wordle", 1, None), episode("ta_blackjack", 0, 40.0)]
    played += [episode("bbh", 0, 100), episode("bbh", 1, None), episode("cladder", 0, 0), episode("mine", 0, 7.0)]
    # wordle: half played, quality 100; reference: bbh 50, cladder 0
    assert statistics.suite_scores(played) == {"indomain": 50.0, "outofdomain": 40.0, "reference": 25.0, "other": 7.0}


def test_the_measures_of_the_challenge_by_hand():
    base = {"indomain": 40.0, "outofdomain": 30.0, "reference": 60.0}
    tuned = {"indomain": 52.0, "outofdomain": 33.0, "reference": 55.0}
    made = statistics.challenge(base, tuned)
    assert made["delta_indomain"] == 12 and made["delta_outofdomain"] == 3 and made["delta_reference"] == -5
    assert made["adjusted"] == -2 and made["gap"] == -19 and made["error_reduction"] == pytest.approx(0.2)
    gained = statistics.challenge(base, tuned | {"reference": 70.0})
    assert gained["adjusted"] == 3, "a better statscore adds nothing"
    alone = statistics.challenge({"indomain": 40.0}, {"indomain": 45.0})
    assert alone["adjusted"] == 5 and math.isnan(alone["gap"]) and math.isnan(alone["delta_reference"])
