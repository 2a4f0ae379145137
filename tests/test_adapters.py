"""Adapters beside frozen, perhaps quantised weights: trained alone, merged, and in PEFT's format."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from playpen_jax import adapters, convert, hf, model, optim, policy, sharding, train, update
from playpen_jax import config as configs
from playpen_jax.families import FAMILIES, read
from playpen_jax.losses import sft
from playpen_jax.state import Batch
from tests import test_families
from tests.test_families import logits

ALL = r".*proj.*"
TOKENS = np.random.default_rng(0).integers(1, 61, (2, 24)).astype(np.int32)


def base(name: str) -> tuple[model.ModelConfig, model.Params]:
    """A golden model of a family, cut to as few layers as show all its kinds."""
    config = test_families.read(name)["config"]
    c = read(config["model_type"], FAMILIES[config["model_type"]], config)
    c = dataclasses.replace(c, layers=min(c.period, 4), kinds=c.kinds[-min(c.period, 4) :])
    rng = np.random.default_rng(0)
    draw = lambda x: jnp.asarray(rng.normal(size=x.shape).astype(np.float32) * 0.3)
    return c, jax.tree.map(draw, model.abstract(c))


def adapted(c: model.ModelConfig, params: model.Params, pattern: str = ALL, dropout: float = 0.0) -> tuple:
    """The same with adapters that do something."""
    c = dataclasses.replace(c, lora=model.Lora(3, 6.0, adapters.targets(c, pattern), dropout))
    rng = np.random.default_rng(1)
    drawn = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape).astype(np.float32) * 0.2), model.split(model.abstract(c))[0]
    )
    return c, model.join(drawn, params)


def test_a_pattern_names_modules():
    c, _ = base("phi3")
    assert adapters.targets(c, r"self_attn\.qkv_proj") == ("q", "k", "v")
    assert adapters.targets(c, r".*\.down_proj") == ("down",)
    with pytest.raises(ValueError, match=r"'q_proj' matches no projection of phi3: self_attn.qkv_proj, self_attn.o_proj"):
        adapters.targets(c, "q_proj")
    with pytest.raises(ValueError, match="is not a regular expression"):
        adapters.targets(c, "(")
    with pytest.raises(ValueError, match="no adapter can stand beside router"):
        model.abstract(dataclasses.replace(base("qwen3_moe")[0], lora=model.Lora(2, 2.0, ("router",))))


@pytest.mark.parametrize("name", ["phi3", "qwen3_5"])
def test_merged_weights_compute_the_same_and_a_folder_keeps_the_adapters(name, tmp_path):
    plain, params = base(name)
    c, both = adapted(plain, params)
    got = logits(c, both, TOKENS)
    assert np.abs(got - logits(plain, params, TOKENS)).max() > 0.1
    same, merged = model.merge(c, both)
    assert same == plain
    np.testing.assert_allclose(logits(plain, merged, TOKENS), got, rtol=1e-3, atol=1e-3)
    adapters.save(tmp_path, c, both, "somewhere")
    again, trained = adapters.load(tmp_path, plain)
    assert again == c
    np.testing.assert_allclose(logits(c, model.join(trained, params), TOKENS), got, rtol=1e-4, atol=1e-4)
    hf.save(tmp_path / "merged", c, both)
    np.testing.assert_array_equal(hf.load(tmp_path / "merged")[1]["layers"]["o"], merged["layers"]["o"])


def batch() -> Batch:
    ones = np.ones(TOKENS.shape, np.float32)
    places = np.broadcast_to(np.arange(TOKENS.shape[1], dtype=np.int32), TOKENS.shape)
    fields = (TOKENS, places, np.ones_like(TOKENS), ones, ones, np.zeros_like(ones))
    return jax.tree.map(lambda x: x[None], Batch(*fields))


def test_an_update_moves_the_adapters_alone_and_keeps_state_for_nothing_else():
    c, params = adapted(*base("llama_tied"), r".*\.(q|down)_proj", dropout=0.5)
    mesh = sharding.make_mesh(configs.Mesh(), jax.devices()[:1])
    tx = optim.make(configs.Optim(learning_rate=1e-2), 10)
    at = update.state_shardings(c, tx, mesh)
    before = jax.tree.map(np.array, params)
    state = update.fresh_state(tx, params, at)
    assert len(jax.tree.leaves(state.opt_state)) <= 2 * 4 + 2  # two moments of two pairs, and two counters
    apply = update.make(c, lambda b, logps, ref: sft.loss(b, logps), tx, mesh, at)
    state, first = apply(state, None, batch(), 1)
    state, second = apply(state, None, batch(), 1)
    moved = update.moved(before, state.params)
    assert {name for name, x in moved.items() if x} == {
        f"layers.{x}{end}" for x in ("q", "down") for end in (model.DOWN, model.UP)
    }
    off = jax.jit(lambda p: update.gradients(c, lambda b, x, r: sft.loss(b, x), p, None, batch(), 1)[1]["loss"])(before)
    assert abs(float(first["loss"]) - float(off)) > 1e-3, "dropout does nothing"
    assert float(first["loss"]) != float(second["loss"])


def test_fresh_adapters_change_nothing():
    plain, params = base("llama_tied")
    c = dataclasses.replace(plain, lora=model.Lora(4, 8.0, adapters.targets(plain, ALL)))
    fresh = model.split(jax.jit(model.init, static_argnums=0)(c, jax.random.key(0)))[0]
    down = np.asarray(fresh["layers"]["q" + model.DOWN])
    assert 0.5 * c.dim**-0.5 < np.abs(down).max() <= c.dim**-0.5
    np.testing.assert_array_equal(logits(c, model.join(fresh, params), TOKENS), logits(plain, params, TOKENS))


@pytest.mark.parametrize("kind, error", [("int8", 0.02), ("nf4", 0.2)])
def test_quantised_weights_are_small_and_close(kind, error):
    pytest.importorskip("qwix", reason="the extra `quant`")
    plain, params = base("llama_biased")
    c = dataclasses.replace(plain, base=kind)
    small = params | {"layers": {name: model.quantise(kind, name, w) for name, w in params["layers"].items()}}
    assert jax.tree.map(lambda x: (x.shape, x.dtype), small) == jax.tree.map(lambda x: (x.shape, x.dtype), model.abstract(c))
    w, q = params["layers"]["gate"], small["layers"]["gate"]
    assert q.qvalue.dtype in (jnp.int8, jnp.uint4)
    assert 0 < np.linalg.norm(model.dense(q, jnp.float32) - w) / np.linalg.norm(w) < error
    wanted, got = logits(plain, params, TOKENS), logits(c, small, TOKENS)
    assert 0 < np.linalg.norm(got - wanted) / np.linalg.norm(wanted) < 4 * error
    cl, both = adapted(c, small, r".*\.q_proj")
    _, merged = model.merge(cl, both)
    np.testing.assert_allclose(logits(plain, merged, TOKENS), logits(cl, both, TOKENS), rtol=1e-3, atol=1e-3)


def test_adapters_that_do_not_fit_are_reported(tmp_path):
    plain, params = base("llama_tied")
    c, both = adapted(plain, params, r".*\.q_proj")
    adapters.save(tmp_path, c, both, "somewhere")
    tensors = load_file(tmp_path / adapters.WEIGHTS)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert tensors[name].shape == (3, plain.dim)
    save_file(tensors | {name: np.zeros((3, 7), np.float32)}, tmp_path / adapters.WEIGHTS)
    with pytest.raises(ValueError, match=r"self_attn.q_proj of layer 0 has an adapter of shapes .*\(3, 7\).* beside 32 x 32"):
        adapters.load(tmp_path, plain)
    save_file(tensors | {"base_model.model.score.weight": np.zeros(3, np.float32)}, tmp_path / adapters.WEIGHTS)
    with pytest.raises(ValueError, match="score.weight is not part of an adapter"):
        adapters.load(tmp_path, plain)
    config = json.loads((tmp_path / adapters.CONFIG).read_text())
    (tmp_path / adapters.CONFIG).write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(ValueError, match="use_dora True is not supported"):
        adapters.load(tmp_path, plain)
    with pytest.raises(ValueError, match="cannot be read"):
        adapters.load(tmp_path / "nowhere", plain)


@pytest.mark.parametrize("base", ["plain", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_run_keeps_adapters_which_load_go_on_and_come_out_in_both_forms(base, tmp_path, toy, toy_folder):
    if base != "plain":
        pytest.importorskip("qwix", reason="the extra `quant`")
    settings = {
        "model.path": toy_folder,
        "lora.rank": 2,
        "lora.target": r".*\.[qv]_proj",
        "lora.base": base,
        "optim.learning_rate": 0.1,
        "games": "('taboo',)",
        "sft.episodes": 20,
        "sft.rows": 2,
        "batch.length": 256,
        "batch.micro": 2,
        "eval.episodes": 0,
        "tensorboard": False,
    }
    argv = ["--config=tiny_sft.py", f"--workdir={tmp_path / 'run'}", *(f"--config.{k}={v}" for k, v in settings.items())]
    assert train.main([*argv, "--config.steps=1"]) == 0
    assert train.main([*argv, "--config.steps=2"]) == 0
    loaded = policy.load(tmp_path / "run")
    assert loaded.config.lora.targets == ("q", "v") and loaded.config.base == (None if base == "plain" else base)
    assert float(jnp.abs(loaded.params["layers"]["q" + model.UP]).max()) > 1e-3
    if base == "plain":
        assert all(np.array_equal(loaded.params["layers"][name], w) for name, w in toy[1]["layers"].items())
    assert convert.main([str(tmp_path / "run"), str(tmp_path / "peft"), "--as=adapter"]) == 0
    assert convert.main([str(tmp_path / "peft"), str(tmp_path / "merged")]) == 0
    assert convert.main([str(tmp_path / "run"), str(tmp_path / "checkpoint"), "--as=checkpoint"]) == 0
    tokens = TOKENS % toy[0].vocab
    merged, checkpointed = (policy.load(tmp_path / name).logits(tokens) for name in ("merged", "checkpoint"))
    np.testing.assert_allclose(checkpointed, loaded.logits(tokens), rtol=1e-3, atol=1e-3)
    if base == "plain":  # adapters stand beside the weights as they were before they were quantised
        np.testing.assert_allclose(merged, checkpointed, rtol=1e-3, atol=1e-3)
    with pytest.raises(SystemExit):
        convert.main([str(toy_folder), str(tmp_path / "none"), "--as=adapter"])
