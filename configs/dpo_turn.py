"""Learn by preference from single turns: after the same history, what a successful play said against what another one said.

python -m playpen_jax.train --config=dpo_turn.py --config.model.path=runs/sft --config.data.paths=FILE_OR_FOLDER
"""

from playpen_jax.config import Batching, Checkpoints, Config, Data, Dpo, Evaluation, Optim, Rollout


def config() -> Config:
    return Config(
        algorithm="dpo",
        steps=100,
        data=Data(paths=("../shared/replay",), bad="skip"),
        dpo=Dpo(level="turn", negatives=2, per_game=1000, beta=0.1, reference="precomputed", pairs=16),
        optim=Optim(learning_rate=2e-5, warmup=10, schedule="linear"),
        batch=Batching(length=1024, micro=4),
        rollout=Rollout(context=1024, max_tokens=64),
        eval=Evaluation(episodes=0),
        checkpoints=Checkpoints(every=50),
    )
