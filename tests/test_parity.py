"""Every family live against transformers on torch: `pip install -e '.[test,parity]' && pytest -m slow tests/test_parity.py`.

Logits at lengths beyond the window, 64 greedy tokens through both caches, and the same again after an export that
transformers has read.
"""

from __future__ import annotations

import numpy as np
import pytest

from playpen_jax import adapters, hf, model
from playpen_jax.policy import Policy
from tests import tiny_models
from tests.test_adapters import adapted
from tests.test_families import greedy
from tests.test_families import logits as our_logits

pytest.importorskip("torch", reason="the extra `parity`")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # those of torch are not ours
]


ONE_EACH = {family: name for name, (family, _) in tiny_models.MODELS.items()}  # the golden files hold the others


@pytest.mark.parametrize("name", ONE_EACH.values(), ids=ONE_EACH)
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


@pytest.mark.parametrize("length", [100, 128, 129, 200])
@pytest.mark.parametrize("name", ["llama_dynamic_rope", "phi3_long"])
def test_rotary_scaling_by_length_is_that_of_transformers_below_and_beyond_the_original_context(name, length, tmp_path):
    """Of 128 tokens. Replies are compared where no key was turned by other frequencies before: those of longrope."""
    from tests import make_golden as torches

    theirs, _ = torches.build(name, tmp_path)
    c, params = hf.load(tmp_path)
    tokens = np.random.default_rng(1).integers(1, c.vocab, (2, length)).astype(np.int32)
    wanted = torches.logits(theirs, tokens)
    assert np.abs(Policy(c, params).logits(tokens) - wanted).max() < 1e-4 * np.abs(wanted).max()
    if length > 128:
        assert np.abs(our_logits(c, params, tokens) - wanted).max() > 1e-2 * np.abs(wanted).max()
    if name == "phi3_long" and length != 128:
        wanted = torches.greedy(theirs, tokens[0], 24).tolist()
        assert greedy(c, params, tokens[0].tolist(), 24, context=length + 24) == wanted


@pytest.mark.parametrize("name", ["llama_tied", "phi3", "qwen3_5"])
def test_peft_computes_the_same_with_our_adapters_and_we_with_what_it_writes(name, tmp_path):
    peft = pytest.importorskip("peft", reason="the extra `parity`")
    from tests import make_golden as torches

    theirs, _ = torches.build(name, tmp_path / "theirs")
    plain, params = hf.load(tmp_path / "theirs")
    c, both = adapted(plain, params)
    tokens = np.random.default_rng(1).integers(1, c.vocab, (2, 20)).astype(np.int32)
    ours = our_logits(c, both, tokens)
    adapters.save(tmp_path / "ours", c, both, str(tmp_path / "theirs"))
    loaded = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours").eval()
    assert np.abs(ours - torches.logits(loaded, tokens)).max() < 1e-4 * np.abs(ours).max()
    loaded.save_pretrained(tmp_path / "again")
    again, trained = adapters.load(tmp_path / "again", plain)
    assert again == c
    np.testing.assert_allclose(our_logits(c, model.join(trained, params), tokens), ours, rtol=1e-4, atol=1e-4)
