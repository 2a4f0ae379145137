"""Tokenizers of all kinds behind one small protocol: bytes, sentencepiece, transformers, tiktoken."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

UNREADABLE = "\ufffd"  # stands for bytes that are no character
FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")  # one of them makes a folder a tokenizer's


class Tokenizer(Protocol):
    """What the house needs of a tokenizer; `encode` never makes special tokens out of text, nor adds a blank before it.

    `certain` is the beginning of `decode` that no further ids can change: it ends before bytes that are no character yet.
    specials: control token -> id. blank: a text that follows a special token is meant to begin with a blank, as most
    sentencepiece models were trained. strips: special tokens that swallow the white space after them.
    """

    size: int
    specials: Mapping[str, int]
    bos: str | None
    eos: str | None
    blank: bool
    strips: frozenset[str]

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def certain(self, ids: Sequence[int]) -> str: ...
    def save(self, folder: Path) -> None: ...


def clean(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates become '?'."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


class ByteTokenizer:
    """A tiny test double: one id per byte, special tokens above them."""

    bos: str | None = "<bos>"
    eos: str | None = "<eos>"
    blank = False
    strips: frozenset[str] = frozenset()

    def __init__(self, specials: Sequence[str] = ("<pad>", "<bos>", "<eos>", "<|user|>", "<|assistant|>")):
        self.specials: Mapping[str, int] = {piece: 256 + i for i, piece in enumerate(specials)}
        self.size = 256 + len(specials)

    def encode(self, text: str) -> list[int]:
        return list(clean(text).encode("utf-8"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if 0 <= i < 256).decode("utf-8", errors="replace")

    def certain(self, ids: Sequence[int]) -> str:
        return self.decode(ids).rstrip(UNREADABLE)

    def save(self, folder: Path) -> None:
        raise NotImplementedError("a test double is not saved")


class SentencePiece:
    """A sentencepiece model; its control symbols are the special tokens."""

    strips: frozenset[str] = frozenset()

    def __init__(self, model: bytes | str | Path):
        import sentencepiece  # only for models of this kind
        from sentencepiece import sentencepiece_model_pb2

        data = model if isinstance(model, bytes) else Path(model).read_bytes()
        try:
            sentencepiece.SentencePieceProcessor(model_proto=data)
        except RuntimeError as error:  # sentencepiece's only way to say that the bytes are no model
            raise ValueError(f"{'tokenizer' if isinstance(model, bytes) else model}: not a sentencepiece model") from error
        proto = sentencepiece_model_pb2.ModelProto.FromString(data)
        self.serialized, self.blank = data, proto.normalizer_spec.add_dummy_prefix
        proto.normalizer_spec.add_dummy_prefix = False  # the chat sets blanks where they belong
        self._model = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        self.size = self._model.get_piece_size()
        self.specials: Mapping[str, int] = {
            self._model.id_to_piece(i): i for i in range(self.size) if self._model.is_control(i)
        }
        self.bos, self.eos = (
            self._model.id_to_piece(i) if i >= 0 else None for i in (self._model.bos_id(), self._model.eos_id())
        )
        # sentencepiece writes a blank as this sign; the sign itself survives only as bytes
        self._blank_sign = [self._model.piece_to_id(f"<0x{byte:02X}>") for byte in "\u2581".encode()]

    def encode(self, text: str) -> list[int]:
        first, *others = (self._model.encode(part) for part in clean(text).split("\u2581"))
        return first + [i for part in others for i in (*self._blank_sign, *part)]

    def decode(self, ids: Sequence[int]) -> str:
        """Ids that the tokenizer does not have, as models with a padded vocabulary sample them, stand for no text."""
        return self._model.decode([int(i) for i in ids if i < self.size])

    def certain(self, ids: Sequence[int]) -> str:
        return self.decode(ids).rstrip(UNREADABLE)

    def save(self, folder: Path) -> None:
        """Writes tokenizer.model."""
        (folder / "tokenizer.part").write_bytes(self.serialized)
        os.replace(folder / "tokenizer.part", folder / "tokenizer.model")


class HuggingFace:
    """A fast tokenizer of transformers; its special added tokens are the special tokens, its chat template stays with it."""

    def __init__(self, fast: Any):
        """fast: a `PreTrainedTokenizerFast`; raises `ValueError` for one that is made of Python alone."""
        backend = getattr(fast, "backend_tokenizer", None)
        if backend is None:
            raise ValueError(f"{fast.name_or_path}: {type(fast).__name__} is no fast tokenizer")
        self.fast = fast
        self._backend, self.blank = without_blank(backend)
        added = {i: token for i, token in fast.added_tokens_decoder.items() if token.special}
        self.specials: Mapping[str, int] = {token.content: i for i, token in added.items()}
        self.strips = frozenset(token.content for token in added.values() if token.rstrip)
        self.size = max(backend.get_vocab_size(with_added_tokens=True), *(i + 1 for i in fast.added_tokens_decoder))
        self.bos, self.eos = fast.bos_token, fast.eos_token

    def encode(self, text: str) -> list[int]:
        self._backend.encode_special_tokens = True  # their names in a text are text; transformers sets it at every call, too
        return self._backend.encode(clean(text), add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Special tokens, and ids that the tokenizer does not have, stand for no text."""
        return self._backend.decode([int(i) for i in ids if i < self.size], skip_special_tokens=True)

    def certain(self, ids: Sequence[int]) -> str:
        """Where bytes are tokens, one that fits nowhere makes all those beside it unreadable, and may still come."""
        text, alien = self.decode(ids), self._backend.token_to_id("<0xFF>")
        if alien is not None:
            text = os.path.commonprefix([text, self.decode([*ids, alien])])
        return text.rstrip(UNREADABLE)

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json and what belongs to it."""
        self.fast.save_pretrained(folder)


def without_blank(backend: Any) -> tuple[Any, bool]:
    """A `tokenizers.Tokenizer` that puts no blank before a text and takes none away, and whether texts were to have one.

    It is `backend` itself where nothing is to be changed.
    """
    steps, changed, blank = {}, False, False
    for name, key in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders")):
        parts = _parts(getattr(backend, name), key)
        kept = [part | SETTINGS.get((name, part["type"]), {}) for part in parts if not _sets_blank(name, part)]
        steps[name] = {"type": "Sequence", key: kept} if kept else None
        changed |= kept != parts
        blank |= any(part["type"] == "Prepend" or part.get("prepend_scheme") == "always" for part in parts)
    if not changed:
        return backend, blank
    return type(backend).from_str(json.dumps(json.loads(backend.to_str()) | steps)), blank


SETTINGS: dict[tuple[str, str], dict[str, Any]] = {  # (step, type of part) -> settings with which it sets no blank
    ("pre_tokenizer", "Metaspace"): {"prepend_scheme": "never"},
    ("decoder", "Metaspace"): {"prepend_scheme": "never"},
    ("pre_tokenizer", "ByteLevel"): {"add_prefix_space": False},
}


def _sets_blank(step: str, part: Mapping[str, Any]) -> bool:
    """Whether all that a part does is to set a blank, or to take it away."""
    return part["type"] == "Prepend" or (step, part["type"], part.get("content")) == ("decoder", "Strip", " ")


def _parts(step: Any, key: str) -> list[dict[str, Any]]:
    """The members of a step of a tokenizer, which may be none, one, or a sequence."""
    if step is None:
        return []
    state = json.loads(step.__getstate__())
    return state[key] if state["type"] == "Sequence" else [state]


def read(path: Path) -> Tokenizer:
    """The tokenizer of a folder, or of a sentencepiece or tiktoken file; raises `ValueError` in one line."""
    path = Path(path)
    if path.is_dir():
        if any((path / name).is_file() for name in FILES[:2]):
            return HuggingFace(_automatic(path))
        path = path / FILES[2]
    if not path.is_file():
        raise ValueError(f"{path.parent}: no {' or '.join((*FILES[:1], path.name))}")
    return tiktoken(path) if _is_tiktoken(path) else SentencePiece(path)


def _automatic(folder: Path) -> Any:
    from transformers import AutoTokenizer  # seconds to import

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers and tokenizers raise many kinds for files that they cannot read
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: transformers cannot load its tokenizer: {type(error).__name__}: {why}") from error


# ---------------------------------------------------------------------------------------------- tiktoken files

RANKS = 128_000  # Llama 3's: the special tokens are not in the file, but at these places after it
LLAMA3_SPECIALS = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    4: "<|finetune_right_pad_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
}


def _is_tiktoken(path: Path) -> bool:
    """Whether the file is made of lines of a token in base64 and its rank."""
    with path.open("rb") as file:
        words = file.readline(200).split()
    return len(words) == 2 and words[1].isdigit()


def tiktoken(path: Path) -> HuggingFace:
    """Llama 3's tokenizer from its tiktoken file; raises `ValueError` for any other."""
    from transformers import PreTrainedTokenizerFast  # seconds to import
    from transformers.convert_slow_tokenizer import TikTokenConverter

    class Converter(TikTokenConverter):
        @staticmethod
        def load_tiktoken_bpe(path: Path) -> dict[bytes, int]:  # so that the package tiktoken is not needed
            lines = (line.split() for line in path.read_bytes().splitlines() if line)
            return {base64.b64decode(token): int(rank) for token, rank in lines}

    spare = iter(range(256))
    specials = [LLAMA3_SPECIALS.get(i) or f"<|reserved_special_token_{next(spare)}|>" for i in range(256)]
    backend = Converter(path, extra_special_tokens=specials).converted()
    if backend.get_vocab_size() != RANKS + len(specials):
        size = backend.get_vocab_size() - len(specials)
        raise ValueError(f"{path}: {size} ranks: of tiktoken's files only Llama 3's, with {RANKS}, is known")
    ends = {"bos_token": specials[0], "eos_token": specials[1]}
    return HuggingFace(PreTrainedTokenizerFast(tokenizer_object=backend, **ends))


# ---------------------------------------------------------------------------------------------- a tokenizer of our own


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
