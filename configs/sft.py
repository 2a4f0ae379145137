"""Imitate successful play: the recorded episodes of `../shared/replay`, or any interactions given by `--config.data.paths`.

python -m playpen_jax.train --config=sft.py --config.data.paths=FILE_OR_FOLDER
"""

from playpen_jax.config import Batching, Checkpoints, Config, Data, Evaluation, Optim, Rollout, Sft


def config() -> Config:
    return Config(
        algorithm="sft",
        steps=100,
        data=Data(paths=("../shared/replay",), bad="skip", outcomes=("success",)),
        sft=Sft(rows=4),
        optim=Optim(learning_rate=5e-4, warmup=10, schedule="cosine", weight_decay=0.01),
        batch=Batching(length=1024, micro=4),
        rollout=Rollout(context=1024, max_tokens=64),
        eval=Evaluation(episodes=0),
        checkpoints=Checkpoints(every=50),
    )
