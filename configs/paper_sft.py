"""The paper's supervised fine-tuning of Llama-3.1-8B-Instruct (arXiv 2504.08590): the best models' successes, cut to turns.

python -m playpen_jax.train --config=paper_sft.py --config.model.path=Llama-3.1-8B-Instruct --config.data.paths=FILE

From the authors' code: one sample per reply with loss on every reply in it, at most 1,024 tokens, no packing across updates,
batches of 4, 700 updates (0.4 epochs of 7,079 samples), learning rate 2e-4 falling linearly, weight decay 0.01, gradient norm
0.3, LoRA of rank 64 and alpha 32 on all seven projections, a base in 4 bits, seed 7331. Per instance the paper keeps 1 to 10 of
the best models by game; here the two best. One GPU of 80 GB.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Data, Evaluation, Lora, Optim, Rollout, Sft

GAMES = ("taboo", "privateshared", "imagegame", "referencegame", "wordle", "wordle_withclue", "wordle_withcritic")


def config() -> Config:
    return Config(
        algorithm="sft",
        seed=7331,
        steps=700,
        games=GAMES,
        players=(),
        lora=Lora(rank=64, alpha=32.0, base="nf4"),
        data=Data(paths=("interactions.jsonl",), bad="skip", games=GAMES, outcomes=("success",), best_models=2),
        sft=Sft(turns="prefixes", examples=4),
        optim=Optim(learning_rate=2e-4, schedule="linear", weight_decay=0.01, b2=0.999, clip=0.3),
        batch=Batching(length=1024, micro=1),
        rollout=Rollout(context=2048, max_tokens=300, temperature=0.0),
        eval=Evaluation(split="validation", episodes=0, temperature=0.0),
        checkpoints=Checkpoints(every=100),
    )
