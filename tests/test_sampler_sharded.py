"""The same greedy dialogues on one device and on four, rows over data, heads over tensor; the devices are fakes."""

from __future__ import annotations

import json

import jax
import pytest

from playpen_jax import config as configs
from playpen_jax import sharding
from playpen_jax.sampler.sampler import Sampler
from tests.test_sampler import GREEDY, STOPS, said, some_dialogues, talk
from tests.test_sharding import fakes
from tests.toys import config, weights

MESHES = {"1": None, "4 data": (4, 1, 1), "2 data, 2 tensor": (2, 1, 2), "2 fsdp, 2 tensor, two cohorts": (1, 2, 2)}


def measure() -> dict[str, dict]:
    """What is said on each mesh, how it was laid, and what was computed twice; runs where there are four devices."""
    c, found = config(500), {}
    params, dialogues = weights(c, 2), some_dialogues(500, 10, seed=3)
    dialogues += [dialogue[:1] for dialogue in dialogues[:4]]  # the same prompts once more
    for name, shape in MESHES.items():
        mesh = sharding.make_mesh(configs.Mesh(*shape)) if shape else None
        cohorts = 2 if "cohorts" in name else 1
        sampler = Sampler(c, 8, 256, GREEDY, STOPS, dialogues=16, cohorts=cohorts, mesh=mesh)
        sampler.load(params if mesh is None else jax.device_put(params, _training_layout(c, params, mesh)))
        talked = said(talk(sampler, dialogues))
        leaf = jax.tree.leaves(sampler._store)[0]
        share = leaf.addressable_shards[0].data.size / leaf.size
        found[name] = {"said": talked, "share": share, "prefilled": sampler.counters.prefilled, "shards": sampler.shards}
    return found


def _training_layout(c, params, mesh):
    from playpen_jax import model

    return sharding.shardings(model.logical_axes(c), params, mesh)


@pytest.mark.slow
def test_greedy_dialogues_do_not_depend_on_the_devices():
    code = "import json\nfrom tests import test_sampler_sharded as t\nprint(json.dumps(t.measure()))"
    found = json.loads(fakes(code, devices=4))
    for name, other in found.items():
        assert other["said"] == found["1"]["said"], name
    assert {name: other["share"] for name, other in found.items()} == dict(zip(MESHES, (1.0, 1 / 4, 1 / 4, 1 / 4)))
    assert [found[name]["shards"] for name in MESHES] == [1, 4, 2, 2]
