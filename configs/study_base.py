"""The base of the study (docs/study.md): a small model that has watched weak and careless players of several games.

python -m playpen_jax.train --config=study_base.py

In a quarter of what it watched one player breaks the format, as large models do at their first try; the rest is played at mixed
strength. So it knows every game of the study, plays none of them well, and leaves something to learn everywhere.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Model, Optim, Rollout, Sft

TRAINED = ("textmapworld", "ta_frozen_lake")
UNSEEN = ("textmapworld_specificroom", "ta_blackjack", "ta_mastermind")
REFERENCE = ("bbh", "cladder")


def config() -> Config:
    return Config(
        algorithm="sft",
        steps=500,
        games=(*TRAINED, *UNSEEN, *REFERENCE),
        players=(),
        form="short",
        model=Model(path=None, vocab=1024, dim=128, layers=4, heads=4, kv_heads=4, mlp=384, remat="none"),
        rollout=Rollout(context=256, max_tokens=32),
        sft=Sft(episodes=24000, strengths=(0.2, 0.5, 0.8), broken=0.25, rows=12),
        optim=Optim(learning_rate=3e-3, warmup=30, schedule="cosine", weight_decay=0.01),
        batch=Batching(length=256, micro=12),
        eval=Evaluation(episodes=0),
        checkpoints=Checkpoints(every=100),
    )
