"""Episodes that are being played: what is to be played, what each policy has seen and said, how an engine is led on."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from games.core import Ask, Game, Outcome, Play
from playpen_jax.chat import Chat
from playpen_jax.players import LEARNER, Scripted
from playpen_jax.sampler.sampler import Reply
from playpen_jax.types import Episode, TokenRow, Turn


@dataclasses.dataclass(frozen=True)
class Past:
    """What has been said before a fork: the turns, and the tokens of each policy's seat up to the end of its last reply."""

    turns: tuple[Turn, ...]
    rows: Mapping[str, TokenRow]

    @classmethod
    def of(cls, episode: Episode, turns: int) -> Past:
        """The first `turns` turns of an episode."""
        kept = episode.turns[:turns]
        counts = {seat: sum(turn.seat == seat for turn in kept) for seat in episode.rows}
        return cls(kept, {seat: episode.rows[seat].replies(n) for seat, n in counts.items() if n})


@dataclasses.dataclass(frozen=True)
class Job:
    """One episode to play: `seats` maps every seat to a policy's name or a scripted player; `seed` names its randomness.

    With a `past` it goes on from there: the same replies, their tokens as they were sampled, and then its own.
    """

    game: Game
    instance: Mapping
    seats: Mapping[str, str]
    sample: int = 0
    seed: str = "0"
    form: str = "full"
    settings: Mapping | None = None  # official experiment settings; None: our own in this form
    past: Past | None = None


class Dialogue:
    """What one policy seat has seen and said, as tokens; `row` is its sampler's handle for it.

    `history`: the tokens that are not struck out, `unfed`: what of them the row's cache lacks; `closed`: they end with an end
    of turn that was said.
    """

    def __init__(self, row: int):
        self.row = row
        self.ids: list[int] = []
        self.mask: list[bool] = []
        self.logps: list[float] = []
        self.sampled_logps: list[float] = []
        self.branches: list[int] = []
        self.history: list[int] = []
        self.unfed: list[int] = []
        self.closed = True
        self.asides = 0

    def recall(self, past: TokenRow, closed: bool) -> None:
        """Begin with what was seen and said before a fork."""
        branches = np.zeros(len(past.ids), int) if past.branches is None else past.branches
        self.ids, self.mask, self.branches = past.ids.tolist(), past.mask.tolist(), branches.tolist()
        self.logps, self.sampled_logps = past.logps.tolist(), past.sampled_logps.tolist()
        self.history, self.closed, self.asides = past.ids[branches == 0].tolist(), closed, int(branches.max())
        self.unfed = list(self.history)

    def hear(self, chat: Chat, ask: Ask) -> list[int]:
        """What the ask adds to the history; its own message is returned, and yet to be added."""
        for shown, said in ask.before:
            new = [*self._next(chat, shown), *chat.reply(said)]
            self.add(new)
            self.unfed += new
            self.closed = True
        return self._next(chat, ask.text)

    def _next(self, chat: Chat, text: str) -> list[int]:
        return chat.bridge(text, self.closed) if self.history else chat.opening(text)

    def add(self, ids: list[int], said: Reply | None = None, aside: bool = False) -> None:
        """More tokens, shown or said, of the history or of the newest exchange aside."""
        self.ids += ids
        self.mask += [said is not None] * len(ids)
        self.logps += said.logps if said else [0.0] * len(ids)
        self.sampled_logps += said.sampled_logps if said else [0.0] * len(ids)
        self.branches += [self.asides if aside else 0] * len(ids)
        if not aside:
            self.history += ids

    def row_of_tokens(self) -> TokenRow | None:
        """None if the policy said nothing here."""
        if not any(self.mask):
            return None
        last = len(self.mask) - self.mask[::-1].index(True)  # what came after its last word taught it nothing
        return TokenRow(
            np.asarray(self.ids[:last], np.int32),
            np.asarray(self.mask[:last], bool),
            np.asarray(self.logps[:last], np.float32),
            np.asarray(self.sampled_logps[:last], np.float32),
            np.asarray(self.branches[:last], np.int16) if self.asides else None,
        )


class Live:
    """An episode that is being played."""

    def __init__(self, number: int, job: Job, tries: int = 0):
        self.number, self.job, self.tries = number, job, tries  # tries: how often it was played before
        self.turns: list[Turn] = []
        self.dialogues: dict[str, Dialogue] = {}
        self.scripted: dict[str, Scripted] = {}
        self.stop: str | None = None
        self.began = time.perf_counter()
        self.play: Play = self.engine(lambda: job.game.start(job.instance, job.settings, job.form))  # or nothing, with a stop
        for turn in job.past.turns if job.past else ():
            self.turns.append(turn)
            self.engine(partial(self._reply, turn.reply))

    def engine(self, step: Callable) -> Any:
        """One step of an engine or a scripted player; what it raises ends this episode alone, and is reported."""
        try:
            return step()
        except Exception as error:  # a defect of one game must not take the other episodes along
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
            print(f"{self.job.game.name}, sample {self.job.sample} of {self.job.seed}: dropped: {why}", file=sys.stderr)
            self.stop = "error"
            self.cut_outcome = Outcome("aborted", math.nan, 0, 0, 0, reason=why)

    def answer(self, seat: str, player: str, text: str, stop: str = "text") -> None:
        ask = self.play.asked
        self.turns.append(Turn(seat, player, ask.text, text, stop, ask.aside, ask.before))
        self.engine(partial(self._reply, text))

    def _reply(self, text: str) -> None:
        self.play.reply(text)

    def cut(self, limit: str, why: str) -> None:
        """Stop by one of our limits; the rules never saw an end."""
        self.stop = limit
        n = len(self.turns)
        seat = self.play.ask.seat if self.play.ask else None
        self.cut_outcome = Outcome("aborted", math.nan, n, n, 0, reason=why, seat=seat)

    def partners_fault(self) -> str | None:
        """Why the episode says nothing of the learner: who else than it, and than the game's own players, ended it."""
        if self.stop == "partner":
            return self.cut_outcome.reason
        outcome = self.play.outcome if self.stop is None else None
        if outcome is None or outcome.status != "aborted" or LEARNER not in self.job.seats.values():
            return None
        spec = self.job.seats.get(outcome.seat or "")
        guilty = spec is not None and spec != LEARNER and outcome.seat not in self.scripted
        return f"{spec} broke a rule: {outcome.reason}" if guilty else None

    def episode(self) -> Episode:
        outcome = self.play.ended if self.stop is None else self.cut_outcome
        rows = {seat: d.row_of_tokens() for seat, d in self.dialogues.items() if self.stop not in ("error", "partner")}
        return Episode(
            self.job.game.name,
            self.job.instance,
            self.job.sample,
            tuple(self.turns),
            outcome,
            self.stop or "end",
            {seat: row for seat, row in rows.items() if row is not None},
            time.perf_counter() - self.began,
        )
