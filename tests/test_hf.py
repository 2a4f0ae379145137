import dataclasses
import json
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from playpen_jax import families, hf, model
from playpen_jax.families import FAMILIES
from playpen_jax.hf import writing
from tests.test_families import read


def write(folder: Path, config: dict, weights: dict, shards: int = 1) -> Path:
    """A Hugging Face folder, in one file or in shards with an index."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(weights, folder / hf.WEIGHTS, metadata={"format": "pt"})
        return folder
    names = {key: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, key in enumerate(sorted(weights))}
    for name in set(names.values()):
        save_file({key: weights[key] for key in names if names[key] == name}, folder / name)
    (folder / hf.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return folder


def read_llama(config: dict) -> model.ModelConfig:
    return families.read("llama", FAMILIES["llama"], config)


def equal(a: model.Params, b: model.Params) -> bool:
    """Bit for bit."""
    bits = lambda tree: jax.tree.map(lambda x: (str(x.dtype), x.shape, np.asarray(x).tobytes()), tree)
    return bits(a) == bits(b)


@pytest.fixture
def tied() -> tuple[dict, dict]:
    one = read("llama_tied")
    assert one["config"]["tie_word_embeddings"]
    return one["config"], one["weights"]


def test_shards_and_bfloat16(tmp_path, tied):
    config, weights = tied
    half = {key: w.astype(jnp.bfloat16) for key, w in weights.items()}
    c, params = hf.load(write(tmp_path / "shards", config, half, shards=3))
    assert c.dtype == "float32" and params["embed"].dtype == jnp.float32
    assert np.array_equal(params["embed"], half["model.embed_tokens.weight"].astype(np.float32))
    c16, params16 = hf.load(tmp_path / "shards", dtype="bfloat16")
    assert c16 == dataclasses.replace(c, dtype="bfloat16")
    hf.save(tmp_path / "half", c, params, dtype="bfloat16")  # float32 of bfloat16 values: nothing is lost
    assert equal(hf.load(tmp_path / "half", dtype="bfloat16")[1], params16)
    with safe_open(tmp_path / "half" / hf.WEIGHTS, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"BF16"}


def test_weights_land_on_the_given_shardings(tmp_path, tied):
    mesh = jax.make_mesh((1,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("fsdp"))
    folder = write(tmp_path, *tied)
    c, plain = hf.load(folder)
    _, laid = hf.load(folder, shardings=jax.tree.map(lambda _: place, model.abstract(c)))
    assert all(x.sharding == place for x in jax.tree.leaves(laid))
    assert equal(plain, laid)


def test_rope_settings_of_before_transformers_5(tied):
    config, _ = tied
    del config["rope_parameters"]
    old = {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config |= {"rope_theta": 5e5, "rope_scaling": old | {"original_max_position_embeddings": 64}}
    c = read_llama(config)
    assert c.rope_theta == 5e5
    assert c.rope_scaling == model.Llama3Rope(8.0, 1.0, 4.0, 64)
    assert read_llama(families.write(FAMILIES["llama"], c)) == c
    assert read_llama(config | {"rope_scaling": None}).rope_scaling is None


def test_assets_come_along(tmp_path, tied):
    source = write(tmp_path / "source", tied[0] | {"eos_token_id": [5, 6], "bos_token_id": 4}, tied[1])
    (source / "tokenizer.json").write_text("{}")
    (source / "notes.txt").write_text("private")
    c, params = hf.load(source)
    hf.save(tmp_path / "out", c, params, assets_from=source)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", hf.WEIGHTS, "tokenizer.json"]
    assert len({p.stat().st_mode for p in (tmp_path / "out").iterdir()}) == 1
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (4, [5, 6], 0)
    hf.save(source, c, params, assets_from=source)  # in place
    assert equal(hf.load(source)[1], params)


def test_every_problem_with_the_tensors_is_named_at_once(tmp_path, tied):
    config, weights = tied
    del weights["model.norm.weight"]
    weights["model.layers.0.mlp.up_proj.weight"] = weights["model.layers.0.mlp.up_proj.weight"].T.copy()
    weights["model.layers.1.mlp.up_proj.weight"] = np.zeros((48, 32), np.int8)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] + 1
    weights["model.layers.2.mlp.up_proj.weight"] = np.zeros((48, 32), np.float32)
    with pytest.raises(ValueError) as error:
        hf.load(write(tmp_path, config, weights))
    lines = str(error.value).splitlines()
    assert lines[0] == f"{tmp_path}: 5 problems:"
    assert [line.strip() for line in lines[1:]] == [
        "model.layers.0.mlp.up_proj.weight has shape (32, 48), config.json says (48, 32)",
        "model.layers.1.mlp.up_proj.weight is I8, not one of F64, F32, F16, BF16",
        "model.norm.weight is missing",
        "lm_head.weight differs from model.embed_tokens.weight, to which config.json ties it",
        "model.layers.2.mlp.up_proj.weight is not part of the model",
    ]
    with pytest.raises(ValueError, match="and 11 more"):
        hf.load(write(tmp_path, config, {"other": weights["lm_head.weight"]}))


def test_what_may_be_there_too(tmp_path, tied):
    config, weights = tied
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(4, np.float32)
    c, params = hf.load(write(tmp_path, config, weights))
    assert "head" not in params


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "martian"}, "unknown model_type 'martian': one of llama"),
        ({"model_type": None}, "unknown model_type"),
        ({"hidden_size": "32", "vocab_size": None}, "vocab_size is not a whole number; hidden_size is not a whole number"),
        ({"hidden_act": "gelu", "quantization_config": {"bits": 4}}, "hidden_act 'gelu' is not supported; quantization_config"),
        ({"num_key_value_heads": 3}, "4 query heads cannot share 3 kv heads"),
        ({"num_key_value_heads": "2"}, "config.json"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "the dynamic rope has no factor"),
        ({"rope_parameters": {"rope_type": "su"}}, "rope_type 'su' is not supported"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 2}}, "the llama3 rope has no low_freq_factor"),
        ({"rope_parameters": "default"}, "config.json"),
    ],
)
def test_configs_that_are_refused(tmp_path, tied, change, match):
    with pytest.raises(ValueError, match=match) as error:
        hf.load(write(tmp_path, tied[0] | change, tied[1]))
    assert str(tmp_path / "config.json") in str(error.value)


def test_broken_files(tmp_path, tied):
    folder = write(tmp_path, *tied)
    whole = (folder / hf.WEIGHTS).read_bytes()
    for content in (b"", whole[:100], whole[:-7], b"\xff" * 64):
        (folder / hf.WEIGHTS).write_bytes(content)
        with pytest.raises(ValueError, match=f"{hf.WEIGHTS} cannot be read"):
            hf.load(folder)
    (folder / hf.WEIGHTS).unlink()
    with pytest.raises(ValueError, match=hf.INDEX):
        hf.load(folder)
    for content in ("{}", "[1]", '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 3}}', "{"):
        (folder / hf.INDEX).write_text(content)
        with pytest.raises(ValueError, match=hf.INDEX):
            hf.load(folder)
    write(folder, *tied, shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    (folder / "model-00003-of-00003.safetensors").write_text("?")
    with pytest.raises(ValueError, match=r"2 problems:\n  model-00002.* cannot be read.*\n  model-00003.* cannot be read"):
        hf.load(folder)
    for content in (b"{", b"[]", b"\xff\xfe"):
        (folder / "config.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"config\.json"):
            hf.load(folder)
    with pytest.raises(ValueError, match="nowhere"):
        hf.load(tmp_path / "nowhere")


def test_save_refuses_what_does_not_fit(tmp_path, tied):
    c, params = hf.load(write(tmp_path / "in", *tied))
    with pytest.raises(ValueError, match="not those of the config"):
        hf.save(tmp_path / "out", dataclasses.replace(c, tied=False), params)
    with pytest.raises(ValueError, match="LlamaForCausalLM cannot have biases="):
        c = dataclasses.replace(c, biases=("q",))
        bias = np.zeros((c.layers, c.heads, c.head_dim), np.float32)
        hf.save(tmp_path / "out", c, params | {"layers": params["layers"] | {"q_bias": bias}})
    assert not (tmp_path / "out").exists()


def test_a_folder_is_read_and_written_a_little_at_a_time(tmp_path, tied, monkeypatch):
    """Arrays of numpy at any one time: one tensor, in the type of the file and in that of the weights; and one file to be."""
    config, _ = tied
    sizes = dict(hidden_size=256, intermediate_size=1024, num_hidden_layers=6, head_dim=64, vocab_size=1024)
    c = read_llama(config | sizes)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape).astype(np.float32)), model.abstract(c))
    largest, whole = 1024 * 256 * 4, 4 * model.param_count(c)
    monkeypatch.setattr(writing, "SHARD", 2 * largest)
    assert whole > 20 * largest
    tracemalloc.start()
    hf.save(tmp_path, c, params)
    written = tracemalloc.get_traced_memory()[1]
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 10
    tracemalloc.reset_peak()
    again = hf.load(tmp_path)[1]
    read_ = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert equal(again, params)
    assert largest < written < 6 * largest and read_ < 4 * largest
