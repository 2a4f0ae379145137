"""Learn seven games by playing, sized for one GPU of 24 GB: adapters on eight billion weights in four bits.

python -m playpen_jax.train --config=grpo_24gb.py --config.model.path=FOLDER

Not measured on this hardware: a size to begin with.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Lora, Model, Optim, Rollout


def config() -> Config:
    return Config(
        steps=200,
        games=("wordle", "taboo", "codenames", "adventuregame", "guesswhat", "matchit_ascii", "textmapworld"),
        players=("taboo.describer=scripted|learner", "codenames.cluegiver=scripted|learner", "guesswhat.answerer=scripted"),
        model=Model(path="Llama-3.1-8B-Instruct"),
        lora=Lora(rank=16, alpha=32.0, base="nf4"),
        rollout=Rollout(rows=64, context=2048, max_tokens=128),
        grpo=Grpo(variant="dapo", correction="truncate", instances=8, plays=8),
        optim=Optim(learning_rate=1e-5, warmup=5),
        batch=Batching(length=2048, micro=2),
        eval=Evaluation(every=25, episodes=30, temperature=0.0),
        checkpoints=Checkpoints(every=10),
    )
