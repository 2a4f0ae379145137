"""Tokens a second of imitation and preference learning: ours, TRL's trainers, Tunix's PeftTrainer; the same model and rows.

    python benchmarks/imitation_speed.py rows DIR     # the rows, which scripted players play, and the embedded model
    python benchmarks/imitation_speed.py ours DIR     # packed and unpacked, SFT and DPO
    python benchmarks/imitation_speed.py trl DIR      # in an environment with trl; tells both losses too
    python benchmarks/imitation_speed.py tunix DIR    # in an environment with google-tunix alone (it needs nothing of ours)
    python benchmarks/imitation_speed.py compare DIR PYTHON_OF_TRL PYTHON_OF_TUNIX    # all of it, three times in turn

Each prints one JSON object a line, `compare` one with the medians. Only tokens of dialogues count, not padding; first
steps, which compile, are left out. Every update learns from the same 16 dialogues, or pairs, whoever makes it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

BATCH, STEPS, SKIPPED, LENGTH, ROUNDS = 16, 4, 2, 256, 3
GAMES = ("wordle", "taboo", "guesswhat", "textmapworld")


class Clock:
    """When each step ended: by the wall, and in seconds of the processor."""

    def __init__(self):
        self.times: list[tuple[float, float]] = []

    def tick(self) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def say(self, who: str, what: str, counted: list[int], **more) -> None:
        """The rate from the first time on; `counted`: the tokens of each step after it."""
        wall, busy = (b - a for a, b in zip(self.times[0], self.times[len(counted)]))
        rates = {"tokens_per_second": sum(counted) / wall, "tokens_per_processor_second": sum(counted) / busy}
        print(json.dumps({"who": who, "what": what} | {k: round(x, 1) for k, x in rates.items()} | more), flush=True)


def groups_of(rows: list) -> list[list]:
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]


def both_sides(pairs: list) -> list[int]:
    """Tokens of each batch of pairs without sharing: both sides with their prompts."""
    return [sum(2 * len(p) + len(a) + len(b) for p, a, b in group) for group in groups_of(pairs)]


def make(folder: Path) -> None:
    """Dialogues of strong scripted players, pairs of their turns and a weak player's, as ids, and the model in float32."""
    import dataclasses

    from playpen_jax import hf, policy

    tiny, count = policy.load("tiny"), BATCH * (SKIPPED + STEPS)
    dialogues, pairs, number = [], [], 0
    while len(dialogues) < count or len(pairs) < count:
        messages, turns = played(GAMES[number % len(GAMES)], number)
        number += 1
        ids, mask = tiny.chat.dialogue(messages)
        if len(ids) <= LENGTH:
            dialogues.append((ids.tolist(), mask.tolist()))
        for prompt, *said in turns:
            before = len(tiny.chat.dialogue(prompt)[0])
            whole = [tiny.chat.dialogue((*prompt, {"role": "assistant", "content": reply}))[0] for reply in said]
            if len(whole[0]) + len(whole[1]) - before <= LENGTH:
                pairs.append([whole[0][:before].tolist(), *(ids[before:].tolist() for ids in whole)])
    order = np.random.default_rng(0).permutation(len(pairs))
    folder.mkdir(parents=True, exist_ok=True)
    hf.save(folder / "model", dataclasses.replace(tiny.config, dtype="float32"), tiny.params)
    given = {"sft": dialogues[:count], "dpo": [pairs[i] for i in order[:count]], "end": tiny.chat.end}
    (folder / "rows.json").write_text(json.dumps(given))


def played(name: str, number: int) -> tuple[list, list]:
    """What one seat of an episode of strong players saw and said, and each of its turns with a weak player's other reply."""
    import games
    from games.core import lesson
    from playpen_jax import players

    game, seed = games.make(name), f"speed/{number}"
    play = game.start(game.instances("train", number + 1)[-1], form="short")
    strong = {seat: players.scripted(game, seat, "scripted") for seat in game.seats}
    taught, turns = game.seats[-1], []
    while play.ask is not None:
        seat, asked = play.ask.seat, play.ask.text
        reply = strong[seat].reply(play, seed)
        if seat == taught:
            other = players.scripted(game, seat, "scripted:0").reply(play, seed)
            prompt = (*lesson(play.history, seat), {"role": "user", "content": asked})
            turns += [(prompt, reply, other)] if other != reply else []
        play.reply(reply)
    return lesson(play.history, taught), turns


def ours(folder: Path, data: dict) -> None:
    import jax
    import jax.numpy as jnp

    from playpen_jax import config as configs
    from playpen_jax import hf, optim, sharding, update
    from playpen_jax.data import pairs
    from playpen_jax.data.pack import Weighted, micro_batches, pack
    from playpen_jax.data.rows import row
    from playpen_jax.learn.dpo import batch_of
    from playpen_jax.losses import dpo, sft
    from playpen_jax.programs import compilation_cache

    compilation_cache()
    c, params = hf.load(folder / "model")
    mesh, tx = sharding.make_mesh(configs.Mesh(), jax.devices()[:1]), optim.make(configs.Optim(learning_rate=1e-5), 100)
    at = update.state_shardings(c, tx, mesh)
    how = dpo.Preference()
    losses = {"sft": lambda b, x, ref: sft.loss(b, x), "dpo": lambda b, x, ref: dpo.loss(b, x, ref, how)}

    def side(prompt: list[int], reply: list[int]) -> tuple[np.ndarray, np.ndarray]:
        return np.array(prompt + reply, np.int32), np.arange(len(prompt + reply)) >= len(prompt)

    made = {
        "sft": [row(np.array(ids, np.int32), np.array(mask)) for ids, mask in data["sft"]],
        "dpo": [pairs.row(side(p, a), side(p, b)) for p, a, b in data["dpo"]],
        "dpo apart": [pairs.row(side(p, a), side(p, b), shared=False) for p, a, b in data["dpo"]],
    }
    for name in ("sft", "sft unpacked", "dpo", "dpo apart"):
        kind, groups = name[:3], groups_of(made[name.removesuffix(" unpacked")])
        if name == "sft unpacked":
            alone = [[pack([Weighted(r)], LENGTH)[0] for r in group] for group in groups]
            batches = [jax.tree.map(lambda *x: np.concatenate(x), *group) for group in alone]
        elif kind == "sft":
            batches = [pack([Weighted(r) for r in group], LENGTH)[0] for group in groups]
        else:
            batches = [batch_of(group, LENGTH if name == "dpo" else 2 * LENGTH) for group in groups]
        apply = update.make(c, losses[kind], tx, mesh, at)
        state = update.fresh_state(tx, jax.tree.map(jnp.copy, params), at)
        ref = jax.tree.map(jnp.copy, params) if kind == "dpo" else None
        lines, clock = [], Clock()

        for i in (*range(len(batches)), *range(SKIPPED, len(batches))):  # all once, so that every shape is compiled
            if len(lines) >= len(batches):
                clock.tick()
            state, found = apply(state, ref, *micro_batches(batches[i], 4))
            lines.append(float(found["loss"]))
        clock.tick()
        counted = both_sides(data["dpo"]) if kind == "dpo" else [sum(len(r.ids) for r in group) for group in groups]
        filled = sum(counted) / sum(b.tokens.size for b in batches)
        clock.say("playpen_jax", name, counted[SKIPPED:], filled=round(filled, 3), losses=lines[:4])


def trl(folder: Path, data: dict) -> None:
    import datasets
    import tokenizers
    import torch
    import transformers
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    torch.set_num_threads(2)
    words = {f"<{i}>": i for i in range(json.loads((folder / "model" / "config.json").read_text())["vocab_size"])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<0>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    end = f"<{data['end']}>"
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=end, pad_token="<0>")
    text = lambda ids: "".join(f"<{i}> " for i in ids)
    common = dict(
        output_dir=str(folder / "out"), per_device_train_batch_size=BATCH, max_steps=SKIPPED + STEPS, learning_rate=1e-5,
        lr_scheduler_type="constant", report_to=[], save_strategy="no", logging_steps=1, use_cpu=True, bf16=False,
        disable_tqdm=True, weight_decay=0.0, adam_beta2=0.99, max_length=LENGTH, gradient_checkpointing=False,
        dataloader_pin_memory=False, seed=0,
    )  # fmt: skip

    class Steps(transformers.TrainerCallback):
        def __init__(self):
            self.clock, self.losses, self.seen = Clock(), [], []

        def on_step_end(self, args, state, control, **_):
            if state.global_step >= SKIPPED:
                self.clock.tick()

        def on_log(self, args, state, control, logs=None, **_):
            if "loss" in (logs or {}):
                self.losses.append(logs["loss"])
                self.seen.append(logs["num_tokens"])

    def run(name: str, trainer, counted: list[int] | None) -> None:
        steps = Steps()
        trainer.add_callback(steps)
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)
        trainer.train()
        counted = counted or np.diff([0, *steps.seen]).tolist()
        steps.clock.say("trl", name, counted[SKIPPED : SKIPPED + STEPS], losses=[round(x, 4) for x in steps.losses[:4]])

    load = lambda: transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    labels = [[i if m else -100 for i, m in zip(ids, mask)] for ids, mask in data["sft"]]
    given = datasets.Dataset.from_dict({"input_ids": [ids for ids, _ in data["sft"]], "labels": labels})
    counted = [sum(len(ids) for ids, _ in group) for group in groups_of(data["sft"])]
    run("sft", SFTTrainer(load(), args=SFTConfig(**common), train_dataset=given, processing_class=tokenizer), counted)
    rows = max(1, round(sum(counted) / len(counted) / LENGTH))
    packing = SFTConfig(**common | {"per_device_train_batch_size": rows}, packing=True)
    run("sft packed", SFTTrainer(load(), args=packing, train_dataset=given, processing_class=tokenizer), None)
    columns = {name: [text(pair[i]) for pair in data["dpo"]] for i, name in enumerate(("prompt", "chosen", "rejected"))}
    columns |= {name: [said.removesuffix(" ") for said in columns[name]] for name in ("chosen", "rejected")}
    pairs, how = datasets.Dataset.from_dict(columns), DPOConfig(beta=0.1, **common)
    trainer = DPOTrainer(load(), ref_model=load(), args=how, train_dataset=pairs, processing_class=tokenizer)
    run("dpo", trainer, both_sides(data["dpo"]))


def tunix(folder: Path, data: dict) -> None:
    import jax.numpy as jnp
    import optax
    from flax import nnx
    from tunix.models.llama3.model import Llama3, ModelConfig
    from tunix.sft import peft_trainer

    shape = json.loads((folder / "model" / "config.json").read_text())
    heads, kv = shape["num_attention_heads"], shape["num_key_value_heads"]
    config = ModelConfig(
        num_layers=shape["num_hidden_layers"], vocab_size=shape["vocab_size"], embed_dim=shape["hidden_size"],
        hidden_dim=shape["intermediate_size"], num_heads=heads, head_dim=shape["head_dim"], num_kv_heads=kv, rope_theta=10_000,
        norm_eps=1e-5, weight_tying=True,
    )  # fmt: skip
    batches, counted, clock = [], [], Clock()
    for group in groups_of(data["sft"]):
        ids, mask = np.zeros((BATCH, LENGTH), np.int32), np.zeros((BATCH, LENGTH), np.int32)
        for j, (row, said) in enumerate(group):
            ids[j, : len(row)], mask[j, : len(row)] = row, said
        batches.append(peft_trainer.TrainingInput(input_tokens=ids, input_mask=mask))
        counted.append(sum(len(row) for row, _ in group))

    def inputs(batch):
        n = batch.input_tokens.shape[1]
        causal = jnp.broadcast_to(jnp.tril(jnp.ones((n, n), bool))[None], (BATCH, n, n))
        places = jnp.broadcast_to(jnp.arange(n)[None], batch.input_tokens.shape)
        return {
            "input_tokens": batch.input_tokens,
            "input_mask": batch.input_mask,
            "positions": places,
            "attention_mask": causal,
        }

    def fed():
        """The batches; a step is begun when the next one is asked for, always the same number of steps ahead of the device."""
        for batch in (*batches, *batches[SKIPPED:]):
            clock.tick()
            yield batch
        clock.tick()

    trainer = peft_trainer.PeftTrainer(
        Llama3(config, rngs=nnx.Rngs(0)),
        optax.adamw(1e-5),
        peft_trainer.TrainingConfig(eval_every_n_steps=10**6),
    )
    trainer.with_gen_model_input_fn(inputs).train(fed(), None)
    del clock.times[: len(batches)]
    clock.say("tunix", "sft", counted[SKIPPED:])


def compare(folder: Path, of_trl: str, of_tunix: str) -> None:
    """Everybody in turn, several times; medians, and how many times faster ours is."""
    pythons, lines = {"ours": sys.executable, "trl": of_trl, "tunix": of_tunix}, []
    for _ in range(ROUNDS):
        for who, python in pythons.items():
            done = subprocess.run([python, __file__, who, str(folder)], capture_output=True, text=True)
            found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"who"')]
            if done.returncode or not found:
                print(f"{who}: {done.stderr[-500:]}", file=sys.stderr)
            print(*map(json.dumps, found), sep="\n", file=sys.stderr, flush=True)
            lines += found
    rates: dict[str, dict[str, float]] = {}
    for who, what in dict.fromkeys((line["who"], line["what"]) for line in lines):
        mine = [line for line in lines if (line["who"], line["what"]) == (who, what)]
        names = [name for name in mine[0] if name.startswith("tokens_per")]
        rates[f"{who}: {what}"] = {name: statistics.median(line[name] for line in mine) for name in names}
    times = {}
    for other in rates:
        mine = rates[f"playpen_jax: {other.rpartition(': ')[2].split()[0]}"]
        times[other] = {name: round(mine[name] / rates[other][name], 2) for name in mine}
    told = {"rounds": ROUNDS, "batch": BATCH, "median": rates, "times_slower_than_ours": times, "lines": lines}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    who, where = sys.argv[1], Path(sys.argv[2])
    if who == "rows":
        make(where)
    elif who == "compare":
        compare(where, *sys.argv[3:5])
    else:
        {"ours": ours, "trl": trl, "tunix": tunix}[who](where, json.loads((where / "rows.json").read_text()))
