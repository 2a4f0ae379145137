"""The thread that owns the device: requests share the rows of a few samplers as they come and go."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Sequence

from playpen_jax import policy
from playpen_jax.chat import Chat
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.serving.wishes import Answer, Wish

KINDS = 4  # samplers of unlike sampling settings that are kept


class Engine:
    """One thread that owns the device: it takes requests into free rows and decodes all rows together.

    A request is told of its reply by its own queue, and gives its row back as soon as nobody waits for it.
    """

    def __init__(self, served: policy.Policy, rows: int, context: int):
        self.served, self.rows, self.context = served, rows, context
        self._wishes: queue.Queue[Wish | None] = queue.Queue()
        self._samplers: dict[Sampling, Sampler] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def ask(self, wish: Wish) -> None:
        self._wishes.put(wish)

    def close(self) -> None:
        self._wishes.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[Wish] = []
        speaking: dict[tuple[Sampling, int], Telling] = {}
        while True:
            while not self._wishes.empty() or not (waiting or speaking):
                wish = self._wishes.get()
                if wish is None:
                    return
                waiting.append(wish)
            waiting = [wish for wish in waiting if not wish.gone.is_set() and not self._seat(wish, speaking)]
            for how in dict.fromkeys(how for how, _ in speaking):
                self._step(how, speaking)

    def _seat(self, wish: Wish, speaking: dict[tuple[Sampling, int], Telling]) -> bool:
        """Give a request a row, if one is free."""
        try:
            sampler = self._sampler(wish.how, {how for how, _ in speaking})
            row = sampler.take() if sampler else None
            if sampler is None or row is None:
                return False
            room = min(wish.max_tokens, self.context - len(wish.ids))
            digest = hashlib.blake2b(f"{wish.seed}/{wish.ids}".encode(), digest_size=8).digest()
            key = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
            sampler.feed(row, list(wish.ids), key, room)
            speaking[wish.how, row] = Telling(wish, self.served.speech)
        except Exception as error:  # one request must not end the server
            wish.tell(error)
        return True

    def _sampler(self, how: Sampling, used: set[Sampling]) -> Sampler | None:
        """The sampler of these settings; None while all that may be kept are at work."""
        if how not in self._samplers:
            idle = [other for other in self._samplers if other not in used]
            if len(self._samplers) >= KINDS:
                if not idle:
                    return None
                del self._samplers[idle[0]]
            made = Sampler(self.served.config, self.rows, self.context, how, self.served.speech.stops)
            made.load(self.served.params)
            self._samplers[how] = made
        return self._samplers[how]

    def _step(self, how: Sampling, speaking: dict[tuple[Sampling, int], Telling]) -> None:
        sampler = self._samplers[how]
        ended = {reply.row: reply for reply in sampler.run()}
        for row in [row for other, row in speaking if other == how]:
            telling, reply = speaking[how, row], ended.get(row)
            ids, stop = (reply.ids, reply.stop) if reply else (sampler.said(row), None)
            if telling.wish.gone.is_set() or telling.hear(ids, stop):
                sampler.drop(row)
                del speaking[how, row]


class Telling:
    """What a request is told of its reply while that grows: text that no further token changes, and no stop text."""

    def __init__(self, wish: Wish, chat: Chat):
        self.wish, self.chat = wish, chat
        self._heard = self._told = 0  # tokens; characters

    def hear(self, ids: Sequence[int], stop: str | None) -> bool:
        """The reply so far, and why it stopped, if it did; whether the request is answered."""
        wish = self.wish
        if stop is None and not (wish.stream or wish.stops):
            return False
        text = self.chat.certain(ids) if stop is None else self.chat.text(ids)
        answer = self._cut(ids, text)
        if answer is None and stop is not None:
            answer = Answer(text, "stop" if stop == "stop" else "length", len(ids))
        self._heard = len(ids)
        self._say(text[: len(text) - begun(text, wish.stops)] if answer is None else answer.text)
        if answer is not None:
            wish.tell(answer)
        return answer is not None

    def _cut(self, ids: Sequence[int], text: str) -> Answer | None:
        """The answer as it is when a stop text has been said: looked for token by token, wherever the device paused."""
        if not any(stop in text for stop in self.wish.stops):
            return None
        for n in range(self._heard + 1, len(ids) + 1):
            part = text if n == len(ids) else self.chat.certain(ids[:n])
            places = [part.index(stop) for stop in self.wish.stops if stop in part]
            if places:
                return Answer(part[: min(places)], "stop", n)
        return None

    def _say(self, text: str) -> None:
        if self.wish.stream and len(text) > self._told:
            self.wish.tell(text[self._told :])
            self._told = len(text)


def begun(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of a text may turn out to be the beginning of a stop text."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
