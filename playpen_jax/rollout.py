"""Play many episodes at once, more than there are rows: engines on the host, policies on the device, no row ever waits."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait

from games.core import Play
from playpen_jax.chat import Chat
from playpen_jax.endpoint import Endpoint, EndpointError
from playpen_jax.live import Dialogue, Job, Live, Past
from playpen_jax.players import is_remote, scripted
from playpen_jax.sampler.sampler import Reply, Sampler
from playpen_jax.types import Episode

__all__ = ["Job", "Limits", "Past", "Rollout", "replayed", "token_key"]


@dataclasses.dataclass(frozen=True)
class Limits:
    max_tokens: int
    max_turns: int


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
        speaking: dict[tuple[str, int], tuple[Live, str]] = {}  # (policy, row) -> who speaks there
        calls: dict[Future, tuple[Live, str]] = {}  # who waits for an endpoint
        episodes: dict[int, Episode] = {}

        def advance(live: Live) -> None:
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
                    again = Live(live.number, job, live.tries + 1)
                    self._seat(again)
                    return advance(again)
                live.cut("partner", fault)
            episodes[live.number] = live.episode()
            done(episodes[live.number])

        while following is not None or speaking or calls:
            while following is not None and len(calls) < self.most and self._room(following[1]):
                live = Live(*following)
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

    def _seat(self, live: Live) -> None:
        """Handles are taken when the episode starts, so that it can always be played to its end."""
        for seat, spec in live.job.seats.items():
            if spec in self.samplers:
                live.dialogues[seat] = Dialogue(self._take(spec))
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

    def _scripted(self, live: Live, seat: str) -> None:
        text = live.engine(lambda: live.scripted[seat].reply(live.play, live.job.seed))
        if live.stop is None:
            live.answer(seat, live.job.seats[seat], text)

    def _call(self, live: Live, seat: str) -> Future:
        """Ask the seat's endpoint; its draws are asked to repeat too."""
        turn = sum(1 for past in live.turns if past.seat == seat)
        seed = token_key(live.job.seed, live.job.sample, seat, turn)[0] >> 1
        endpoint = self.endpoints[live.job.seats[seat]]
        return endpoint.submit(live.play.messages(), self.limits.max_tokens, self.temperature, seed)

    def _answered(self, live: Live, seat: str, call: Future) -> None:
        try:
            live.answer(seat, live.job.seats[seat], call.result())
        except EndpointError as error:
            live.cut("partner", str(error))

    def _ask(self, live: Live, seat: str, speaking: dict) -> bool:
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

    def _hear(self, live: Live, seat: str, name: str, reply: Reply) -> None:
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
