"""The same update on one, two and eight devices, however the mesh is cut; the devices are fakes in a process of their own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from playpen_jax import config as configs
from playpen_jax import model, optim, sharding, update
from playpen_jax.data.pack import micro_batches, pack
from tests.common import ROOT
from tests.test_update import LENGTH, C, dialogues, flat, grpo_loss, params

MESHES = {
    "1": (1, 1, 1),
    "2 data": (2, 1, 1),
    "8 fsdp": (1, 8, 1),
    "2 data, 2 fsdp, 2 tensor": (2, 2, 2),
}


def fakes(script: str, *arguments: str, devices: int = 8) -> str:
    """What a Python script prints in a process with fake devices."""
    text = f"import jax\njax.config.update('jax_num_cpu_devices', {devices})\n{script}"
    done = subprocess.run([sys.executable, "-c", text, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def measure() -> dict[str, dict]:
    """Three updates on each mesh; runs where there are eight devices."""
    found = {}
    batch, _ = pack(dialogues(), LENGTH, 8)
    folded, used = micro_batches(batch, 8)
    for name, (data, fsdp, tensor) in MESHES.items():
        mesh = sharding.make_mesh(configs.Mesh(data, fsdp, tensor), jax.devices()[: data * fsdp * tensor])
        tx = optim.make(configs.Optim(learning_rate=1e-3), 10)
        at = update.state_shardings(C, tx, mesh)
        state = update.fresh_state(tx, params(), at)
        apply = update.make(C, grpo_loss, tx, mesh, at)
        ref = jax.device_put(params(seed=1), at.params)
        steps = []
        for _ in range(3):
            state, metrics = apply(state, ref, folded, used)
            steps.append({key: float(x) for key, x in metrics.items()})
        moments = state.opt_state[1][0].mu
        found[name] = {
            "metrics": steps,
            "first_moment": flat(jax.device_get(moments)).tolist(),
            "weights": flat(jax.device_get(state.params)).tolist(),
            "laid": {
                jax.tree_util.keystr(path, simple=True, separator="."): [
                    str(w.sharding.spec),
                    str(m.sharding.spec),
                    part(w),
                    part(m),
                ]
                for (path, w), m in zip(jax.tree_util.tree_leaves_with_path(state.params), jax.tree.leaves(moments))
            },
        }
    return found


def part(x: jax.Array) -> float:
    """The share of an array that one device holds."""
    return x.addressable_shards[0].data.size / x.size


@pytest.fixture(scope="module")
def measured() -> dict[str, dict]:
    return json.loads(fakes("import json\nfrom tests import test_sharding\nprint(json.dumps(test_sharding.measure()))"))


@pytest.mark.parametrize("name", [name for name in MESHES if name != "1"])
def test_gradient_metrics_and_weights_are_those_of_one_device(measured, name):
    one, many = measured["1"], measured[name]
    for wanted, found in zip(one["metrics"], many["metrics"], strict=True):
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-7)
    gradient = np.array(one["first_moment"])
    assert np.linalg.norm(gradient) > 1e-2
    assert np.linalg.norm(np.array(many["first_moment"]) - gradient) < 1e-5 * np.linalg.norm(gradient)
    weights = np.array(one["weights"])
    assert np.linalg.norm(weights - flat(params())) > 1e-3 * np.linalg.norm(weights), "nothing was learned"
    assert np.linalg.norm(np.array(many["weights"]) - weights) < 1e-5 * np.linalg.norm(weights)


@pytest.mark.parametrize("name", MESHES)
def test_the_optimizers_state_lies_like_the_weights(measured, name):
    for weight, moment, share, moments_share in measured[name]["laid"].values():
        assert (weight, share) == (moment, moments_share)


def test_weights_are_cut_along_fsdp_and_tensor(measured):
    shares = {name: {key: laid[2] for key, laid in measured[name]["laid"].items()} for name in MESHES}
    matrices = [key for key in shares["1"] if "norm" not in key]
    assert {shares["2 data"][key] for key in matrices} == {1.0}
    assert {shares["8 fsdp"][key] for key in matrices} == {1 / 8}
    assert {shares["2 data, 2 fsdp, 2 tensor"][key] for key in matrices if key != "embed"} == {1 / 4}
    assert shares["2 data, 2 fsdp, 2 tensor"]["embed"] == 1 / 2, "61 pieces cannot be cut in two"


def test_an_axis_that_does_not_divide_stays_whole():
    mesh = jax.sharding.AbstractMesh((2, 2, 2), ("data", "fsdp", "tensor"))
    assert sharding.spec(("layers", "embed", "heads", "head"), (3, 32, 4, 8), mesh) == PartitionSpec(
        None, "fsdp", "tensor", None
    )
    assert sharding.spec(("vocab", "embed"), (61, 32), mesh) == PartitionSpec(None, "fsdp")
    assert sharding.spec(("batch", None), (8, 5), mesh) == PartitionSpec(("data", "fsdp"), None)
    assert sharding.spec(("batch", None), (6, 5), mesh) == PartitionSpec(None, None)


def test_every_axis_of_every_weight_has_a_place(measured):
    hybrid = dataclasses.replace(C, kinds=("delta",) * (C.layers - 1) + ("full",), delta=model.Delta(2, 4, 8, 8, 4))
    trees = [model.logical_axes(c) for c in (C, hybrid)]
    axes = jax.tree.leaves(trees, is_leaf=lambda x: isinstance(x, tuple))
    assert {name for names in axes for name in names} >= {"embed", "heads", "kv_heads", "mlp", "vocab"}
    assert set(sharding.RULES) - {name for names in axes for name in names} == {"batch"}


def test_a_mesh_that_does_not_fit_is_refused_in_one_line():
    four = jax.devices()[:1] * 4
    assert dict(sharding.make_mesh(configs.Mesh(fsdp=2), four).shape) == {"data": 2, "fsdp": 2, "tensor": 1}
    for settings in (
        configs.Mesh(fsdp=3),
        configs.Mesh(data=2),
        configs.Mesh(data=0),
        configs.Mesh(fsdp=0),
        configs.Mesh(data=-2),
        configs.Mesh(fsdp=-1, tensor=-1),
    ):
        with pytest.raises(configs.ConfigError, match="mesh of data=.* does not fit 4 devices"):
            sharding.make_mesh(settings, four)
