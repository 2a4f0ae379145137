"""The host's side of one shard of rows: which dialogues wait for their prompt, which are ready to speak, which speak."""

from __future__ import annotations

import bisect
import dataclasses
from collections import deque
from typing import Any

from playpen_jax.sampler.pages import Page, Pages

AHEAD = 64  # tokens of a reply for which pages must be in sight before its prompt is computed


@dataclasses.dataclass(eq=False)
class Dialogue:
    """What one handle of the sampler has seen and said: ids, the pages that hold them, and the reply in the making.

    `ids[:cached]` are in the cache (or will be when the device has done what it was told). The last id never is: it goes
    through the first decode step. `seen`: the most that was ever cached, so that computing it again can be counted.
    """

    shard: int = -1
    seat: int = -1
    row: int = -1  # its handle
    ids: list[int] = dataclasses.field(default_factory=list)
    pages: list[Page] = dataclasses.field(default_factory=list)
    places: list[int] = dataclasses.field(default_factory=list)  # of `pages`, then spare ones for what is being decoded
    cached: int = 0
    seen: int = 0
    ticket: int = 0  # the order in which turns were fed: the older one wins when pages are short
    claim: int = 0  # pages it may need while it is worked on; 0: its pages are not pinned
    key: tuple[int, int] = (0, 0)
    budget: int = 0
    said: list[int] = dataclasses.field(default_factory=list)
    logps: list[float] = dataclasses.field(default_factory=list)
    sampled_logps: list[float] = dataclasses.field(default_factory=list)
    flight: Any = None  # the chunk of decoding that is under way
    pauses: int = 0  # how often it had to give way

    @property
    def missing(self) -> int:
        """How many ids must be computed before the reply goes on."""
        return len(self.ids) - 1 - self.cached


@dataclasses.dataclass
class Line:
    """`count` ids of a dialogue, from `start` on, in one call of prefill."""

    dialogue: Dialogue
    start: int
    count: int


class Shard:
    """`lanes`: for each cohort who speaks in which row. `waiting` (in the order of tickets) and `ready` come after.

    shares: whether a dialogue may begin with another one's pages; else (layers with a state) its own are kept whole or not.
    """

    def __init__(self, pages: Pages, seats: int, lanes: list[int], shares: bool):
        self.pages, self.shares = pages, shares
        self.seats = list(range(seats))[::-1]
        self.lanes: list[list[Dialogue | None]] = [[None] * n for n in lanes]
        self.waiting: list[Dialogue] = []
        self.ready: deque[Dialogue] = deque()
        self.copies: dict[int, int] = {}  # target -> source, of the call that is being put together
        self.claimed = 0
        self.shared = self.recomputed = self.paused = 0

    # --- dialogues come and go

    def enter(self, d: Dialogue) -> None:
        d.seat = self.seats.pop()
        self.pages.hold(self.pages.root, False)

    def feed(self, d: Dialogue) -> None:
        """It is to speak: all its ids but the last must be in the cache first."""
        bisect.insort(self.waiting, d, key=lambda other: other.ticket)

    def exit(self, d: Dialogue) -> None:
        """It is over; its pages stay for those who begin alike, until they are needed."""
        self.stop(d)
        self._forget(d)
        self.pages.leave(self._end(d), False)
        self.seats.append(d.seat)

    def stop(self, d: Dialogue) -> None:
        """It waits, is ready, or speaks no longer; its pages may go if there is need."""
        if d in self.waiting:
            self.waiting.remove(d)
        if d in self.ready:
            self.ready.remove(d)
        for lanes in self.lanes:
            if d in lanes:
                lanes[lanes.index(d)] = None
        d.flight = None
        if d.claim:
            for place in d.places[len(d.pages) :]:
                self.pages.give(place)
            del d.places[len(d.pages) :]
            self.claimed -= d.claim
            d.claim = 0
            self.pages.unpin(self._end(d))

    @property
    def speaking(self) -> int:
        return sum(d is not None for lanes in self.lanes for d in lanes)

    # --- what a call of prefill does

    def lines(self, widths: tuple[int, ...], places: int, call: int) -> list[Line]:
        """The next ids of waiting dialogues, the oldest first: as many lines of a width as the places of a call hold.

        The first that misses something sets the width; those that miss about as much come next, then those that miss less.
        """
        found: list[Line] = []
        shorter: list[Dialogue] = []
        width, height = widths[-1], 1
        for d in list(self.waiting):
            if len(found) == height:
                return found
            if d not in self.waiting or not self._start(d) or not self._settle(d, call):
                continue
            if not found:
                width = bucket(d.missing, widths)
                height = places // width
            if bucket(d.missing, widths) == width:
                found += self._line(d, width, call)
            elif d.missing < width:
                shorter.append(d)
        for d in shorter:
            if len(found) < height and d in self.waiting and d.claim and self._settle(d, call):
                found += self._line(d, width, call)
        return found

    def _line(self, d: Dialogue, width: int, call: int) -> list[Line]:
        """The next ids of one dialogue; none if it was paused for lack of pages."""
        count = self._reserve(d, min(d.missing, width))
        if not count:
            return []
        line = Line(d, d.cached, count)
        self.recomputed += max(0, min(d.seen, d.cached + count) - d.cached)
        self.wrote(d, count, call)
        return [line]

    def wrote(self, d: Dialogue, count: int, call: int = 0) -> None:
        """The device has computed `count` more ids, or will: they belong to the pages now."""
        end, size = self._end(d), self.pages.size
        while count:
            n = min(count, size - d.cached % size)
            ids = d.ids[d.cached : d.cached + n]
            if d.cached % size:
                self.pages.grow(d.pages[-1], ids, call)
            else:
                d.pages.append(self.pages.add(self._end(d), d.places[len(d.pages)], ids, call))
            d.cached += n
            count -= n
        self._move(d, end)
        d.seen = max(d.seen, d.cached)

    def _start(self, d: Dialogue) -> bool:
        """Pins what is left of a dialogue, if pages are in sight for the rest of it."""
        if d.claim:
            return True
        left = min(d.budget - len(d.said), AHEAD)
        claim = -(-(len(d.ids) + left) // self.pages.size) + 1
        if self.claimed and self.claimed + claim > self.pages.count:
            return False
        self._forget(d)
        d.claim = claim
        self.claimed += claim
        self.pages.pin(self._end(d))
        return True

    def _settle(self, d: Dialogue, call: int) -> bool:
        """Takes over what others have computed of its ids; whether some are to be computed in this call.

        None are if nothing is missing (then it is ready), or if another dialogue computes in this very call what it needs.
        """
        size = self.pages.size
        while self.shares and d.missing and d.cached % size == 0:
            page, n = self.pages.match(self._end(d), d.ids[d.cached : min(d.cached + size, len(d.ids) - 1)], call)
            if page is None:
                break
            if page.call == call or not self._take_over(d, page, n, call):
                return False
        if not d.missing:
            self.waiting.remove(d)
            self.ready.append(d)
        return bool(d.missing)

    def _take_over(self, d: Dialogue, page: Page, n: int, call: int) -> bool:
        """A whole page is shared; of a page that begins like its own a dialogue gets a copy, to write what differs."""
        end = self._end(d)
        if n < self.pages.size:
            self.pages.pin(page)
            place = self._place(d)
            self.pages.unpin(page)
            if place is None:
                return False
            self.copies[place] = page.place
            page = self.pages.add(end, place, page.ids[:n], call)
        d.pages.append(page)
        d.places.append(page.place)
        d.cached += n
        self.shared += max(0, d.cached - max(d.cached - n, d.seen))
        d.seen = max(d.seen, d.cached)
        self._move(d, end)
        return True

    def _forget(self, d: Dialogue) -> None:
        """Pages that were evicted while the dialogue was silent are gone; without sharing all are."""
        kept = sum(page.place >= 0 for page in d.pages)
        if kept == len(d.pages):
            return
        del d.pages[kept:]
        if not self.shares:
            self._restart(d)
        del d.places[len(d.pages) :]
        d.cached = sum(len(page.ids) for page in d.pages)

    def _restart(self, d: Dialogue) -> None:
        """As if nothing of it were in the cache."""
        self.pages.leave(self._end(d), False)
        self.pages.hold(self.pages.root, False)
        d.pages.clear()
        d.places.clear()
        d.cached = 0

    # --- places

    def reserve(self, d: Dialogue, until: int) -> bool:
        """Places for the ids before `until`; False if it was paused for lack of them."""
        return self._reserve(d, until - d.cached) > 0

    def _reserve(self, d: Dialogue, count: int) -> int:
        while len(d.places) * self.pages.size < d.cached + count:
            place = self._place(d)
            if place is None:
                return 0
            d.places.append(place)
        return count

    def _place(self, d: Dialogue) -> int | None:
        """A place for a page of `d`; younger turns are paused for it if need be. None: `d` itself was paused."""
        while (place := self.pages.take()) is None:
            speaking = (other for lanes in self.lanes for other in lanes if other is not None)
            claiming = (other for other in (*self.waiting, *self.ready, *speaking) if other.claim)
            youngest = max(claiming, key=lambda other: other.ticket)
            self._pause(youngest)
            if youngest is d:
                return None
        return place

    def _pause(self, d: Dialogue) -> None:
        """Back to those that wait, so that its pages may go; its reply goes on later where it stood."""
        ahead = d.flight is not None  # the device is past what will be kept of the reply, and so is a state
        self.stop(d)
        if ahead and not self.shares:
            self._restart(d)
        self.feed(d)
        d.pauses += 1
        self.paused += 1

    def _end(self, d: Dialogue) -> Page:
        return d.pages[-1] if d.pages else self.pages.root

    def _move(self, d: Dialogue, end: Page) -> None:
        new = self._end(d)
        if new is not end:
            self.pages.hold(new, d.claim > 0)
            self.pages.leave(end, d.claim > 0)


def bucket(n: int, sizes: tuple[int, ...]) -> int:
    """The smallest of the sizes that holds `n`, else the largest."""
    return next((size for size in sizes if n <= size), sizes[-1])
