"""Learn by preference from whole dialogues: successful play against lost or aborted play of the same instance and role.

python -m playpen_jax.train --config=dpo.py --config.model.path=runs/sft --config.data.paths=FILE_OR_FOLDER
"""

from playpen_jax.config import Batching, Checkpoints, Config, Data, Dpo, Evaluation, Optim, Rollout


def config() -> Config:
    return Config(
        algorithm="dpo",
        steps=100,
        data=Data(paths=("../shared/replay",), bad="skip"),
        dpo=Dpo(level="dialogue", negatives=2, beta=0.1, pairs=8),
        optim=Optim(learning_rate=2e-5, warmup=10, schedule="linear"),
        batch=Batching(length=2048, micro=2),
        rollout=Rollout(context=2048, max_tokens=64),
        eval=Evaluation(episodes=0),
        checkpoints=Checkpoints(every=50),
    )
