"""The thread that owns the device: requests share the rows of a few samplers as they come and go."""

from __future__ import annotations

import dataclasses
import hashlib
import queue
import threading
from concurrent.futures import Future

from playpen_jax import policy
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.serving.wishes import Wish

KINDS = 4  # samplers of unlike sampling settings that are kept


@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    finish: str  # "stop" or "length"
    tokens: int


class Engine:
    """One thread that owns the device: it takes requests into free rows and decodes all rows together."""

    def __init__(self, served: policy.Policy, rows: int, context: int):
        self.served, self.rows, self.context = served, rows, context
        self._wishes: queue.Queue[Wish | None] = queue.Queue()
        self._samplers: dict[Sampling, Sampler] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def ask(self, wish: Wish) -> Future:
        self._wishes.put(wish)
        return wish.answer

    def close(self) -> None:
        self._wishes.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[Wish] = []
        speaking: dict[tuple[Sampling, int], Wish] = {}
        while True:
            while not self._wishes.empty() or not (waiting or speaking):
                wish = self._wishes.get()
                if wish is None:
                    return
                waiting.append(wish)
            waiting = [wish for wish in waiting if not self._seat(wish, speaking)]
            for how in dict.fromkeys(how for how, _ in speaking):
                self._step(how, speaking)

    def _seat(self, wish: Wish, speaking: dict) -> bool:
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
            speaking[wish.how, row] = wish
        except Exception as error:  # one request must not end the server
            wish.answer.set_exception(error)
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

    def _step(self, how: Sampling, speaking: dict) -> None:
        sampler = self._samplers[how]
        for reply in sampler.run():
            wish = speaking.pop((how, reply.row))
            sampler.drop(reply.row)
            text, finish = self.served.speech.text(reply.ids), "stop" if reply.stop == "stop" else "length"
            cut = min((at for at in map(text.find, wish.stops) if at >= 0), default=None)
            wish.answer.set_result(
                Answer(text if cut is None else text[:cut], finish if cut is None else "stop", len(reply.ids))
            )
