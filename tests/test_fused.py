"""The kernels' attention against the plain one; splash attention runs in Pallas' interpreter, cuDNN's through XLA."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax.model import fused
from playpen_jax.model.attention import attend_packed

T, SCALE = 128, 0.3
SEGMENTS = np.repeat([[1] * 50 + [2] * 60 + [0] * 18, [1] * 128], 1, axis=0).astype(np.int32)


def rows(dtype=np.float32) -> tuple:
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=(2, T, n, 16)), dtype) for n in (4, 2, 2))


def both(kernel: fused.Kernel, window: int | None, cap: float | None) -> tuple:
    """Values and gradients of a sum over the real tokens, of the kernel and of the plain way."""
    real = jnp.asarray(SEGMENTS > 0, jnp.float32)[:, :, None, None]
    plain = lambda q, k, v, ids: attend_packed(q, k, v, ids, window=window, scale=SCALE, cap=cap)
    weigh = lambda run: lambda qkv: (jnp.sin(run(*qkv, SEGMENTS) * 3) * real).sum()
    return tuple(jax.jit(jax.value_and_grad(weigh(run)))(rows()) for run in (kernel, plain))


@pytest.mark.parametrize("window, cap", [(None, None), (20, 5.0)])
def test_splash_attention_gives_the_same_numbers(window, cap):
    found, wanted = both(fused.splash(window, SCALE, cap, interpret=True), window, cap)
    assert float(found[0]) == pytest.approx(float(wanted[0]), rel=1e-4)
    for a, b in zip(found[1], wanted[1]):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("window", [None, 20])
def test_what_cudnn_is_asked_for_is_the_same_attention(window):
    found, wanted = both(fused.cudnn(window, SCALE, implementation="xla"), window, None)
    assert float(found[0]) == pytest.approx(float(wanted[0]), rel=1e-4)
    for a, b in zip(found[1], wanted[1]):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_rows_that_a_kernel_does_not_take_go_the_plain_way():
    q = rows(jnp.bfloat16)[0]
    assert fused.fits("splash", q, 5.0) and fused.fits("cudnn", q, None)
    assert not fused.fits("splash", q[:, :100], None)
    assert not fused.fits("cudnn", q, 5.0) and not fused.fits("cudnn", q.astype(jnp.float32), None)
