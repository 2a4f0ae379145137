"""The tiny embedded model: imitate scripted players, some good, some weak, some that break the format.

python -m playpen_jax.train --config=tiny_sft.py &&
python -m playpen_jax.convert runs/tiny_sft playpen_jax/tiny --dtype=bfloat16
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Model, Optim, Rollout, Sft


def config() -> Config:
    return Config(
        algorithm="sft",
        steps=760,
        players=("taboo.describer=scripted", "guesswhat.answerer=scripted"),
        form="short",
        model=Model(path=None, vocab=4096, dim=192, layers=4, heads=6, kv_heads=2, mlp=640),
        rollout=Rollout(context=256, max_tokens=32),
        sft=Sft(episodes=24000, strengths=(0.6, 0.8, 1.0), broken=0.06, rows=16),
        optim=Optim(learning_rate=2.5e-3, warmup=30, schedule="cosine", weight_decay=0.01),
        batch=Batching(length=256, micro=16),
        eval=Evaluation(every=380, split="validation", episodes=30),
        checkpoints=Checkpoints(every=200),
    )
