"""Partners whose weights stay as they are: earlier selves of the learner, and policies of other folders.

Earlier selves lie in `DIR/pool/STEP`. Which of them may play in a step, and which one does, depends on step and seed alone.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from playpen_jax import config as configs
from playpen_jax import model, players, policy
from playpen_jax.learn.run import Partner, Run


def named(config: configs.Config) -> set[str]:
    """The policies beside the learner that a run's seats may be given to."""
    pools = [spec for seats in players.parse(config.players, config.games).values() for spec in seats.values()]
    found = {player for spec in pools for player, _ in players.alternatives(spec)}
    return {player for player in found if players.is_policy(player)} - {players.LEARNER}


def candidates(settings: configs.Pool, step: int) -> list[int]:
    """The steps whose weights may play in a step: the newest `keep` of those that are kept."""
    return [at for at in range(0, step + 1, settings.every)][-settings.keep :]


class Pool:
    """The partners of one run; `at`: where weights lie, `before`: those at the start."""

    def __init__(self, run: Run, at: Any, before: Any):
        self.run, self.at, self.folder, self._named = run, at, run.saved.parent.absolute() / "pool", named(run.config)
        self._fixed = {name: fixed(name) for name in sorted(self._named - {players.PAST})}
        self.before, self._loaded = before, (0, before)

    def partners(self, params: Any, step: int) -> dict[str, Partner]:
        """Who may sit beside the learner in a step; `params` are its weights now."""
        if players.PAST not in self._named:
            return self._fixed
        settings = self.run.config.pool
        if step and step % settings.every == 0:
            self._save(params, step)
        chosen = random.Random(f"{self.run.config.seed}/{step}/past").choice(candidates(settings, step))
        if chosen != self._loaded[0]:
            self._loaded = chosen, self._load(chosen)
        return self._fixed | {players.PAST: Partner(self.run.c, self._loaded[1], self.run.chat)}

    def _save(self, params: Any, step: int) -> None:
        """Keep these weights, and forget those that no step from the oldest checkpoint on can be given."""
        with ocp.StandardCheckpointer() as writer:
            writer.save(self.folder / str(step), model.split(params)[0], force=True)
        saved = self.run.config.checkpoints
        oldest = candidates(self.run.config.pool, max(step - (saved.keep + 1) * max(saved.every, 1), 0))[0]
        for path in self.folder.glob("*"):
            if path.name.isdigit() and int(path.name) < oldest:
                shutil.rmtree(path)

    def _load(self, step: int) -> Any:
        if step == 0:
            return self.before
        trained, frozen = model.split(self.before)
        at = model.split(self.at)[0]
        like = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), trained, at)
        with ocp.StandardCheckpointer() as reader:
            return model.join(reader.restore(Path(self.folder / str(step)), like), frozen)


def fixed(name: str) -> Partner:
    """The policy of `folder:PATH`."""
    found = policy.load(name.removeprefix(players.FOLDER))
    if found.chat is None:
        raise configs.ConfigError(f"players: {name} has no tokenizer")
    return Partner(found.config, found.params, found.chat)
