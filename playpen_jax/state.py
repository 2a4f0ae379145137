"""What an update learns from, and what it changes."""

from __future__ import annotations

import dataclasses
from typing import Any, no_type_check

import jax
from jaxtyping import Array, Float, Int


@no_type_check  # the fields may be shapes, shardings or a stack of batches as well
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Packed rows for one update; every field describes the token at its own place, not the next one.

    mask is 1 on learner tokens, 0 elsewhere; advantages and logps (of the sampler) are 0 outside it.
    segment_ids count the dialogues in a row from 1; 0 is padding. branches: as in `TokenRow`; None: no dialogue has any.
    weights: by what each token's loss is multiplied before all are summed; None: the mean over the mask. old: log-probabilities
    of the learner before the first of several updates.
    """

    tokens: Int[Array, "B T"]
    positions: Int[Array, "B T"]
    segment_ids: Int[Array, "B T"]
    mask: Float[Array, "B T"]
    advantages: Float[Array, "B T"]
    logps: Float[Array, "B T"]
    branches: Int[Array, "B T"] | None = None
    weights: Float[Array, "B T"] | None = None
    old: Float[Array, "B T"] | None = None


@no_type_check  # the fields may be shapes, shardings or a stack of batches as well
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that an update changes: weights, optimizer state, number of updates made; a reference that follows the weights."""

    params: Any
    opt_state: Any
    step: Int[Array, ""]
    reference: Any = None
