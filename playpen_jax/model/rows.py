"""What tells the tokens of packed rows apart."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


class Rows(NamedTuple):
    """Packed rows: a token belongs to a segment, and perhaps to a branch of it; 0 is what all branches may follow.

    `parents`, of layers with a state, know but two branches, one after the other at the end.
    """

    segment_ids: Int[Array, "B T"]
    branches: Int[Array, "B T"] | None
    positions: Int[Array, "B T"]

    def parents(self) -> Int[Array, "B T"]:
        """The place of the token before each in its dialogue; -1 before the first. Branch 2 follows on the common part."""
        at = jnp.broadcast_to(jnp.arange(self.segment_ids.shape[1])[None], self.segment_ids.shape)
        before = lambda x, fill: jnp.pad(x[:, :-1], ((0, 0), (1, 0)), constant_values=fill)
        first = self.segment_ids != before(self.segment_ids, -1)
        parents = jnp.where(first, -1, at - 1)
        if self.branches is None:
            return parents
        starts = jax.lax.cummax(jnp.where(first, at, 0), axis=1)
        back = (self.branches == 2) & ((before(self.branches, -1) != 2) | first)
        return jnp.where(back, jnp.where(self.positions > 0, starts + self.positions - 1, -1), parents)

    def ancestors(self, count: int) -> list[Int[Array, "B T"]]:
        """The parents, their parents and so on."""
        parents, found = self.parents(), []
        at = parents
        for _ in range(count):
            found.append(at)
            at = jnp.where(at < 0, -1, jnp.take_along_axis(parents, jnp.maximum(at, 0), axis=1))
        return found
