"""Pages: shared by all that begin alike, copied where they part, evicted from the end, the least useful first."""

from __future__ import annotations

import itertools
import random

import pytest

from playpen_jax.sampler import schedule
from playpen_jax.sampler.pages import Pages, common
from playpen_jax.sampler.schedule import Dialogue, Shard

SIZE = 4


def chain(pages: Pages, ids: list[int]) -> list:
    """Pages for all the ids of one dialogue, none of them shared."""
    found = []
    for i in range(0, len(ids), SIZE):
        found.append(pages.add(found[-1] if found else pages.root, pages.take(), ids[i : i + SIZE]))
    return found


def test_common_beginnings():
    assert common([1, 2, 3], [1, 2, 4]) == 2 and common([], [1]) == 0 and common([1, 2], [1, 2, 3]) == 2


def test_the_page_that_begins_most_like_the_ids_is_found():
    pages = Pages(8, SIZE)
    first, second = chain(pages, [1, 2, 3, 4, 5, 6])
    (other,) = chain(pages, [1, 2, 9])
    assert pages.match(pages.root, [1, 2, 3, 4]) == (first, 4)
    assert pages.match(pages.root, [1, 2, 9, 9]) == (other, 3)
    assert pages.match(pages.root, [1, 7]) == (other, 1), "of equals the newest"
    assert pages.match(pages.root, [2]) == (None, 0) == pages.match(pages.root, [])
    assert pages.match(first, [5, 6, 7, 8]) == (second, 2)
    pages.grow(second, [7, 8])
    assert pages.match(first, [5, 6, 7, 8]) == (second, 4)


def test_a_page_that_is_being_written_is_waited_for_only_if_it_has_all():
    pages = Pages(8, SIZE)
    (written,) = chain(pages, [1, 2, 3])
    here = pages.add(pages.root, pages.take(), [1, 2, 3, 4], call=5)
    assert pages.match(pages.root, [1, 2, 3, 4], 5) == (here, 4)
    assert pages.match(pages.root, [1, 2, 3], 5) == (written, 3)
    assert pages.match(pages.root, [1, 2, 3, 9], 5) == (written, 3)
    assert pages.match(pages.root, [1, 2, 3, 4], 6) == (here, 4)


def test_a_shard_fills_its_rows_in_few_calls_though_all_begin_alike():
    """Three groups of four plays, whose prompts begin with the same ids."""
    bench = Bench(200, 12, 12)
    for i in range(12):
        d = Dialogue()
        bench.shard.enter(d)
        bench.feed(d, [1, 2, i // 4, i // 4, i // 4, 9], 1)
    for _ in range(3):
        bench.prefill()
    assert not bench.shard.waiting and bench.computed <= 3 * 5


def test_pages_go_from_the_end_those_without_users_first_then_the_longest_unused():
    pages = Pages(6, SIZE)
    gone, kept, worked = (chain(pages, [n] * 8) for n in (1, 2, 3))
    for page, users, pinned in ((gone[-1], 0, 0), (kept[-1], 1, 0), (worked[-1], 1, 1)):
        pages.hold(page, bool(pinned))
        if not users:
            pages.leave(page, False)
        elif not pinned:
            pages.pin(page)
            pages.unpin(page)
    assert [pages.take() for _ in range(4)] == [1, 0, 3, 2]
    assert [page.place for page in gone + kept] == [-1] * 4 and [page.place for page in worked] == [4, 5]
    assert pages.take() is None and pages.evicted == 4
    assert pages.match(pages.root, [1] * 4) == (None, 0), "what is gone is not found"
    pages.leave(worked[-1], True)
    assert pages.take() == 5


def test_what_was_offered_long_ago_is_forgotten():
    pages = Pages(4, SIZE)
    (page,) = chain(pages, [1, 2])
    for _ in range(1000):
        pages.hold(page, True)
        pages.leave(page, True)
    assert len(pages._idle) <= 8 * 4 + 1
    assert sorted(pages.take() for _ in range(4)) == [0, 1, 2, 3] and pages.take() is None


# ---------------------------------------------------------------------------------------------- a shard, with no device


class Bench:
    """A shard whose device is a list: `memory[place]` holds the ids that were computed there."""

    def __init__(self, pages: int, lanes: int, dialogues: int, shares: bool = True):
        self.shard = Shard(Pages(pages, SIZE), dialogues, [lanes], shares)
        self.memory = [[None] * SIZE for _ in range(pages)]
        self.calls = self.turns = self.computed = 0

    def feed(self, d: Dialogue, ids: list[int], budget: int) -> None:
        self.turns += 1
        d.ids += ids
        d.ticket, d.budget, d.said = self.turns, budget, []
        self.shard.feed(d)

    def write(self, d: Dialogue, start: int, ids: list[int]) -> None:
        for i, token in enumerate(ids, start):
            self.memory[d.places[i // SIZE]][i % SIZE] = token

    def prefill(self) -> None:
        self.calls += 1
        lines = self.shard.lines((2, 8), 16, self.calls)
        copied = {target: list(self.memory[source]) for target, source in self.shard.copies.items()}
        self.shard.copies.clear()
        for target, ids in copied.items():
            self.memory[target] = ids
        for line in lines:
            self.check(line.dialogue, line.start)
            self.write(line.dialogue, line.start, line.dialogue.ids[line.start : line.start + line.count])
            self.computed += line.count

    def check(self, d: Dialogue, until: int) -> None:
        """The device holds what the dialogue believes it holds."""
        assert [self.memory[d.places[i // SIZE]][i % SIZE] for i in range(until)] == d.ids[:until]

    def decode(self, draw) -> list[Dialogue]:
        """One token of every speaker; those that end."""
        lanes, ended = self.shard.lanes[0], []
        for i, d in enumerate(lanes):
            if d is None and self.shard.ready:
                lanes[i] = self.shard.ready.popleft()
        for d in sorted(filter(None, lanes), key=lambda d: d.ticket):
            if d in lanes:
                self.shard.reserve(d, d.cached + 1)
        for d in list(filter(None, lanes)):
            self.check(d, d.cached)
            assert d.missing == 0
            self.write(d, d.cached, d.ids[-1:])
            token = draw(d)
            d.ids.append(token)
            d.said.append(token)
            self.shard.wrote(d, 1)
            if len(d.said) == d.budget:
                self.shard.stop(d)
                ended.append(d)
        return ended


def play(bench: Bench, dialogues: int, turns: int, prompt, draw) -> list[Dialogue]:
    """All dialogues to their ends, all at once."""
    everybody = [Dialogue() for _ in range(dialogues)]
    left = {}
    for i, d in enumerate(everybody):
        bench.shard.enter(d)
        bench.feed(d, prompt(i, 0), 1 + i % 3)
        left[d] = turns - 1
    for _ in range(10_000):
        if not left:
            return everybody
        bench.prefill()
        for d in bench.decode(draw):
            if left[d]:
                left[d] -= 1
                bench.feed(d, prompt(everybody.index(d), turns - left[d]), 1 + left[d] % 3)
            else:
                del left[d]
                bench.shard.exit(d)
    raise AssertionError("no end in sight")


@pytest.mark.parametrize("ahead", [0, 64])
@pytest.mark.parametrize("pages", [12, 20, 400])
@pytest.mark.parametrize("shares", [True, False])
def test_what_is_read_is_what_was_written_whatever_is_evicted(pages, shares, ahead, monkeypatch):
    monkeypatch.setattr(schedule, "AHEAD", ahead)
    rng = random.Random(pages)
    bench = Bench(pages, 3, 10, shares)

    def prompt(i: int, turn: int) -> list[int]:
        return [7, 7, 7, 7, 7, i % 2] + [rng.randrange(5) for _ in range(rng.randrange(1, 7))] if not turn else [turn, i]

    everybody = play(bench, 10, 3, prompt, lambda d: rng.randrange(5))
    shard, total = bench.shard, sum(len(d.ids) - 1 for d in everybody)
    sampled = sum(1 + i % 3 for i in range(10)) + 10 * (2 + 1)
    assert bench.computed == total - sampled - shard.shared + shard.recomputed
    assert (pages == 400) == (not shard.pages.evicted) == (not shard.recomputed)
    assert (shard.shared > 0) == shares
    assert not shard.claimed and len(shard.seats) == 10 and not shard.speaking


def test_a_group_computes_its_prompt_once():
    bench, prompt, said = Bench(200, 4, 8), list(range(11)), itertools.count(50)
    everybody = play(bench, 8, 1, lambda i, turn: prompt, lambda d: next(said))
    assert bench.computed == len(prompt) - 1 and bench.shard.shared == 7 * (len(prompt) - 1)
    assert len({d.pages[0] for d in everybody}) == 1 and len({d.pages[2] for d in everybody}) == 8


def test_a_fork_finds_what_was_said_before():
    bench = Bench(200, 4, 8)
    (d,) = play(bench, 1, 3, lambda i, turn: [turn] * 6, lambda d: 9)
    fork = Dialogue()
    bench.shard.enter(fork)
    before = bench.computed
    bench.feed(fork, d.ids[:14] + [8, 8], 1)
    bench.prefill()
    bench.prefill()
    assert bench.computed == before + 1, "the first of its own ids; the last goes through the first step"


def test_the_older_turn_wins_when_pages_are_short(monkeypatch):
    monkeypatch.setattr(schedule, "AHEAD", 0)
    bench, ended = Bench(6, 3, 3), []
    everybody = [Dialogue() for _ in range(3)]
    for i, d in enumerate(everybody):
        bench.shard.enter(d)
        bench.feed(d, [i] * 3, 14)
    while len(ended) < 3:
        bench.prefill()
        ended += bench.decode(lambda d: 9)
    assert ended == everybody and [len(d.ids) for d in everybody] == [17] * 3
    assert bench.shard.paused and bench.shard.recomputed
