"""Dialogues as ids with masks: openings, bridges, replies.

What the policy sampled is kept as sampled and never encoded again. A new message is encoded alone, as the bridge between two
replies, and appended; so the ids of a dialogue are always a prefix of the ids of its continuation.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from playpen_jax.chat.templates import TEMPLATES, Template, choose, filled
from playpen_jax.chat.tokenizers import FILES, Tokenizer, read

# {"role": "system" | "user" | "assistant", "content": text}; with "weight": 0 an assistant's is not to be learned, and messages
# with "aside": True are seen by each other alone: a message and its reply that the rest of the dialogue does not know
Message = Mapping[str, Any]


class Chat:
    """A tokenizer with a template: opening, bridges, replies."""

    def __init__(self, tokenizer: Tokenizer, template: Template = TEMPLATES["tiny"], stops: Sequence[int] = ()):
        """stops: further ids that end a reply, as the model's generation config names them."""
        self.tokenizer, self.template = tokenizer, filled(template, tokenizer)
        self.end: int = tokenizer.specials[self.template.end]
        ends = {self.end, tokenizer.specials.get(tokenizer.eos or "", self.end), *stops}
        self.stops: tuple[int, ...] = tuple(sorted(ends))
        names = sorted(tokenizer.specials, key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, names)) + ")")
        self._lead = self._blank_before_reply()

    def _blank_before_reply(self) -> str:
        """The blank with which a reply begins, since tokenizers join a blank to the word after it: " " or none."""
        *_, last, tail = ["", *self._special.split(self.template.reply)][-2:]
        if last in self.tokenizer.strips:
            tail = tail.lstrip()
        begins = self.tokenizer.blank if not tail else tail.endswith(" ")
        return " " if begins else ""

    def _encode(self, *parts: str) -> list[int]:
        """Ids of markup, message, markup, message, ..., markup; only in markup are the names of special tokens these tokens.

        The text between two special tokens is encoded at once, whoever wrote it: as the tokenizer met it in training.
        """
        pieces: list[tuple[str, bool]] = []
        for i, part in enumerate(parts):
            split = [part] if i % 2 else self._special.split(part)
            pieces += [(piece, bool(j % 2)) for j, piece in enumerate(split) if piece]
        ids: list[int] = []
        before = ""  # the special token that a text follows
        for special, group in itertools.groupby(pieces, key=lambda piece: piece[1]):
            texts = [text for text, _ in group]
            if special:
                ids += [self.tokenizer.specials[text] for text in texts]
                before = texts[-1]
            else:
                ids += self._text("".join(texts), before)
        return ids

    def _text(self, text: str, before: str) -> list[int]:
        """Ids of a text between two special tokens; it has one blank before it where the tokenizer wants one."""
        text = text.lstrip() if before in self.tokenizer.strips else text
        blank = " " if self.tokenizer.blank and text and not text.startswith(" ") else ""
        return self.tokenizer.encode(blank + text)

    def _until_reply(self, *parts: str) -> list[int]:
        """Ids up to where the policy begins to speak, its own blank left to it."""
        markup = self.template.reply
        return self._encode(*parts, markup.removesuffix(" ") if self._lead else markup)

    def _trimmed(self, text: str) -> str:
        return text.strip() if self.template.trim else text

    def opening(self, text: str, system: str | None = None) -> list[int]:
        """Ids from the very first to where the policy begins to speak."""
        t, text = self.template, self._trimmed(text)
        if system is None:
            return self._until_reply(t.first, text)
        if t.system is None:
            return self._until_reply(t.first, self._trimmed(system) + "\n\n" + text)
        return self._until_reply(t.system[0], self._trimmed(system), t.system[1], text)

    def bridge(self, text: str, closed: bool = True) -> list[int]:
        """Ids between a reply and the next one; `closed`: the reply ended with a sampled end of turn."""
        after_end = self._until_reply(self.template.end + self.template.next, self._trimmed(text))
        return after_end[1:] if closed else after_end

    def reply(self, text: str) -> list[int]:
        """Ids of a reply that somebody else wrote, its end of turn included."""
        return self.tokenizer.encode(self._lead + text) + [self.end]

    def text(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, without the end of turn."""
        ids = list(ids)
        return self.tokenizer.decode(ids[:-1] if ids and ids[-1] in self.stops else ids).removeprefix(self._lead)

    def certain(self, ids: Sequence[int]) -> str:
        """The text of a reply that goes on, as far as it stays: without a character of which only some bytes were sampled."""
        return self.tokenizer.certain(ids).removeprefix(self._lead)

    def dialogue(self, messages: Sequence[Message]) -> tuple[np.ndarray, np.ndarray]:
        """A whole dialogue without asides: ids int32 [T] and mask bool [T], True on the assistant's text and end of turn.

        Replies of the weight 0 are not in the mask. Raises `ValueError` for roles out of order. A dialogue that ends with the
        user's message is left open for a reply.
        """
        ids, mask, branches = self.tree(messages)
        if branches is not None:
            raise ValueError("exchanges aside cannot be read in one line")
        return ids, mask

    def tree(self, messages: Sequence[Message]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Like `dialogue`, with the branches of asides, as in `TokenRow`; None if there are none."""
        messages = list(messages)
        system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else None
        parts: list[tuple[list[int], bool, int]] = []  # ids, whether they are learned, branch
        begun, asides = False, 0
        for i, message in enumerate(messages):
            wanted = ("user", "assistant")[i % 2]
            if message["role"] != wanted:
                raise ValueError(f"message {i} is the {message['role']}'s, the {wanted} was to speak")
            aside = bool(message.get("aside"))
            if wanted == "assistant":
                parts.append((self.reply(message["content"]), message.get("weight", 1) != 0, asides * aside))
                begun = begun or not aside
                continue
            asides += aside
            new = self.bridge(message["content"]) if begun else self.opening(message["content"], system)
            parts.append((new, False, asides * aside))
        ids = np.asarray([i for new, _, _ in parts for i in new], np.int32)
        lengths = [len(new) for new, _, _ in parts]
        mask = np.repeat(np.asarray([learned for _, learned, _ in parts], bool), lengths)
        branches = np.repeat(np.asarray([branch for _, _, branch in parts], np.int16), lengths) if asides else None
        return ids, mask, branches


def find(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in FILES)


def load(folder: Path) -> Chat:
    """The tokenizer of a model folder (or file), with its own chat template where that keeps earlier turns, else one of ours.

    Raises `ValueError` in one line if the tokenizer cannot be read or no template fits.
    """
    tokenizer = read(folder)
    config, generation = (_json(folder / name) for name in ("config.json", "generation_config.json"))
    try:
        template = choose(tokenizer, config.get("model_type"), str(folder))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    ends = generation.get("eos_token_id", config.get("eos_token_id"))
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return Chat(tokenizer, template, [int(i) for i in ends])


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
