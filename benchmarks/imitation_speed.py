"""Tokens a second of imitation and preference learning: ours, TRL's trainers, Tunix's PeftTrainer; the same model and rows.

    python benchmarks/imitation_speed.py rows DIR     # the rows, from recorded episodes (../shared/replay), and the model
    python benchmarks/imitation_speed.py ours DIR     # packed and unpacked, SFT and DPO
    python benchmarks/imitation_speed.py trl DIR      # in an environment with trl; tells both losses too
    python benchmarks/imitation_speed.py tunix DIR    # in an environment with google-tunix alone (it needs nothing of ours)

Each prints one JSON object a line. Only tokens of dialogues count, not padding; the first steps, which compile, are left out.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

BATCH, STEPS, SKIPPED, LENGTH = 8, 8, 3, 384


def say(who: str, what: str, tokens: int, seconds: float, **more) -> None:
    print(json.dumps({"who": who, "what": what, "tokens_per_second": round(tokens / seconds, 1), **more}), flush=True)


def timed(step, tokens: list[int]) -> tuple[int, float]:
    """Run `step(i)` for each batch; tokens and seconds of those after the first few."""
    began = 0.0
    for i in range(SKIPPED + STEPS):
        if i == SKIPPED:
            began = time.perf_counter()
        step(i)
    return sum(tokens[SKIPPED : SKIPPED + STEPS]), time.perf_counter() - began


def make(folder: Path) -> None:
    """Dialogues and turn pairs of recorded episodes, as ids and masks, and the embedded model in float32."""
    import dataclasses

    from playpen_jax import hf, policy
    from playpen_jax.data.pairs import Wanted
    from playpen_jax.data.pairs import make as make_pairs
    from playpen_jax.data.read import Reader
    from playpen_jax.data.rows import Counts, samples

    tiny = policy.load("tiny")
    names = ("taboo", "wordle", "referencegame", "textmapworld", "matchit_ascii")
    rows = list(Reader(skip=True).rows([f"../shared/replay/{name}.jsonl.gz" for name in names]))
    order, count = np.random.default_rng(0).permutation(len(rows)), BATCH * (SKIPPED + STEPS)
    found = [samples(tiny.chat, rows[i].messages, "all", LENGTH, "cut", Counts()) for i in order]
    dialogues = [(row[0].ids.tolist(), row[0].mask.tolist()) for row in found if row][:count]
    pairs, _ = make_pairs(rows, Wanted("first", 2))
    given = []
    for i in np.random.default_rng(0).permutation(len(pairs)):
        prompt = tiny.chat.dialogue(pairs[i].prompt)[0]
        whole = [tiny.chat.dialogue((*pairs[i].prompt, *side))[0] for side in (pairs[i].chosen, pairs[i].rejected)]
        if len(whole[0]) + len(whole[1]) - len(prompt) <= LENGTH:
            given.append([prompt.tolist(), *(ids[len(prompt) :].tolist() for ids in whole)])
    folder.mkdir(parents=True, exist_ok=True)
    hf.save(folder / "model", dataclasses.replace(tiny.config, dtype="float32"), tiny.params)
    (folder / "rows.json").write_text(json.dumps({"sft": dialogues, "dpo": given[:count], "end": tiny.chat.end}))


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
        rows, kind = made[name.removesuffix(" unpacked")], name[:3]
        groups = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
        if name == "sft unpacked":
            alone = [[pack([Weighted(r)], LENGTH)[0] for r in group] for group in groups]
            batches = [jax.tree.map(lambda *x: np.concatenate(x), *group) for group in alone]
        elif kind == "sft":
            batches = [pack([Weighted(r) for r in group], LENGTH)[0] for group in groups]
        else:
            batches = [batch_of(group, LENGTH if name == "dpo" else 2 * LENGTH) for group in groups]
        apply = update.make(c, losses[kind], tx, mesh, at)
        state = update.fresh_state(tx, params, at)
        ref = jax.tree.map(jnp.copy, state.params) if kind == "dpo" else None
        lines = []

        def step(i, apply=apply, batches=batches, ref=ref, lines=lines):
            nonlocal state
            state, found = apply(state, ref, *micro_batches(batches[i], 2))
            lines.append(float(found["loss"]))

        whole = data["dpo"] if kind == "dpo" else None
        counted = [sum(len(r.ids) for r in group) for group in groups]
        if whole:  # what a trainer without sharing would run: both sides with their prompts
            counted = [
                sum(2 * len(p) + len(a) + len(b) for p, a, b in whole[i : i + BATCH]) for i in range(0, len(whole), BATCH)
            ]
        places = sum(b.tokens.size for b in batches)
        say("playpen_jax", name, *timed(step, counted), filled=round(sum(counted) / places, 3), losses=lines[:4])


def trl(folder: Path, data: dict) -> None:
    import datasets
    import tokenizers
    import torch
    import transformers
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    words = {f"t{i}": i for i in range(json.loads((folder / "model" / "config.json").read_text())["vocab_size"])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="t0"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    end = f"t{data['end']}"
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=end, pad_token="t0")
    text = lambda ids: " ".join(f"t{i}" for i in ids)
    common = dict(
        output_dir=str(folder / "out"), per_device_train_batch_size=BATCH, max_steps=SKIPPED + STEPS, learning_rate=1e-5,
        lr_scheduler_type="constant", report_to=[], save_strategy="no", logging_steps=1, use_cpu=True, bf16=False,
        disable_tqdm=True, weight_decay=0.0, adam_beta2=0.99, max_length=LENGTH, gradient_checkpointing=False,
        dataloader_pin_memory=False, seed=0,
    )  # fmt: skip

    class Clock(transformers.TrainerCallback):
        def __init__(self):
            self.times, self.losses = [], []

        def on_step_end(self, args, state, control, **_):
            self.times.append(time.perf_counter())

        def on_log(self, args, state, control, logs=None, **_):
            self.losses += [logs["loss"]] if "loss" in (logs or {}) else []

    def run(name: str, trainer, counted: list[int]) -> None:
        clock = Clock()
        trainer.add_callback(clock)
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)
        trainer.train()
        seconds = clock.times[-1] - clock.times[SKIPPED - 1]
        say("trl", name, sum(counted[SKIPPED : SKIPPED + STEPS]), seconds, losses=clock.losses[:4])

    load = lambda: transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    labels = [[i if m else -100 for i, m in zip(ids, mask)] for ids, mask in data["sft"]]
    given = datasets.Dataset.from_dict({"input_ids": [ids for ids, _ in data["sft"]], "labels": labels})
    counted = [sum(len(ids) for ids, _ in data["sft"][i : i + BATCH]) for i in range(0, len(data["sft"]), BATCH)]
    run("sft", SFTTrainer(load(), args=SFTConfig(**common), train_dataset=given, processing_class=tokenizer), counted)
    columns = {name: [text(pair[i]) for pair in data["dpo"]] for i, name in enumerate(("prompt", "chosen", "rejected"))}
    counted = [
        sum(2 * len(p) + len(a) + len(b) for p, a, b in data["dpo"][i : i + BATCH]) for i in range(0, len(data["dpo"]), BATCH)
    ]
    pairs, how = datasets.Dataset.from_dict(columns), DPOConfig(beta=0.1, **common)
    run("dpo", DPOTrainer(load(), ref_model=load(), args=how, train_dataset=pairs, processing_class=tokenizer), counted)


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
    batches, counted, times = [], [], []
    for i in range(0, len(data["sft"]), BATCH):
        ids, mask = np.zeros((BATCH, LENGTH), np.int32), np.zeros((BATCH, LENGTH), np.int32)
        for j, (row, said) in enumerate(data["sft"][i : i + BATCH]):
            ids[j, : len(row)], mask[j, : len(row)] = row, said
        batches.append(peft_trainer.TrainingInput(input_tokens=ids, input_mask=mask))
        counted.append(sum(len(row) for row, _ in data["sft"][i : i + BATCH]))

    def inputs(batch):
        n = batch.input_tokens.shape[1]
        causal = jnp.broadcast_to(jnp.tril(jnp.ones((n, n), bool))[None], (BATCH, n, n))
        places = jnp.broadcast_to(jnp.arange(n)[None], batch.input_tokens.shape)
        times.append(time.perf_counter())
        return {
            "input_tokens": batch.input_tokens,
            "input_mask": batch.input_mask,
            "positions": places,
            "attention_mask": causal,
        }

    trainer = peft_trainer.PeftTrainer(
        Llama3(config, rngs=nnx.Rngs(0)),
        optax.adamw(1e-5),
        peft_trainer.TrainingConfig(eval_every_n_steps=10**6, max_steps=len(batches)),
    )
    trainer.with_gen_model_input_fn(inputs).train(batches, None)
    say("tunix", "sft", sum(counted[SKIPPED:]), time.perf_counter() - times[SKIPPED])


if __name__ == "__main__":
    who, where = sys.argv[1], Path(sys.argv[2])
    if who == "rows":
        make(where)
    else:
        {"ours": ours, "trl": trl, "tunix": tunix}[who](where, json.loads((where / "rows.json").read_text()))
