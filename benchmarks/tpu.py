"""Compile real programs of large models for TPU slices that are not there, into docs/results/tpu.json.

`python benchmarks/tpu.py [NAME ...]`, in an environment with the extra tpu-aot and with JAX_PLATFORMS=cpu. Without names all
cases are compiled, one after another; a case that is in the file already is compiled anew and takes its place.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
import tempfile
from pathlib import Path

from playpen_jax import config as configs
from playpen_jax import dryrun
from playpen_jax.learn import dpo, grpo, sft

OUT = Path(__file__).parent.parent / "docs" / "results" / "tpu.json"
WAYS = {"dpo": dpo, "grpo": grpo, "sft": sft}

# config.json of the models, as far as shapes go
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
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A run to be compiled; `micro` rows of `length` tokens are one micro-batch, `rows` dialogues lie in the cache."""

    shape: str
    algorithm: str
    topology: str
    mesh: configs.Mesh
    micro: int
    length: int = 2048
    rows: int = 64

    def config(self, folder: Path) -> configs.Config:
        (folder / "config.json").write_text(json.dumps(SHAPES[self.shape]))
        return configs.Config(
            algorithm=self.algorithm,
            model=configs.Model(path=str(folder)),
            mesh=self.mesh,
            batch=configs.Batching(length=self.length, micro=self.micro),
            rollout=configs.Rollout(rows=self.rows, context=self.length, max_tokens=256),
        )


CASES = {
    "llama8b-sft-v5e16": Case("Llama-3.1-8B", "sft", "v5e:4x4", configs.Mesh(fsdp=4, tensor=4), 4),
    "llama8b-dpo-v5e16": Case("Llama-3.1-8B", "dpo", "v5e:4x4", configs.Mesh(fsdp=4, tensor=4), 4),
    "llama8b-dpo-v5p4": Case("Llama-3.1-8B", "dpo", "v5p:2x2x1", configs.Mesh(fsdp=4), 4),
    "llama8b-grpo-v5e16": Case("Llama-3.1-8B", "grpo", "v5e:4x4", configs.Mesh(fsdp=4, tensor=4), 4),
    "llama8b-sft-v5p4": Case("Llama-3.1-8B", "sft", "v5p:2x2x1", configs.Mesh(fsdp=4), 4),
    "llama8b-grpo-v5p4": Case("Llama-3.1-8B", "grpo", "v5p:2x2x1", configs.Mesh(fsdp=4), 4),
}


def main(names: list[str]) -> None:
    kept = json.loads(OUT.read_text()) if OUT.exists() else {"cases": {}}
    kept["command"] = "JAX_PLATFORMS=cpu python benchmarks/tpu.py"
    kept["machine"] = f"{platform.machine()}, no TPU; the machine was shared, so compile_seconds say little"
    for name in names or CASES:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            found = dryrun.report(case.config(Path(folder)), WAYS[case.algorithm], case.topology)
        kept["cases"][name] = dataclasses.asdict(case) | found
        OUT.write_text(json.dumps(kept, indent=1) + "\n")
        print(name, json.dumps(found["compiled"]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
