"""Learn seven games by playing, sized for a TPU v5p-64 (32 chips of 95 GB): a model of eight billion weights and its reference.

python -m playpen_jax.train --config=grpo_v5p_64.py --config.model.path=FOLDER

Not measured on this hardware: a size to begin with.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Mesh, Model, Optim, Rollout


def config() -> Config:
    return Config(
        steps=200,
        games=("wordle", "taboo", "codenames", "adventuregame", "guesswhat", "matchit_ascii", "textmapworld"),
        players=("taboo.describer=scripted|learner", "codenames.cluegiver=scripted|learner", "guesswhat.answerer=scripted"),
        model=Model(path="Llama-3.1-8B-Instruct"),
        rollout=Rollout(rows=1024, context=4096, max_tokens=300),
        grpo=Grpo(variant="dapo", correction="truncate", instances=64, plays=16, beta=0.01),
        optim=Optim(learning_rate=1e-6, warmup=5),
        batch=Batching(length=4096, micro=32),
        mesh=Mesh(fsdp=32),
        eval=Evaluation(every=25, episodes=30, temperature=0.0),
        checkpoints=Checkpoints(every=10),
    )
