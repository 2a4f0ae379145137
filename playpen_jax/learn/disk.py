"""Writing on disks that may be full or gone for a while: a run waits for them rather than losing what it has."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from tqdm import tqdm

from playpen_jax.learn.interrupts import Interrupts

T = TypeVar("T")
LONGEST = 30.0  # seconds between two tries at most


class DiskError(OSError):
    """A disk has refused for too long; the message says what could not be written, and why."""


def insist(write: Callable[[], T], what: str, patience: float, interrupts: Interrupts) -> T:
    """`write()`, tried again while the system refuses it, for at most `patience` seconds; `write` must be repeatable.

    Raises `DiskError` then, or when SIGTERM comes meanwhile.
    """
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            return write()
        except OSError as error:  # a full disk, a folder that is gone: it may come back
            why = f"{what} cannot be written: {' '.join(str(error).split())[:300]}"
            if time.monotonic() - began >= patience or interrupts.asked:
                raise DiskError(why) from error
        tqdm.write(f"warning: {why}: the run waits for the disk", file=sys.stderr)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
