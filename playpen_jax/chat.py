"""Messages to tokens and back, with masks: the one place where ids, mask and text meet.

What the policy sampled is kept as sampled and never encoded again. A new message is encoded alone, as the bridge between two
replies, and appended; so the ids of a dialogue are always a prefix of the ids of its continuation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


class Tokenizer(Protocol):
    """What the house needs of a tokenizer; `encode` never makes special tokens out of text."""

    size: int

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def special(self, piece: str) -> int | None: ...


class ByteTokenizer:
    """A tiny test double: one id per byte, special tokens above them."""

    def __init__(self, specials: Sequence[str] = ("<pad>", "<bos>", "<eos>", "<|user|>", "<|assistant|>")):
        self._specials = {piece: 256 + i for i, piece in enumerate(specials)}
        self.size = 256 + len(specials)

    def encode(self, text: str) -> list[int]:
        return list(clean(text).encode("utf-8"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if 0 <= i < 256).decode("utf-8", errors="replace")

    def special(self, piece: str) -> int | None:
        return self._specials.get(piece)


class SentencePiece:
    """A sentencepiece model; its control symbols are the special tokens."""

    def __init__(self, model: bytes | str | Path):
        import sentencepiece  # only for models of this kind

        data = model if isinstance(model, bytes) else Path(model).read_bytes()
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=data)
        except RuntimeError as error:  # sentencepiece's only way to say that the bytes are no model
            raise ValueError(f"{'tokenizer' if isinstance(model, bytes) else model}: not a sentencepiece model") from error
        self.serialized = data
        self.size = self._model.get_piece_size()
        # sentencepiece writes a blank as this sign; the sign itself survives only as bytes
        self._blank = [self._model.piece_to_id(f"<0x{byte:02X}>") for byte in "\u2581".encode()]

    def encode(self, text: str) -> list[int]:
        first, *others = (self._model.encode(part) for part in clean(text).split("\u2581"))
        return first + [i for part in others for i in (*self._blank, *part)]

    def decode(self, ids: Sequence[int]) -> str:
        """Ids that the tokenizer does not have, as models with a padded vocabulary sample them, stand for no text."""
        return self._model.decode([int(i) for i in ids if i < self.size])

    def special(self, piece: str) -> int | None:
        i = self._model.piece_to_id(piece)
        return i if self._model.is_control(i) and self._model.id_to_piece(i) == piece else None


def clean(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates become '?'."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


@dataclasses.dataclass(frozen=True)
class Template:
    """How a family writes a dialogue: pieces before and after each message; `end` closes the policy's turn.

    A piece that is a special token of the tokenizer becomes its id, any other piece is encoded as text.
    """

    name: str
    start: tuple[str, ...]
    user: tuple[tuple[str, ...], tuple[str, ...]]
    assistant: tuple[str, ...]
    end: str
    system: tuple[tuple[str, ...], tuple[str, ...]] | None = None  # None: folded into the first user message
    after_end: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()


TEMPLATES = {
    "tiny": Template("tiny", ("<bos>",), (("<|user|>",), ()), ("<|assistant|>",), "<eos>"),
}


class Chat:
    """A tokenizer with a template: opening, bridges, replies."""

    def __init__(self, tokenizer: Tokenizer, template: Template = TEMPLATES["tiny"]):
        self.tokenizer, self.template = tokenizer, template
        end = tokenizer.special(template.end)
        if end is None:
            raise ValueError(f"chat template {template.name!r}: the tokenizer has no token {template.end!r}")
        self.end: int = end
        others = (tokenizer.special(piece) for piece in template.stops)
        self.stops: tuple[int, ...] = tuple(sorted({end, *(i for i in others if i is not None)}))
        self._start = self._pieces(template.start)
        self._assistant = self._pieces(template.assistant)
        self._after_end = self._pieces(template.after_end)

    def _pieces(self, pieces: Sequence[str]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            special = self.tokenizer.special(piece)
            ids += self.tokenizer.encode(piece) if special is None else [special]
        return ids

    def _message(self, role: str, text: str) -> list[int]:
        before, after = self.template.system if role == "system" and self.template.system else self.template.user
        return self._pieces(before) + self.tokenizer.encode(text) + self._pieces(after)

    def opening(self, text: str, system: str | None = None) -> list[int]:
        """Ids from the very first to where the policy begins to speak."""
        head: list[int] = []
        if system is not None and self.template.system is None:
            text = system + "\n\n" + text
        elif system is not None:
            head = self._message("system", system)
        return self._start + head + self._message("user", text) + self._assistant

    def bridge(self, text: str, closed: bool = True) -> list[int]:
        """Ids between a reply and the next one; `closed`: the reply ended with a sampled end of turn."""
        end = [] if closed else [self.end]
        return end + self._after_end + self._message("user", text) + self._assistant

    def reply(self, text: str) -> list[int]:
        """Ids of a reply that somebody else wrote, its end of turn included."""
        return self.tokenizer.encode(text) + [self.end]

    def text(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, without the end of turn."""
        ids = list(ids)
        return self.tokenizer.decode(ids[:-1] if ids and ids[-1] in self.stops else ids)

    def dialogue(self, messages: Sequence[Message]) -> tuple[np.ndarray, np.ndarray]:
        """A whole dialogue: ids int32 [T] and mask bool [T], True on the assistant's text and its end of turn.

        Raises `ValueError` for roles out of order. A dialogue that ends with the user's message is left open for a reply.
        """
        messages = list(messages)
        system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else None
        ids: list[int] = []
        mask: list[bool] = []
        for i, message in enumerate(messages):
            wanted = ("user", "assistant")[i % 2]
            if message["role"] != wanted:
                raise ValueError(f"message {i} is the {message['role']}'s, the {wanted} was to speak")
            if wanted == "assistant":
                new = self.reply(message["content"])
            else:
                new = self.bridge(message["content"]) if i else self.opening(message["content"], system)
            ids += new
            mask += [wanted == "assistant"] * len(new)
        return np.asarray(ids, np.int32), np.asarray(mask, bool)


def load(folder: Path) -> Chat:
    """The tokenizer of a model folder with the first template whose special tokens it has; raises `ValueError` if none fits."""
    if not (folder / "tokenizer.model").is_file():
        raise ValueError(f"{folder}: no tokenizer.model")
    tokenizer = SentencePiece(folder / "tokenizer.model")
    for template in TEMPLATES.values():
        if all(tokenizer.special(piece) is not None for piece in (*template.start, *template.assistant, template.end)):
            return Chat(tokenizer, template)
    raise ValueError(f"{folder}/tokenizer.model: no chat template has its special tokens")


def train_sentencepiece(texts: Sequence[str], size: int) -> bytes:
    """A byte-fallback BPE model of `size` pieces with our special tokens, lossless on any text."""
    import io

    import sentencepiece  # only where a tokenizer is made

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=out,
        vocab_size=size,
        model_type="bpe",
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        byte_fallback=True,
        character_coverage=1.0,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        bos_piece="<bos>",
        eos_piece="<eos>",
        unk_piece="<unk>",
        control_symbols=["<|user|>", "<|assistant|>"],
        split_by_unicode_script=False,  # so that a game's own signs, such as a<green>, become pieces
        # a word is the same piece after a tag, in a list and in quotes, so that a small model can learn to copy it
        user_defined_symbols=["\n\n", "\n", ":\u2581", ",\u2581", "-\u2581", "'", "',\u2581'"],  # U+2581 is a blank
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()
