"""Messages to tokens and back, with masks: the one place where ids, mask and text meet.

`tokenizers` wraps what turns text into ids, `templates` says how each family writes a dialogue, `dialogue` joins the two.
"""

from playpen_jax.chat.dialogue import Chat, Message, find, load
from playpen_jax.chat.templates import TEMPLATES, Template, fitting, jinja, stock
from playpen_jax.chat.tokenizers import (
    ByteTokenizer,
    HuggingFace,
    SentencePiece,
    Tokenizer,
    clean,
    read,
    tiktoken,
    train_sentencepiece,
)

__all__ = [
    "TEMPLATES",
    "ByteTokenizer",
    "Chat",
    "HuggingFace",
    "Message",
    "SentencePiece",
    "Template",
    "Tokenizer",
    "clean",
    "find",
    "fitting",
    "jinja",
    "load",
    "read",
    "stock",
    "tiktoken",
    "train_sentencepiece",
]
