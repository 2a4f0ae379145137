"""From the outcome of an episode to the learner's reward; chosen by `grpo.reward`."""

from __future__ import annotations

import math
from collections.abc import Callable

from games.core import Outcome


def score(outcome: Outcome) -> float:
    """The official score over 100; an abort is worth 0 (the paper's reward)."""
    return 0.0 if math.isnan(outcome.score) else outcome.score / 100


def success(outcome: Outcome) -> float:
    """1 for a success, else 0."""
    return float(outcome.status == "success")


REWARDS: dict[str, Callable[[Outcome], float]] = {"score": score, "success": success}
