"""A policy: weights with their tokenizer, loaded from wherever they lie, ready to answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from playpen_jax import adapters, checkpoint, hf, model, update
from playpen_jax import chat as chats
from playpen_jax import config as configs
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

    @property
    def speech(self) -> chats.Chat:
        """The chat; raises `ValueError` if there is none, so that nothing can be said."""
        if self.chat is None:
            raise ValueError(f"{self.folder}: no tokenizer, so text cannot be generated")
        return self.chat

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
        return _logits(self.config.within(tokens.shape[1]), self.params, tokens)

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
        chat, prompts = self.speech, []
        for i, dialogue in enumerate(dialogues):
            if not dialogue or dialogue[-1]["role"] != "user":
                raise ValueError(f"dialogue {i} does not end with a message of the user")
            prompts.append(chat.dialogue(dialogue)[0].tolist())
        if not prompts:
            return []
        rows, context = min(_power(len(prompts)), ROWS), max(_power(max(map(len, prompts)) + max_tokens), 128)
        sampler = Sampler(self.config, rows, context, Sampling(temperature, top_k, top_p), chat.stops)
        sampler.load(self.params)
        replies: dict[int, str] = {}
        waiting, keys = list(range(len(prompts)))[::-1], _keys(seed, prompts)
        speaking: dict[int, int] = {}
        while waiting or speaking:
            while waiting and (row := sampler.take()) is not None:
                i = waiting.pop()
                sampler.feed(row, prompts[i], keys[i], max_tokens)
                speaking[row] = i
            for reply in sampler.run():
                replies[speaking.pop(reply.row)] = chat.text(reply.ids)
                sampler.drop(reply.row)
        return [replies[i] for i in range(len(prompts))]


@partial(jax.jit, static_argnums=0)
def _logits(c: model.ModelConfig, params: Any, tokens: Int[Array, "B T"]) -> Float[Array, "B T V"]:
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x = model.hidden(c, params, tokens, positions, jnp.ones_like(tokens))
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


def load(
    path: str | Path,
    dtype: str = "auto",
    lora: configs.Lora | None = None,
    seed: int = 0,
    mesh: jax.sharding.Mesh | None = None,
) -> Policy:
    """The policy of a Hugging Face folder, of adapters, of a checkpoint (or a training directory: its newest one), or "tiny".

    lora: to be trained by adapters, which are added (drawn by `seed`) unless there are some; the weights under them are kept
    in the computing type, or in fewer bits. mesh: where the weights go, each part straight onto its device; None: the first
    device. Raises `ValueError` in one line if the path holds none of them or cannot be read.
    """
    dtype = compute_dtype(dtype)
    few = lora if lora is not None and lora.rank > 0 else None
    base = few.base if few and few.base != "plain" else None
    c, params, folder = read(_folder(path), base, dtype if few else "float32", mesh)
    c = dataclasses.replace(c, dtype=dtype)
    if few and c.lora is None:
        c, params = _adapted(c, params, few, seed)
    return Policy(c, params, chats.load(folder) if chats.find(folder) else None, folder)


def _folder(path: str | Path) -> Path:
    folder = TINY if str(path) == "tiny" else Path(path)
    if not folder.exists():
        raise ValueError(f"{path}: no such folder; a policy is a Hugging Face folder, a checkpoint, or 'tiny'")
    return folder


def under(path: str | Path) -> str:
    """What the adapters of a checkpoint or of their own folder belong to; raises `ValueError` where there are none."""
    folder, name = _folder(path), None
    if (step := checkpoint.find(folder)) is not None:
        name = checkpoint.base(step)
    elif (folder / adapters.CONFIG).is_file():
        name = str(adapters.base(folder))
    if name is None:
        raise ValueError(f"{path}: there are no adapters")
    return str(TINY) if name == "tiny" else name


def _adapted(c: model.ModelConfig, params: Any, lora: configs.Lora, seed: int) -> tuple[model.ModelConfig, Any]:
    """The model with fresh adapters, which change nothing yet."""
    targets = adapters.targets(c, lora.target)
    c = dataclasses.replace(c, lora=model.Lora(lora.rank, lora.alpha, targets, lora.dropout))
    fresh = jax.jit(lambda key: model.split(model.init(dataclasses.replace(c, base=None), key))[0])(jax.random.key(seed))
    return c, model.join(fresh, params)


def fresh_config(m: configs.Model, vocab: int) -> model.ModelConfig:
    """The config of a fresh model of the settings' shape."""
    shape: dict[str, Any] = dict(
        dim=m.dim, layers=m.layers, heads=m.heads, kv_heads=m.kv_heads, mlp=m.mlp, head_dim=m.dim // m.heads
    )
    return model.ModelConfig("llama", vocab=vocab, dtype=compute_dtype(m.dtype), **shape)


def planned(path: str | Path, lora: configs.Lora) -> model.ModelConfig:
    """The config of what `load` would load; no weights are needed. Raises `ValueError` likewise."""
    folder = _folder(path)
    step = checkpoint.find(folder)
    c = hf.read_config(folder) if step is None else checkpoint.read_config(step)
    if not lora.rank or c.lora is not None:
        return c
    adapted = model.Lora(lora.rank, lora.alpha, adapters.targets(c, lora.target), lora.dropout)
    return dataclasses.replace(c, lora=adapted, base=None if lora.base == "plain" else lora.base)


def _places(c: model.ModelConfig, mesh: jax.sharding.Mesh | None) -> Any:
    """Where the weights go; None: the first device, as those of a quantised base or of adapters alone."""
    return None if mesh is None or c.lora is not None else update.weight_shardings(c, mesh)


def read(
    folder: Path, base: Literal["int8", "nf4"] | None = None, dtype: str = "float32", mesh: jax.sharding.Mesh | None = None
) -> tuple[model.ModelConfig, Any, Path]:
    """Config and weights, and the folder that has the tokenizer beside them.

    base: what the projections of a Hugging Face folder are kept in (`ModelConfig.base`); dtype: of its weights.
    """
    step = checkpoint.find(folder)
    if step is not None:
        c, params = checkpoint.load_params(step, _places(checkpoint.read_config(step), mesh))
        if c.lora is not None:
            under = read(_folder(checkpoint.base(step) or ""), c.base, c.dtype)[1]
            params = model.join(params, model.split(under)[1] or under)
        return c, params, step.parent.parent / "model"
    if (folder / adapters.CONFIG).is_file():
        under = adapters.base(folder)
        c, params, home = read(under, base, dtype, mesh)
        c, trained = adapters.load(folder, c)
        return c, model.join(trained, params), folder if chats.find(folder) else home
    at = None if base else _places(hf.read_config(folder), mesh)
    return *hf.load(folder, dtype, at, base=base), folder


def compute_dtype(name: str) -> str:
    """The computing type meant by `auto`: bfloat16 where the hardware is built for it, float32 on a CPU."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def attention(name: Literal["auto", "plain", "splash", "cudnn"]) -> Literal["plain", "splash", "cudnn"]:
    """How whole rows attend by `auto`: by the kernel for TPUs on TPUs, by XLA elsewhere."""
    if name != "auto":
        return name
    return "splash" if jax.default_backend() == "tpu" else "plain"


def numbers(params: Any) -> int:
    """How many weights there are."""
    return int(sum(np.prod(x.shape) for x in jax.tree.leaves(params)))
