"""Families with layers of several kinds on a mesh of eight devices: loaded in parts, the same gradients as on one."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from playpen_jax import config as configs
from playpen_jax import hf, model, sharding, update
from playpen_jax.losses import sft
from playpen_jax.state import Batch
from tests import test_families, tiny_models
from tests.test_sharding import fakes, flat

NAMES = ("qwen3_5", "olmo2", "qwen3_moe")


def measure(folder: str) -> dict[str, dict]:
    """Gradients on one device and on 2 x 2 x 2, from weights read onto them; runs where there are eight devices.

    rounding: how far those of one device are from themselves with the rows in four parts, in another order.
    """
    found, loss = {}, lambda b, logps, ref: sft.loss(b, logps)
    tokens = np.random.default_rng(0).integers(1, 61, (1, 8, 24)).astype(np.int32)
    ones, places = np.ones(tokens.shape, np.float32), np.broadcast_to(np.arange(24, dtype=np.int32), tokens.shape)
    batch = Batch(tokens, places, np.ones_like(tokens), ones, ones, np.zeros_like(ones))
    for name in NAMES:
        path = f"{folder}/{name}"
        c = hf.read_config(path)
        gradient = jax.jit(lambda p, b, c=c: update.gradients(c, loss, p, None, b, b.tokens.shape[0])[0])
        params = hf.load(path)[1]
        one = flat(jax.device_get(gradient(params, batch)))
        again = flat(jax.device_get(gradient(params, jax.tree.map(lambda x: x.reshape(4, 2, -1)[::-1], batch))))
        mesh = sharding.make_mesh(configs.Mesh(2, 2, 2), jax.devices()[:8])
        at = sharding.shardings(model.logical_axes(c), model.abstract(c), mesh)
        params = hf.load(path, shardings=at)[1]
        placed = all(x.sharding == place for x, place in zip(jax.tree.leaves(params), jax.tree.leaves(at)))
        many = flat(jax.device_get(gradient(params, batch)))
        cut = {str(x.sharding.spec) for x in jax.tree.leaves(params)}
        off, rounding = (float(np.linalg.norm(x - one) / np.linalg.norm(one)) for x in (many, again))
        found[name] = {"placed": placed, "cut": len(cut), "off": off, "rounding": rounding}
    return found


@pytest.mark.slow
def test_weights_read_onto_a_mesh_give_the_gradients_of_one_device(tmp_path):
    for name in NAMES:
        one = test_families.read(name)
        tiny_models.write(tmp_path / name, one["config"], one["weights"])
    script = "import json, sys\nfrom tests import test_sharded_families as t\nprint(json.dumps(t.measure(sys.argv[1])))"
    for name, found in json.loads(fakes(script, str(tmp_path)).splitlines()[-1]).items():
        assert found["placed"] and found["cut"] > 3, (name, found)
        assert found["off"] < max(1e-5, 3 * found["rounding"]) and found["rounding"] < 1e-2, (name, found)
