"""Attention without whole matrices of scores, by kernels of the platform; the same numbers as `attend_packed` up to rounding.

Splash attention (Pallas) on TPUs, cuDNN on NVIDIA GPUs. Both work on the rows and heads that one device holds.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from playpen_jax import sharding

LANES = 128  # places of a row that a kernel takes at a time, at least
BLOCK = 512  # of queries, and of keys, that splash attention takes at a time, at most
CUDNN_HEAD = 256  # the largest head size that cuDNN takes

Kernel = Callable[
    [Float[Array, "B T N H"], Float[Array, "B T K H"], Float[Array, "B T K H"], Int[Array, "B T"]], Float[Array, "B T N H"]
]


def splash(window: int | None, scale: float, cap: float | None, interpret: bool = False) -> Kernel:
    """Splash attention with segments; rows must be a multiple of `LANES` long. interpret: run it without a TPU."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels  # compiles for TPUs only
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    def run(q: Array, k: Array, v: Array, segment_ids: Array) -> Array:
        T, N = q.shape[1:3]
        mask = masks.CausalMask((T, T)) if window is None else masks.LocalMask((T, T), (window - 1, 0), 0)
        block = next(size for size in (BLOCK, BLOCK // 2, LANES) if T % size == 0)
        names = ("block_q", "block_kv", "block_q_dkv", "block_kv_dkv", "block_q_dq", "block_kv_dq")
        sizes: dict[str, Any] = dict.fromkeys(names, block)
        kernel = kernels.make_splash_mha(
            mask=masks.MultiHeadMask([mask] * N),
            block_sizes=kernels.BlockSizes(**sizes),
            attn_logits_soft_cap=cap,
            head_shards=1,
            q_seq_shards=1,
            interpret=interpret,
        )
        heads = lambda x: x.swapaxes(1, 2)
        each = jax.vmap(lambda q, k, v, ids: kernel(q, k, v, kernels.SegmentIds(ids, ids)))
        return heads(each(heads((q * scale).astype(q.dtype)), heads(k), heads(v), segment_ids))

    return run


def cudnn(window: int | None, scale: float, implementation: Literal["cudnn", "xla"] = "cudnn") -> Kernel:
    """cuDNN's attention under a mask of segments; 16-bit numbers, and rows of a multiple of `LANES` places."""

    def run(q: Array, k: Array, v: Array, segment_ids: Array) -> Array:
        mask = (segment_ids[:, :, None] == segment_ids[:, None])[:, None]
        local = None if window is None else (window - 1, 0)
        return jax.nn.dot_product_attention(
            q, k, v, mask=mask, scale=scale, is_causal=True, local_window_size=local, implementation=implementation
        )

    return run


def fits(kind: str, q: Array, cap: float | None) -> bool:
    """Whether a kernel takes such rows; where it does not, the plain way is taken."""
    if q.shape[1] % LANES:
        return False
    if kind == "cudnn":
        return q.dtype == jnp.bfloat16 and cap is None and q.shape[-1] % 8 == 0 and q.shape[-1] <= CUDNN_HEAD
    return True


def on_shards(kernel: Kernel) -> Kernel:
    """The kernel on every device of the mesh that the update has set, each with its own rows and heads."""

    def run(q: Array, k: Array, v: Array, segment_ids: Array) -> Array:
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty:
            return kernel(q, k, v, segment_ids)
        place = lambda axis, x: sharding.spec(("batch", None, axis, None), x.shape, mesh)
        keys = place("kv_heads", k)
        queries = place("heads", q) if keys[2] else PartitionSpec(keys[0], None, None, None)  # groups stay together
        specs = (queries, keys, keys, PartitionSpec(keys[0], None))
        return jax.shard_map(kernel, mesh=mesh, in_specs=specs, out_specs=queries, check_vma=False)(q, k, v, segment_ids)

    return run
