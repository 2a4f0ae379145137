"""What games of other houses share: an instance is a seed, the score comes from rewards, global chance is kept apart."""

from __future__ import annotations

import contextlib
import io
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from games.core import Game, Outcome, Player, Referee, split_of

TURNS = 500  # replies after which an episode is over, unless the instance says otherwise


class Chance:
    """The global generators of Python and numpy as one episode sees them; outside they go on as if nothing had been drawn."""

    def __init__(self, seed: int):
        self._mine = random.Random(seed).getstate(), np.random.RandomState(seed % 2**32).get_state()

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Other people's code runs in here; what it prints is dropped."""
        theirs = random.getstate(), np.random.get_state()
        random.setstate(self._mine[0])
        np.random.set_state(self._mine[1])
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        finally:
            self._mine = random.getstate(), np.random.get_state()
            random.setstate(theirs[0])
            np.random.set_state(theirs[1])


def seeded_game(
    name: str,
    seats: Sequence[str],
    referee: Callable[[Mapping, Mapping], Referee],
    players: Mapping[str, Player],
    max_turns: int = TURNS,
) -> Game:
    """A game whose instances are seeds; each has `seed` and `max_turns`. `players` are those of every seat."""

    def generate(rng: random.Random, level: str, split: str) -> dict:
        while True:
            instance = {"seed": rng.randrange(2**31), "max_turns": max_turns}
            if split_of(str(instance["seed"])) == split:
                return instance

    return Game(
        name=name,
        suite="outofdomain",
        seats=tuple(seats),
        roles=tuple(seats),
        levels=("default",),
        fields={"seed": int, "max_turns": int},
        settings_fields={},
        referee=referee,
        generate=generate,
        target=lambda instance: str(instance["seed"]),
        settings=lambda level, form: {"name": level},
        players={seat: dict(players) for seat in seats},
    )


def outcome(rewards: Mapping[str, float], turns: int, reason: str, guilty: str | None = None) -> Outcome:
    """The outcome of an episode with these rewards, seats in order; the score is that of the first seat.

    A lone seat scores 0 for a reward of 0 and 100 for 1; of several, 0 for -1 and 100 for 1. guilty: whose reply broke the
    rules and so ended the episode, which is then aborted.
    """
    first, *others = rewards.values()
    score = 100 * min(max((first + 1) / 2 if others else first, 0.0), 1.0)
    metrics = {f"Reward {seat}": value for seat, value in rewards.items()}
    reason = " ".join(reason.split())[:200] or "the game is over"
    if guilty is not None:
        return Outcome("aborted", math.nan, turns, turns - 1, 1, metrics, reason, guilty)
    won = first > 0 and first >= max(others) if others else first >= 1
    return Outcome("success" if won else "lose", score, turns, turns, 0, metrics, reason)


def limit(rewards: Mapping[str, float], turns: int) -> Outcome:
    """The outcome after the last turn that an instance allows."""
    return outcome(rewards, turns, f"no end after {turns} turns")
