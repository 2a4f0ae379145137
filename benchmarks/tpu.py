"""Compile real programs of large models for TPU slices that are not there, into docs/results/tpu.json.

`python benchmarks/tpu.py [NAME ...]`, in an environment with the extra tpu-aot (and quant, for bases in four bits) and with
JAX_PLATFORMS=cpu. Without names: every program that the file lacks, one after another; a case that is named is compiled anew.
A case is a file of configs/ with some settings, on a slice; its model is known by its shape alone. `--table` prints what is
there, for docs/tpu.md. `--bytes` needs no libtpu: the arithmetic of `--dry-run` for every case, into
docs/results/tpu_bytes.json.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from playpen_jax import config as configs
from playpen_jax import dryrun
from playpen_jax.learn import dpo, grpo, sft

RESULTS = Path(__file__).parent.parent / "docs" / "results"
OUT, BYTES = RESULTS / "tpu.json", RESULTS / "tpu_bytes.json"
WAYS = {"dpo": dpo, "grpo": grpo, "sft": sft}
GIB = 2**30

# config.json of the models, as far as shapes go; that of Qwen3.5-27B agrees with what its users publish of it
SHAPES = {
    "Llama-3.1-8B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    },
    "Llama-3.2-3B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
    },
    "Qwen3.5-27B": {
        "model_type": "qwen3_5_text",
        "vocab_size": 248320,
        "hidden_size": 5120,
        "num_hidden_layers": 64,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "intermediate_size": 17408,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 48,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e7,
        "partial_rotary_factor": 0.25,
        "max_position_embeddings": 262144,
        "tie_word_embeddings": False,
    },
}


@dataclasses.dataclass(frozen=True)
class Case:
    """Programs of one run on one slice."""

    shape: str
    topology: str
    preset: str  # a file of configs/
    settings: dict[str, str]  # on top of it
    programs: tuple[str, ...] = ("update",)

    def config(self, folder: Path) -> configs.Config:
        (folder / "config.json").write_text(json.dumps(SHAPES[self.shape]))
        return configs.load(self.preset, self.settings | {"model.path": str(folder)})


def settings(mesh: str, micro: int, **more: str) -> dict[str, str]:
    """A mesh such as "fsdp=4 tensor=4", and rows of 2,048 tokens in a micro-batch."""
    axes = dict(axis.split("=") for axis in mesh.split())
    sizes = {"batch.length": "2048", "batch.micro": str(micro), "rollout.context": "2048"}
    return {f"mesh.{axis}": size for axis, size in axes.items()} | sizes | {k.replace("__", "."): v for k, v in more.items()}


SPEAK = {"rollout__rows": "64", "rollout__chunk": "16"}
MANY = SPEAK | {"rollout__rows": "256"}
SAMPLER = ("decode", "prefill")
LLAMA, QWEN = "Llama-3.1-8B", "Qwen3.5-27B"
CASES = {
    "llama8b-sft-v5p4": Case(LLAMA, "v5p:2x2x1", "sft.py", settings("fsdp=4", 4)),
    "llama8b-grpo-v5e16": Case(LLAMA, "v5e:4x4", "grpo.py", settings("fsdp=4 tensor=4", 4)),
    "llama8b-dpo-v5e16": Case(LLAMA, "v5e:4x4", "dpo.py", settings("fsdp=4 tensor=4", 4)),
    "llama8b-sampler-v5e16": Case(LLAMA, "v5e:4x4", "grpo.py", settings("fsdp=4 tensor=4", 4, **SPEAK), SAMPLER),
    "llama8b-sft-v5e16": Case(LLAMA, "v5e:4x4", "sft.py", settings("fsdp=4 tensor=4", 4)),
    "llama8b-dpo-v5p4": Case(LLAMA, "v5p:2x2x1", "dpo.py", settings("fsdp=4", 4)),
    "llama8b-sampler-v5p4": Case(LLAMA, "v5p:2x2x1", "grpo.py", settings("fsdp=1 tensor=4", 4, **MANY), SAMPLER),
    "qwen27b-grpo-v5p64": Case(QWEN, "v5p:4x4x4", "grpo.py", settings("fsdp=16 tensor=4", 16)),
    "llama8b-grpo-v5p4": Case(LLAMA, "v5p:2x2x1", "grpo.py", settings("fsdp=4", 4)),
    "grpo_v5e_8": Case("Llama-3.2-3B", "v5e:2x4", "grpo_v5e_8.py", {}, ("update", "decode", "prefill")),
    "grpo_v5p_64": Case(LLAMA, "v5p:2x4x4", "grpo_v5p_64.py", {}, ("update", "decode", "prefill")),
    "grpo_v5p_64-v6e256": Case(
        *(LLAMA, "v6e:16x16", "grpo_v5p_64.py"),
        {"mesh.fsdp": "64", "mesh.tensor": "4", "batch.micro": "64"},
        ("update", "decode", "prefill"),
    ),
    "qwen27b-dpo-v5p64": Case(QWEN, "v5p:4x4x4", "dpo.py", settings("fsdp=16 tensor=4", 16)),
    "qwen27b-sft-v5p64": Case(QWEN, "v5p:4x4x4", "sft.py", settings("fsdp=16 tensor=4", 16)),
    "qwen27b-sampler-v5p64": Case(QWEN, "v5p:4x4x4", "grpo.py", settings("fsdp=16 tensor=4", 16, **MANY), SAMPLER),
    "paper_grpo": Case(LLAMA, "v5p:2x2x1", "paper_grpo.py", {}, ("update", "decode", "prefill")),
    "paper_sft": Case(LLAMA, "v5p:2x2x1", "paper_sft.py", {"mesh.fsdp": "4", "batch.micro": "4", "lora.base": "plain"}),
    "paper_dpo": Case(LLAMA, "v5p:2x2x1", "paper_dpo.py", {"mesh.fsdp": "4", "batch.micro": "4", "lora.base": "plain"}),
}


def add(kept: dict[str, Any], name: str, program: str) -> None:
    """Compile one program of a case and put it beside those that are there, if they are of the same settings."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        config = case.config(Path(folder))
        found = dryrun.report(config, WAYS[config.algorithm], case.topology, (program,))
    said = dataclasses.asdict(case)
    del said["programs"]
    before = kept["cases"].get(name, {})
    same = all(before.get(key) == value for key, value in said.items())
    compiled = (before.get("compiled", {}) if same else {}) | found["compiled"]
    kept["cases"][name] = said | found | {"compiled": compiled}
    OUT.write_text(json.dumps(kept, indent=1) + "\n")
    print(name, json.dumps(found["compiled"]), flush=True)


def table(kept: dict[str, Any]) -> None:
    """The rows of docs/tpu.md."""
    for name, case in kept["cases"].items():
        mesh = " ".join(f"{axis}={size}" for axis, size in case["mesh"].items() if size > 1)
        limit = case["memory_per_device"] / GIB
        for program, told in case["compiled"].items():
            left = f"| {name}: {program} | {case['topology']}, {mesh} |"
            if "total" not in told:
                print(left, f"{told['refused']} | | of {limit:.0f} | no | | | |")
                continue
            sizes = [f"{told[key] / GIB:.1f}" for key in ("arguments", "temporaries", "total")]
            moved = ", ".join(f"{n} {kind}" for kind, n in told["collectives"].items())
            pairs = [[told.get(of + kind, math.nan) * 1e3 for kind in ("seconds", "link_seconds")] for of in ("turn_", "")]
            times = " | ".join(f"{kernels:.4g} + {links:.3g}" if "seconds" in told else "" for kernels, links in pairs)
            print(left, " | ".join(sizes), f"of {limit:.0f} | {'yes' if told['fits'] else 'no'} | {moved} | {times} |")


def arithmetic(case: Case) -> dict[str, Any]:
    """What lies on a chip by arithmetic; where dialogues are played, the rows that fit, and the least time of a decode step."""
    with tempfile.TemporaryDirectory() as folder:
        config = case.config(Path(folder))
        chip, place = dryrun.HARDWARE[case.topology.partition(":")[0]], dryrun.place_of(case.topology)
        mesh = dryrun.shape_of_mesh(config, place)
        found = dryrun.needs(config, dryrun.model_of(config, chip), WAYS[config.algorithm], mesh)
    total, room = dryrun.peak(found), int(dryrun.FITS * chip.memory * GIB)
    told = {"topology": case.topology, "mesh": dict(mesh.shape), "bytes": found, "total": total, "fits": total <= room}
    if config.algorithm != "grpo":
        return told
    rows, weights, cache = config.rollout.rows, found["sampler's weights"], found["KV cache"]
    room -= sum(size for name, size in found.items() if name not in dryrun.PLAYS + dryrun.UPDATE)
    per_row = cache / rows  # pages for two rows, and the window of those that speak
    step = (weights + cache / 3) / chip.bandwidth / 1e9
    return told | {"rows": rows, "rows_that_fit": int((room - weights) / per_row), "decode_step_seconds": step}


def main(arguments: list[str]) -> None:
    kept = json.loads(OUT.read_text()) if OUT.exists() else {"cases": {}}
    if arguments == ["--table"]:
        return table(kept)
    if arguments == ["--bytes"]:
        found = {name: arithmetic(case) for name, case in CASES.items()}
        BYTES.write_text(json.dumps({"command": "python benchmarks/tpu.py --bytes", "cases": found}, indent=1) + "\n")
        for name, told in found.items():
            sizes = {key: round(size / GIB, 2) for key, size in told.pop("bytes").items()}
            print(name, round(told.pop("total") / GIB, 1), json.dumps(told), json.dumps(sizes))
        return None
    kept["command"] = "JAX_PLATFORMS=cpu python benchmarks/tpu.py"
    kept["machine"] = f"{platform.machine()}, no TPU; the machine was shared, so compile_seconds say little"
    for name in arguments or CASES:
        for program in CASES[name].programs:
            if arguments or program not in kept["cases"].get(name, {}).get("compiled", {}):
                add(kept, name, program)


if __name__ == "__main__":
    main(sys.argv[1:])
