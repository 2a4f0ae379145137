"""Dialogues to token rows: which replies carry loss, and what becomes of dialogues that are too long."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from playpen_jax.chat import Chat, Message
from playpen_jax.types import TokenRow


@dataclasses.dataclass
class Counts:
    """What became of the dialogues."""

    dialogues: int = 0
    rows: int = 0
    cut: int = 0
    dropped: int = 0
    tokens: int = 0
    tokens_cut: int = 0

    def line(self) -> str:
        lost = f"{self.cut:,} cut after a turn ({self.tokens_cut:,} tokens), {self.dropped:,} left out as too long"
        return f"{self.dialogues:,} dialogues, {self.rows:,} samples, {self.tokens:,} tokens; {lost}"


def row(ids: np.ndarray, mask: np.ndarray, branches: np.ndarray | None = None) -> TokenRow:
    """A row whose tokens nobody sampled from the policy."""
    zeros = np.zeros(len(ids), np.float32)
    return TokenRow(ids, mask, zeros, zeros, branches)


def ends(mask: np.ndarray) -> np.ndarray:
    """For each reply the place after its last token."""
    return np.flatnonzero(mask & ~np.append(mask[1:], False)) + 1


def samples(chat: Chat, messages: Sequence[Message], turns: str, length: int, too_long: str, counts: Counts) -> list[TokenRow]:
    """The token rows of one dialogue.

    turns: "all" replies in one row; "each" reply in a row of its own with all that came before; "prefixes": likewise, with loss
    on the earlier replies too; "last" reply alone. What follows the last reply is left out. A dialogue of more than `length`
    tokens is cut after the last reply that fits, or dropped.
    """
    ids, mask, branches = chat.tree(messages)
    counts.dialogues += 1
    stops = ends(mask)
    fitting = stops[stops <= length]
    if len(fitting) < len(stops):
        if too_long == "drop" or not len(fitting) or turns == "last":
            counts.dropped += 1
            return []
        counts.cut += 1
        counts.tokens_cut += int(stops[-1] - fitting[-1])
    starts = np.append(0, fitting)  # a reply's loss begins after the reply before it
    if turns == "all":
        last = fitting[-1]
        found = [row(ids[:last], mask[:last], None if branches is None else branches[:last])]
    else:
        found = []
        for begin, end in zip(starts, fitting) if turns != "last" else [(starts[-2], fitting[-1])]:
            taught = mask[:end].copy()
            if turns != "prefixes":
                taught[:begin] = False
            seen = slice(None) if branches is None else np.isin(branches[:end], (0, branches[end - 1]))
            found.append(row(ids[:end][seen], taught[seen]))
    counts.rows += len(found)
    counts.tokens += sum(len(each.ids) for each in found)
    return found
