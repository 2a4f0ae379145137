"""Test doubles: a two-layer model whose replies end now and then, a tokenizer of 500 pieces, a game that only chats."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import games
from games.core import Ask, Game, Outcome, Referee, View
from playpen_jax import chat as chats
from playpen_jax import checkpoint, hf, model, optim
from playpen_jax import config as configs
from playpen_jax.state import TrainState

ROWS, CONTEXT = 4, 256  # of every sampler in these tests, so that few programs are compiled


def texts() -> list[str]:
    """What scripted players are shown and say in the three small games."""
    found = []
    for name in ("wordle", "taboo", "guesswhat"):
        game = games.make(name)
        cast = {seat: (players["scripted"], 0.7) for seat, players in game.players.items()}
        for instance in game.instances("train", 20):
            play = games.play_out(game.start(instance, form="short"), cast)
            found += [text for ask, reply in play.history for text in (ask.text, reply)]
    return found


def chat() -> chats.Chat:
    return chats.Chat(chats.SentencePiece(chats.train_sentencepiece(texts(), 500)))


def config(vocab: int) -> model.ModelConfig:
    return model.ModelConfig("llama", vocab=vocab, dim=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp=64)


def weights(c: model.ModelConfig, end: int, seed: int = 0) -> model.Params:
    """Random weights with decided opinions, about one reply in ten of which ends at each token.

    The first axis of the residual stream is the same for all tokens; the embedding of `end` has more of it.
    """
    rng = np.random.default_rng(seed)

    def draw(path: tuple, x: jax.ShapeDtypeStruct) -> np.ndarray:
        name = jax.tree_util.keystr(path)
        scale = 0.5 if "embed" in name else 0.1 if "norm" in name else x.shape[1] ** -0.5
        return (("norm" in name) + scale * rng.normal(size=x.shape)).astype(np.float32)

    params = jax.tree.map_with_path(draw, model.abstract(c))
    params["embed"][:, 0] = 2.0
    params["embed"][end, 0] += 2.7
    return jax.tree.map(jnp.asarray, params)


def write_folder(folder: Path, c: model.ModelConfig, params: model.Params, tokenizer: chats.SentencePiece) -> Path:
    """A Hugging Face folder of the model."""
    hf.save(folder, c, params)
    (folder / "tokenizer.model").write_bytes(tokenizer.serialized)
    return folder


def write_run(folder: Path, c: model.ModelConfig, params: model.Params, chat: chats.Chat) -> Path:
    """A training directory with the checkpoints of steps 1 (other weights) and 2 (these)."""
    saved = checkpoint.Checkpoints(folder / "checkpoints")
    tx = optim.make(configs.Optim(), 10)
    for step, those in ((1, weights(c, chat.end, seed=8)), (2, params)):
        saved.save(TrainState(those, tx.init(those), jnp.int32(step)), c)
    saved.close()
    hf.save_config(folder / "model", c)
    (folder / "model" / "tokenizer.model").write_bytes(chat.tokenizer.serialized)
    settings = dataclasses.asdict(configs.Config(form="short", players=("taboo.describer=random",)))
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


# ---------------------------------------------------------------------------------------------- a game that only chats


def _referee(instance: Mapping, settings: Mapping) -> Referee:
    """Each seat is shown what the other one said last, `turns` times."""
    said = instance["topic"]
    for turn in range(instance["turns"]):
        for seat in ("left", "right"):
            said = yield Ask(seat, f"{turn} {said}")
    count = 2 * instance["turns"]
    return Outcome("success", 100.0, count, count, 0)


def _speak(view: View) -> str:
    return f"{view.seat} {view.rng.randrange(1000)}"


def _shout(view: View) -> str:
    """What no model would say, and much of it."""
    return "".join(view.rng.choice("\ud800\x00\u202e\x1b[2J<eos>▁\n é") for _ in range(100_000))


def _generate(rng: random.Random, level: str, split: str) -> dict:
    return {"topic": str(rng.randrange(10**6)), "turns": 3}


CHATTER = Game(
    name="chatter",
    suite="indomain",
    seats=("left", "right"),
    roles=("Left", "Right"),
    levels=("only",),
    fields={"topic": str, "turns": int},
    settings_fields={},
    referee=_referee,
    generate=_generate,
    target=lambda instance: instance["topic"],
    settings=lambda level, form: {},
    players={seat: {"scripted": _speak, "random": _speak, "broken": _shout} for seat in ("left", "right")},
)
