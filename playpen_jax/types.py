"""The records that pass between the rooms of the house, with their invariants."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from games.core import Ask, Outcome

# why an episode stopped: the rules ended it, too many turns, no room left, and without a result, to be left out: its engine
# failed, or a partner of the learner broke a rule or did not answer
STOPS = ("end", "turns", "context", "error", "partner")
TURN_STOPS = ("stop", "length", "text")  # why a reply stopped: end of turn sampled, token limit, not sampled by us


@dataclasses.dataclass(frozen=True)
class Turn:
    """One reply: what `seat` was shown, what `player` said for it, and why the reply stopped; aside and before: of `Ask`."""

    seat: str
    player: str
    message: str
    reply: str
    stop: str = "text"
    aside: bool = False
    before: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        if self.stop not in TURN_STOPS:
            raise ValueError(f"unknown stop {self.stop!r}")

    @property
    def ask(self) -> Ask:
        return Ask(self.seat, self.message, self.aside, self.before)

    def to_json(self) -> dict[str, Any]:
        """Its fields; `aside` and `before` only where there is something to say."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name not in ("aside", "before")}


def turn_from_json(data: Mapping[str, Any]) -> Turn:
    """The turn that `to_json` wrote."""
    return Turn(**{**data, "before": tuple((shown, said) for shown, said in data.get("before", ()))})


@dataclasses.dataclass(frozen=True)
class TokenRow:
    """The dialogue as one seat's policy saw it: ids, which of them it sampled, and their log-probabilities.

    ids int32 [T]; mask bool [T], True where the policy sampled the id (end of turn included); logps float32 [T], of the
    policy at the sampling temperature, and sampled_logps float32 [T], after the filters too; both 0 outside the mask.
    branches int16 [T]: 0 on the history, n on the n-th branch from it, one block of tokens that begins where the history before
    the block ends and that nothing outside the block has seen; None: there is none.
    """

    ids: np.ndarray
    mask: np.ndarray
    logps: np.ndarray
    sampled_logps: np.ndarray
    branches: np.ndarray | None = None

    def __post_init__(self):
        lengths = {len(self.ids), len(self.mask), len(self.logps), len(self.sampled_logps)}
        if len(lengths) != 1:
            raise ValueError(f"a token row has fields of lengths {sorted(lengths)}")
        if not self.mask.any():
            raise ValueError("an all-zero mask: nothing in this row was said by the policy")
        if self.mask[0]:
            raise ValueError("the first id of a row cannot be sampled: nothing stands before it")
        if np.any(self.logps[~self.mask]) or np.any(self.sampled_logps[~self.mask]):
            raise ValueError("log-probabilities outside the mask must be 0")

    @property
    def positions(self) -> np.ndarray:
        """The place of each token in its dialogue: a branch goes on where the history before it ends."""
        places = np.arange(len(self.ids))
        if self.branches is None:
            return places
        history = np.cumsum(self.branches == 0)
        first = np.maximum.accumulate(places * (np.diff(self.branches, prepend=0) != 0))  # of each block
        return np.where(self.branches == 0, history - 1, history + places - first)

    def replies(self, count: int) -> TokenRow:
        """The row up to the end of reply number `count`, from 1."""
        ends = np.flatnonzero(np.diff(self.mask.astype(int), append=0) == -1)
        n = ends[count - 1] + 1
        branches = None if self.branches is None else self.branches[:n]
        return TokenRow(self.ids[:n], self.mask[:n], self.logps[:n], self.sampled_logps[:n], branches)


@dataclasses.dataclass(frozen=True)
class Episode:
    """One finished play of an instance.

    `sample` numbers the plays of one instance; `rows` holds the tokens of each seat that a policy played. `stop` is "end" when
    the rules ended it; an episode cut by one of our limits ("turns", "context") has an aborted outcome that says so.
    """

    game: str
    instance: Mapping[str, Any]
    sample: int
    turns: tuple[Turn, ...]
    outcome: Outcome
    stop: str
    rows: Mapping[str, TokenRow] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self):
        if self.stop not in STOPS:
            raise ValueError(f"unknown stop {self.stop!r}")

    @property
    def level(self) -> str:
        return str(self.instance.get("level", ""))

    @property
    def failed(self) -> bool:
        """Neither won, lost nor aborted by the learner: the engine raised an exception, or a partner is to blame."""
        return self.stop in ("error", "partner")

    @property
    def played(self) -> bool:
        return self.outcome.status != "aborted"

    @property
    def score(self) -> float:
        """0..100; an aborted episode counts 0."""
        return 0.0 if math.isnan(self.outcome.score) else float(self.outcome.score)

    def to_json(self) -> dict[str, Any]:
        """The transcript as one JSON object (tokens left out)."""
        outcome = dataclasses.asdict(dataclasses.replace(self.outcome, metrics=dict(self.outcome.metrics)))
        outcome["score"] = None if math.isnan(self.outcome.score) else self.outcome.score
        return {
            "game": self.game,
            "level": self.level,
            "game_id": self.instance.get("game_id"),
            "sample": self.sample,
            "outcome": outcome,
            "stop": self.stop,
            "turns": [turn.to_json() for turn in self.turns],
            "instance": dict(self.instance),
        }


def episode_from_json(data: Mapping[str, Any]) -> Episode:
    """The episode that `to_json` wrote, without tokens; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    number = lambda value: math.nan if value is None else value  # JSON has none for what is no number
    told = data["outcome"]
    values = {name: number(value) for name, value in told["metrics"].items()}
    outcome = {**told, "score": number(told["score"]), "metrics": values}
    turns = tuple(turn_from_json(turn) for turn in data["turns"])
    return Episode(data["game"], data["instance"], data["sample"], turns, Outcome(**outcome), data["stop"])
