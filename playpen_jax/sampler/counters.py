"""What a sampler has done, and how long the device waited for the host."""

from __future__ import annotations

import dataclasses
import time


@dataclasses.dataclass
class Counters:
    """Work done, for the metrics: tokens, decode steps, rows times steps, pages, turns that gave way to older ones, seconds."""

    prefilled: int = 0  # computed from given ids, again or not
    shared: int = 0  # found in the cache, computed for another dialogue
    recomputed: int = 0  # of those prefilled: again, after an eviction
    places: int = 0  # of prefill calls, empty ones too
    sampled: int = 0
    steps: int = 0
    row_steps: int = 0
    evicted: int = 0
    paused: int = 0
    seconds: float = 0.0  # from the first work of the device to the newest reply
    waiting: float = 0.0  # of these, at most so many the device had nothing to do

    def metrics(self) -> dict[str, float]:
        """What is logged of a rollout: shares (0..1) and counts."""
        return {
            "rollout/occupancy": self.sampled / max(self.row_steps, 1),
            "rollout/waiting_for_host": self.waiting / max(self.seconds, 1e-9),
            "rollout/prefilled_tokens": self.prefilled,
            "rollout/shared_tokens": self.shared,
            "rollout/recomputed_tokens": self.recomputed,
            "rollout/evicted_pages": self.evicted,
            "rollout/paused_turns": self.paused,
        }


@dataclasses.dataclass
class Clock:
    """How long the device has been at work and, at most, without: seen from the host, which never asks it to stop."""

    began: float = 0.0
    busy_until: float = 0.0  # the last moment at which it surely worked
    seconds: float = 0.0
    waiting: float = 0.0

    def dispatch(self, idle: bool) -> None:
        """Before a call is handed on; `idle`: the device has done all it was told before."""
        now = time.perf_counter()
        if not self.began:
            self.began = now
        elif idle:
            self.waiting += now - self.busy_until
        self.busy_until = now

    def landed(self, late: bool) -> None:
        """After the results of a call were fetched; `late`: they had lain there for some time."""
        now = time.perf_counter()
        self.seconds = now - self.began
        if not late:
            self.busy_until = now
