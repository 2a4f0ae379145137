"""Which tokens lie where in the cache: a tree of pages, shared by dialogues that begin alike; the least useful make room."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

SCAN = 64  # children that may share a part of a page, newest first, are compared up to this many


class Page:
    """Up to `size` ids that follow those of its ancestors; `place` is its number on the device, -1 once it was evicted.

    All pages with children are full, and only a page without children is ever evicted, so what a dialogue loses is its end.
    """

    __slots__ = ("parent", "place", "ids", "call", "pins", "users", "used", "whole", "heads", "children")

    def __init__(self, parent: Page | None, place: int, ids: Sequence[int] = (), call: int = 0):
        self.parent = parent or self  # the root is its own
        self.place, self.ids = place, list(ids)
        self.call = call  # the device call that wrote its newest slot
        self.pins = 0  # dialogues that end here and are being worked on
        self.users = 0  # dialogues that end here and will go on
        self.used = 0  # when it was last pinned
        self.whole: dict[tuple[int, ...], Page] = {}  # full children, by their ids
        self.heads: dict[int, dict[Page, None]] = {}  # all children, by their first id
        self.children = 0


class Pages:
    """An allocator of `count` pages of `size` tokens; it moves numbers only, the device follows."""

    def __init__(self, count: int, size: int):
        self.count, self.size = count, size
        self.root = Page(None, -1)
        self.evicted = 0
        self._free = list(range(count))[::-1]
        self._idle: list[tuple[bool, int, int, Page]] = []  # a heap; entries that no longer hold are passed over
        self._clock = itertools.count(1)

    def take(self) -> int | None:
        """A place for one page; the least useful page that nobody works on makes room; None if all are worked on."""
        while not self._free:
            if not self._idle:
                return None
            entry = heapq.heappop(self._idle)
            if self._holds(entry):
                self._evict(entry[-1])
        return self._free.pop()

    def give(self, place: int) -> None:
        """Take back a place that became no page."""
        self._free.append(place)

    def add(self, parent: Page, place: int, ids: Sequence[int], call: int = 0) -> Page:
        """A new page after `parent`; it holds at least one id."""
        page = Page(parent, place, ids, call)
        parent.heads.setdefault(page.ids[0], {})[page] = None
        parent.children += 1
        self._index(page)
        return page

    def grow(self, page: Page, ids: Sequence[int], call: int = 0) -> None:
        """More ids on a page that is not full and that only one dialogue writes."""
        page.ids += ids
        page.call = call
        self._index(page)

    def match(self, page: Page, ids: Sequence[int], call: int = -1) -> tuple[Page | None, int]:
        """The page after `page` that begins most like `ids` (at most `size`), and how many ids they share.

        A page that is being written in this very `call` is the answer only if it has all of `ids` and no other has.
        """
        if len(ids) == self.size and (child := page.whole.get(tuple(ids))):
            return child, self.size
        best, most = None, 0
        for child in itertools.islice(reversed(page.heads.get(ids[0], {})), SCAN) if ids else ():
            shared = common(child.ids, ids)
            if shared == len(ids) and child.call != call:
                return child, shared
            if shared == len(ids) or (shared > most and child.call != call):
                best, most = child, shared
        return best, most

    def hold(self, page: Page, pinned: bool) -> None:
        """A dialogue ends here now; `pinned`: and is worked on, so that neither the page nor what is before it may go."""
        page.users += 1
        page.pins += pinned
        page.used = next(self._clock)

    def leave(self, page: Page, pinned: bool) -> None:
        """A dialogue ends here no longer."""
        page.users -= 1
        page.pins -= pinned
        self._offer(page)

    def unpin(self, page: Page) -> None:
        page.pins -= 1
        self._offer(page)

    def pin(self, page: Page) -> None:
        page.pins += 1
        page.used = next(self._clock)

    def _index(self, page: Page) -> None:
        if len(page.ids) == self.size:
            page.parent.whole.setdefault(tuple(page.ids), page)

    def _holds(self, entry: tuple[bool, int, int, Page]) -> bool:
        users, used, _, page = entry
        return self._evictable(page) and (users, used) == (page.users > 0, page.used)

    def _evictable(self, page: Page) -> bool:
        return page.place >= 0 and not page.pins and not page.children

    def _offer(self, page: Page) -> None:
        if self._evictable(page):
            heapq.heappush(self._idle, (page.users > 0, page.used, next(self._clock), page))
        if len(self._idle) > 8 * self.count:  # mostly entries that no longer hold
            self._idle = [entry for entry in self._idle if self._holds(entry)]
            heapq.heapify(self._idle)

    def _evict(self, page: Page) -> None:
        parent = page.parent
        self._free.append(page.place)
        page.place = -1
        self.evicted += 1
        siblings = parent.heads[page.ids[0]]
        del siblings[page]
        if not siblings:
            del parent.heads[page.ids[0]]
        if parent.whole.get(tuple(page.ids)) is page:
            del parent.whole[tuple(page.ids)]
        parent.children -= 1
        parent.users += page.users  # whoever ended here ends there now
        parent.used = max(parent.used, page.used)
        self._offer(parent)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids two sequences share from their start on."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
