"""Preferences: pairs of dialogues, or of turns, from plays of the same instance and role; and their token rows."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from playpen_jax.chat import Chat, Message
from playpen_jax.data.read import Dialogue, Pair, Row
from playpen_jax.data.rows import ends
from playpen_jax.data.select import game_of, instance_of
from playpen_jax.types import TokenRow


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which pairs are made: "dialogue", "turn" or "first" moves; negatives for each positive (0: all), of which outcomes."""

    level: str = "dialogue"
    negatives: int = 1
    kinds: tuple[str, ...] = ("failure", "aborted")
    per_game: int = 0
    seed: int = 0


def make(rows: Sequence[Row], wanted: Wanted) -> tuple[list[Pair], dict[str, Any]]:
    """Pairs of a success against a play of the same instance and role that was none, and how many successes found none.

    Pairs that were given as such stay as they are.
    """
    given = [row for row in rows if isinstance(row, Pair)]
    plays: dict[tuple, dict[bool, list[Dialogue]]] = defaultdict(lambda: {True: [], False: []})
    for row in rows:
        outcome = row.meta.get("outcome")
        if isinstance(row, Dialogue) and (outcome == "success" or outcome in wanted.kinds):
            plays[instance_of(row)][outcome == "success"].append(row)
    found, alone = list(given), 0
    for key in sorted(plays):
        index = _by_history(plays[key][False], wanted.level)
        for positive in plays[key][True]:
            pairs = _of(positive, index, wanted)
            alone += not pairs
            found += pairs
    found = list({_digest(pair): pair for pair in reversed(found)}.values())[::-1]  # of the same ones the first
    kept = _cap(found, wanted)
    account = {"given": len(given), "successes_without_a_pair": alone, "made": len(found), "kept": len(kept)}
    return kept, account | {"kept_by_game": dict(Counter(map(game_of, kept)))}


def _digest(pair: Pair) -> str:
    return json.dumps((pair.prompt, pair.chosen, pair.rejected))


Messages = tuple[Message, ...]


def _moves(row: Dialogue, level: str) -> Iterator[tuple[Messages, Messages]]:
    """What of a play may be one side of a pair: history, and the reply to it, or by level all from the first reply on.

    The reply to an aside follows on what was known then; whole dialogues have no asides.
    """
    history: Messages = ()
    plain = tuple(message for message in row.messages if not message.get("aside"))
    for i, message in enumerate(row.messages):
        aside = {"role": "user", "content": row.messages[i - 1]["content"]} if message.get("aside") else None
        if message["role"] == "assistant" and message.get("weight", 1) and (level == "turn" or not aside):
            said = {"role": "assistant", "content": message["content"]}
            yield ((*history, aside) if aside else history), plain[len(history) :] if level == "dialogue" else (said,)
            if level != "turn":
                return
        if not message.get("aside"):
            history = (*history, message)


def _by_history(rows: Iterable[Dialogue], level: str) -> dict[str, list[tuple[Dialogue, Messages]]]:
    """History -> the plays that have it, with what follows there."""
    index: dict[str, list[tuple[Dialogue, Messages]]] = defaultdict(list)
    for row in rows:
        for history, rest in _moves(row, level):
            index[json.dumps(history)].append((row, rest))
    return index


def _of(positive: Dialogue, index: dict[str, list[tuple[Dialogue, Messages]]], wanted: Wanted) -> list[Pair]:
    """The pairs of one success: whole dialogues from their first reply on, or single turns."""
    found = []
    for history, chosen in _moves(positive, wanted.level):
        others: list[tuple[Messages, Dialogue]] = []
        for row, rejected in index.get(json.dumps(history), ()):
            if rejected != chosen and rejected not in [o for o, _ in others]:
                others.append((rejected, row))
        if wanted.negatives and len(others) > wanted.negatives:
            rng = random.Random(f"{wanted.seed}/{positive.where}/{len(history)}")
            others = rng.sample(others, wanted.negatives)
        for rejected, row in others:
            meta = dict(positive.meta) | {"rejected": {k: row.meta.get(k) for k in ("model", "outcome", "score")}}
            found.append(Pair(history, chosen, rejected, meta, f"{positive.where} and {row.where}"))
    return found


def _cap(pairs: list[Pair], wanted: Wanted) -> list[Pair]:
    if not wanted.per_game:
        return pairs
    games: dict[str, list[int]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        games[game_of(pair)].append(i)
    kept: set[int] = set()
    for game, places in games.items():
        most = min(wanted.per_game, len(places))
        kept.update(random.Random(f"{wanted.seed}/{game}").sample(places, most))
    return [pair for i, pair in enumerate(pairs) if i in kept]


# ---------------------------------------------------------------------------------------------- token rows


Side = tuple[np.ndarray, np.ndarray]  # ids and mask of a dialogue


def row(chosen: Side, rejected: Side, shared: bool = True) -> TokenRow | None:
    """Two dialogues as one row: what they share once (unless not `shared`), then the rest of each; None if both are the same.

    The last shared token, the last before a reply of the learner, begins both branches: so each predicts its next token from
    its own places. Raises `ValueError` if the sides share nothing.
    """
    (a, a_mask), (b, b_mask) = chosen, rejected
    n = min(len(a), len(b))
    same = (a[:n] == b[:n]) & (a_mask[:n] == b_mask[:n])
    if same.all() and len(a) == len(b):
        return None
    common = n if same.all() else int(np.argmin(same))
    outside = np.flatnonzero(~a_mask[:common])
    if not len(outside):
        raise ValueError("chosen and rejected share no message")
    trunk = int(outside[-1]) if shared else 0  # the first place of both branches
    ids, mask = (np.concatenate([x[:trunk], x[trunk:], y[trunk:]]) for x, y in ((a, b), (a_mask, b_mask)))
    branches = np.repeat(np.array([0, 1, 2], np.int8), [trunk, len(a) - trunk, len(b) - trunk])
    zeros = np.zeros(len(ids), np.float32)
    return TokenRow(ids.astype(np.int32), mask, zeros, zeros, branches)


@dataclasses.dataclass
class Counts:
    """What became of the pairs."""

    pairs: int = 0
    rows: int = 0
    cut: int = 0
    dropped: int = 0
    tokens: int = 0
    tokens_shared: int = 0

    def line(self) -> str:
        return (
            f"{self.pairs:,} pairs, {self.rows:,} rows, {self.tokens:,} tokens, {self.tokens_shared:,} more without sharing; "
            f"{self.cut:,} cut after a turn, {self.dropped:,} left out as too long"
        )


def token_row(chat: Chat, pair: Pair, length: int, too_long: str, counts: Counts, shared: bool = True) -> TokenRow | None:
    """The row of a pair; only what follows its prompt is learned from.

    None, and counted, if it has more than `length` tokens and may not, or cannot, be cut after earlier turns of its sides.
    """
    counts.pairs += 1
    start = len(chat.dialogue(pair.prompt)[0])
    sides = [_side(chat, pair.prompt, side, start) for side in (pair.chosen, pair.rejected)]
    whole, found = sum(len(ids) for ids, _ in sides), row(sides[0], sides[1], shared)
    while found is not None and len(found.ids) > length:
        order = sorted((0, 1), key=lambda i: -len(sides[i][0]))  # the longer side is cut first
        i = next((i for i in order if too_long == "cut" and len(ends(sides[i][1])) > 1), None)
        if i is None:
            found = None
            break
        end = ends(sides[i][1])[-2]
        ids, mask = sides[i]
        sides[i] = ids[:end], mask[:end]
        found = row(sides[0], sides[1], shared)
    if found is None:
        counts.dropped += 1
        return None
    tokens = sum(len(ids) for ids, _ in sides)
    counts.cut += tokens < whole
    counts.rows += 1
    counts.tokens += len(found.ids)
    counts.tokens_shared += tokens - len(found.ids)
    return found


def _side(chat: Chat, prompt: Sequence[Message], side: Sequence[Message], start: int) -> Side:
    """Ids and mask of one side up to its last reply; the replies of the prompt are not learned from."""
    ids, mask = chat.dialogue((*prompt, *side))
    mask = mask.copy()
    mask[:start] = False
    end = ends(mask)[-1]
    return ids[:end], mask[:end]
