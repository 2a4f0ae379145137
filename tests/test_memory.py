"""What a compiled update needs of memory: never all logits at once, and less the more a layer computes again."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from playpen_jax import model, update
from playpen_jax.losses import sft
from playpen_jax.state import Batch

C = model.ModelConfig("llama", vocab=248_000, dim=16, layers=2, heads=2, kv_heads=1, head_dim=8, mlp=32)


def temporary(c: model.ModelConfig, rows: int, length: int, micro: int = 1) -> int:
    """Bytes that the compiled gradient needs beside its arguments and results."""
    shape = lambda dtype: jax.ShapeDtypeStruct((micro, rows, length), dtype)
    ints, floats = ("tokens", "positions", "segment_ids"), ("mask", "advantages", "logps")
    batch = Batch(**dict.fromkeys(ints, shape(jnp.int32)), **dict.fromkeys(floats, shape(jnp.float32)))
    run = lambda params, batch: update.gradients(c, lambda b, logps, ref: sft.loss(b, logps), params, None, batch, micro)[0]
    return jax.jit(run).lower(model.abstract(c), batch).compile().memory_analysis().temp_size_in_bytes


def test_no_array_of_all_logits_is_ever_there():
    """1024 places of a vocabulary of 248,000 are 1.0 GB of logits; a chunk of 128 of them is 127 MB."""
    whole = 2 * 512 * C.vocab * 4
    table = C.vocab * C.dim * 4  # a gradient of the embedding
    assert 4 * table < whole
    short, long = temporary(C, 2, 256), temporary(C, 2, 512)
    assert long < whole
    assert long - short < whole / 20, "memory must not grow with the length by the vocabulary"


@pytest.mark.slow
def test_micro_batches_and_recomputation_save_memory():
    c = dataclasses.replace(C, vocab=64, dim=64, layers=8, kinds=(), heads=4, head_dim=16, mlp=256)
    kept = {remat: temporary(dataclasses.replace(c, remat=remat), 8, 256) for remat in ("all", "dots", "none")}
    assert kept["all"] < 0.7 * kept["dots"] < 0.7 * kept["none"]
    assert temporary(c, 8, 256, micro=4) < 1.2 * temporary(c, 8, 256)


@pytest.mark.parametrize("remat", ["all", "dots"])
def test_the_way_there_keeps_no_copy_of_the_weights(remat):
    """Of what the scan over layers hands to the way back nothing is as large as the smallest matrix of all layers."""
    c = dataclasses.replace(C, vocab=64, dim=64, layers=8, kinds=(), mlp=64, remat=remat)
    ids = jax.ShapeDtypeStruct((1, 4), jnp.int32)
    run = lambda params, ids: model.hidden(c, params, ids, ids, ids).sum()
    program = jax.make_jaxpr(jax.grad(run))(model.abstract(c), ids)
    there = next(each for each in program.eqns if each.primitive.name == "scan")
    kept = [x.aval for x in there.outvars[there.params["num_carry"] :]]
    assert kept and max(x.size for x in kept) < c.layers * c.dim * c.head_dim
