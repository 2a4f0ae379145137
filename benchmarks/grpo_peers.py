"""Steps of other GRPO trainers on our game, to stand beside ours: the same weights, tokens, houses and number of episodes.

    PYTHONPATH=. PYTHON benchmarks/grpo_peers.py WHO FOLDER GAME INSTANCES PLAYS STEPS
    PYTHONPATH=. python benchmarks/grpo_peers.py compare FOLDER GAME INSTANCES PLAYS STEPS ROUNDS WHO=PYTHON ...

WHO is `ours`, `trl` (its Python has trl, torch, sentencepiece, absl-py, protobuf) or `tunix` (google-tunix and sentencepiece);
FOLDER a Hugging Face folder with our tokenizer. Prints one JSON object: seconds of each step by the clock and of the processor,
episodes, tokens sampled. `compare` runs all in turn, ROUNDS times, and prints the medians without each run's first steps, which
compile.

`trl`: GRPOTrainer with a `rollout_func`. All episodes of a step are played at once, turn by turn, with one `model.generate` for
the rows that are asked, as TRL itself goes about several turns; ids are kept as sampled and the game's tokens masked.
`tunix`: the agentic GRPOLearner, which goes about several turns. Its vanilla engine is given a seed for each call and a limit
for each reply: without the first all plays of a group are alike, without the second every length of a history is compiled anew.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import games
from playpen_jax import chat as chats

CONTEXT, MAX_TOKENS, MAX_TURNS = 256, 32, 40
HISTORY = CONTEXT // 2  # of what Tunix's learner has for a prompt and for what follows it; its sampler pads each history to it
SKIPPED = 2  # steps at the start of a run in which programs are compiled


class Clock:
    """Seconds of each step, by the wall and of the processor."""

    def __init__(self):
        self.seconds, self.processor = [], []
        self.start()

    def start(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        self.seconds.append(round(time.perf_counter() - self.began[0], 3))
        self.processor.append(round(time.process_time() - self.began[1], 3))


class Seat:
    """The one policy seat of an episode."""

    def __init__(self, game, instance, chat):
        self.play, self.chat = game.start(instance, form="short"), chat
        self.prompt = chat.opening(self.play.ask.text)
        self.ids, self.mask, self.logps, self.turns, self.sampled = [], [], [], 0, 0

    @property
    def room(self) -> int:
        return CONTEXT - len(self.prompt) - len(self.ids)

    @property
    def asked(self) -> bool:
        return self.play.ask is not None and self.turns < MAX_TURNS and self.room > MAX_TOKENS

    def hear(self, ids: list[int], logps: list[float]) -> list[int]:
        """Plays a reply; the ids of what is asked next, [] at the end."""
        self.ids += ids
        self.mask += [1] * len(ids)
        self.logps += logps
        self.turns += 1
        self.sampled += len(ids)
        self.play.reply(self.chat.text(ids))
        if not self.asked:
            return []
        new = self.chat.bridge(self.play.ask.text, bool(ids) and ids[-1] in self.chat.stops)
        self.ids += new
        self.mask += [0] * len(new)
        self.logps += [0.0] * len(new)
        return new

    @property
    def reward(self) -> float:
        outcome = self.play.outcome
        return 0.0 if outcome is None or outcome.status == "aborted" else outcome.score / 100


def told(who: str, clock: Clock, seats: list[Seat]) -> dict:
    found = {"trainer": who, "seconds": clock.seconds, "processor_seconds": clock.processor, "episodes": len(seats)}
    return found | {"tokens": sum(seat.sampled for seat in seats), "turns": sum(seat.turns for seat in seats)}


# ---------------------------------------------------------------------------------------------- ours


def ours(folder: str, name: str, instances: int, plays: int, steps: int) -> dict:
    from playpen_jax import train
    from playpen_jax.learn import grpo

    clock, batches = Clock(), Clock()
    learner = grpo.learner
    grpo.learner = lambda *given: ticked(clock, learner(*given))
    grpo.prepared = ticked(batches, grpo.prepared)
    sizes = {"games": name, "steps": steps, "grpo.instances": instances, "grpo.plays": plays, "rollout.rows": instances * plays}
    others = {"eval.episodes": 0, "optim.learning_rate": 1e-5, "model.path": folder}
    with tempfile.TemporaryDirectory() as workdir:
        options = [f"--config.{key}={value}" for key, value in (sizes | others).items()]
        if status := train.main(["--config=grpo.py", f"--workdir={workdir}", *options]):
            raise SystemExit(status)
        rows = [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()]
        episodes = [json.loads(x) for f in Path(workdir).glob("episodes/*.jsonl") for x in f.read_text().splitlines()]
    found = {"trainer": "ours", "seconds": clock.seconds, "processor_seconds": clock.processor, "episodes": len(episodes)}
    found["tokens"] = round(sum(row["completions/mean_length"] * instances * plays for row in rows))
    found["turns"] = sum(len(episode["turns"]) for episode in episodes)
    return found | {"split": [split(row, made) for row, made in zip(rows, batches.seconds)]}


def ticked(clock: Clock, work: Callable) -> Callable:
    """The same, timed."""

    def timed(*given):
        clock.start()
        found = work(*given)
        clock.stop()
        return found

    return timed


def split(row: dict, batch: float) -> dict[str, float]:
    """Seconds of a step: of the device in play, of the update, of the host (games in play, then making the batch)."""
    games = row["time/rollout"] * row["rollout/waiting_for_host"]
    found = {"rollout": row["time/rollout"] - games, "update": row["time/update"] - batch, "host": games + batch}
    return {name: round(seconds, 3) for name, seconds in found.items()}


# ---------------------------------------------------------------------------------------------- TRL


def trl(folder: str, name: str, instances: int, plays: int, steps: int) -> dict:
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(2)
    chat, game = chats.load(Path(folder)), games.make(name)
    pool, done, clock = game.instances("train", instances * steps), [], Clock()

    class Ticks(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            clock.start()

        def on_step_end(self, *args, **kwargs):
            clock.stop()

    def rollout(prompts, trainer):
        seats = [Seat(game, pool[int(prompt)], chat) for prompt in prompts]
        torch_play(trainer.accelerator.unwrap_model(trainer.model), seats, chat)
        done.extend(seats)
        return {
            "prompt_ids": [seat.prompt for seat in seats],
            "completion_ids": [seat.ids for seat in seats],
            "logprobs": [seat.logps for seat in seats],
            "env_mask": [seat.mask for seat in seats],
            "earned": [seat.reward for seat in seats],
        }

    words = {f"t{i}": i for i in range(chat.tokenizer.size)}  # TRL wants one for padding; our chat makes and reads the ids
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="t0")), pad_token="t0", eos_token="t1"
    )
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=instances * plays, num_generations=plays, max_steps=steps,
        max_completion_length=CONTEXT, temperature=1.0, beta=0.0, learning_rate=1e-5, logging_steps=1, save_strategy="no",
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True, shuffle_dataset=False,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        reward_funcs=lambda completions, earned, **_: earned,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(len(pool))]}),
        processing_class=tokenizer,
        rollout_func=rollout,
        callbacks=[Ticks()],
    )
    trainer.train()
    return told("trl", clock, done)


def torch_play(model, seats: list[Seat], chat: chats.Chat) -> None:
    """All seats at once, turn by turn."""
    import torch

    while todo := [seat for seat in seats if seat.asked]:
        rows = [seat.prompt + seat.ids for seat in todo]
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        there = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.no_grad():
            out = model.generate(
                ids, attention_mask=there, max_new_tokens=MAX_TOKENS, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                eos_token_id=list(chat.stops), pad_token_id=0, output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
        logps = torch.stack(out.logits, 1).log_softmax(-1)
        new = out.sequences[:, width:]
        chosen = logps.gather(-1, new[..., None])[..., 0]
        for seat, said, each in zip(todo, new.tolist(), chosen.tolist()):
            end = next((i + 1 for i, token in enumerate(said) if token in chat.stops), len(said))
            seat.hear(said[:end], each[:end])


# ---------------------------------------------------------------------------------------------- Tunix


def tunix(folder: str, name: str, instances: int, plays: int, steps: int) -> dict:
    import jax
    import numpy as np
    import optax
    import tunix_llama
    from tunix.rl import rl_cluster
    from tunix.rl.agentic import agentic_grpo_learner
    from tunix.rl.agentic.environments import base_environment
    from tunix.rl.rollout import base_rollout

    chat, game = chats.load(Path(folder)), games.make(name)
    pool, seats, clock = game.instances("train", instances * steps), [], Clock()
    alone = threading.Lock()  # Python 3.11 fails now and then when two threads parse a literal at once

    class Environment(base_environment.BaseTaskEnv):
        """A seat behind its interface; text is ids in decimal digits."""

        def _initial_observation(self):
            with alone:
                self.seat = Seat(game, pool[int(np.ravel(self.task["prompts"])[0])], chat)
            seats.append(self.seat)
            return digits(self.seat.prompt)

        def _step_impl(self, action):
            said = numbers(getattr(action, "action", action))
            ended = len(said) < MAX_TOKENS  # its sampler leaves the end of turn out
            new = self.seat.hear([*said, chat.end] if ended else said, [0.0] * (len(said) + ended))
            if not new:
                return base_environment.EnvStepResult(None, self.seat.reward, True, {})
            return base_environment.EnvStepResult(digits([chat.end] * ended + new), 0.0, False, {})

    class Parser:
        """Messages are ids already."""

        def parse(self, messages, add_generation_prompt=False, is_first_msg=False) -> str:
            return " ".join(message["content"] for message in messages if message["content"])

    def batches() -> Iterator[dict]:
        """Asked for the next batch when the step before has ended."""
        for i in range(steps):
            if i:
                clock.stop()
            clock.start()
            yield {"prompts": [str(n) for n in range(i * instances, (i + 1) * instances)]}
        clock.stop()

    mesh, roles = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("fsdp", "tp")), rl_cluster.Role
    cluster = rl_cluster.RLCluster(
        actor=tunix_llama.load(folder)[0],
        tokenizer=Digits(chat.end),
        cluster_config=rl_cluster.ClusterConfig(
            role_to_mesh={role: mesh for role in (roles.ACTOR, roles.ROLLOUT, roles.REFERENCE)},
            rollout_engine=tunix_engine(),
            training_config=rl_cluster.RLTrainingConfig(
                actor_optimizer=optax.adamw(1e-5, weight_decay=0.0), mini_batch_size=instances, eval_every_n_steps=10**9,
                train_micro_batch_size=instances,
            ),
            rollout_config=base_rollout.RolloutConfig(
                max_tokens_to_generate=HISTORY, max_prompt_length=HISTORY, kv_cache_size=CONTEXT + MAX_TOKENS, temperature=1.0,
                top_p=1.0, return_logprobs=True,
            ),
        ),
    )  # fmt: skip
    learner = agentic_grpo_learner.GRPOLearner(
        rl_cluster=cluster,
        algo_config=agentic_grpo_learner.GRPOConfig(
            num_generations=plays, beta=0.0, max_response_length=HISTORY, max_concurrency=instances * plays
        ),
        chat_parser=Parser(),
        env_class=Environment,
        env_kwargs={"max_steps": MAX_TURNS},
    )
    learner.train(batches())
    return told("tunix", clock, seats)


def digits(ids: list[int]) -> str:
    return " ".join(str(int(i)) for i in ids)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


class Digits:
    """A tokenizer under which tokens are those of everybody else."""

    def __init__(self, end: int):
        self.end = end

    def encode(self, text: str, **_) -> list[int]:
        return numbers(text)

    def decode(self, ids, **_) -> str:
        return digits(ids)

    def bos_id(self) -> int:
        return 1

    def eos_id(self) -> int:
        return self.end

    def pad_id(self) -> int:
        return 0


def tunix_engine() -> type:
    import dataclasses

    import jax
    from tunix.rl.rollout import base_rollout, vanilla_rollout

    class Engine(vanilla_rollout.VanillaRollout):
        """Its own engine, one conversation a call, with a limit for each reply and new noise for each call."""

        def __init__(self, rollout_actor, tokenizer, mesh, rollout_config):
            c = rollout_actor.config
            size = base_rollout.CacheConfig(rollout_config.kv_cache_size, c.num_layers, c.num_kv_heads, c.head_dim)
            super().__init__(rollout_actor, tokenizer, size)
            self.lock, self.calls = threading.Lock(), 0

        def generate(self, prompts, rollout_config, **kwargs):
            with self.lock:
                self.calls += 1
                seed = jax.random.PRNGKey(self.calls)
                how = dataclasses.replace(rollout_config, max_tokens_to_generate=MAX_TOKENS, seed=seed)
                return super().generate(prompts, how, **kwargs)

    return Engine


# ---------------------------------------------------------------------------------------------- side by side


def compare(sizes: list[str], rounds: int, pythons: dict[str, str]) -> dict:
    """All trainers in turn; medians of the steps after the first ones."""
    runs: dict[str, list[dict]] = {who: [] for who in pythons}
    for _ in range(rounds):
        for who, python in pythons.items():
            out = subprocess.run([python, __file__, who, *sizes], stdout=subprocess.PIPE, text=True, check=True).stdout
            runs[who].append(json.loads(out.splitlines()[-1]))
            print(json.dumps(runs[who][-1]), file=sys.stderr, flush=True)
    found: dict[str, dict] = {"medians": {}, "runs": runs}
    for who, all_of in runs.items():
        kinds = ("seconds", "processor_seconds")
        found["medians"][who] = {k: statistics.median(x for run in all_of for x in run[k][SKIPPED:]) for k in kinds}
    return found


WHO: dict[str, Callable[..., dict]] = {"ours": ours, "trl": trl, "tunix": tunix}

if __name__ == "__main__":
    if sys.argv[1] == "compare":
        print(json.dumps(compare(sys.argv[2:7], int(sys.argv[7]), dict(each.split("=", 1) for each in sys.argv[8:]))))
    else:
        print(json.dumps(WHO[sys.argv[1]](*sys.argv[2:4], *map(int, sys.argv[4:7]))))
