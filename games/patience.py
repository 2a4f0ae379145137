"""How often a seat may be asked again: once a round and three times an episode, in the games that count both."""

from __future__ import annotations

A_ROUND, AN_EPISODE = 1, 3


class Patience:
    """Counts replies that could not be read."""

    def __init__(self):
        self.total = self.now = 0

    def next_round(self) -> None:
        self.now = 0

    def lost(self) -> bool:
        """Count one more; is it one too many?"""
        self.total, self.now = self.total + 1, self.now + 1
        return self.now > A_ROUND or self.total > AN_EPISODE
