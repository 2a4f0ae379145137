"""Makes tests/golden/*.npz: what torch computes for the tiny models of `tiny_models`.

Run with a Python that has torch: `python -m tests.make_golden [NAME ...]`. A file holds the config.json, the shapes of the
tensors (their content is drawn again), tokens [B, T] with their logits [B, T, V], and the greedy continuation of the first row.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from tests import tiny_models

PROMPT, NEW = 12, 64


def build(name: str, folder: Path) -> tuple[torch.nn.Module, dict]:
    """The model of transformers with the drawn weights, and the shapes of its tensors in files; `folder` holds it."""
    family, _ = tiny_models.MODELS[name]
    made = AutoConfig.for_model(family, **tiny_models.settings(name))
    AutoModelForCausalLM.from_config(made, dtype=torch.float32).save_pretrained(folder)
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}
    config = json.loads((folder / "config.json").read_text())
    tiny_models.write(folder, config, tiny_models.weights(shapes, config))
    return load(folder), shapes


def load(folder: Path) -> torch.nn.Module:
    """What transformers reads of a folder; a tensor that it misses or does not know is an error."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    wrong = {key: value for key, value in info.items() if value}
    if wrong:
        raise ValueError(f"{folder}: {wrong}")
    return model.eval()


def logits(model: torch.nn.Module, tokens: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64))).logits.numpy()


def greedy(model: torch.nn.Module, prompt: np.ndarray, new: int = NEW) -> np.ndarray:
    """The likeliest continuation of one prompt [T], through the cache of transformers."""
    ids = torch.from_numpy(prompt.astype(np.int64))[None]
    done = model.generate(ids, max_new_tokens=new, do_sample=False, eos_token_id=None, use_cache=True)
    return done[0, len(prompt) :].numpy().astype(np.int32)


def tokens(name: str) -> np.ndarray:
    return np.random.default_rng(len(name)).integers(1, tiny_models.COMMON["vocab_size"], (2, 40)).astype(np.int32)


def main() -> None:
    for name in sys.argv[1:] or tiny_models.MODELS:
        with tempfile.TemporaryDirectory() as folder:
            model, shapes = build(name, Path(folder))
            config = (Path(folder) / "config.json").read_text()
        ids = tokens(name)
        np.savez_compressed(
            Path(__file__).parent / "golden" / f"{name}.npz",
            config=config,
            shapes=json.dumps(shapes),
            tokens=ids,
            logits=logits(model, ids),
            greedy=greedy(model, ids[0, :PROMPT]),
        )


if __name__ == "__main__":
    main()
