"""Forks: a turn of an episode is sampled several times anew and played on; the best and the worst of them make a pair.

An episode is a pure function of its replies, so a fork is their replay up to the turn. What follows is played in step: all
branches that wait for one policy are answered together.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

from games.core import Play
from playpen_jax import config as configs
from playpen_jax.chat import Message
from playpen_jax.players import LEARNER, scripted
from playpen_jax.policy import Policy
from playpen_jax.rollout import Job
from playpen_jax.types import Episode


@dataclasses.dataclass
class Branch:
    """One continuation: `history` is what its seat had seen and said when it parted, `reply` what it said then."""

    job: Job
    play: Play
    seat: str
    number: int
    history: Sequence[Message]
    reply: str | None = None

    def score(self) -> float:
        """0..100, an abort below all others, an episode that a limit cut likewise."""
        outcome = self.play.outcome
        return -1.0 if outcome is None or outcome.status == "aborted" else outcome.score


def branches(job: Job, episode: Episode, count: int) -> list[Branch]:
    """`count` replays of an episode up to one of the learner's turns, drawn by the job's seed; none if it had no turn."""
    mine = [i for i, turn in enumerate(episode.turns) if turn.player == LEARNER]
    if not mine:
        return []
    place, found = random.Random(f"{job.seed}/{job.sample}/fork").choice(mine), []
    for number in range(count):
        play = job.game.start(job.instance, job.settings, job.form)
        for turn in episode.turns[:place]:
            play.reply(turn.reply)
        found.append(Branch(job, play, play.asked.seat, number, play.messages()))
    return found


def play_on(found: Sequence[Branch], policies: Mapping[str, Policy], settings: configs.Rollout, seed: int) -> None:
    """Play all branches to their ends, or to the limit of turns."""
    for turn in range(settings.max_turns):
        for branch in found:
            _scripted_answer(branch, policies, settings.max_turns)
        waiting = [b for b in found if b.play.ask is not None and len(b.play.history) < settings.max_turns]
        if not waiting:
            return
        for name, policy in policies.items():
            asked = [b for b in waiting if b.job.seats[b.play.asked.seat] == name]
            how = (settings.max_tokens, settings.temperature, seed + turn, settings.top_k, settings.top_p)
            replies = policy.generate([b.play.messages() for b in asked], *how)
            for branch, reply in zip(asked, replies, strict=True):
                branch.reply = reply if branch.reply is None else branch.reply
                branch.play.reply(reply)


def _scripted_answer(branch: Branch, policies: Mapping[str, Policy], most: int) -> None:
    """Let the game's own players answer until a policy is asked."""
    play, job = branch.play, branch.job
    while play.ask is not None and len(play.history) < most:
        spec = job.seats[play.ask.seat]
        if spec in policies:
            return
        play.reply(scripted(job.game, play.ask.seat, spec).reply(play, f"{job.seed}/{branch.number}"))


def pairs(
    jobs: Sequence[Job], episodes: Sequence[Episode], policies: Mapping[str, Policy], config: configs.Config
) -> list[dict[str, Any]]:
    """A preference (see data/read.py) for each episode whose branches ended with unlike scores."""
    groups = [branches(job, episode, config.collect.forks) for job, episode in zip(jobs, episodes) if episode.stop != "error"]
    play_on([branch for group in groups for branch in group], policies, config.rollout, config.seed)
    found = []
    for group in filter(None, groups):
        best, worst = max(group, key=Branch.score), min(group, key=Branch.score)
        if best.score() > worst.score() and best.reply != worst.reply:
            found.append(_row(best, worst, str(config.model.path)))
    return found


def _row(best: Branch, worst: Branch, model: str) -> dict[str, Any]:
    game, instance = best.job.game, best.job.instance
    status = {name: branch.play.outcome for name, branch in (("chosen", best), ("rejected", worst))}
    meta = {
        "game": game.name,
        "experiment": str(instance.get("level", "")),
        "task_id": instance.get("game_id"),
        "game_role": game.roles[game.seats.index(best.seat)],
        "model": model,
        "turn": sum(message["role"] == "assistant" for message in best.history),
        "outcomes": {name: outcome.status if outcome else "cut" for name, outcome in status.items()},
        "scores": {"chosen": best.score(), "rejected": worst.score()},
    }
    return {"prompt": best.history, "chosen": _said(best), "rejected": _said(worst), "meta": meta}


def _said(branch: Branch) -> list[Message]:
    return [{"role": "assistant", "content": branch.reply}]
