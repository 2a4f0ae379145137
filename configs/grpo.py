"""Learn by playing, with the embedded model: Wordle. Add games and who sits where in `games` and `players`.

python -m playpen_jax.train --config=grpo.py
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Optim, Rollout


def config() -> Config:
    return Config(
        steps=20,
        games=("wordle",),
        players=("taboo.describer=scripted", "guesswhat.answerer=scripted"),
        form="short",
        rollout=Rollout(rows=64, context=256, max_tokens=32, temperature=0.7),
        grpo=Grpo(instances=12, plays=16),
        optim=Optim(learning_rate=2e-4),
        batch=Batching(length=256, micro=16),
        eval=Evaluation(split="test", episodes=57, plays=6, temperature=0.7),
        checkpoints=Checkpoints(every=10),
    )
