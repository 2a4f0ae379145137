"""The gated delta rule (arXiv 2412.06464): a memory of fixed size per head in place of keys and values.

Each head keeps a matrix S [X, Y]. A token with key k, value v, decay a and write strength b in 0 .. 1 turns it into
a S + b k (v - k^T a S)^T and reads q^T S. Whole rows go in chunks of `CHUNK` tokens, by the UT transform of the paper.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from playpen_jax.model.rows import Rows

CHUNK = 64  # tokens that are solved at once


class Steps(NamedTuple):
    """What the tokens ask of the memory, in float32; decay is the logarithm of a, at most 0."""

    q: Float[Array, "B T J X"]
    k: Float[Array, "B T J X"]
    v: Float[Array, "B T M Y"]
    decay: Float[Array, "B T M"]
    write: Float[Array, "B T M"]


def convolve(x: Float[Array, "B T J X"], taps: Float[Array, "J X W"], before: Sequence[Array]) -> Float[Array, "B T J X"]:
    """Each place as a weighted sum of itself and of its W - 1 predecessors, channel by channel; then SiLU.

    before: of every place the predecessor, the one before that, and so on: arrays like x.
    """
    weigh = lambda part, ago: part * taps[None, None, :, :, taps.shape[-1] - 1 - ago].astype(x.dtype)
    return jax.nn.silu(sum((weigh(part, ago) for ago, part in enumerate(before, 1)), weigh(x, 0)))


def after(x: Float[Array, "B T J X"], cached: Float[Array, "B Z J X"]) -> list[Float[Array, "B T J X"]]:
    """The predecessors of places that follow on the Z cached ones."""
    width, T = cached.shape[1], x.shape[1]
    whole = jnp.concatenate([cached.astype(x.dtype), x], axis=1)
    return [whole[:, width - ago : width - ago + T] for ago in range(1, width + 1)]


def within(x: Float[Array, "B T J X"], rows: Rows, count: int) -> list[Float[Array, "B T J X"]]:
    """The `count` predecessors of places in packed rows; 0 before the first one of a dialogue."""
    if rows.branches is None:  # they stand right before
        shifted = after(x, jnp.zeros((x.shape[0], count, *x.shape[2:]), x.dtype))
        ids = after(rows.segment_ids[..., None, None], jnp.full((x.shape[0], count, 1, 1), -1))
        own = rows.segment_ids[:, :, None, None]
        return [jnp.where(theirs == own, part, 0) for theirs, part in zip(ids, shifted)]
    look = lambda at: jnp.take_along_axis(x, jnp.maximum(at, 0)[:, :, None, None], axis=1)
    return [jnp.where((at >= 0)[:, :, None, None], look(at), 0) for at in rows.ancestors(count)]


def unit(x: Float[Array, "B T J X"]) -> Float[Array, "B T J X"]:
    """Each head's vector to length one, in float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def step(state: Float[Array, "B M X Y"], s: Steps) -> tuple[Float[Array, "B 1 M Y"], Float[Array, "B M X Y"]]:
    """One token of each row (T = 1): what it reads, and the memory after it."""
    q, k = (_shared(x[:, 0], s.v.shape[2]) for x in (s.q, s.k))
    state = state * jnp.exp(s.decay[:, 0])[:, :, None, None]
    news = (s.v[:, 0] - jnp.einsum("bmxy,bmx->bmy", state, k)) * s.write[:, 0, :, None]
    state = state + jnp.einsum("bmx,bmy->bmxy", k, news)
    return jnp.einsum("bmxy,bmx->bmy", state, q)[:, None], state


def run_packed(s: Steps, rows: Rows) -> Float[Array, "B T M Y"]:
    """What the tokens of packed rows read; a second branch remembers the common part, but not the first one."""
    empty = jnp.zeros((s.v.shape[0], s.v.shape[2], s.q.shape[-1], s.v.shape[-1]), jnp.float32)
    branches = rows.branches
    if branches is None:
        return run(empty, s, rows.segment_ids)[0]

    def without(branch: int) -> Array:
        """The branch's tokens neither write nor let the memory fade."""
        skip = (branches == branch)[:, :, None]
        left = s._replace(decay=jnp.where(skip, 0.0, s.decay), write=jnp.where(skip, 0.0, s.write))
        return run(empty, left, rows.segment_ids)[0]

    return jnp.where((branches == 2)[:, :, None, None], without(1), without(2))


def run(
    state: Float[Array, "B M X Y"], s: Steps, segment_ids: Int[Array, "B T"] | None = None
) -> tuple[Float[Array, "B T M Y"], Float[Array, "B M X Y"]]:
    """All tokens of each row: what they read, and the memory after the last.

    The memory is empty where a new segment begins; `state` belongs to the tokens before the first only without segments.
    """
    B, T, M, Y = s.v.shape
    short = -T % CHUNK
    cut = lambda x: jnp.moveaxis(
        jnp.pad(x, ((0, 0), (0, short)) + ((0, 0),) * (x.ndim - 2)).reshape(B, -1, CHUNK, *x.shape[2:]), 1, 0
    )
    segments = jnp.zeros((B, T), jnp.int32) if segment_ids is None else segment_ids
    chunks = Steps(*map(cut, s._replace(q=_shared(s.q, M), k=_shared(s.k, M))))
    ids = jnp.pad(segments, ((0, 0), (0, short)), mode="edge").reshape(B, -1, CHUNK).swapaxes(0, 1)
    before = jnp.concatenate([jnp.full((1, B), 0 if segment_ids is None else -1, ids.dtype), ids[:-1, :, -1]])
    state, reads = jax.lax.scan(_chunk, state, (chunks, ids, before))
    return jnp.moveaxis(reads, 0, 1).reshape(B, -1, M, Y)[:, :T], state


def _shared(x: Float[Array, "*places J X"], heads: int) -> Float[Array, "*places M X"]:
    """Queries or keys, each for its group of value heads."""
    return jnp.repeat(x, heads // x.shape[-2], axis=-2)


def _chunk(
    state: Float[Array, "B M X Y"], part: tuple[Steps, Int[Array, "B C"], Int[Array, "B"]]
) -> tuple[Float[Array, "B M X Y"], Float[Array, "B C M Y"]]:
    """CHUNK tokens: their writes depend on each other by a unit triangular system, which is solved for all at once."""
    s, ids, before = part
    q, k, v = (x.swapaxes(1, 2) for x in s[:3])  # [B, M, C, X or Y]
    write = s.write.swapaxes(1, 2)[..., None]
    total = jnp.cumsum(s.decay.swapaxes(1, 2), axis=-1)  # [B, M, C]
    same = ids[:, None, :, None] == ids[:, None, None, :]
    old = (ids == before[:, None])[:, None]  # [B, 1, C]: tokens that see the memory of the chunk before
    kept = _between(total, jnp.tril(jnp.ones((CHUNK, CHUNK), bool))[None, None] & same)
    seen = jnp.where(old, jnp.exp(total), 0.0)[..., None]
    system = jnp.einsum("bmcx,bmdx->bmcd", k * write, k) * kept
    news = jax.lax.linalg.triangular_solve(
        system,
        jnp.concatenate([v * write, k * write * seen], axis=-1),
        left_side=True,
        lower=True,
        unit_diagonal=True,
    )
    written = news[..., : v.shape[-1]] - jnp.einsum("bmcx,bmxy->bmcy", news[..., v.shape[-1] :], state)
    reads = jnp.einsum("bmcx,bmxy->bmcy", q * seen, state)
    reads = reads + jnp.einsum("bmcd,bmdy->bmcy", jnp.einsum("bmcx,bmdx->bmcd", q, k) * kept, written)
    left = kept[:, :, -1, :, None]  # what of each token's write is left at the end of the chunk
    state = state * seen[:, :, -1, :, None] + jnp.einsum("bmcx,bmcy->bmxy", k * left, written)
    return state, reads.swapaxes(1, 2)


def _between(total: Float[Array, "B M C"], where: Bool[Array, "B 1 C C"]) -> Float[Array, "B M C C"]:
    """The decay from token d to token c; 0 outside `where`, also of the gradient."""
    return jnp.exp(jnp.where(where, total[..., :, None] - total[..., None, :], -jnp.inf))
