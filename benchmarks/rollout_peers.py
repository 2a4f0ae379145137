"""The same episodes of the same games with the same weights, played by other libraries and by this one.

    python benchmarks/rollout_peers.py playpen --episodes=32              (in this project's environment)
    python benchmarks/rollout_peers.py transformers --episodes=32         (pip install torch transformers sentencepiece)
    python benchmarks/rollout_peers.py trl --episodes=32                  (pip install torch trl sentencepiece)
    python benchmarks/rollout_peers.py tunix --episodes=32                (pip install google-tunix sentencepiece)
    python benchmarks/rollout_peers.py tunix-turns --episodes=32          (likewise)

Each prints one JSON line. Engines, tokens and scripted partners are the same everywhere; what differs is who generates.
`transformers`: all open episodes wait for each other; each turn is one call of `generate` on the left-padded histories, the
manner of clemcore's batch-wise runner. `trl`: GRPOTrainer with a `rollout_func` that plays so; the rollout alone is timed.
`tunix`: TrajectoryCollectEngine, one conversation a call. `tunix-turns`: its sampler, all open episodes in a call.
Everybody plays once before the clock runs, so that nothing is compiled while it does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import games
from playpen_jax import chat as chats
from playpen_jax import players

TINY = Path(__file__).resolve().parent.parent / "playpen_jax" / "tiny"
REPLY, CONTEXT, HISTORY = 32, 512, 256  # tokens: of a reply, of a dialogue, of what is shown to a peer with fixed shapes
PARTNERS = ("describer", "answerer")  # seats of scripted players

Generate = Callable[[list[list[int]]], list[list[int]]]  # histories to replies, both as ids


class Table:
    """One episode: an engine, and what the learner's seat has seen and said, as ids."""

    def __init__(self, chat: chats.Chat, name: str, instance: dict, sample: int, seed: str):
        self.chat, self.game, self.seed = chat, games.make(name), seed
        self.play = self.game.start(instance, form="short")
        self.seats = players.seating(self.game, {seat: "scripted" for seat in PARTNERS if seat in self.game.seats})
        self.ids: list[int] = []
        self.new = self.turns = 0
        self.closed = True

    def ask(self) -> list[int] | None:
        """The history up to the question that the learner is to answer; None if the episode is over."""
        while self.play.ask and self.seats[self.play.ask.seat] != players.LEARNER:
            seat = self.play.ask.seat
            self.play.reply(players.scripted(self.game, seat, self.seats[seat]).reply(self.play, self.seed))
        if not self.play.ask:
            return None
        text = self.play.ask.text
        shown = self.ids + (self.chat.bridge(text, self.closed) if self.ids else self.chat.opening(text))
        if len(shown) > HISTORY:
            return None
        self.ids = shown
        return shown

    def hear(self, ids: list[int]) -> None:
        self.ids = self.ids + ids
        self.new += len(ids)
        self.turns += 1
        self.closed = ids[-1:] and ids[-1] in self.chat.stops
        self.play.reply(self.chat.text(ids))


def tables(names: Sequence[str], episodes: int, plays: int) -> list[Table]:
    chat = chats.load(TINY)
    found = []
    for i in range(-(-episodes // plays)):
        name = names[i % len(names)]
        instance = games.make(name).instances("train", i // len(names) + 1)[-1]
        found += [Table(chat, name, instance, n, f"bench/{name}/{i}") for n in range(plays)]
    return found[:episodes]


def turn_by_turn(generate: Generate, todo: list[Table]) -> None:
    """All open episodes in one call for each turn: the slowest is waited for."""
    while asked := [(table, history) for table in todo if (history := table.ask())]:
        for (table, _), ids in zip(asked, generate([history for _, history in asked])):
            table.hear(ids)


def timed(name: str, play: Callable[[list[Table]], None], options: argparse.Namespace) -> dict:
    """Play once, then once more by the clock."""
    play(tables(options.games, options.episodes, options.plays))
    todo = tables(options.games, options.episodes, options.plays)
    clock, processor = time.perf_counter(), time.process_time()
    play(todo)
    return line(name, todo, time.perf_counter() - clock, time.process_time() - processor)


def line(name: str, todo: list[Table], seconds: float, processor: float) -> dict:
    new = sum(table.new for table in todo)
    return {
        "player": name,
        "episodes": len(todo),
        "turns": sum(table.turns for table in todo),
        "new_tokens": new,
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "episodes_per_second": round(len(todo) / seconds, 3),
        "new_tokens_per_second": round(new / seconds, 1),
        "episodes_per_processor_second": round(len(todo) / processor, 3),
        "new_tokens_per_processor_second": round(new / processor, 1),
    }


# --- who plays


def with_transformers(options: argparse.Namespace) -> dict:
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    return timed("transformers", lambda todo: turn_by_turn(generator(model, chats.load(TINY)), todo), options)


def generator(model, chat: chats.Chat) -> Generate:
    """Left-padded batches through `generate`."""
    import torch

    def generate(histories: list[list[int]]) -> list[list[int]]:
        width = max(map(len, histories))
        ids = torch.tensor([[0] * (width - len(history)) + history for history in histories])
        mask = torch.tensor([[0] * (width - len(history)) + [1] * len(history) for history in histories])
        how = dict(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=REPLY, pad_token_id=0)
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=mask, eos_token_id=list(chat.stops), **how)
        return [cut(row[width:].tolist(), chat.stops) for row in out]

    return generate


def cut(ids: list[int], stops: Sequence[int]) -> list[int]:
    """Up to the first end of turn, which stays."""
    return next((ids[: i + 1] for i, x in enumerate(ids) if x in stops), ids)


def with_tunix(options: argparse.Namespace, batched: bool = False) -> dict:
    chat = chats.load(TINY)
    sampler = _tunix_sampler(chat)
    lock = threading.Lock()

    def generate(histories: list[list[int]]) -> list[list[int]]:
        with lock:
            texts = [" ".join(map(str, history)) for history in histories]
            texts += texts[:1] * (-len(texts) % 16 if batched else 0)  # few batch sizes: each is compiled
            out = sampler(texts, REPLY, max_prompt_length=HISTORY, temperature=1.0, top_p=1.0, seed=len(histories[0]))
        said = [[int(i) for i in row] for row in out.tokens[: len(histories)]]
        return [ids if len(ids) == REPLY else [*ids, chat.end] for ids in said]

    if batched:
        return timed("tunix sampler, turn by turn", lambda todo: turn_by_turn(generate, todo), options)
    return timed("tunix agentic", lambda todo: asyncio.run(_agentic(generate, todo)), options)


def _tunix_sampler(chat: chats.Chat):
    """Its vanilla sampler with these weights; text is ids in decimal digits, so that tokens are those of everybody else."""
    import tunix_llama
    from tunix.generate import sampler, tokenizer_adapter

    class Digits:
        def encode(self, text: str, **_) -> list[int]:
            return [int(word) for word in text.split()]

        def decode(self, ids, **_) -> str:
            return " ".join(str(int(i)) for i in ids)

        def bos_id(self) -> int:
            return 1

        def eos_id(self) -> int:
            return chat.end

        def pad_id(self) -> int:
            return 0

    llama, c = tunix_llama.load(TINY)
    size = sampler.CacheConfig(CONTEXT, c.num_layers, c.num_kv_heads, c.head_dim)
    return sampler.Sampler(llama, tokenizer_adapter.TokenizerAdapter(Digits()), size)


async def _agentic(generate: Generate, todo: list[Table]) -> None:
    """All episodes at once, each in a TrajectoryCollectEngine of its own."""
    import numpy as np
    from tunix.rl.agentic.agents import model_agent
    from tunix.rl.agentic.environments import base_environment
    from tunix.rl.agentic.trajectory import trajectory_collect_engine
    from tunix.rl.rollout import base_rollout

    class Environment(base_environment.BaseTaskEnv):
        """The engine behind its interface; the history travels in the table."""

        def _initial_observation(self):
            return {"question": str(self.task["table"].ask())}

        def _step_impl(self, action):
            text = getattr(action, "action", action)
            table = self.task["table"]
            table.hear([int(word) for word in text.split()])
            asked = table.ask()
            return base_environment.EnvStepResult({"question": str(asked)}, 0.0, asked is None, {})

    def call(messages, env, max_generation_steps=None, **_):
        (ids,) = generate([env.task["table"].ids])
        text = " ".join(map(str, ids))
        return base_rollout.RolloutOutput([text], [], [np.array(ids)], np.zeros((1, 1), np.int32), None)

    pairs = [(model_agent.ModelAgent(""), Environment({"table": table}, max_steps=50)) for table in todo]
    collect = trajectory_collect_engine.TrajectoryCollectEngine.collect_multiple
    async for _ in collect(pairs, model_call=call, timeout=3600.0):
        pass


def with_trl(options: argparse.Namespace) -> dict:
    """Two optimiser steps of GRPOTrainer, whose `rollout_func` plays the episodes; the second rollout counts."""
    import tempfile

    import datasets
    import tokenizers
    import torch
    import transformers
    import trl

    chat, seen = chats.load(TINY), []

    known = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}  # the prompts' ids come from the rollout
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="<unk>"))
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)

    def rollout(prompts, trainer):
        todo = tables(options.games, options.episodes, options.plays)[: len(prompts)]
        clock, processor = time.perf_counter(), time.process_time()
        model = trainer.accelerator.unwrap_model(trainer.model)
        turn_by_turn(generator(model.eval(), chat), todo)
        model.train()
        seen.append(line("trl, rollout", todo, time.perf_counter() - clock, time.process_time() - processor))
        asked = [len(table.chat.opening("")) for table in todo]
        answers = [table.ids[n:] or [2] for n, table in zip(asked, todo)]
        logprobs = [[-1.0] * len(answer) for answer in answers]
        return {"prompt_ids": [t.ids[:n] for n, t in zip(asked, todo)], "completion_ids": answers, "logprobs": logprobs}

    arguments = trl.GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=options.episodes,
        num_generations=options.plays,
        max_completion_length=CONTEXT,
        max_steps=2,
        report_to=[],
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
    )
    trainer = trl.GRPOTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32),
        reward_funcs=lambda prompts, completions, **_: [float(len(c)) for c in completions],
        args=arguments,
        train_dataset=datasets.Dataset.from_dict({"prompt": ["x"] * options.episodes}),
        processing_class=tokenizer,
        rollout_func=rollout,
    )
    trainer.train()
    return seen[-1]


def with_playpen(options: argparse.Namespace) -> dict:
    """The same jobs through `Rollout`."""
    from playpen_jax import policy
    from playpen_jax.bench_rollout import jobs, play
    from playpen_jax.rollout import Limits
    from playpen_jax.sampler.sample import Sampling
    from playpen_jax.sampler.sampler import Sampler

    learner = policy.load(TINY)
    sampler = Sampler(learner.config, options.rows, CONTEXT, Sampling(1.0), learner.chat.stops, dialogues=4 * options.rows)
    todo = jobs(options.games, options.episodes, options.plays)
    for _ in range(2):
        _, found = play(sampler, learner.params, learner.chat, todo, Limits(REPLY, 50))
    keys = ("episodes", "turns", "new_tokens", "seconds", "processor_seconds", "episodes_per_second", "new_tokens_per_second")
    speed = {"episodes_per_processor_second": round(found["episodes"] / found["processor_seconds"], 3)}
    speed["new_tokens_per_processor_second"] = round(found["new_tokens_per_processor_second"], 1)
    return {"player": "playpen_jax"} | {key: round(found[key], 3) for key in keys} | speed


PLAYERS = {
    "playpen": with_playpen,
    "transformers": with_transformers,
    "trl": with_trl,
    "tunix": with_tunix,
    "tunix-turns": lambda options: with_tunix(options, batched=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("player", choices=PLAYERS)
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--plays", type=int, default=4)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--games", type=lambda text: text.split(","), default=["wordle", "taboo", "guesswhat"])
    options = parser.parse_args()
    print(json.dumps(PLAYERS[options.player](options)), flush=True)


if __name__ == "__main__":
    main()
