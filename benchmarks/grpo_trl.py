"""Steps of TRL's GRPOTrainer on our game, to stand beside ours; its Python has trl, torch, sentencepiece and this tree.

PYTHONPATH=. PYTHON_OF_TRL benchmarks/grpo_trl.py FOLDER GAME INSTANCES PLAYS STEPS

FOLDER is a Hugging Face folder with our tokenizer. All episodes of a step are played at once, turn by turn, with one
`model.generate` for the rows that are asked, as TRL itself goes about several turns; ids are kept as sampled and the game's
tokens masked. Prints one JSON object: seconds of each step, episodes, tokens sampled.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import games
from playpen_jax import chat as chats

CONTEXT, MAX_TOKENS, MAX_TURNS = 256, 32, 40
SAMPLED = {"tokens": 0, "episodes": 0, "turns": 0}


class Seat:
    """The one policy seat of an episode."""

    def __init__(self, game, instance, chat):
        self.play, self.chat = game.start(instance, form="short"), chat
        self.prompt = chat.opening(self.play.ask.text)
        self.ids, self.mask, self.logps, self.turns = [], [], [], 0

    @property
    def room(self) -> int:
        return CONTEXT - len(self.prompt) - len(self.ids)

    @property
    def asked(self) -> bool:
        return self.play.ask is not None and self.turns < MAX_TURNS and self.room > MAX_TOKENS

    def hear(self, ids: list[int], logps: list[float]) -> None:
        self.ids += ids
        self.mask += [1] * len(ids)
        self.logps += logps
        self.turns += 1
        self.play.reply(self.chat.text(ids))
        if self.asked:
            new = self.chat.bridge(self.play.ask.text, ids[-1] in self.chat.stops)
            self.ids += new
            self.mask += [0] * len(new)
            self.logps += [0.0] * len(new)

    @property
    def reward(self) -> float:
        outcome = self.play.outcome
        return 0.0 if outcome is None or outcome.status == "aborted" else outcome.score / 100


def rollout(game, instances, chat):
    """TRL's `rollout_func`: all prompts at once, turn by turn."""

    @torch.no_grad()
    def play(prompts, trainer):
        model = trainer.accelerator.unwrap_model(trainer.model)
        seats = [Seat(game, instances[int(prompt)], chat) for prompt in prompts]
        while todo := [seat for seat in seats if seat.asked]:
            rows = [seat.prompt + seat.ids for seat in todo]
            width = max(map(len, rows))
            ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
            there = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
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
                SAMPLED["tokens"] += end
        SAMPLED["episodes"] += len(seats)
        SAMPLED["turns"] += sum(seat.turns for seat in seats)
        return {
            "prompt_ids": [seat.prompt for seat in seats],
            "completion_ids": [seat.ids for seat in seats],
            "logprobs": [seat.logps for seat in seats],
            "env_mask": [seat.mask for seat in seats],
            "earned": [seat.reward for seat in seats],
        }

    return play


class Clock(TrainerCallback):
    def __init__(self):
        self.seconds, self.began = [], 0.0

    def on_step_begin(self, *args, **kwargs):
        self.began = time.perf_counter()

    def on_step_end(self, *args, **kwargs):
        self.seconds.append(round(time.perf_counter() - self.began, 3))


def main(folder: str, name: str, instances: int, plays: int, steps: int) -> None:
    torch.set_num_threads(2)
    chat, game = chats.load(Path(folder)), games.make(name)
    pool = game.instances("train", instances * steps)
    size = chat.tokenizer.size
    tokenizer = PreTrainedTokenizerFast(  # TRL wants one for padding; our chat makes and reads the ids
        tokenizer_object=Tokenizer(WordLevel({f"t{i}": i for i in range(size)}, unk_token="t0")), pad_token="t0", eos_token="t1"
    )
    clock = Clock()
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
        rollout_func=rollout(game, pool, chat),
        callbacks=[clock],
    )
    trainer.train()
    print(json.dumps({"trainer": "trl", "seconds": clock.seconds, **SAMPLED}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
