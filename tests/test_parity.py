"""Every family live against transformers on torch: `pip install -e '.[test,parity]' && pytest -m slow tests/test_parity.py`.

Logits at lengths beyond the window, 64 greedy tokens through both caches, and the same again after an export that
transformers has read.
"""

from __future__ import annotations

import numpy as np
import pytest

from playpen_jax import hf
from tests import tiny_models
from tests.test_families import greedy
from tests.test_families import logits as our_logits

pytest.importorskip("torch", reason="the extra `parity`")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # those of torch are not ours
]


@pytest.mark.parametrize("name", sorted(tiny_models.MODELS))
def test_transformers_computes_the_same_before_and_after_an_export(name, tmp_path):
    from tests import make_golden as torches

    theirs, _ = torches.build(name, tmp_path / "theirs")
    c, params = hf.load(tmp_path / "theirs")
    tokens = np.random.default_rng(1).integers(1, c.vocab, (2, 75)).astype(np.int32)
    assert tokens.shape[1] > 2 * c.window
    wanted = torches.logits(theirs, tokens)
    assert np.abs(our_logits(c, params, tokens) - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert greedy(c, params, tokens[0, :9].tolist(), 64) == torches.greedy(theirs, tokens[0, :9], 64).tolist()
    hf.save(tmp_path / "ours", c, params)
    np.testing.assert_array_equal(torches.logits(torches.load(tmp_path / "ours"), tokens), wanted)
