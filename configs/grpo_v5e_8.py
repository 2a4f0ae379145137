"""Learn seven games by playing, sized for a TPU v5e with 8 chips of 16 GB: a model of three billion weights over all of them.

python -m playpen_jax.train --config=grpo_v5e_8.py --config.model.path=FOLDER

Not measured on this hardware: a size to begin with.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Mesh, Model, Optim, Rollout


def config() -> Config:
    return Config(
        steps=200,
        games=("wordle", "taboo", "codenames", "adventuregame", "guesswhat", "matchit_ascii", "textmapworld"),
        players=("taboo.describer=scripted|learner", "codenames.cluegiver=scripted|learner", "guesswhat.answerer=scripted"),
        model=Model(path="Llama-3.2-3B-Instruct"),
        rollout=Rollout(rows=64, context=2048, max_tokens=200),
        grpo=Grpo(variant="dapo", correction="truncate", instances=16, plays=8),
        optim=Optim(learning_rate=1e-6, warmup=5),
        batch=Batching(length=2048, micro=4),
        mesh=Mesh(fsdp=2, tensor=4),
        eval=Evaluation(every=25, episodes=30, temperature=0.0),
        checkpoints=Checkpoints(every=10),
    )
