"""Dialogues of one policy on the device: feed new tokens, decode until replies end, keep the cache between turns."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from playpen_jax import model
from playpen_jax.sampler import programs, store
from playpen_jax.sampler.counters import Clock, Counters
from playpen_jax.sampler.pages import Pages
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.schedule import Dialogue, Line, Shard, bucket
from playpen_jax.sampler.store import PAGE
from playpen_jax.sampler.windows import Window, blank, point

PREFILL = 256  # tokens (lines times width) of one prefill call and shard
PREFILL_WIDTHS = (8, 16, 32, 128)  # new tokens per line and call, smallest that fits: few, as each is compiled for every span
CALLS = 8  # prefill calls between two chunks of decoding, at most: one if no row waits for them
COPIES = 64  # pages of one call of the copying program
SPAN = 128  # the cache is read up to a power of two times this


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a dialogue sampled in one turn: ids, log-probabilities of the policy and of the sampling, why it stopped."""

    row: int
    ids: list[int]
    logps: list[float]
    sampled_logps: list[float]
    stop: str


@dataclasses.dataclass(eq=False)
class _Flight:
    """A chunk of decoding under way: the cohort, who speaks in its rows, what the program will return."""

    cohort: int
    speakers: list[Dialogue | None]
    out: Any


def heights(rows: int) -> list[int]:
    """How many rows of a shard and cohort take part in decoding, from few to all; each is compiled when it is first needed.

    A step reads the whole window of each row that takes part. On a CPU all do, for the width of a product may change the
    rounding of its sums, and a run that is resumed, in other company, is to repeat to the bit.
    """
    if jax.default_backend() == "cpu":
        return [rows]
    return [rows // n for n in (16, 4) if rows % n == 0 and rows // n >= 4] + [rows]


class Sampler:
    """`rows` dialogues speak at once, up to `dialogues` are kept, of up to `context` tokens each; weights come by `load`.

    A dialogue is begun with `take`, fed with `feed` (only what it has not seen yet), decoded with `run`, and given back with
    `drop`. What it draws depends on its keys and its tokens alone, not on the others.

    chunk: decode steps between two looks of the host. dialogues: at least `rows`, which it is by default. pages: of 32 tokens,
    for the dialogues of one shard; by default as many as they, or twice as many as there are rows, can fill; with fewer, what
    is evicted is computed again later. cohorts: the rows are split in so many parts that take turns, so that the host can
    play while the device works. mesh: rows are split over its axes data and fsdp into shards, heads over tensor.
    """

    def __init__(
        self,
        c: model.ModelConfig,
        rows: int,
        context: int,
        how: Sampling,
        stops: tuple[int, ...],
        chunk: int = 4,
        *,
        dialogues: int | None = None,
        pages: int | None = None,
        cohorts: int = 1,
        mesh: Mesh | None = None,
    ):
        self.c = c = c.within(context)
        self.rows, self.context, self.how, self.stops, self.chunk = rows, context, how, stops, chunk
        self.mesh, self.shards = mesh, store.shard_count(mesh)
        self.dialogues = max(dialogues or rows, rows)
        if rows % (self.shards * cohorts):
            raise ValueError(f"{rows} rows cannot be split over {self.shards} shards and {cohorts} cohorts")
        self._lanes = [rows // self.shards // cohorts] * cohorts
        self._heights = [heights(lanes) for lanes in self._lanes]
        self._seats = -(-self.dialogues // self.shards)
        whole = -(-context // PAGE)
        self._pages = pages or min(self._seats, 2 * sum(self._lanes)) * whole + 1  # one to copy from
        if self._pages <= whole:
            raise ValueError(
                f"{self._pages} pages of {PAGE} tokens cannot hold a dialogue of {context} tokens beside another page"
            )
        self._store: store.Store = self._empty()
        self._prefill, self._decode = programs.prefill(c), programs.decode(c, how, stops, chunk, mesh)
        self._layers: Any = None
        self._reset()

    def _reset(self) -> None:
        """Nothing is held, nothing is known; the same order at every start, so that resumed runs repeat to the bit."""
        self.counters = Counters()
        shares = not store.stateful(self.c)
        self._shards = [Shard(Pages(self._pages, PAGE), self._seats, self._lanes, shares) for _ in range(self.shards)]
        self._held: dict[int, Dialogue] = {}
        self._free = list(range(self.dialogues))[::-1]
        self._flights: deque[_Flight] = deque()
        self._windows: dict[int, Window] = {}
        self._needed = [0] * len(self._lanes)
        self._turns = self._calls = self._cohort = 0
        self._finished: list[int] = [0, 0]  # dialogues, and their tokens
        self._clock = Clock()

    def _empty(self) -> store.Store:
        return store.empty(self.c, self._pages, PAGE, self._seats, self.mesh)

    def load(self, params: Any) -> None:
        """Use these weights from now on and count anew; all dialogues must be dropped first."""
        if self._held:
            raise RuntimeError(f"{len(self._held)} rows still hold a dialogue of the old weights")
        self._layers = None  # the old ones make room for the new
        self._layers = programs.layers(self.c, self.mesh, params)
        self._store = self._empty() if self._store is None else self._store
        self._reset()

    def rest(self) -> None:
        """Give back the device memory that dialogues need, until the next `load`; all must be dropped first."""
        if self._held:
            raise RuntimeError(f"{len(self._held)} rows still hold a dialogue")
        self._layers = self._store = None
        self._windows = {}

    def take(self) -> int | None:
        """A handle for a new dialogue, or None if there are too many."""
        if not self._free:
            return None
        row = self._free.pop()
        self._held[row] = Dialogue()
        return row

    def drop(self, row: int) -> None:
        d = self._held.pop(row)
        if d.shard >= 0:
            self._shards[d.shard].exit(d)
            self._finished[0] += 1
            self._finished[1] += len(d.ids)
        self._free.append(row)

    def feed(self, row: int, ids: list[int], key: tuple[int, int], max_tokens: int) -> None:
        """Append `ids` to a dialogue and let it speak up to `max_tokens`; what it sampled last comes first by itself."""
        d = self._held[row]
        room = self.context - len(d.ids) - len(ids)
        if not 0 < max_tokens <= room:
            raise ValueError(f"row {row} has room for {room} tokens after {len(ids)} new ones, not for a reply of {max_tokens}")
        if d.shard < 0:
            d.shard = self._choose(ids)
            self._shards[d.shard].enter(d)
        self._turns += 1
        d.ids += ids
        d.key, d.budget, d.ticket, d.row = key, max_tokens, self._turns, row
        d.said, d.logps, d.sampled_logps = [], [], []
        self._shards[d.shard].feed(d)

    def _choose(self, ids: list[int]) -> int:
        """Among the shards that are not too full, the one that knows most of how the dialogue begins."""
        free = [len(shard.seats) for shard in self._shards]
        open_ = [i for i, n in enumerate(free) if n and n >= max(free) - self._lanes[0]]
        return max(open_, key=lambda i: (self._shards[i].pages.match(self._shards[i].pages.root, ids[:PAGE])[1], free[i]))

    def said(self, row: int) -> list[int]:
        """What a dialogue has sampled so far in its turn."""
        return list(self._held[row].said)

    @property
    def free(self) -> int:
        """How many more dialogues may be begun, so that all find room for what dialogues come to say here."""
        finished, tokens = self._finished
        typical = -(-tokens // (finished * PAGE)) if finished else 1
        needed = sum(max(-(-len(d.ids) // PAGE), typical) for d in self._held.values())
        room = (self._pages * self.shards - needed) // typical
        return min(len(self._free), max(room, 0) if self._held else self.dialogues)

    @property
    def busy(self) -> bool:
        return any(shard.waiting or shard.ready or shard.speaking for shard in self._shards)

    def run(self) -> list[Reply]:
        """Tell the device what to do next, and return replies that ended; with cohorts, those of an earlier chunk.

        Prompts are computed in calls of limited size between two chunks of decoding. A few new tokens wait until a call is
        worth while, as long as at least half of the cohort's rows are speaking.
        """
        cohort = self._cohort
        self._cohort = (cohort + 1) % len(self._lanes)
        self._run_prefill(cohort)
        launched = self._launch(cohort)
        replies = []
        if self._flights and (len(self._flights) == len(self._lanes) or not launched):
            replies = self._land(self._flights.popleft())
        counters = self.counters
        for name in ("shared", "recomputed", "paused"):
            setattr(counters, name, sum(getattr(shard, name) for shard in self._shards))
        counters.evicted = sum(shard.pages.evicted for shard in self._shards)
        counters.seconds, counters.waiting = self._clock.seconds, self._clock.waiting
        return replies

    def _dispatching(self) -> None:
        """Before each call of the device; its memory is ready when all it was told is done."""
        self._clock.dispatch(jax.tree.leaves(self._store)[0].is_ready())

    # --- prefill

    def _run_prefill(self, cohort: int) -> None:
        for done in range(CALLS):
            waiting = sum(d.missing for shard in self._shards for d in shard.waiting)
            if not any(shard.waiting for shard in self._shards):
                return
            speaking = sum(shard.speaking for shard in self._shards)
            ready = sum(len(shard.ready) for shard in self._shards)
            open_ = sum(lane is None for shard in self._shards for lane in shard.lanes[cohort])
            full = 2 * waiting >= PREFILL * self.shards
            if speaking and not full and 2 * (speaking + ready) >= min(len(self._held), self.rows):
                return
            if ready >= open_ and (done or not full):
                return
            self._calls += 1
            lines: list[list[Line]] = []
            widths: tuple[int, ...] = PREFILL_WIDTHS
            for shard in self._shards:
                lines.append(shard.lines(widths, PREFILL, self._calls))
                if lines[-1]:
                    widths = (bucket(lines[-1][0].count, widths),)  # that of the first is that of all
            self._copy()
            if any(lines):
                self._prefill_lines(lines)

    def _copy(self) -> None:
        """Pages that dialogues of this call begin to write differently."""
        while any(shard.copies for shard in self._shards):
            source = np.zeros((self.shards, COPIES), np.int32)
            target = np.full((self.shards, COPIES), self._pages, np.int32)
            for z, shard in enumerate(self._shards):
                for i, place in enumerate(list(shard.copies)[:COPIES]):
                    target[z, i], source[z, i] = place, shard.copies.pop(place)
            self._dispatching()
            self._store = programs.copy(self.c)(self._store, source, target)

    def _prefill_lines(self, lines: list[list[Line]]) -> None:
        """One call: the next tokens of each line, in every shard."""
        width = bucket(next(each[0].count for each in lines if each), PREFILL_WIDTHS)
        height = PREFILL // width
        span = self._span(max(line.start + line.count for each in lines for line in each))
        tokens = np.zeros((self.shards, height, width), np.int32)
        start, length = np.zeros((self.shards, height), np.int32), np.zeros((self.shards, height), np.int32)
        where = blank(self.shards, height, span, self._seats)
        for z, each in enumerate(lines):
            for i, line in enumerate(each):
                d = line.dialogue
                tokens[z, i, : line.count] = d.ids[line.start : line.start + line.count]
                start[z, i], length[z, i] = line.start, line.count
                point(where, z, i, d)
        self.counters.prefilled += int(length.sum())
        self.counters.places += tokens.size
        self._dispatching()
        self._store = self._prefill(self._layers, self._store, tokens, start, length, where)

    # --- decoding

    def _launch(self, cohort: int) -> bool:
        """Fill the cohort's rows with who is ready, and let them speak for a chunk."""
        for shard in self._shards:
            lanes = shard.lanes[cohort]
            for i, speaker in enumerate(lanes):
                if speaker is None and shard.ready:
                    lanes[i] = shard.ready.popleft()
            for speaking in sorted((d for d in lanes if d is not None), key=lambda d: d.ticket):
                if speaking in lanes:  # not paused meanwhile
                    shard.reserve(speaking, min(speaking.cached + self.chunk, self.context))
        height = self._gather(cohort)
        speakers = [d for shard in self._shards for d in shard.lanes[cohort][:height]]
        if not any(speakers):
            return False
        span = self._span(max(d.cached for d in speakers if d is not None) + self.chunk)
        held = self._windows.get(cohort)
        if held is None or (held.height, held.span) != (height, span):
            self._windows.pop(cohort, None)  # the old one makes room for the new
            self._windows[cohort] = Window(self.c, self.shards, height, span, self.mesh)
        window = self._windows[cohort]
        self._dispatching()
        window.bring(self._store, speakers, self._seats)
        where = blank(self.shards, height, span, self._seats)
        state = {name: np.zeros(len(speakers), np.int32) for name in ("token", "position", "active", "count", "budget")}
        keys = np.zeros((len(speakers), 2), np.uint32)
        for i, d in enumerate(speakers):
            if d is not None:
                now = (d.ids[-1], d.cached, 1, len(d.said), d.budget)
                for name, x in zip(state, now):
                    state[name][i] = x
                keys[i] = d.key
                point(where, *divmod(i, height), d)
        self._dispatching()
        told = self._decode(self._layers, self._store, window.rows, where, **state, keys=keys)
        self._store, window.rows, out = told
        flight = _Flight(cohort, speakers, out)
        for d in speakers:
            if d is not None:
                d.flight = flight
        self._flights.append(flight)
        return True

    def _gather(self, cohort: int) -> int:
        """Moves who speaks to the first rows of the cohort, where rows are many and speakers few; how many rows take part.

        Rows that were needed a chunk ago still do, so that a row more or less is no reason for another program.
        """
        needed = max(sum(d is not None for d in shard.lanes[cohort]) for shard in self._shards)
        height = next(h for h in self._heights[cohort] if h >= max(needed, self._needed[cohort]))
        self._needed[cohort] = needed
        for shard in self._shards:
            lanes = shard.lanes[cohort]
            for i in range(height, len(lanes)):
                if lanes[i] is not None:
                    free = lanes.index(None)
                    lanes[free], lanes[i] = lanes[i], None
        return height

    def _land(self, flight: _Flight) -> list[Reply]:
        """What a chunk has said; the rows of replies that ended are free."""
        late = flight.out[0].is_ready()
        ids, logps, sampled, steps, active, count = jax.device_get(flight.out)
        self._clock.landed(late)
        self.counters.steps += int(steps)
        self.counters.row_steps += int(steps) * len(flight.speakers)
        ended = []
        for i, d in enumerate(flight.speakers):
            if d is None or d.flight is not flight:
                continue  # dropped or paused meanwhile
            n = int(count[i]) - len(d.said)
            new = ids[i, :n].tolist()
            d.said += new
            d.logps += logps[i, :n].tolist()
            d.sampled_logps += sampled[i, :n].tolist()
            d.ids += new
            self._shards[d.shard].wrote(d, n)
            self.counters.sampled += n
            if not active[i]:
                self._shards[d.shard].stop(d)
                stop = "stop" if d.said[-1] in self.stops else "length"
                ended.append(Reply(d.row, d.said, d.logps, d.sampled_logps, stop))
        return ended

    def _span(self, needed: int) -> int:
        span = SPAN
        while span < needed:
            span *= 2
        return min(span, -(-self.context // PAGE) * PAGE)
