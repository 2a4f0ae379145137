"""Frozen projections in few bits, by qwix: int8 with a scale per output, nf4 (arXiv 2305.14314) with a scale per block."""

import math
from typing import Any

import jax
import jax.numpy as jnp

# the projections that may be kept so, and beside which an adapter can stand; and how many axes each of them reads
PROJECTIONS = dict.fromkeys(("q", "k", "v", "q_gate", "gate", "up", "down"), 1) | {"o": 2, "delta_o": 2}
PROJECTIONS |= dict.fromkeys(("delta_q", "delta_k", "delta_v", "delta_gate", "delta_write", "delta_decay"), 1)
BLOCK = 64  # inputs that share a scale in nf4


def is_quantised(w: Any) -> bool:
    return hasattr(w, "qvalue")


def quantise(kind: str | None, name: str, w: jax.Array) -> Any:
    """A stack of layers [L, inputs, outputs] of one weight in `kind` (None: as it is), if it is a projection."""
    if kind is None or name not in PROJECTIONS:
        return w
    import qwix  # the extra `quant`

    last = PROJECTIONS[name]  # the innermost axis that it reads
    reads = range(1, last + 1)
    if kind == "int8":
        return qwix.quantize(w, jnp.int8, channelwise_axes=[i for i in range(w.ndim) if i not in reads])
    block = math.gcd(BLOCK, w.shape[last])
    return qwix.quantize(w, kind, channelwise_axes=[i for i in range(w.ndim) if i != last], tiled_axes={last: block})


def dense(w: Any, dtype: Any) -> jax.Array:
    """A weight in the computing type, whatever it is kept in."""
    if not is_quantised(w):
        return w.astype(dtype)
    import qwix  # it made the weight

    return qwix.dequantize(w.astype(dtype))
