"""Rows of one policy on the device: feed new tokens, decode until replies end, keep the cache between turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from playpen_jax import model
from playpen_jax.sampler.sample import Sampling, sample, uniforms

PREFILL = 256  # tokens (lines times width) of one prefill call
PREFILL_WIDTHS = (8, 16, 32, 64, 256)  # new tokens per line and call, smallest that fits
SPAN = 128  # the cache is read up to a power of two times this


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a row sampled in one turn: ids, log-probabilities of the policy and of the sampling, why it stopped."""

    row: int
    ids: list[int]
    logps: list[float]
    sampled_logps: list[float]
    stop: str


@dataclasses.dataclass
class Counters:
    """Work done, for the metrics."""

    prefilled: int = 0
    sampled: int = 0
    steps: int = 0
    row_steps: int = 0


@dataclasses.dataclass
class _Rows:
    """Host mirror of the per-row state [B]; `token` is the newest id, not yet in the cache, which stands at `position`."""

    token: np.ndarray
    position: np.ndarray
    active: np.ndarray
    count: np.ndarray
    budget: np.ndarray
    keys: np.ndarray  # uint32 [B, 2]


class Sampler:
    """`rows` dialogues with a cache of `context` tokens each; weights come by `load`.

    A row is taken with `take`, fed with `feed` (only tokens that its cache does not hold yet), decoded with `decode`, and
    given back with `drop`. What a row draws depends on its key and its tokens alone, not on the other rows.
    """

    def __init__(self, c: model.ModelConfig, rows: int, context: int, how: Sampling, stops: tuple[int, ...], chunk: int = 4):
        self.c, self.rows, self.context, self.how, self.stops, self.chunk = c, rows, context, how, stops, chunk
        self.counters = Counters()
        self._cache = _cache_program(c, rows, context)()
        self._unstack = _unstack_program(c)
        self._free = list(range(rows))[::-1]
        self._state = _Rows(*(np.zeros(rows, np.int32) for _ in range(5)), np.zeros((rows, 2), np.uint32))
        self._pending: dict[int, list[int]] = {}
        self._drawn: dict[int, Reply] = {}
        self._layers: Any = None
        self._prefill = _prefill_program(c)
        self._decode = _decode_program(c, how, stops, chunk)

    def load(self, params: Any) -> None:
        """Use these weights from now on and count anew; rows that hold a dialogue must be dropped first."""
        if len(self._free) != self.rows:
            raise RuntimeError(f"{self.rows - len(self._free)} rows still hold a dialogue of the old weights")
        self._free = list(range(self.rows))[::-1]  # the same order at every start: resumed runs repeat to the bit
        self._layers = self._unstack(params)
        self.counters = Counters()

    def take(self) -> int | None:
        """A free row, or None."""
        if not self._free:
            return None
        row = self._free.pop()
        self._state.position[row] = self._state.active[row] = 0
        return row

    def drop(self, row: int) -> None:
        self._state.active[row] = 0
        self._pending.pop(row, None)
        self._drawn.pop(row, None)
        self._free.append(row)

    def feed(self, row: int, ids: list[int], key: tuple[int, int], max_tokens: int) -> None:
        """Append `ids` to a row and let it speak up to `max_tokens`; what it sampled last comes first by itself."""
        state = self._state
        spoken = self._drawn.get(row)
        room = self.context - int(state.position[row]) - bool(spoken) - len(ids)
        if not 0 < max_tokens <= room:
            raise ValueError(f"row {row} has room for {room} tokens after {len(ids)} new ones, not for a reply of {max_tokens}")
        self._pending[row] = ([int(state.token[row])] if spoken else []) + list(ids)
        state.keys[row], state.count[row] = key, 0
        state.budget[row] = max_tokens
        self._drawn[row] = Reply(row, [], [], [], "")

    @property
    def free(self) -> int:
        """How many rows hold no dialogue."""
        return len(self._free)

    @property
    def busy(self) -> bool:
        return bool(self._pending) or bool(self._state.active.any())

    def run(self) -> list[Reply]:
        """Prefill what was fed, decode one chunk, and return the replies that ended.

        A few new tokens wait until a call is worth while, as long as at least half of the rows in use are speaking.
        """
        waiting = sum(map(len, self._pending.values()))
        if waiting >= PREFILL // 2 or 2 * self._state.active.sum() < self.rows - len(self._free):
            self._run_prefill()
        return self._run_decode() if self._state.active.any() else []

    def _run_prefill(self) -> None:
        """All pending tokens: lines of like width share a call, so that few places are empty and few shapes compiled."""
        while self._pending:
            by_width: dict[int, list[int]] = {}
            for row, ids in self._pending.items():
                by_width.setdefault(_bucket(max(len(ids) - 1, 1), PREFILL_WIDTHS), []).append(row)
            for width, rows in by_width.items():
                height = PREFILL // width
                for i in range(0, len(rows), height):
                    self._prefill_lines(rows[i : i + height], height, width)

    def _prefill_lines(self, lines: list[int], height: int, width: int) -> None:
        """One call: the next `width` tokens of each line; the last id of a message goes through the first decode step."""
        state = self._state
        tokens = np.zeros((height, width), np.int32)
        start, length = np.zeros(height, np.int32), np.zeros(height, np.int32)
        rows = np.full(height, self.rows, np.int32)
        for i, row in enumerate(lines):
            ids = self._pending[row]
            n = min(len(ids) - 1, width)
            tokens[i, :n] = ids[:n]
            rows[i], start[i], length[i] = row, state.position[row], n
            state.position[row] += n
            self._pending[row] = ids[n:]
            if len(ids) - n == 1:
                del self._pending[row]
                state.token[row], state.active[row] = ids[-1], 1
        self.counters.prefilled += int(length.sum())
        if length.any():
            span = self._span(int((start + length).max()))
            self._cache = self._prefill(self._layers, self._cache, tokens, start, length, rows, span=span)

    def _run_decode(self) -> list[Reply]:
        state = self._state
        span = self._span(int(state.position[state.active > 0].max()) + self.chunk)
        self._cache, out = self._decode(
            self._layers,
            self._cache,
            state.token,
            state.position,
            state.active,
            state.count,
            state.budget,
            state.keys,
            span=span,
        )
        ids, logps, sampled, steps, *after = jax.device_get(out)
        before = state.count.copy()
        was_active = np.flatnonzero(state.active)
        state.token, state.position, state.active, state.count = (np.array(x) for x in after)
        self.counters.steps += int(steps)
        self.counters.row_steps += int(steps) * self.rows
        ended = []
        for row in was_active:
            n = int(state.count[row] - before[row])
            reply = self._drawn[row]
            reply.ids.extend(ids[row, :n].tolist())
            reply.logps.extend(logps[row, :n].tolist())
            reply.sampled_logps.extend(sampled[row, :n].tolist())
            self.counters.sampled += n
            if not state.active[row]:
                stop = "stop" if reply.ids[-1] in self.stops else "length"
                ended.append(dataclasses.replace(reply, stop=stop))
        return ended

    def _span(self, needed: int) -> int:
        span = SPAN
        while span < needed:
            span *= 2
        return min(span, self.context)


def _bucket(n: int, sizes: tuple[int, ...]) -> int:
    return next((size for size in sizes if n <= size), sizes[-1])


@cache
def _cache_program(c: model.ModelConfig, rows: int, context: int) -> Callable:
    return jax.jit(partial(model.empty_cache, c, rows, context))


@cache
def _unstack_program(c: model.ModelConfig) -> Callable:
    return jax.jit(partial(model.unstack, c))


@cache
def _prefill_program(c: model.ModelConfig) -> Callable:
    @partial(jax.jit, donate_argnums=1, static_argnames="span")
    def prefill(layers, cache, tokens, start, length, rows, span):
        return model.extend(c, layers, cache, tokens, start, length, rows, span)[1]

    return prefill


@cache
def _decode_program(c: model.ModelConfig, how: Sampling, stops: tuple[int, ...], chunk: int) -> Callable:
    """Up to `chunk` steps for all active rows; stops early when none is left."""

    @partial(jax.jit, donate_argnums=1, static_argnames="span")
    def decode(layers, cache, token, position, active, count, budget, keys, span):
        rows = token.shape[0]
        ends = jnp.asarray(stops, jnp.int32)
        whole, cache = cache, model.shorten(cache, span)  # cut once, not at every step

        def step(carry):
            i, cache, token, position, active, count, ids, logps, sampled = carry
            x, cache = model.extend(c, layers, cache, token[:, None], position, active, None, span)
            u = uniforms(keys, count)
            new, logp, drawn = sample(model.logits(c, layers, x[:, 0]), u, how)
            new = jnp.where(active > 0, new, token).astype(jnp.int32)
            ids = jax.lax.dynamic_update_index_in_dim(ids, new, i, 1)
            logps = jax.lax.dynamic_update_index_in_dim(logps, logp, i, 1)
            sampled = jax.lax.dynamic_update_index_in_dim(sampled, drawn, i, 1)
            position, count = position + active, count + active
            done = (new[:, None] == ends[None]).any(-1) | (count >= budget)
            return i + 1, cache, new, position, jnp.where(done, 0, active), count, ids, logps, sampled

        def more(carry):
            return (carry[0] < chunk) & (carry[4] > 0).any()

        zeros = jnp.zeros((rows, chunk), jnp.float32)
        start = (jnp.int32(0), cache, token, position, active, count, jnp.zeros((rows, chunk), jnp.int32), zeros, zeros)
        i, cache, token, position, active, count, ids, logps, sampled = jax.lax.while_loop(more, step, start)
        cache = model.put_back(whole, cache)
        return cache, (ids, logps, sampled, i, token, position, active, count)

    return decode
