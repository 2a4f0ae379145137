"""Play many episodes at once, more than there are rows: engines on the host, policies on the device, no row ever waits."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from games.core import Ask, Game, Outcome, Play
from playpen_jax.chat import Chat
from playpen_jax.endpoint import Endpoint, EndpointError
from playpen_jax.players import LEARNER, Scripted, is_remote, scripted
from playpen_jax.sampler.sampler import Reply, Sampler
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


@dataclasses.dataclass(frozen=True)
class Limits:
    max_tokens: int
    max_turns: int


class _Dialogue:
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


class _Live:
    """An episode that is being played."""

    def __init__(self, number: int, job: Job, tries: int = 0):
        self.number, self.job, self.tries = number, job, tries  # tries: how often it was played before
        self.turns: list[Turn] = []
        self.dialogues: dict[str, _Dialogue] = {}
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


class Rollout:
    """Plays jobs with the given policies (name -> sampler); the same jobs give the same episodes in any order and company.

    `chat`: that of all policies, or name -> chat. endpoints: URL#MODEL -> who answers there, at `temperature`; those that are
    not given are made. An episode that a partner of the learner ended, by breaking a rule or by not answering, is played again
    `again` times. most: episodes that wait for endpoints at once.
    """

    def __init__(
        self,
        samplers: Mapping[str, Sampler],
        chat: Chat | Mapping[str, Chat],
        limits: Limits,
        endpoints: Mapping[str, Endpoint] | None = None,
        temperature: float = 1.0,
        again: int = 1,
        most: int = 256,
    ):
        self.samplers, self.limits, self.endpoints = dict(samplers), limits, dict(endpoints or {})
        self.chats = chat if isinstance(chat, Mapping) else dict.fromkeys(samplers, chat)
        self.temperature, self.again, self.most = temperature, again, most

    def play(self, jobs: Iterable[Job], done: Callable[[Episode], None] = lambda episode: None) -> list[Episode]:
        """All episodes, in the order of the jobs; `done` hears of each as it ends.

        One whose engine raised an exception has the stop "error", one that a partner ended again and again "partner"; they have
        no rows: they are to be left out, and counted.
        """
        waiting: Iterator[tuple[int, Job]] = enumerate(jobs)
        following = next(waiting, None)
        speaking: dict[tuple[str, int], tuple[_Live, str]] = {}  # (policy, row) -> who speaks there
        calls: dict[Future, tuple[_Live, str]] = {}  # who waits for an endpoint
        episodes: dict[int, Episode] = {}

        def advance(live: _Live) -> None:
            """Let scripted seats answer until a policy is asked or the episode ends."""
            while live.stop is None and live.play.ask is not None:
                seat = live.play.ask.seat
                if len(live.turns) >= self.limits.max_turns:
                    live.cut("turns", f"more than {self.limits.max_turns} turns")
                elif live.job.seats[seat] in self.samplers:
                    if self._ask(live, seat, speaking):
                        return
                elif live.job.seats[seat] in self.endpoints:
                    calls[self._call(live, seat)] = live, seat
                    return
                else:
                    self._scripted(live, seat)
            for seat, dialogue in live.dialogues.items():
                self.samplers[live.job.seats[seat]].drop(dialogue.row)
            if fault := live.partners_fault():
                if live.tries < self.again:
                    job = dataclasses.replace(live.job, seed=f"{live.job.seed}/again")
                    again = _Live(live.number, job, live.tries + 1)
                    self._seat(again)
                    return advance(again)
                live.cut("partner", fault)
            episodes[live.number] = live.episode()
            done(episodes[live.number])

        while following is not None or speaking or calls:
            while following is not None and len(calls) < self.most and self._room(following[1]):
                live = _Live(*following)
                self._seat(live)
                following = next(waiting, None)
                advance(live)
            if calls and not speaking:
                wait(calls, return_when=FIRST_COMPLETED)
            for call in [call for call in calls if call.done()]:
                live, seat = calls.pop(call)
                self._answered(live, seat, call)
                advance(live)
            for name, sampler in self.samplers.items():
                for reply in sampler.run() if sampler.busy else ():
                    live, seat = speaking.pop((name, reply.row))
                    self._hear(live, seat, name, reply)
                    advance(live)
        return [episodes[i] for i in range(len(episodes))]

    def _room(self, job: Job) -> bool:
        wanted = [spec for spec in job.seats.values() if spec in self.samplers]
        if any(self.samplers[name].rows < wanted.count(name) for name in set(wanted)):
            raise ValueError(f"{job.game.name} seats {len(wanted)} policies, more than there are rows")
        return all(self.samplers[name].free >= wanted.count(name) for name in set(wanted))

    def _seat(self, live: _Live) -> None:
        """Handles are taken when the episode starts, so that it can always be played to its end."""
        for seat, spec in live.job.seats.items():
            if spec in self.samplers:
                live.dialogues[seat] = _Dialogue(self._take(spec))
                if live.job.past and seat in live.job.past.rows:
                    said = [turn.stop for turn in live.turns if turn.seat == seat and not turn.aside]
                    live.dialogues[seat].recall(live.job.past.rows[seat], said[-1:] in ([], ["stop"]))
            elif is_remote(spec):
                if spec not in self.endpoints:
                    self.endpoints[spec] = Endpoint.of(spec)
            else:
                live.scripted[seat] = scripted(live.job.game, seat, spec)

    def _take(self, name: str) -> int:
        row = self.samplers[name].take()
        assert row is not None, "there is room for every seat of an episode that was begun"
        return row

    def _scripted(self, live: _Live, seat: str) -> None:
        text = live.engine(lambda: live.scripted[seat].reply(live.play, live.job.seed))
        if live.stop is None:
            live.answer(seat, live.job.seats[seat], text)

    def _call(self, live: _Live, seat: str) -> Future:
        """Ask the seat's endpoint; its draws are asked to repeat too."""
        turn = sum(1 for past in live.turns if past.seat == seat)
        seed = token_key(live.job.seed, live.job.sample, seat, turn)[0] >> 1
        endpoint = self.endpoints[live.job.seats[seat]]
        return endpoint.submit(live.play.messages(), self.limits.max_tokens, self.temperature, seed)

    def _answered(self, live: _Live, seat: str, call: Future) -> None:
        try:
            live.answer(seat, live.job.seats[seat], call.result())
        except EndpointError as error:
            live.cut("partner", str(error))

    def _ask(self, live: _Live, seat: str, speaking: dict) -> bool:
        """Hand the pending message to the seat's policy; False if the dialogue has no room for it and a reply."""
        name, dialogue, ask = live.job.seats[seat], live.dialogues[seat], live.play.asked
        sampler = self.samplers[name]
        new = dialogue.hear(self.chats[name], ask)
        room = sampler.context - len(dialogue.history) - len(new)
        if room < 1:
            live.cut("context", f"more than {sampler.context} tokens")
            return False
        dialogue.asides += ask.aside
        dialogue.add(new, aside=ask.aside)
        turn = sum(1 for past in live.turns if past.seat == seat)
        key = token_key(live.job.seed, live.job.sample, seat, turn)
        sampler.feed(dialogue.row, dialogue.unfed + new, key, min(self.limits.max_tokens, room))
        dialogue.unfed = []
        speaking[name, dialogue.row] = live, seat
        return True

    def _hear(self, live: _Live, seat: str, name: str, reply: Reply) -> None:
        dialogue, aside = live.dialogues[seat], live.play.asked.aside
        dialogue.add(reply.ids, reply, aside)
        if aside:  # back to the history, whose pages are still there
            self.samplers[name].drop(dialogue.row)
            dialogue.row, dialogue.unfed = self._take(name), list(dialogue.history)
        else:
            dialogue.closed = reply.stop == "stop"
        live.answer(seat, name, self.chats[name].text(reply.ids), reply.stop)


def replayed(job: Job, episode: Episode) -> Play:
    """The referee of a finished episode, rebuilt from its replies; one that a limit cut has that as its outcome."""
    play = job.game.start(job.instance, job.settings, job.form)
    for turn in episode.turns:
        play.reply(turn.reply)
    play.ask, play.outcome = None, episode.outcome
    return play


def token_key(seed: str, sample: int, seat: str, turn: int) -> tuple[int, int]:
    """The key of one reply's draws: it depends on what is said where, never on the row or the company."""
    digest = hashlib.blake2b(f"{seed}/{sample}/{seat}/{turn}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
