"""Dialogues with their masks in colour: every token once, in runs of one advantage, and no text bends the page."""

from __future__ import annotations

import numpy as np

from playpen_jax import masks
from playpen_jax.types import TokenRow


def row(text: str, mask: str) -> TokenRow:
    ids, said = np.array([ord(c) for c in text], np.int32), np.array([c == "x" for c in mask])
    zeros = np.zeros(len(ids), np.float32)
    return TokenRow(ids, said, zeros, zeros)


def read(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def test_runs_of_tokens_by_hand():
    values = np.array([0, 0, 1.5, 1.5, 0, 0.0, -0.5])
    found = masks.pieces(row("abcdefg", "..xx.xx"), values, read)
    assert found == [("ab", None), ("cd", 1.5), ("e", None), ("f", 0.0), ("g", -0.5)]
    assert masks.pieces(row("abc", ".xx"), 2.0, read) == [("a", None), ("bc", 2.0)]


def test_the_page_shows_the_learners_tokens_in_colour_and_escapes_all():
    pieces = [["<b>asked</b>\u202e", None], ["said", 1.25], ["<i>", -0.5], ["even", 0.0]]
    page = masks.section([{"game": "toy", "seat": "<left>", "reward": 0.5, "pieces": pieces}], 7)
    assert '<mark class="for" style="--how:50%" title="advantage +1.25">said</mark>' in page
    assert 'class="against"' in page and 'class="even"' in page and "step 7" in page
    assert "<b>asked" not in page and "<i>" not in page and "\u202e" not in page and "&lt;left&gt;" in page
    assert page.count("<mark") == 3
    assert masks.section([], 7) == ""
