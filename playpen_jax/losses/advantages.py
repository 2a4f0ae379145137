"""From the rewards of plays to their advantages: pure functions of numbers.

`group`, `centred` and `leave_one_out` take the plays of one instance in one role, `batch` all plays of a step; `Baselines`
remembers instead. Plays whose rewards are all equal have advantage 0 whatever the function.
"""

from __future__ import annotations

import numpy as np

EQUAL = 1e-9  # rewards closer together than this are the same: float arithmetic is not to teach anything


def same(rewards: np.ndarray) -> bool:
    """Whether nothing can be told from these rewards."""
    return np.ptp(rewards) < EQUAL


def centred(rewards: np.ndarray) -> np.ndarray:
    """R - mean (Dr. GRPO, arXiv 2503.20783)."""
    return np.zeros_like(rewards, float) if same(rewards) else rewards - rewards.mean()


def group(rewards: np.ndarray) -> np.ndarray:
    """(R - mean) / std (GRPO, arXiv 2402.03300)."""
    return centred(rewards) / (rewards.std() + 1e-4)


def leave_one_out(rewards: np.ndarray) -> np.ndarray:
    """R - mean of the others = (R - mean) n / (n - 1) (RLOO, arXiv 2402.14740); a play alone has nobody to be compared with."""
    n = len(rewards)
    return centred(rewards) * (n / max(n - 1, 1))


GROUPED = {"group": group, "centred": centred, "leave_one_out": leave_one_out, "batch": centred}


class Baselines:
    """A running mean of the reward of each (game, role): b <- decay b + (1 - decay) R (SPIRAL, arXiv 2506.24119).

    `known` is plain JSON, so that it can be saved with a checkpoint.
    """

    def __init__(self, known: dict[str, float], decay: float = 0.95):
        self.known, self.decay = known, decay

    def advantages(self, role: str, rewards: np.ndarray) -> np.ndarray:
        """R - b for each reward in turn, with the baseline from before it; a role begins at 0."""
        found = np.zeros(len(rewards))
        for i, reward in enumerate(rewards):
            baseline = self.known.get(role, 0.0)
            found[i] = reward - baseline
            self.known[role] = self.decay * baseline + (1 - self.decay) * float(reward)
        return found
