"""Dialogues as the loss saw them: the learner's tokens in colour, by their advantage, everything else grey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from playpen_jax.transcript import clean
from playpen_jax.types import TokenRow

STYLE = """
.mask{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;color:var(--soft)}
.mask mark{color:var(--ink);border-radius:3px;padding:1px 0;background:color-mix(in srgb,var(--is) var(--how),transparent)}
.mask .for{--is:var(--s2)}.mask .against{--is:var(--s4)}.mask .even{--is:var(--s6)}
"""
PIECES = 200  # runs of tokens that are shown of a dialogue


def pieces(row: TokenRow, values: np.ndarray | float, text) -> list[tuple[str, float | None]]:
    """Runs of tokens with the same advantage as (text, advantage), None for those outside the loss; `text`: ids -> text."""
    shown = np.where(row.mask, np.broadcast_to(values, row.mask.shape), np.nan)
    same = np.isnan(shown[1:]) & np.isnan(shown[:-1]) | (shown[1:] == shown[:-1])
    starts = [0, *(np.flatnonzero(~same) + 1).tolist()]
    ends = [*starts[1:], len(shown)]
    return [(text(row.ids[a:b].tolist()), None if np.isnan(shown[a]) else float(shown[a])) for a, b in zip(starts, ends)]


def dialogue_html(sample: Mapping[str, Any]) -> str:
    """One dialogue (game, seat, reward, pieces) on a card."""
    parts = []
    for text, advantage in sample["pieces"][:PIECES]:
        if advantage is None:
            parts.append(clean(text))
            continue
        kind = "for" if advantage > 0 else "against" if advantage < 0 else "even"
        how = f"{12 + 30 * min(abs(advantage), 2):.0f}%"
        parts.append(f'<mark class="{kind}" style="--how:{how}" title="advantage {advantage:+.3g}">{clean(text)}</mark>')
    names = f"<b>{clean(sample['game'], 60)}</b> <span>{clean(sample['seat'], 60)}</span>"
    head = f"<summary>{names} <span>reward {sample['reward']:.3g}</span></summary>"
    return f'<details class="card sample">{head}<div class="mask" dir="auto">{"".join(parts)}</div></details>'


def section(samples: Sequence[Mapping[str, Any]], step: int) -> str:
    """The part of the report; empty if there is nothing to show."""
    if not samples:
        return ""
    colours = "green where they were made likelier, red where less likely"
    note = f"From step {step}: in colour the tokens that the loss was taken of, {colours}."
    return f'<p class="soft">{note}</p>' + "".join(dialogue_html(sample) for sample in samples)
