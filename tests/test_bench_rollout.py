"""The bench of rollouts: its episodes follow what was recorded, its lines hold together."""

from __future__ import annotations

import argparse
import statistics

import pytest

from playpen_jax import bench, bench_decode, bench_rollout, model
from playpen_jax.sampler import programs
from tests.toys import config, weights


def test_quantiles_are_read_in_between():
    table = (10, 20, 30)
    assert [bench_rollout.quantile(table, u) for u in (0.25, 0.5, 0.75, 0.625)] == [10, 20, 30, 25]
    assert bench_rollout.quantile(table, 0.0) == 1 and bench_rollout.quantile(table, 0.99) == 40


def test_games_take_turns_and_the_plays_of_an_instance_stand_together():
    jobs = bench_rollout.jobs(["wordle", "taboo"], 10, 2)
    assert [job.game.name for job in jobs] == ["wordle"] * 2 + ["taboo"] * 2 + ["wordle"] * 2 + ["taboo"] * 2 + ["wordle"] * 2
    assert [job.sample for job in jobs] == [0, 1] * 5
    assert [job.seed for job in jobs[::4]] == ["bench/wordle/0", "bench/wordle/2", "bench/wordle/4"]
    assert len({job.instance["game_id"] for job in jobs if job.game.name == "wordle"}) == 3


def test_episodes_of_recorded_lengths():
    jobs = bench_rollout.paced_jobs(400, 4096)
    turns = [len(job.instance["messages"]) for job in jobs]
    assert statistics.median(turns) == 2 and max(turns) > 12
    assert 200 < statistics.median(job.instance["messages"][0] for job in jobs) < 300, "a quarter of the characters"


def test_a_full_house_of_recorded_lengths(monkeypatch):
    """More episodes than rows, whose replies are cut short here; nothing is computed twice."""
    monkeypatch.setattr(bench_rollout.Paced, "longest", 8)
    c = config(261)
    line = bench_rollout.paced(c, weights(c, 258), 4, 12, 96, cohorts=2)
    assert line["episodes"] == 12 and line["prefilled_to_new"] == 1 and line["cohorts"] == 2
    assert 0 < line["occupancy"] <= 1 and 0 < line["occupancy_refilled"] <= 1
    assert line["new_tokens_per_second"] > 0 and 0 <= line["waiting_for_host"] <= 1


def test_decoding_is_held_against_what_the_machine_can_do():
    c = config(261)
    layers = programs.unstack(c, None)(weights(c, 258))
    line = bench_decode.decode(c, layers, 2, 64, 4, {"bytes_per_second": 1e12, "operations_per_second": 1e12})
    cache = 2 * 2 * c.layers * c.kv_heads * c.head_dim * 64 * 4
    assert line["bytes_per_step"] == 4 * model.param_count(c) + cache
    assert line["of_bandwidth"] == pytest.approx(line["bytes_per_step"] / (line["ms_per_step"] / 1e3) / 1e12)
    assert line["of_limit"] == max(line["of_bandwidth"], line["of_matrix_rate"])


def test_arguments():
    options = bench._parser().parse_args(["rollout", "--batches=1,2", "--games=wordle,taboo"])
    assert isinstance(options, argparse.Namespace) and options.batches == [1, 2] and options.games == ["wordle", "taboo"]


def test_growth_is_drawn_with_a_line_for_each_number_of_devices():
    rates = {1: (3.0, 9.0, 20.0), 2: (4.0, 11.0)}
    lines = [
        {"devices": n, "rows": 2**i, "episodes_per_second": rate} for n, each in rates.items() for i, rate in enumerate(each)
    ]
    svg = bench_rollout.growth_plot(lines)
    assert svg.startswith("<svg") and "1 devices" in svg and "2 devices" in svg and "Episodes a second" in svg
