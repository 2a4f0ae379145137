"""Messages to tokens and back: ids and masks by hand, prefixes, odd texts, tokenizers."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest

from games import records
from playpen_jax.chat import ByteTokenizer, Chat, SentencePiece, Template, clean, load, train_sentencepiece
from tests import toys
from tests.common import SHARED

PAD, BOS, EOS, USER, ASSISTANT = range(256, 261)  # of the byte tokenizer
ODD = [
    "",
    " ",
    "  two  blanks ",
    "<eos>",
    "a<eos>b<|user|><|assistant|><bos><pad><unk>",
    "<0x0A><0xE2>",
    "\ud800 half a pair \udfff",
    "\x00\x01\x1b[31m\x7f\x80\u2028\u202e\ufeff",
    "\r\n\n\n\t\n",
    "▁▁ a▁b ▁",
    "e\u0301 é ﬁ Ω ｆｕｌｌ 你好 🙂👩‍👩‍👧 ▢",
    "x" * 3000,
]


@pytest.fixture(scope="module")
def pieces() -> Chat:
    """With a sentencepiece model that met the names of its special tokens as text."""
    texts = ["Reply <eos> and <|user|> or <|assistant|> <bos>", "  two  blanks\n\nand é", "guess_feedback: a<green>"] * 40
    return Chat(SentencePiece(train_sentencepiece(texts, 400)))


@pytest.fixture(params=["bytes", "pieces"])
def chat(request: pytest.FixtureRequest) -> Chat:
    return Chat(ByteTokenizer()) if request.param == "bytes" else request.getfixturevalue("pieces")


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(itertools.cycle(("user", "assistant")), texts)]


def test_ids_and_mask_of_a_dialogue_by_hand():
    ids, mask = Chat(ByteTokenizer()).dialogue(turns("hi", "ok", "é", "!"))
    assert ids.tolist() == [BOS, USER, 104, 105, ASSISTANT, 111, 107, EOS, USER, 195, 169, ASSISTANT, 33, EOS]
    assert mask.tolist() == [False] * 5 + [True] * 3 + [False] * 4 + [True] * 2
    assert ids.dtype == np.int32 and mask.dtype == bool


def test_asides_branch_off_and_what_has_no_weight_is_not_learned():
    aside = lambda *texts: [message | {"aside": True} for message in turns(*texts)]
    first = turns("u", "a")
    dialogue = [first[0], first[1] | {"weight": 0}, *aside("x", "y"), *turns("v", "b"), *aside("z", "c")]
    chat = Chat(ByteTokenizer())
    ids, mask, branches = chat.tree(dialogue)
    asked = lambda text: [USER, ord(text), ASSISTANT]
    assert ids.tolist() == [BOS, *asked("u"), 97, EOS, *asked("x"), 121, EOS, *asked("v"), 98, EOS, *asked("z"), 99, EOS]
    assert branches.tolist() == [0] * 6 + [1] * 5 + [0] * 5 + [2] * 5 and branches.dtype == np.int16
    assert np.flatnonzero(mask).tolist() == [9, 10, 14, 15, 19, 20]
    plain = [message for message in dialogue if not message.get("aside")]
    assert chat.dialogue(plain)[0].tolist() == ids[branches == 0].tolist()
    assert chat.tree(plain)[2] is None
    with pytest.raises(ValueError, match="aside"):
        chat.dialogue(dialogue)
    ids, _, _ = chat.tree(aside("x", "y") + turns("u", "a"))
    assert ids.tolist() == [BOS, *asked("x"), 121, EOS, BOS, *asked("u"), 97, EOS]


def test_a_dialogue_that_ends_with_the_user_is_open():
    ids, mask = Chat(ByteTokenizer()).dialogue(turns("hi", "ok", "go"))
    assert ids.tolist() == [BOS, USER, 104, 105, ASSISTANT, 111, 107, EOS, USER, 103, 111, ASSISTANT]
    assert mask.tolist() == [False] * 5 + [True] * 3 + [False] * 4


def test_a_system_message_is_folded_into_the_first_one_or_has_its_own_place():
    dialogue = [{"role": "system", "content": "S"}, *turns("u", "a", "v", "b")]
    ids, mask = Chat(ByteTokenizer()).dialogue(dialogue)
    assert ids.tolist() == [BOS, USER, 83, 10, 10, 117, ASSISTANT, 97, EOS, USER, 118, ASSISTANT, 98, EOS]
    assert mask.sum() == 4
    template = Template("own", "<b><h>U:", "<e>\n<h>A:", "<e>", "\n<h>U:", ("<b><h>S:", "<e><h>U:"))
    own = Chat(ByteTokenizer(("<b>", "<h>", "<e>", "<stop>")), template, stops=[259])
    b, h, e, stop = range(256, 260)
    ids, mask = own.dialogue(dialogue)
    asked = [h, 85, 58, 117, e, 10, h, 65, 58]
    assert ids.tolist() == [b, h, 83, 58, 83, e, *asked, 97, e, 10, *[118 if i == 117 else i for i in asked], 98, e]
    assert np.flatnonzero(mask).tolist() == [15, 16, 27, 28]
    assert own.stops == (e, stop)


def test_a_reply_that_was_cut_is_closed_by_the_bridge():
    chat = Chat(ByteTokenizer())
    assert chat.bridge("go") == [USER, 103, 111, ASSISTANT]
    assert chat.bridge("go", closed=False) == [EOS, USER, 103, 111, ASSISTANT]


def test_only_one_end_of_turn_is_taken_from_a_reply():
    chat = Chat(ByteTokenizer())
    assert chat.text([104, 105, EOS]) == chat.text([104, 105]) == "hi"
    assert chat.text([]) == chat.text([EOS]) == ""
    assert chat.text([104, EOS, EOS]) == "h", "one inside has no text"


@pytest.mark.parametrize(
    ("roles", "problem"),
    [
        (("assistant",), "message 0 is the assistant's, the user was to speak"),
        (("user", "user"), "message 1 is the user's, the assistant was to speak"),
        (("user", "assistant", "assistant"), "message 2 is the assistant's, the user was to speak"),
        (("user", "system"), "message 1 is the system's, the assistant was to speak"),
        (("system", "system"), "message 0 is the system's, the user was to speak"),
        (("tool",), "message 0 is the tool's, the user was to speak"),
    ],
)
def test_roles_out_of_order_are_refused(roles, problem):
    with pytest.raises(ValueError, match=problem):
        Chat(ByteTokenizer()).dialogue([{"role": role, "content": "x"} for role in roles])


def test_a_template_needs_its_end_of_turn():
    with pytest.raises(ValueError, match="'tiny': the tokenizer has no token '<eos>'"):
        Chat(ByteTokenizer(("<bos>",)))


# ---------------------------------------------------------------------------------------------- prefixes


def grown(chat: Chat, texts: list[str]) -> list[int]:
    """Ids made message by message, as a rollout makes them."""
    ids = chat.opening(texts[0])
    for i, text in enumerate(texts[1:]):
        ids += chat.bridge(text) if i % 2 else chat.reply(text)
    return ids


def assert_prefixes(chat: Chat, texts: list[str]) -> None:
    """Every beginning of the dialogue has a beginning of its ids, and what the mask marks reads as the replies."""
    ids, mask = chat.dialogue(turns(*texts))
    assert ids.tolist() == grown(chat, texts)
    for n in range(1, len(texts)):
        part, part_mask = chat.dialogue(turns(*texts[:n]))
        assert part.tolist() == ids[: len(part)].tolist() and part_mask.tolist() == mask[: len(part)].tolist()
    ends = np.flatnonzero(ids == chat.end)
    starts = [np.flatnonzero(~mask[:end])[-1] + 1 for end in ends]
    assert [chat.text(ids[a : b + 1]) for a, b in zip(starts, ends)] == [clean(text) for text in texts[1::2]]
    assert mask.sum() == sum(b + 1 - a for a, b in zip(starts, ends))


def test_odd_dialogues_grow_by_their_ends(chat):
    assert_prefixes(chat, ODD)
    assert_prefixes(chat, ODD[::-1])


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes")
def test_recorded_dialogues_grow_by_their_ends(chat):
    count = 0
    for path in sorted((SHARED / "replay").glob("*.jsonl.gz")):
        with records.open_text(path) as file:
            lines = list(itertools.islice(file, 40))[::14]
        for record in map(json.loads, lines):
            for texts in seen_and_said(record):
                assert_prefixes(chat, texts[:16])
                count += 1
    assert count > 100


def seen_and_said(record: dict) -> list[list[str]]:
    """For each player: message, reply, message, reply, ..."""
    found: dict[str, list[str]] = {player: [] for player in record["players"]}
    for event in (event for events in record["rounds"] for event in events):
        if event["type"] == "send message" and event["to"] in found:
            texts = found[event["to"]]
            texts += [""] * (len(texts) % 2) + [str(event["content"])]
        elif event["type"] == "get message" and event["from"] in found:
            texts = found[event["from"]]
            texts += [""] * (len(texts) % 2 == 0) + [str(event["content"])]
    return [texts for texts in found.values() if texts]


# ---------------------------------------------------------------------------------------------- odd texts


@pytest.mark.parametrize("text", ODD)
def test_text_never_becomes_a_special_token(chat, text):
    special = {chat.tokenizer.specials[piece] for piece in ("<pad>", "<bos>", "<eos>", "<|user|>", "<|assistant|>")}
    assert len(special) == 5
    assert special.isdisjoint(chat.tokenizer.encode(text))
    ids = chat.dialogue(turns(text, text))[0].tolist()
    order = ("<bos>", "<|user|>", "<|assistant|>", "<eos>")
    assert [i for i in ids if i in special] == [chat.tokenizer.specials[piece] for piece in order]


@pytest.mark.parametrize("text", ODD)
def test_text_comes_back(chat, text):
    assert chat.tokenizer.decode(chat.tokenizer.encode(text)) == clean(text)


def test_any_text_comes_back_from_pieces(pieces):
    rng = random.Random(0)
    signs = ["▁", " ", "\n", "<eos>", "<", "a", "é", "\x00", "🙂", *map(chr, range(0x2570, 0x2590)), "\U0010ffff", "\ufffe"]
    for _ in range(500):
        text = "".join(rng.choices(signs, k=rng.randrange(12)))
        assert pieces.tokenizer.decode(pieces.tokenizer.encode(text)) == text


def test_lone_surrogates_become_question_marks():
    assert clean("a\ud800b\udc00") == "a?b?"
    assert clean("🙂") == "🙂"


def test_only_control_symbols_are_special(pieces):
    wanted = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<|user|>": 4, "<|assistant|>": 5}
    assert pieces.tokenizer.specials == wanted, "not <unk>, a new line, or <0x0A>"


def test_ids_that_the_tokenizer_does_not_have_stand_for_no_text(pieces):
    ids = pieces.tokenizer.encode("ok")
    assert pieces.text([pieces.tokenizer.size, *ids, pieces.tokenizer.size + 70]) == "ok"


# ---------------------------------------------------------------------------------------------- folders


def test_a_folder_gives_its_chat(tmp_path, pieces):
    (tmp_path / "tokenizer.model").write_bytes(pieces.tokenizer.serialized)
    chat = load(tmp_path)
    assert chat.dialogue(turns("hi", "ok"))[0].tolist() == pieces.dialogue(turns("hi", "ok"))[0].tolist()


def test_folders_without_a_fitting_tokenizer_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no tokenizer.json or tokenizer.model"):
        load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(ValueError, match="tokenizer.model: not a sentencepiece model"):
        load(tmp_path)


def test_a_tokenizer_that_no_template_fits_is_refused(tmp_path, pieces, monkeypatch):
    (tmp_path / "tokenizer.model").write_bytes(pieces.tokenizer.serialized)
    other = dataclasses.replace(pieces.template, end="<|end|>")
    monkeypatch.setattr("playpen_jax.chat.templates.TEMPLATES", {"other": other})
    with pytest.raises(ValueError, match="no chat template has its special tokens"):
        load(tmp_path)


def test_training_a_tokenizer_is_repeatable():
    texts = toys.texts()[:200]
    assert train_sentencepiece(texts, 400) == train_sentencepiece(texts, 400)
