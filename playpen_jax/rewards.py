"""From the outcome of an episode to the reward of one seat: `grpo.reward`, for single roles `grpo.role_rewards`."""

from __future__ import annotations

import math
from collections.abc import Callable

from games.core import Outcome

ABORT_PENALTY = 0.5  # what `penalty` takes from the seat whose reply broke the format
SHAPING = 0.5  # how much of `shaped` is the game's own measure of progress

Reward = Callable[[Outcome, str], float]


def score(outcome: Outcome, seat: str) -> float:
    """The official score over 100; an abort is worth 0 (the paper's reward)."""
    return 0.0 if math.isnan(outcome.score) else outcome.score / 100


def success(outcome: Outcome, seat: str) -> float:
    """1 for a success, else 0."""
    return float(outcome.status == "success")


def penalty(outcome: Outcome, seat: str) -> float:
    """As `score`, but the seat whose own reply aborted the episode gets -ABORT_PENALTY."""
    guilty = outcome.status == "aborted" and outcome.seat in (seat, None)
    return -ABORT_PENALTY if guilty else score(outcome, seat)


def shaped(outcome: Outcome, seat: str) -> float:
    """Score and progress mixed: the changes of the game's progress over the turns add up to where it ended.

    Wordle's closeness, imagegame's F1, adventuregame's goals reached; an abort is worth 0, and a game without such a measure
    is rewarded by `score`.
    """
    if not measured(outcome):
        return score(outcome, seat)
    return (1 - SHAPING) * score(outcome, seat) + SHAPING * sum(turn_progress(outcome))


def measured(outcome: Outcome) -> bool:
    """Whether `shaped` has a progress to reward here."""
    return outcome.status != "aborted" and bool(outcome.progress)


def turn_progress(outcome: Outcome) -> list[float]:
    """The change of the game's progress with every reply; [] for a game without such a measure."""
    return [after - before for before, after in zip((0.0, *outcome.progress), outcome.progress)]


REWARDS: dict[str, Reward] = {"score": score, "success": success, "penalty": penalty, "shaped": shaped}


def chosen(reward: str, role_rewards: tuple[str, ...]) -> Callable[[str, str], Reward]:
    """(game, seat) -> its reward: `reward`, unless `role_rewards` names another as game.seat=reward."""
    special = _special(role_rewards)
    return lambda game, seat: REWARDS[special.get(f"{game}.{seat}", reward)]


def name_of(reward: str, role_rewards: tuple[str, ...], game: str, seat: str) -> str:
    """How the reward of this seat is called."""
    return _special(role_rewards).get(f"{game}.{seat}", reward)


def _special(role_rewards: tuple[str, ...]) -> dict[str, str]:
    special = {}
    for entry in role_rewards:
        place, equals, name = entry.partition("=")
        if not equals or "." not in place or name not in REWARDS:
            raise ValueError(f"grpo.role_rewards: {entry!r} is not game.seat=reward with one of {', '.join(REWARDS)}")
        special[place] = name
    return special
