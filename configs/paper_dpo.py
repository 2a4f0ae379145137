"""The paper's preference learning after its supervised fine-tuning (arXiv 2504.08590): successes against losses and aborts.

python -m playpen_jax.train --config=paper_dpo.py --config.model.path=runs/paper_sft --config.data.paths=FILE

From the authors' code: beta 0.1, learning rate 5e-6 falling linearly after a tenth of warm-up, batches of 2 x 3 pairs, at most
1,024 tokens, LoRA of rank 64 and alpha 64, one epoch. `--config.dpo.level=turn` gives its pairs of turns, at most 10,000 first
moves of a game; steps are then to be set to one epoch of the pairs that are made. One GPU of 24 GB with a base in 4 bits.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Data, Dpo, Evaluation, Lora, Optim, Rollout

GAMES = ("taboo", "privateshared", "imagegame", "referencegame", "wordle", "wordle_withclue", "wordle_withcritic")


def config() -> Config:
    return Config(
        algorithm="dpo",
        seed=7331,
        steps=1700,
        games=GAMES,
        players=(),
        lora=Lora(rank=64, alpha=64.0, base="nf4"),
        data=Data(paths=("interactions.jsonl",), bad="skip", games=GAMES),
        dpo=Dpo(level="dialogue", negatives=2, per_game=10_000, beta=0.1, reference="off", pairs=6),
        optim=Optim(learning_rate=5e-6, warmup=170, schedule="linear", b2=0.999, clip=1.0),
        batch=Batching(length=1024, micro=2),
        rollout=Rollout(context=2048, max_tokens=300, temperature=0.0),
        eval=Evaluation(split="validation", episodes=0, temperature=0.0),
        checkpoints=Checkpoints(every=200),
    )
