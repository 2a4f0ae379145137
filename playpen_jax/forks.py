"""Forks: a turn of an episode is sampled several times anew and played on; the best and the worst of them make a pair.

An episode is a pure function of its replies, so a fork is a job whose past is the episode up to the turn.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

from playpen_jax.chat import Message
from playpen_jax.players import LEARNER
from playpen_jax.rollout import Job, Past
from playpen_jax.types import Episode, Turn


def branches(job: Job, episode: Episode, count: int) -> list[Job]:
    """`count` ways on from one of the learner's turns, drawn by the job's seed; none if it had no turn."""
    mine = [i for i, turn in enumerate(episode.turns) if turn.player == LEARNER]
    if episode.failed or not mine:
        return []
    seed = f"{job.seed}/{job.sample}/fork"
    past = Past.of(episode, random.Random(seed).choice(mine))
    return [dataclasses.replace(job, sample=number, seed=seed, past=past) for number in range(count)]


def value(episode: Episode) -> float:
    """0..100, an abort below all others, an episode that a limit cut likewise."""
    return episode.score if episode.played else -1.0


def pairs(
    jobs: Sequence[Job],
    episodes: Sequence[Episode],
    play: Callable[[Sequence[Job]], Sequence[Episode]],
    count: int,
    model: str,
) -> list[dict[str, Any]]:
    """A preference (see data/read.py) for each episode whose `count` branches ended with unlike scores."""
    groups = [branches(job, episode, count) for job, episode in zip(jobs, episodes, strict=True)]
    ended, found = iter(play([branch for group in groups for branch in group])), []
    for group in filter(None, groups):
        played = [episode for episode in (next(ended) for _ in group) if not episode.failed]
        if not played:
            continue
        best, worst = max(played, key=value), min(played, key=value)
        if value(best) > value(worst) and _reply(group[0], best) != _reply(group[0], worst):
            found.append(_row(group[0], best, worst, model))
    return found


def _history(job: Job) -> Sequence[Turn]:
    return job.past.turns if job.past else ()


def _reply(job: Job, episode: Episode) -> str:
    return episode.turns[len(_history(job))].reply


def _row(job: Job, best: Episode, worst: Episode, model: str) -> dict[str, Any]:
    history = job.game.start(job.instance, job.settings, job.form)
    for turn in _history(job):
        history.reply(turn.reply)
    sides, prompt = {"chosen": best, "rejected": worst}, history.messages()
    meta = {
        "game": job.game.name,
        "experiment": str(job.instance.get("level", "")),
        "task_id": job.instance.get("game_id"),
        "game_role": job.game.roles[job.game.seats.index(history.asked.seat)],
        "model": model,
        "turn": sum(message["role"] == "assistant" for message in prompt),
        "outcomes": {name: side.outcome.status if side.stop == "end" else "cut" for name, side in sides.items()},
        "scores": {name: value(side) for name, side in sides.items()},
    }
    return {"prompt": prompt, **{name: _said(_reply(job, side)) for name, side in sides.items()}, "meta": meta}


def _said(reply: str) -> list[Message]:
    return [{"role": "assistant", "content": reply}]
