"""The same update on one, two, four and eight devices and in two processes, however the mesh is cut; the devices are fakes."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from playpen_jax import aot, hlo, model, optim, policy, sharding, update
from playpen_jax import config as configs
from playpen_jax.data.pack import micro_batches, pack
from playpen_jax.state import Batch, TrainState
from tests import toys
from tests.common import ROOT
from tests.test_update import LENGTH, C, dialogues, flat, grpo_loss, params

MESHES = {
    "1": (1, 1, 1),
    "2 data": (2, 1, 1),
    "2 fsdp, 2 tensor": (1, 2, 2),
    "8 fsdp": (1, 8, 1),
    "2 data, 2 fsdp, 2 tensor": (2, 2, 2),
}


def fakes(script: str, *arguments: str, devices: int = 8) -> str:
    """What a Python script prints in a process with fake devices.

    Each of them waits in a thread of its own for the others, for two collectives at once where these do not depend on each
    other: of a pool as small as a machine of few cores gives, all threads may come to wait.
    """
    text = f"import jax\njax.config.update('jax_num_cpu_devices', {devices})\n{script}"
    command, env = [sys.executable, "-c", text, *arguments], os.environ | {"NPROC": str(4 * devices)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class Learner:
    """A toy model on a mesh, taught by GRPO; `steps` keeps the metrics of each update."""

    def __init__(self, shape: tuple[int, int, int]):
        self.mesh = sharding.make_mesh(configs.Mesh(*shape), jax.devices()[: math.prod(shape)])
        tx = optim.make(configs.Optim(learning_rate=1e-3), 10)
        at = update.state_shardings(C, tx, self.mesh)
        self.state = update.fresh_state(tx, params(), at)
        self.ref = jax.device_put(params(seed=1), at.params)
        self.apply = update.make(C, grpo_loss, tx, self.mesh, at)
        self.batch, self.used = micro_batches(pack(dialogues(), LENGTH, 8)[0], 8)
        self.steps: list[dict[str, float]] = []

    def learn(self, updates: int) -> Learner:
        for _ in range(updates):
            self.state, metrics = self.apply(self.state, self.ref, self.batch, self.used)
            self.steps.append({key: float(x) for key, x in metrics.items()})
        return self

    def result(self) -> dict:
        """Metrics, the first moment (a mean of the gradients), and the weights."""
        everywhere = jax.jit(lambda tree: tree, out_shardings=sharding.replicated(self.mesh))
        whole = lambda tree: flat(jax.tree.map(lambda x: x.addressable_data(0), everywhere(tree))).tolist()
        return {"metrics": self.steps, "first_moment": whole(self.moments), "weights": whole(self.state.params)}

    @property
    def moments(self):
        return self.state.opt_state[1][0].mu


def measure() -> dict[str, dict]:
    """Three updates on each mesh; runs where there are eight devices."""
    found = {}
    for name, shape in MESHES.items():
        learner = Learner(shape).learn(3)
        state, moments = learner.state, learner.moments
        found[name] = learner.result() | {
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
    assert_same(measured["1"], measured[name])


def assert_same(one: dict, many: dict) -> None:
    """The same updates up to rounding, and updates they were."""
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


# ---------------------------------------------------------------------------------------------- what moves between devices

WIDE = dataclasses.replace(C, vocab=4096)
ROWS, PLACES = 8, 512  # four chunks of logits


def moved() -> dict[str, list]:
    """Of every collective of the compiled update: the sizes of the arrays that it makes, and the operation that it serves."""
    ids, floats = (jax.ShapeDtypeStruct((1, ROWS, PLACES), dtype) for dtype in (np.int32, np.float32))
    batch = Batch(ids, ids, ids, floats, floats, floats)
    found, kinds = {}, "|".join(hlo.COLLECTIVES)
    for name in ("8 fsdp", "2 data, 2 fsdp, 2 tensor"):
        mesh, tx = sharding.make_mesh(configs.Mesh(*MESHES[name])), optim.make(configs.Optim(), 10)
        at = update.state_shardings(WIDE, tx, mesh)
        weights, step = model.abstract(WIDE), jax.ShapeDtypeStruct((), np.int32)
        state = aot.placed(TrainState(weights, jax.eval_shape(tx.init, weights), step), at)
        text = update.make(WIDE, grpo_loss, tx, mesh, at).lower(state, None, batch, step).compile().as_text()
        lines = re.findall(rf" = (.*?) (?:{kinds})(?:-start)?\(.*?op_name=\"(.*?)\"", text)
        sizes = lambda shapes: [[int(n) for n in each.split(",") if n] for each in re.findall(r"\[([\d,]*)\]", shapes)]
        found[name] = [[sizes(shapes), operation] for shapes, operation in lines]
    return found


def test_chunks_of_logits_move_no_head_and_no_device_sees_all_rows():
    """The head is gathered, and its gradient summed, once; an embedding is looked up for all rows in parts of its columns."""
    found = json.loads(fakes("import json\nfrom tests import test_sharding\nprint(json.dumps(test_sharding.moved()))"))
    for name, collectives in found.items():
        assert len(collectives) > 10
        heads = {WIDE.vocab, WIDE.vocab // 2}
        per_chunk = [shape for shapes, operation in collectives for shape in shapes if "...v" in operation]
        assert not [shape for shape in per_chunk if heads & {*shape}], f"{name}: the head moves with every chunk"
        everything = [shape for shapes, _ in collectives for shape in shapes if math.prod(shape) >= ROWS * PLACES * WIDE.dim]
        assert not [shape for shape in everything if not heads & {*shape}], f"{name}: a device gets the activations of all rows"


# ---------------------------------------------------------------------------------------------- never whole on one device


def created() -> dict[str, dict]:
    """Bytes on each of eight devices while weights are created and once they lie there; the weights' bytes in all."""
    found = {}
    wide = dataclasses.replace(C, dim=512, mlp=2048, vocab=4096, heads=8, kv_heads=8, head_dim=64)
    for name in ("8 fsdp", "2 data, 2 fsdp, 2 tensor"):
        mesh = sharding.make_mesh(configs.Mesh(*MESHES[name]))
        at = update.weight_shardings(wide, mesh)
        program = jax.jit(partial(model.init, wide), out_shardings=at).lower(jax.random.key(0)).compile()
        memory = program.memory_analysis()
        weights = update.fresh_weights(wide, 0, mesh)
        found[name] = {
            "whole": sum(x.nbytes for x in jax.tree.leaves(weights)),
            "working": memory.temp_size_in_bytes,
            "result": memory.output_size_in_bytes,
            "kept": sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(weights)),
            "same": all(x.sharding == place for x, place in zip(jax.tree.leaves(weights), jax.tree.leaves(at))),
        }
    return found


def loaded(folder: str) -> dict[str, list[float]]:
    """The share of each weight on one device, of a folder and of a checkpoint of a run that are loaded onto a mesh."""
    mesh = sharding.make_mesh(configs.Mesh(1, 8, 1))
    found = {}
    for kind, path in (("folder", Path(folder) / "model"), ("run", Path(folder))):
        weights = policy.load(path, mesh=mesh).params
        found[kind] = sorted({part(x) for x in jax.tree.leaves(weights) if x.ndim > 2})
    return found


def test_weights_are_created_in_the_parts_in_which_they_lie():
    found = json.loads(fakes("import json\nfrom tests import test_sharding\nprint(json.dumps(test_sharding.created()))"))
    for name, parts in (("8 fsdp", 8), ("2 data, 2 fsdp, 2 tensor", 4)):
        memory = found[name]
        assert memory["same"] and memory["kept"] < 1.01 * memory["whole"] / parts
        assert memory["result"] < 1.01 * memory["whole"] / parts
        assert memory["working"] < 2 * memory["kept"], "room for random bits, of the parts alone"


def test_weights_are_loaded_in_the_parts_in_which_they_lie(tmp_path, toy, toy_chat):
    folder = toys.write_run(tmp_path, *toy, toy_chat)
    toys.write_folder(folder / "model", *toy, toy_chat.tokenizer)
    script = "import json, sys\nfrom tests import test_sharding\nprint(json.dumps(test_sharding.loaded(sys.argv[1])))"
    assert json.loads(fakes(script, str(folder))) == {"folder": [1 / 8], "run": [1 / 8]}


# ---------------------------------------------------------------------------------------------- two processes

TWO = """
import jax, json, sys
from pathlib import Path
jax.config.update('jax_num_cpu_devices', 4)
jax.config.update('jax_cpu_collectives_implementation', 'gloo')
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from playpen_jax import checkpoint
from tests import test_sharding
learner = test_sharding.Learner((2, 2, 2)).learn(2)
saved = checkpoint.Checkpoints(Path(sys.argv[3]))
saved.save(learner.state, test_sharding.C)
saved.close()
print(json.dumps(learner.learn(1).result()))
"""
RESTORED = """
import json, sys
from pathlib import Path
from playpen_jax import checkpoint
from tests import test_sharding
learner = test_sharding.Learner((1, 8, 1))
saved = checkpoint.Checkpoints(Path(sys.argv[1]))
learner.state = saved.restore(learner.state)
saved.close()
print(json.dumps(learner.learn(1).result()))
"""


@pytest.mark.slow
def test_two_processes_make_the_same_updates_and_their_checkpoint_moves_to_another_mesh(tmp_path, measured):
    """Four devices each on one mesh of eight; what they saved after two updates is read on eight devices of one process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-c", TWO, address]
    both = [subprocess.Popen([*command, str(i), str(tmp_path)], cwd=ROOT, stdout=-1, stderr=-1, text=True) for i in (0, 1)]
    with ThreadPoolExecutor() as pool:  # both at once: one that waits for its pipe to be read lets the other wait for it
        outputs = list(pool.map(lambda process: process.communicate(timeout=600), both))
    assert [process.returncode for process in both] == [0, 0], outputs[0][1][-2000:] + outputs[1][1][-2000:]
    for out, _ in outputs:
        assert_same(measured["1"], json.loads(out.splitlines()[-1]))
    restored = json.loads(fakes(RESTORED, str(tmp_path)))
    assert_same(measured["1"] | {"metrics": measured["1"]["metrics"][2:]}, restored)
