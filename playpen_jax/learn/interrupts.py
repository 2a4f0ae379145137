"""What comes from outside while a run works: a scheduler that takes the machine back, a partner that never answers."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from playpen_jax import processes


class Preempted(BaseException):
    """SIGTERM came: save what there is and leave. No `except Exception` on the way is to take it for a defect of a game."""


class Hanging(BaseException):
    """Nothing has happened for too long."""


def here() -> bool:
    """Whether this is the program's own thread, the only one that hears signals."""
    return threading.current_thread() is threading.main_thread()


class Interrupts:
    """While it is entered, SIGTERM is heard: at once inside `breakable`, else `asked` tells of it.

    Only a program's main thread may listen; in any other one nothing is heard.
    """

    def __init__(self):
        self.together = False  # several processes make the run: they leave together, where `check_together` is called
        self.asked, self._breakable, self._patience, self._old = False, False, 0.0, {}
        self.newest = time.monotonic()  # when something happened last

    def __enter__(self) -> Interrupts:
        if here():
            self._old = {s: signal.signal(s, hear) for s, hear in ((signal.SIGTERM, self._term), (signal.SIGALRM, self._alarm))}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    @contextlib.contextmanager
    def breakable(self, patience: float = 0.0) -> Iterator[None]:
        """Here SIGTERM raises `Preempted`, and `Hanging` is raised `patience` seconds after the last `alive` (0: never).

        In a thread beside the program's own one `alive` raises, and nothing else.
        """
        self.check()
        if not here():
            yield
            return
        self._breakable, self._patience = True, patience if self._old else 0.0
        self.alive()
        try:
            yield
        finally:
            self._breakable = False
            if self._patience:
                signal.setitimer(signal.ITIMER_REAL, 0)
            self._patience = 0.0

    def alive(self) -> None:
        """Something has happened: patience begins anew. Raises `Preempted` in a thread beside, if SIGTERM came."""
        self.newest = time.monotonic()
        if not here():
            self.check()
        elif self._patience:
            signal.setitimer(signal.ITIMER_REAL, self._patience)

    def check(self) -> None:
        """Raise `Preempted` if SIGTERM came."""
        if self.asked and not self.together:
            raise Preempted

    def check_together(self) -> None:
        """Raise `Preempted` on every process if SIGTERM came to one of them; all must call this at the same place."""
        if processes.any_says(self.asked):
            raise Preempted

    def _term(self, *_: Any) -> None:
        self.asked = True
        if self._breakable and not self.together:
            raise Preempted

    def _alarm(self, *_: Any) -> None:
        raise Hanging
