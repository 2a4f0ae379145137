"""The embedded model's second lesson, after tiny_sft.py: most of all the maps, until it reads which exits a room has.

python -m playpen_jax.train --config=tiny_maps.py &&
python -m playpen_jax.convert runs/tiny_maps playpen_jax/tiny --dtype=bfloat16
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Model, Optim, Rollout, Sft

MAPS = ("textmapworld", "textmapworld_specificroom")


def config() -> Config:
    return Config(
        algorithm="sft",
        seed=1,
        steps=600,
        games=(*MAPS, "wordle", *MAPS, "taboo", *MAPS, "guesswhat"),
        players=("taboo.describer=scripted", "guesswhat.answerer=scripted"),
        form="short",
        model=Model(path="runs/tiny_sft"),
        rollout=Rollout(context=256, max_tokens=32),
        sft=Sft(episodes=24000, strengths=(0.2, 0.5), broken=0.06, rows=16),
        optim=Optim(learning_rate=1.5e-3, warmup=30, schedule="cosine", weight_decay=0.01),
        batch=Batching(length=256, micro=16),
        eval=Evaluation(every=200, split="validation", episodes=30),
        checkpoints=Checkpoints(every=200),
    )
