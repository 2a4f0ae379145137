"""GRPO as in the Playpen paper (arXiv 2504.08590): Llama-3.1-8B-Instruct on its seven games, one play of a group in one reward.

python -m playpen_jax.train --config=paper_grpo.py --config.model.path=FOLDER

The paper: 686 instances five times in updates of 16 x 8 plays, that is 215 updates; plain Adam at 5e-7 without clipping, the k3
estimate differentiated as it stands (beta 0.04), each dialogue's mean, 100 new tokens, temperature 1, adapters of rank 16. Its
partner was GPT-4o-mini; here the scripted players sit there (a `http://HOST/v1#MODEL` in `players` can). The games of
`eval.games` are its unseen ones: they are never trained. Meant for four GPUs of 80 GB; not measured.
"""

from playpen_jax.config import Batching, Checkpoints, Config, Evaluation, Grpo, Lora, Mesh, Model, Optim, Rollout

HELD_OUT = (
    *("codenames", "adventuregame", "guesswhat", "matchit_ascii"),
    *("textmapworld", "textmapworld_graphreasoning", "textmapworld_specificroom"),
)


def config() -> Config:
    return Config(
        steps=215,
        games=("taboo", "privateshared", "imagegame", "referencegame", "wordle", "wordle_withclue", "wordle_withcritic"),
        held_out=HELD_OUT,
        players=(
            *("taboo.describer=scripted", "imagegame.giver=scripted", "referencegame.giver=scripted"),
            *("wordle_withcritic.critic=scripted", "codenames.cluegiver=scripted", "guesswhat.answerer=scripted"),
        ),
        model=Model(path="Llama-3.1-8B-Instruct"),
        lora=Lora(rank=16, alpha=32.0, dropout=0.05),
        rollout=Rollout(rows=128, context=2048, max_tokens=100),
        grpo=Grpo(variant="grpo", instances=16, plays=8, beta=0.04, kl="k3", kl_gradient="direct"),
        optim=Optim(learning_rate=5e-7, b2=0.999, clip=0.0),
        batch=Batching(length=2048, micro=4),
        mesh=Mesh(fsdp=4),
        eval=Evaluation(every=43, games=HELD_OUT, episodes=30, temperature=0.0),
        checkpoints=Checkpoints(every=5),
    )
