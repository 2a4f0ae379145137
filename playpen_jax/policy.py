"""A policy: weights with their tokenizer, loaded from wherever they lie, ready to answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from playpen_jax import chat as chats
from playpen_jax import checkpoint, hf, model
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler

TINY = Path(__file__).parent / "tiny"
SETUP = "playpen.json"  # how a converted policy was trained
ROWS = 64  # dialogues that `generate` holds on the device at once


@dataclasses.dataclass(eq=False)  # a policy is itself: comparing weights is not meant
class Policy:
    """Weights `params` of a decoder `config`, and the chat that turns messages into tokens (None: no tokenizer was found)."""

    config: model.ModelConfig
    params: Any
    chat: chats.Chat | None = None
    folder: Path | None = None

    def trained(self) -> dict[str, Any]:
        """`form` of the prompts and `players` beside it, as in the run that made the weights; the defaults if none is known.

        They stand in the config.json of a training directory, and in the playpen.json of a folder that was converted from one.
        """
        files = [self.folder / SETUP, self.folder.parent / "config.json"] if self.folder else []
        for file in filter(Path.is_file, files):
            data = json.loads(file.read_text("utf-8"))
            if "form" in data and "players" in data:
                return {"form": data["form"], "players": tuple(data["players"])}
        return {"form": "full", "players": ()}

    def logits(self, tokens: Int[Array, "B T"]) -> Float[Array, "B T V"]:
        """Next-token logits, float32, of whole rows without padding."""
        tokens = jnp.asarray(tokens, jnp.int32)
        return _logits(self.config, self.params, tokens)

    def generate(
        self,
        dialogues: Sequence[Sequence[chats.Message]],
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> list[str]:
        """One reply to each dialogue (a list of {"role", "content"} that ends with the user's message).

        What is drawn depends on the seed and the dialogue alone; only the same dialogue given again is drawn anew.
        """
        if self.chat is None:
            raise ValueError(f"{self.folder}: no tokenizer, so text cannot be generated")
        prompts = []
        for i, dialogue in enumerate(dialogues):
            if not dialogue or dialogue[-1]["role"] != "user":
                raise ValueError(f"dialogue {i} does not end with a message of the user")
            prompts.append(self.chat.dialogue(dialogue)[0].tolist())
        if not prompts:
            return []
        rows, context = min(_power(len(prompts)), ROWS), max(_power(max(map(len, prompts)) + max_tokens), 128)
        sampler = Sampler(self.config, rows, context, Sampling(temperature, top_k, top_p), self.chat.stops)
        sampler.load(self.params)
        replies: dict[int, str] = {}
        waiting, speaking, keys = list(range(len(prompts)))[::-1], {}, _keys(seed, prompts)
        while waiting or speaking:
            while waiting and (row := sampler.take()) is not None:
                i = waiting.pop()
                sampler.feed(row, prompts[i], keys[i], max_tokens)
                speaking[row] = i
            for reply in sampler.run():
                replies[speaking.pop(reply.row)] = self.chat.text(reply.ids)
                sampler.drop(reply.row)
        return [replies[i] for i in range(len(prompts))]


@partial(jax.jit, static_argnums=0)
def _logits(c: model.ModelConfig, params: Any, tokens: Int[Array, "B T"]) -> Float[Array, "B T V"]:
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x = model.hidden(c, params, tokens, positions, jnp.ones_like(tokens), remat="none")
    return model.logits(c, params, x)


def _power(n: int) -> int:
    """The power of two from `n` on: few shapes to compile."""
    return 1 << (n - 1).bit_length()


def _keys(seed: int, prompts: list[list[int]]) -> list[tuple[int, int]]:
    """A key for each prompt, from the seed, its ids, and how often it came before."""
    seen: Counter[tuple[int, ...]] = Counter()
    keys = []
    for ids in map(tuple, prompts):
        digest = hashlib.blake2b(f"{seed}/{seen[ids]}/{ids}".encode(), digest_size=8).digest()
        keys.append((int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")))
        seen[ids] += 1
    return keys


def load(path: str | Path, dtype: str = "auto") -> Policy:
    """The policy of a Hugging Face folder, a checkpoint (or a training directory: its newest one), or "tiny".

    Raises `ValueError` in one line if the path holds none of them or cannot be read.
    """
    folder = TINY if str(path) == "tiny" else Path(path)
    if not folder.exists():
        raise ValueError(f"{path}: no such folder; a policy is a Hugging Face folder, a checkpoint, or 'tiny'")
    step = checkpoint.find(folder)
    if step is not None:
        c, params = checkpoint.load_params(step)
        folder = step.parent.parent / "model"
    else:
        c, params = hf.load(folder)
    has_tokenizer = (folder / "tokenizer.model").is_file()
    c = dataclasses.replace(c, dtype=compute_dtype(dtype))
    return Policy(c, params, chats.load(folder) if has_tokenizer else None, folder)


def compute_dtype(name: str) -> str:
    """The computing type meant by `auto`: bfloat16 where the hardware is built for it, float32 on a CPU."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def numbers(params: Any) -> int:
    """How many weights there are."""
    return int(sum(np.prod(x.shape) for x in jax.tree.leaves(params)))
