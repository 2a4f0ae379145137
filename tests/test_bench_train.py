"""What `bench train` counts, and that it measures at all."""

from __future__ import annotations

import dataclasses

import pytest

from playpen_jax import bench, bench_train, model

SMALL = dict(vocab=64, dim=16, layers=2, heads=4, kv_heads=2, head_dim=4, mlp=32)


def test_operations_by_hand():
    c = model.ModelConfig("llama", **SMALL)
    products = 2 * (16 * 16 * 2 + 16 * 8 * 2 + 3 * 16 * 32) + 64 * 16
    norms = 5 * 16
    scores = 4 * 16 * 10 / 2 * 2
    assert bench_train.operations(c, 3, 10) == pytest.approx(3 * 10 * (6 * (products + norms) + 3 * scores))
    assert bench_train.operations(c, 3, 10, recomputed=True) == pytest.approx(3 * 10 * (8 * (products + norms) + 4 * scores))
    lora = dataclasses.replace(c, lora=model.Lora(2, 4.0, ("q",)))
    adapter = 2 * 2 * (16 + 16)
    found = bench_train.operations(lora, 3, 10)
    assert found == pytest.approx(3 * 10 * (4 * (products + norms) + 6 * adapter + 3 * scores))
    untied = dataclasses.replace(c, tied=False)
    assert bench_train.operations(untied, 3, 10) == bench_train.operations(c, 3, 10), "a table that is looked up is free"


def test_it_measures_an_update_beside_products(monkeypatch):
    monkeypatch.setitem(bench_train.SIZES, "11m", SMALL)
    monkeypatch.setattr(bench_train, "products", lambda dtype: (lambda: None, 1e6))
    options = bench._parser().parse_args(["train", "--rows=2", "--length=16", "--micro=2", "--steps=1", "--lora=2"])
    (line,) = bench_train.measure(options)
    assert line["parameters"] == model.param_count(bench_train.config(options))
    assert line["tokens_per_second"] == pytest.approx(2 * 2 * 16 / line["seconds"])
    assert line["operations_per_second"] > 0 < line["share_of_matrix_rate"]
