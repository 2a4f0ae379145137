"""What `--dry-run` tells: parameters, bytes by hand, whether it fits, and the compiler's word for TPUs that are not there."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import jax
import numpy as np
import pytest

from playpen_jax import aot, dryrun, hlo, model, sharding, train, update
from playpen_jax import config as configs
from playpen_jax.learn import grpo, sft
from playpen_jax.sampler import store
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler

C = {"dim": 64, "layers": 3, "heads": 4, "kv_heads": 2, "mlp": 128, "vocab": 512}
FRESH = configs.Config(
    algorithm="grpo",
    model=configs.Model(path=None, **C),
    mesh=configs.Mesh(data=2, fsdp=2, tensor=2),
    batch=configs.Batching(length=256, micro=8),
    rollout=configs.Rollout(rows=16, context=256),
)
LAYER = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64  # q and o, k and v, the feed-forward block, two norms
WEIGHTS = 512 * 64 + 3 * LAYER + 64


def report(config: configs.Config = FRESH, topology: str | None = "h100:8") -> dict:
    return dryrun.report(config, grpo if config.algorithm == "grpo" else sft, topology)


def test_bytes_by_hand():
    found = report()
    assert found["parameters"] == WEIGHTS
    assert found["mesh"] == {"data": 2, "fsdp": 2, "tensor": 2} and found["devices"] == 8
    norms = (2 * 3 + 1) * 64
    matrices = 4 * (WEIGHTS - norms) // 4  # over fsdp and tensor
    of = found["bytes_per_device"]
    assert of["weights"] == of["weights at the start"] == matrices + 4 * norms
    assert of["gradients"] == 2 * of["weights"], "their sum, and those of a micro-batch"
    assert of["weights as computed"] == 3 * (LAYER - 2 * 64) * 2 // 4, "the matrices of the layers in bfloat16"
    assert of["the head"] == 512 * 64 // 2 * (2 + 4), "whole over fsdp, and its gradient"
    assert of["optimizer"] == 2 * of["weights"] + 8, "two moments and two counters"
    page = 2 * 3 * 2 * 32 * 16 * 2  # k and v, layers, heads, places, head size, bfloat16
    pages = 2 * 4 * 8 + 1 + 4 * 8  # twice the rows of a shard, one page more, and the window of the rows
    assert of["KV cache"] == page * pages // 2, "half of the heads"
    assert of["sampler's weights"] == (WEIGHTS - norms) * 2 // 2 + 4 * norms, "heads over tensor alone, bfloat16 but the norms"
    assert of["activations kept"] == 2 * 256 * 64 * 3 * 2, "two rows of each micro-batch, bfloat16"
    assert of["a chunk of logits"] == 3 * 2 * 128 * 256 * 4
    stays = of["weights"] + of["optimizer"] + of["weights at the start"]
    plays, learning = (sum(of[name] for name in names) for names in (dryrun.PLAYS, dryrun.UPDATE))
    assert of["total"] == stays + max(plays, learning), "the plays give their memory back before the update"
    assert sum(of.values()) == of["total"] + stays + plays + learning, "every line is in one of the three"
    assert found["fits"] and found["memory_per_device"] == 80 * 2**30


def test_the_arithmetic_is_that_of_arrays_that_lie_there():
    """On one device: as many bytes as the state of a run takes, and a cache."""
    config = configs.Config(mesh=configs.Mesh(), model=FRESH.model, rollout=FRESH.rollout, batch=FRESH.batch)
    found = report(config, None)["bytes_per_device"]
    c = dryrun.model_of(config, None)
    weights = update.fresh_weights(c, 0, sharding.make_mesh(configs.Mesh(), jax.devices()[:1]))
    assert found["weights"] == sum(x.nbytes for x in jax.tree.leaves(weights))
    sampler = Sampler(c, 16, 256, Sampling(), (0,), dialogues=64, mesh=None)
    window = store.empty_window(c, 16, 256, None)
    assert found["KV cache"] == sum(x.nbytes for x in jax.tree.leaves((sampler._store, window)))


def test_what_does_not_fit_is_said():
    large = configs.Model(path=None, dim=8192, layers=80, heads=64, kv_heads=8, mlp=28672, vocab=128256)
    found = report(configs.Config(model=large, mesh=configs.Mesh(fsdp=8), batch=configs.Batching(2048, 8)))
    assert 69e9 < found["parameters"] < 71e9 and found["fits"] is False
    assert report(
        configs.Config(model=large, mesh=configs.Mesh(fsdp=32, tensor=2), batch=configs.Batching(2048, 64)), "h200:64"
    )["fits"]


def test_a_folder_needs_its_config_only(tmp_path):
    shape = dict(vocab_size=512, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128)
    shape |= {"model_type": "llama", "num_key_value_heads": 2, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    assert report(configs.Config(model=configs.Model(path=str(tmp_path)), mesh=FRESH.mesh))["parameters"] == WEIGHTS


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--dry-run", "--topology=v9:2x2"], "--topology=v9:2x2: a kind (v4, "),
        (["--dry-run", "--topology=h100:"], "--topology=h100:: a kind"),
        (["--dry-run", "--topology=h100:6", "--config.mesh.fsdp=4"], "does not fit 6 devices"),
        (["--dry-run", "--topology=h100:3", "--config.mesh.fsdp=3"], "rows cannot be dealt out to 3 devices"),
        (["--dry-run", "--topology=h100:8", "--config.model.path=nowhere"], "nowhere: no such folder"),
        (["--topology=h100:8"], "--topology is for --dry-run"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, problem, capsys):
    with pytest.raises(SystemExit) as stopped:
        train.main(["--config=grpo.py", *arguments])
    told = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and problem in told and "\n" not in told


def test_the_program_prints_settings_mesh_bytes_and_a_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--config=grpo.py", "--dry-run", "--topology=h100:8"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert any("--config.grpo.plays=" in line for line in told)
    assert any("weights on 8 devices (h100:8), mesh data=8 x fsdp=1 x tensor=1" in line for line in told)
    assert any("KV cache" in line for line in told) and any("fits in 80 GiB" in line for line in told)
    assert json.loads(told[-1])["fits"] is True
    assert not list(tmp_path.iterdir()), "nothing is written"
    assert train.main(["--config=grpo.py", "--dry-run", "--topology=l4:8", "--config.rollout.rows=9999999"]) == 1
    assert "DOES NOT FIT in 24 GiB" in capsys.readouterr().out


def test_collectives_are_counted_where_they_begin():
    text = """
  %ag = (bf16[8], bf16[16]) all-gather-start(%p), replica_groups={}
  %done = bf16[16] all-gather-done(%ag)
  %r = f32[4]{0} all-reduce(%x), to_apply=%add
  %s = f32[4]{0} all-reduce(%y), to_apply=%add
"""
    assert hlo.collectives(text) == {"all-reduce": 2, "all-gather": 1}


PROGRAM = """
%kernel (p: f32[8]) -> f32[8] {
  ROOT %c = f32[8]{0} multiply(%p, %p)
}

%all-reduce-scatter.1 (p: f32[8]) -> f32[2] {
  %r = f32[8]{0} all-reduce(%p), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %s = f32[2]{0} dynamic-slice(%r, %i)
}

%layer (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %k = f32[8]{0} fusion(%x), kind=kLoop, calls=%kernel, backend_config={"window_config":{"estimated_cycles":"10"}}
  %splash = f32[8]{0} custom-call(%k), custom_call_target="tpu_custom_call", backend_config={"xprof_metadata":"{
}}"}
  ROOT %g = (s32[], bf16[16]) all-gather(%k), replica_groups=mesh['a'=4,'b'=2] {'a'}, dimensions={0}
}

%layers (t: (s32[], f32[8])) -> pred[] {
  %n = s32[]{:T(128)} constant(32)
  ROOT %lt = pred[]{:T(512)} compare(%i, %n), direction=LT
}

%micro (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %w = (s32[], f32[8]) while(%t), condition=%layers, body=%layer
  ROOT %f = f32[2]{0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1
}

%more (t: (s32[], s32[], f32[8])) -> pred[] {
  ROOT %lt = pred[]{:T(512)} compare(%i, %used), direction=LT
}

%none (p: f32[]) -> f32[] {
  ROOT %z = f32[] copy(%p), backend_config={"window_config":{"estimated_cycles":"9223372036854775807"}}
}

%some (p: f32[]) -> f32[] {
  ROOT %z = f32[] copy(%p), backend_config={"window_config":{"estimated_cycles":"7"}}
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %w = (s32[], s32[], f32[8]) while(%t), condition=%more, body=%micro
  %c = f32[] conditional(%b, %x, %x), branch_computations={%none, %some}
  ROOT %a = f32[8]{0} add(%p, %p), backend_config={"window_config":{"estimated_cycles":"1"}}
}
"""


def test_loops_count_turn_by_turn():
    whole, turn = hlo.work(PROGRAM)
    assert turn.cycles == 32 * 10, "one micro-batch: as many layers as the loop's end says"
    assert whole.cycles == turn.cycles + 7 + 1, "the micro-batches once, the longer branch, the rest"
    gathered, scattered = 16 * 2 * 3 / 4, 8 * 4 * 3 / 4
    assert whole.link_bytes == turn.link_bytes == 32 * gathered + scattered


@pytest.mark.parametrize(
    ("line", "bytes_in"),
    [
        ("%g = (bf16[4], bf16[16]) all-gather-start(%x), replica_groups=[2,4]<=[8], dimensions={0}", 16 * 2 * 3 / 4),
        ("%r = (f32[4]{0}, f32[2]{0}) all-reduce(%x, %y), replica_groups={{0,1},{2,3}}, to_apply=%add", 2 * 24 / 2),
        ("%s = f32[4] reduce-scatter(%x), replica_groups=[2,4]<=[8], dimensions={0}", 16 * 3),
        ("%p = (s4[8], s4[8], u32[], u32[]) collective-permute-start(%x), source_target_pairs={{0,1}}", 4),
        ("%d = bf16[16] all-gather-done(%g)", 0),
    ],
)
def test_what_a_collective_brings_to_a_chip(line, bytes_in):
    assert hlo.moved("  " + line) == bytes_in


def test_a_refusal_is_one_line():
    message = "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. "
    message += "Used 20.5G of 15.75G hbm. Exceeded hbm capacity by 4.75G.\n\nTotal hbm usage >= 21G:\n"
    assert aot.refusal(message) == "Used 20.5G of 15.75G hbm. Exceeded hbm capacity by 4.75G."


def test_programs_that_are_compiled_are_those_that_run():
    """Lowered for one device at hand and run: the same shapes go in and come out as in training and sampling."""
    config = configs.Config(model=configs.Model(path=None, **C), batch=configs.Batching(64, 2), rollout=FRESH.rollout)
    c, mesh = dryrun.model_of(config, None), sharding.make_mesh(configs.Mesh(), jax.devices()[:1])
    found = {name: aot.compiled(lowered, 2**40) for name, lowered in aot.programs(config, c, grpo, mesh)}
    assert list(found) == ["update", "prefill", "decode"]
    for told in found.values():
        assert told["fits"] and told["total"] > 0 and not told["collectives"]
    state, batch = 4 * 3 * WEIGHTS, 4 * 7 * 2 * 64
    assert 0 <= found["update"]["arguments"] - state - batch < 100, "weights, two moments and seven arrays of a batch"


def test_a_reference_is_the_weights_at_the_start_or_moves():
    of = {}
    for kind in ("start", "average"):
        how = configs.Grpo(beta=0.1, reference=kind)
        of[kind] = report(configs.Config(model=FRESH.model, mesh=FRESH.mesh, batch=FRESH.batch, grpo=how))["bytes_per_device"]
    assert of["average"].pop("a moving reference") == of["start"]["weights"]
    assert of["average"].keys() == of["start"].keys() and of["average"]["total"] > of["start"]["total"]


def test_what_adapters_stand_beside_is_kept_in_the_computing_type():
    config = configs.Config(model=FRESH.model, mesh=FRESH.mesh, batch=FRESH.batch)
    c = dryrun.model_of(config, dryrun.HARDWARE["h100"])
    c = dataclasses.replace(c, lora=model.Lora(4, 8.0, ("q",)))
    trained, frozen = model.split(aot.weights_of(c))
    assert {x.dtype for x in jax.tree.leaves(trained)} == {np.dtype("float32")}
    assert {x.dtype for x in jax.tree.leaves(frozen)} == {np.dtype("bfloat16")}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="no libtpu (extra tpu-aot)")
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
def test_a_tpu_that_is_not_there_is_compiled_for(topology):
    config = configs.Config(model=FRESH.model, mesh=configs.Mesh(fsdp=2, tensor=2), batch=FRESH.batch, rollout=FRESH.rollout)
    programs = report(config, topology)["compiled"]
    assert set(programs) == {"update", "prefill", "decode"}
    for each in programs.values():
        assert each["fits"] and 0 < each["seconds"] < 1 and 0 < each["link_seconds"] < 1
        assert each["turn_seconds"] <= each["seconds"]
    assert programs["update"]["collectives"], "weights cut over fsdp must be gathered"
