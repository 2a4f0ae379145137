"""The sampler's programs of an 8B model compiled for TPU slices that are not there: `python benchmarks/rollout_pods.py`.

Runs in an environment with `jax[tpu]` and JAX_PLATFORMS=cpu (no TPU is needed). To save time the model is compiled with 2 and
with 4 layers; all that is counted grows linearly with the layers, so 32 follow. One JSON line for each slice and program: GiB
on each chip, and the milliseconds that reading what the program reads would take at the chip's bandwidth, by its data sheet.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "true", "JAX_PLATFORMS": "cpu"}
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jax.experimental import topologies

from playpen_jax import config as configs
from playpen_jax import model, sharding
from playpen_jax.sampler import ahead
from playpen_jax.sampler.sample import Sampling

LAYERS, CONTEXT, CHUNK, NEW = 32, 2048, 16, (1, 256)
SHAPE = dict(vocab=128_256, dim=4096, heads=32, kv_heads=8, head_dim=128, mlp=14_336, tied=False, dtype="bfloat16")
# mesh (data, fsdp, tensor), rows, GiB and bytes a second of a chip
SLICES = {
    "v5e:4x4": (configs.Mesh(4, 1, 4), 128, 16, 819e9),
    "v5p:2x2x1": (configs.Mesh(1, 1, 4), 128, 95, 2765e9),
}


def counted(topology: str, layers: int) -> dict[str, dict[str, float]]:
    """GiB and bytes of each program with so many layers."""
    mesh_shape, rows, _, _ = SLICES[topology]
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    mesh = sharding.make_mesh(mesh_shape, list(devices))
    c = model.ModelConfig("llama", layers=layers, **SHAPE)
    found = {}
    for name, lowered in ahead.lowered(c, Sampling(1.0), rows, CONTEXT, CHUNK, mesh, NEW).items():
        program = lowered.compile()
        memory, cost = program.memory_analysis(), program.cost_analysis()
        found[name] = {
            "arguments_gib": memory.argument_size_in_bytes / 2**30,
            "temporaries_gib": memory.temp_size_in_bytes / 2**30,
            "bytes_accessed": cost["bytes accessed"],
        }
    return found


def main() -> None:
    for topology in sys.argv[1:] or SLICES:
        mesh, rows, gib, bandwidth = SLICES[topology]
        few, more = (counted(topology, layers) for layers in (2, 4))
        for name in few:
            at = {key: few[name][key] + (more[name][key] - few[name][key]) / 2 * (LAYERS - 2) for key in few[name]}
            line = {"slice": topology, "program": name, "mesh": dataclasses.asdict(mesh), "rows": rows, "context": CONTEXT}
            line |= {key: round(at[key], 2) for key in ("arguments_gib", "temporaries_gib")}
            line |= {"chip_gib": gib, "fits": at["arguments_gib"] + at["temporaries_gib"] < 0.92 * gib}
            line |= {"chunk": CHUNK, "bytes_accessed": at["bytes_accessed"]}
            line |= {"bound_ms": round(1e3 * at["bytes_accessed"] / bandwidth, 2)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
