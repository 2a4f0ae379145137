"""Every family against what transformers computed (tests/golden, made by tests/make_golden.py)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoConfig

from playpen_jax import families, hf, model
from playpen_jax.families import FAMILIES
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from tests import tiny_models

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(tiny_models.MODELS)
PROMPT = 12  # ids of the first row before its greedy continuation
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # programs that run but once
ALIKE = ("llama_tied", "llama_linear_rope", "mistral", "mistral_window", "qwen2", "qwen3", "phi3")  # others show as much
CACHED = ("gemma3", "qwen3_5")  # greedy replies of the others are compared by the slow tests


@pytest.fixture(scope="module")
def golden():
    """name -> what a golden file holds, with its weights drawn."""
    return {name: read(name) for name in NAMES}


def read(name: str) -> dict:
    data = dict(np.load(GOLDEN / f"{name}.npz"))
    shapes = {key: tuple(shape) for key, shape in json.loads(str(data.pop("shapes"))).items()}
    config = json.loads(str(data.pop("config")))
    return {**data, "config": config, "weights": tiny_models.weights(shapes, config)}


def logits(c: model.ModelConfig, params: model.Params, tokens: np.ndarray) -> np.ndarray:
    positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
    compute = lambda p, t: model.logits(c, p, model.hidden(c, p, t, positions, np.ones_like(tokens)))
    return np.asarray(jax.jit(compute, compiler_options=QUICK)(params, tokens))


def greedy(c: model.ModelConfig, params: model.Params, prompt: list[int], new: int, context: int = 128) -> list[int]:
    """The likeliest continuation, through our sampler and its cache; the prompt is fed in two parts."""
    sampler = Sampler(c, 3, context, Sampling(temperature=0.0), stops=(), chunk=16)
    sampler.load(params)
    rows = [sampler.take() for _ in range(3)]
    sampler.feed(rows[0], prompt[::-1], (0, 0), 5)
    for row in rows[1:]:
        sampler.feed(row, prompt, (0, 0), new)
    replies = {}
    while sampler.busy:
        replies |= {reply.row: reply.ids for reply in sampler.run()}
    assert replies[rows[1]] == replies[rows[2]] and len(replies[rows[0]]) == 5
    return replies[rows[1]]


def some(quick: bool, name: str) -> object:
    """A name, for the slow tests alone if it is not among the quick ones."""
    return name if quick else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [some(x not in ALIKE, x) for x in NAMES])
def test_logits_are_those_of_torch_and_a_round_trip_keeps_every_bit(name, golden, tmp_path):
    one = golden[name]
    c, params = hf.load(tiny_models.write(tmp_path / "theirs", one["config"], one["weights"]))
    got, wanted = logits(c, params, one["tokens"]), one["logits"]
    assert wanted.std() > 0.3
    assert np.abs(got - wanted).max() < 1e-4 * np.abs(wanted).max()
    hf.save(tmp_path / "ours", c, params)
    assert hf.read_config(tmp_path / "ours") == c
    saved = load_file(tmp_path / "ours" / hf.WEIGHTS)
    assert saved.keys() == one["weights"].keys()
    assert all(np.array_equal(saved[key], one["weights"][key]) for key in saved)


@pytest.mark.parametrize("name", [some(x in CACHED, x) for x in NAMES])
def test_greedy_replies_are_those_of_torch_beyond_the_window(name, golden, tmp_path):
    one = golden[name]
    c, params = hf.load(tiny_models.write(tmp_path, one["config"], one["weights"]))
    wanted = one["greedy"].tolist()
    assert len(wanted) == 64 > 4 * c.window and len(set(wanted)) > 4
    assert greedy(c, params, one["tokens"][0, :PROMPT].tolist(), 64) == wanted


@pytest.mark.parametrize("name", ["llama_dynamic_rope", "phi3_long"])
def test_rotary_scaling_by_length_follows_the_context_of_the_run(name, golden, tmp_path):
    """The models were made for 128 tokens; replies begin before and end after them."""
    one = golden[name]
    plain, params = hf.load(tiny_models.write(tmp_path, one["config"], one["weights"]))
    c = plain.within(200)
    assert plain.within(128) == plain != c and c.within(160) == c and c.plain == plain
    assert model.config_from_json(json.loads(json.dumps(dataclasses.asdict(c)))) == c
    prompt = one["tokens"].flatten().tolist() + one["tokens"][0].tolist()
    reply = greedy(plain, params, prompt, 24, context=200)
    tokens = np.array([prompt + reply], np.int32)
    scores = {x: logits(x, params, tokens)[0, len(prompt) - 1 : -1] for x in (plain, c)}
    assert scores[c].argmax(-1).tolist() == reply != scores[plain].argmax(-1).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_transformers_reads_our_config_as_it_reads_its_own(name, golden, tmp_path):
    one = golden[name]["config"]
    kind = one["model_type"]
    c = families.read(kind, FAMILIES[kind], one)
    (tmp_path / "config.json").write_text(json.dumps(families.write(FAMILIES[kind], c) | {"model_type": kind}))
    ours, theirs = AutoConfig.from_pretrained(tmp_path).to_dict(), AutoConfig.for_model(**one).to_dict()
    free = {"_name_or_path", "dtype", "architectures", "transformers_version", "eos_token_id", "bos_token_id", "pad_token_id"}
    free |= {"max_window_layers", "intermediate_size"} if kind in ("qwen2", "qwen3_moe") else set()  # not used
    differ = {key for key in theirs if key not in free and not same(ours.get(key), theirs[key])}
    assert not differ, {key: (ours.get(key), theirs[key]) for key in differ}


def same(ours: object, theirs: object) -> bool:
    """Equal, or a mapping in which all that they say is equal."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(same(ours.get(key), value) for key, value in theirs.items() if value is not None)
    return ours == theirs


def test_the_golden_models_differ_where_it_matters(golden):
    found = {
        name: families.read(x["config"]["model_type"], FAMILIES[x["config"]["model_type"]], x["config"])
        for name, x in golden.items()
    }
    assert {c.family for c in found.values()} == set(FAMILIES)
    for field in dataclasses.fields(model.ModelConfig):
        if field.name not in (
            "vocab",
            "dim",
            "heads",
            "max_positions",
            "norm_eps",
            "dtype",
            "lora",
            "base",
            "remat",
            "attention",
            "context",
        ):
            assert len({str(getattr(c, field.name)) for c in found.values()}) > 1, field.name
    assert {kind for c in found.values() for kind in c.kinds} == {"full", "window", "nope", "delta"}
    assert any(c.layers % c.period for c in found.values()) and any(c.layers // c.period > 1 < c.period for c in found.values())


def wrapped(one: dict, kind: str, prefix: str) -> tuple[dict, dict]:
    """A model of text and pictures: config and tensors."""
    names = {key: key.replace("model.", prefix, 1) if key.startswith("model.") else key for key in one["weights"]}
    tensors = {names[key]: x for key, x in one["weights"].items()}
    tensors["model.visual.blocks.0.weight"] = np.zeros((3, 3), np.int8)
    return {"model_type": kind, "text_config": one["config"], "vision_config": {"hidden_size": 7}}, tensors


@pytest.mark.parametrize(
    ("name", "kind", "prefix"),
    [
        ("qwen3_5", "qwen3_5", "model.language_model."),
        ("gemma3", "gemma3", "model.language_model."),
        ("gemma3", "gemma3", "language_model.model."),
    ],
)
def test_the_text_model_is_read_out_of_a_model_with_pictures(name, kind, prefix, golden, tmp_path):
    one = golden[name]
    c, params = hf.load(tiny_models.write(tmp_path, *wrapped(one, kind, prefix)))
    assert c.family == one["config"]["model_type"]
    np.testing.assert_array_equal(params["embed"], one["weights"]["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("gemma3", {"layer_types": ["full_attention"] * 7 + ["chunked_attention"]}, "chunked_attention"),
        ("gemma3", {"layer_types": ["full_attention"] * 7}, "7 kinds for 8 layers"),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention True is not supported"),
        ("qwen3_moe", {"mlp_only_layers": [1]}, r"mlp_only_layers \[1\] is not supported"),
        ("qwen3_moe", {"num_experts_per_tok": 9}, "9 of 6 experts cannot be asked"),
        ("qwen3_5", {"linear_num_value_heads": 3}, "delta layers cannot have"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope"}}, "the longrope rope has no short_factor, long_factor"),
        ("phi3", {"rope_parameters": {"rope_type": "static", "factor": 2}}, "rope_type 'static' is not supported"),
        ("qwen2", {"rope_parameters": {"rope_type": "yarn"}}, "the yarn rope has no factor"),
    ],
)
def test_what_the_decoder_does_not_have_is_refused_by_name(name, change, match, golden):
    config = golden[name]["config"] | change
    with pytest.raises(ValueError, match=match):
        families.read(config["model_type"], FAMILIES[config["model_type"]], config)


def test_a_family_refuses_what_it_cannot_express(golden):
    c = families.read("llama", FAMILIES["llama"], golden["llama_tied"]["config"])
    for change in ({"score_cap": 3.0}, {"biases": ("q",)}, {"kinds": ("full", "nope")}):
        with pytest.raises(ValueError, match=f"LlamaForCausalLM cannot have {next(iter(change))}="):
            families.write(FAMILIES["llama"], dataclasses.replace(c, **change))
