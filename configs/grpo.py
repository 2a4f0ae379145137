"""Learn by playing, with the embedded model: walk a map room by room, see all of it, or find one room.

python -m playpen_jax.train --config=grpo.py
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Optim, Rollout


def config() -> Config:
    return Config(
        steps=40,
        games=("textmapworld", "textmapworld_specificroom"),
        players=(),
        form="short",
        rollout=Rollout(rows=64, context=256, max_tokens=32),
        grpo=Grpo(instances=12, plays=16),
        optim=Optim(learning_rate=6e-4, schedule="linear"),
        batch=Batching(length=256, micro=16),
        eval=Evaluation(every=10, split="test", episodes=60, plays=4),
        checkpoints=Checkpoints(every=10),
    )
