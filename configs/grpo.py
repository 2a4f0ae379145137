"""Learn by playing, with the embedded model: Wordle, Taboo and Guess What against scripted partners.

python -m playpen_jax.train --config=grpo.py
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Optim, Rollout


def config() -> Config:
    return Config(
        steps=45,
        games=("wordle", "taboo", "guesswhat"),
        players=("taboo.describer=scripted", "guesswhat.answerer=scripted"),
        form="short",
        rollout=Rollout(rows=64, context=256, max_tokens=32),
        grpo=Grpo(instances=12, plays=16, role_rewards=("wordle.guesser=shaped",)),
        optim=Optim(learning_rate=6e-4),
        batch=Batching(length=256, micro=16),
        eval=Evaluation(split="test", episodes=57, plays=4),
        checkpoints=Checkpoints(every=10),
    )
