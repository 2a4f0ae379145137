"""Play for a data set: strong scripted players in every seat; name games and players, a checkpoint among them, as you like.

python -m playpen_jax.collect --config=collect.py --workdir=data/scripted
python -m playpen_jax.collect --config=collect.py --config.model.path=runs/sft --config.players= --config.collect.plays=8
"""

from playpen_jax.config import Collect, Config, Rollout


def config() -> Config:
    return Config(
        games=("taboo", "wordle"),
        players=("taboo.describer=scripted", "taboo.guesser=scripted", "wordle.guesser=scripted"),
        rollout=Rollout(rows=32, context=1024, max_tokens=64, temperature=0.8),
        collect=Collect(instances=200),
    )
