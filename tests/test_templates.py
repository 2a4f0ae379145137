"""Chat templates: markup and masks as literal lists, stock templates used or replaced, recorded dialogues under all of them."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from playpen_jax import chat as chats
from playpen_jax.chat import TEMPLATES, ByteTokenizer, Chat, HuggingFace
from tests.common import SHARED
from tests.test_chat import grown, seen_and_said, turns

NAMED = re.compile(r"<\|?[a-z_]+\|?>|<s>|</s>|\[/?[A-Z_]+\]")
CHATML = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"]
SPECIALS = {  # the control tokens of each family's tokenizer
    "tiny": ["<pad>", "<bos>", "<eos>", "<|user|>", "<|assistant|>"],
    "llama3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"],
    "qwen3.5": CHATML,
    "smollm3": CHATML,
    "qwen3": CHATML,
    "chatml": CHATML[:3],
    "gemma": ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
    "phi3": ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
    "mistral-v7": ["<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"],
    "mistral": ["<s>", "</s>", "[INST]", "[/INST]"],
    "mistral-v1": ["<s>", "</s>"],
    "llama2": ["<s>", "</s>"],
    "olmo2": ["<|endoftext|>"],
    "plain": ["<bos>", "<eos>"],
}
FAMILY = {"mistral-v1": "mistral", "llama2": "llama", "olmo2": "olmo2", "qwen3.5": "qwen3_5", "smollm3": "smollm3"}

# of the dialogue S (system), u, a, v: what is written, the policy's part in brackets of our own: « »
WRITTEN = {
    "tiny": "<bos><|user|>S\n\nu<|assistant|>«a<eos>»<|user|>v<|assistant|>",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nu<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n«a<|eot_id|>»"
    "<|start_header_id|>user<|end_header_id|>\n\nv<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen3": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    "«a<|im_end|>»\n<|im_start|>user\nv<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "smollm3": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n"
    "«a<|im_end|>»\n<|im_start|>user\nv<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"
    "«a<|im_end|>»\n<|im_start|>user\nv<|im_end|>\n<|im_start|>assistant\n",
    "gemma": "<bos><start_of_turn>user\nS\n\nu<end_of_turn>\n<start_of_turn>model\n«a<end_of_turn>»\n"
    "<start_of_turn>user\nv<end_of_turn>\n<start_of_turn>model\n",
    "phi3": "<|system|>\nS<|end|>\n<|user|>\nu<|end|>\n<|assistant|>\n«a<|end|>»\n<|user|>\nv<|end|>\n<|assistant|>\n",
    "mistral-v7": "<s>[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]u[/INST]«a</s>»[INST]v[/INST]",
    "mistral": "<s>[INST] S\n\nu[/INST]« a</s>»[INST] v[/INST]",
    "mistral-v1": "<s>[INST] S\n\nu [/INST]« a</s>»[INST] v [/INST]",
    "llama2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nu [/INST]« a</s>»<s>[INST] v [/INST]",
    "olmo2": "<|endoftext|><|system|>\nS\n<|user|>\nu\n<|assistant|>\n«a<|endoftext|>»\n<|user|>\nv\n<|assistant|>\n",
    "plain": "<bos>System: S\nUser: u\nAssistant:« a<eos>»\nUser: v\nAssistant:",
}
WRITTEN["qwen3.5"] = WRITTEN["qwen3"]
DIALOGUE = [{"role": "system", "content": "S"}, *turns("u", "a", "v")]


def spelled(text: str, specials: dict[str, int]) -> tuple[list[int], list[bool]]:
    """Ids and mask of an entry of WRITTEN, byte by byte."""
    ids, mask, inside = [], [], False
    names = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
    for piece in re.split(f"({names}|«|»)", text):
        if piece in "«»":
            inside = piece == "«" if piece else inside
            continue
        new = [specials[piece]] if piece in specials else list(piece.encode())
        ids, mask = ids + new, mask + [inside] * len(new)
    return ids, mask


@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_and_masks_are_as_written(name):
    tokenizer = ByteTokenizer(SPECIALS[name])
    ids, mask = Chat(tokenizer, TEMPLATES[name]).dialogue(DIALOGUE)
    wanted_ids, wanted_mask = spelled(WRITTEN[name], tokenizer.specials)
    assert ids.tolist() == wanted_ids
    assert mask.tolist() == wanted_mask and sum(wanted_mask) in (2, 3)


def test_a_mask_in_full():
    """The one of ChatML, spelled out: neither the header of a turn nor the line after it is the policy's."""
    start, end = 256, 257
    ids, mask = Chat(ByteTokenizer(CHATML), TEMPLATES["chatml"]).dialogue(turns("u", "ok", "v"))
    user, policy = [start, *b"user\n"], [start, *b"assistant\n"]
    assert ids.tolist() == [*user, 117, end, 10, *policy, 111, 107, end, 10, *user, 118, end, 10, *policy]
    assert mask.tolist() == [False] * 20 + [True] * 3 + [False] * 21


def test_every_template_is_tested():
    assert set(SPECIALS) == set(WRITTEN) == set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_tokenizer_without_a_template_is_known_by_its_tokens(name):
    tokenizer = fast(SPECIALS[name])
    assert chats.fitting(tokenizer, FAMILY.get(name)).name == name


def test_a_template_whose_tokens_are_lacking_is_refused():
    with pytest.raises(ValueError, match=r"'llama3': the tokenizer has no token '<\|eot_id\|>'"):
        Chat(ByteTokenizer(), TEMPLATES["llama3"])
    with pytest.raises(ValueError, match=r"'chatml': the tokenizer has no token '<\|im_start\|>'"):
        Chat(ByteTokenizer(["<|im_end|>"]), TEMPLATES["chatml"])


def test_texts_lose_white_space_where_the_family_trims_them_and_replies_never_do():
    trimmed = Chat(ByteTokenizer(SPECIALS["gemma"]), TEMPLATES["gemma"])
    spaced = [{"role": "system", "content": "S"}, *turns("\n u \n", " a\n", "\n v ")]
    ids, mask = trimmed.dialogue(spaced)
    assert trimmed.tokenizer.decode(ids) == "user\nS\n\nu\nmodel\n a\n\nuser\nv\nmodel\n"
    assert trimmed.tokenizer.decode(ids[mask]) == " a\n"
    plain = Chat(ByteTokenizer(CHATML), TEMPLATES["chatml"])
    assert "user\n\n u \n\n" in plain.tokenizer.decode(plain.dialogue(turns("\n u \n"))[0])


# ---------------------------------------------------------------------------------------------- transformers' tokenizers


def fast(specials: list[str], template: str | None = None, strips: bool = False) -> HuggingFace:
    """A byte-level tokenizer of transformers with these special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({sign: i for i, sign in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(piece, rstrip=strips, normalized=False) for piece in specials])
    named = {"bos_token": "<bos>", "eos_token": "<eos>"} if "<bos>" in specials else {}
    return HuggingFace(PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template, **named))


def with_byte_pieces() -> HuggingFace:
    """A tokenizer of transformers with a token for each byte, as Llama 2's and Gemma's, and some letters."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"abc", "\u2581", "é"]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return HuggingFace(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))


@pytest.mark.parametrize("make", [ByteTokenizer, lambda: fast(["<bos>", "<eos>"]), with_byte_pieces])
def test_what_is_certain_of_a_reply_stays_whatever_comes_after(make):
    """Any bytes in any order, of which few are text: what was certain once is the beginning of all that comes."""
    tokenizer, rng = make(), random.Random(7)
    words = [tokenizer.encode(text) for text in ("a", "b", " é", "你", "🙂", "c")]
    some = [i for i in range(tokenizer.size) if i not in tokenizer.specials.values()]
    told = 0
    for _ in range(150):
        ids = [i for _ in range(6) for i in (rng.choice(words) if rng.random() < 0.7 else rng.choices(some, k=2))]
        parts = [tokenizer.certain(ids[:n]) for n in range(len(ids) + 1)] + [tokenizer.decode(ids)]
        assert all(after.startswith(before) for before, after in zip(parts, parts[1:])), ids
        told += sum(map(bool, parts[:-1]))
    assert told > 1000, "something is certain before the end"


@pytest.mark.parametrize("make", [ByteTokenizer, lambda: fast(["<bos>", "<eos>"]), with_byte_pieces])
def test_a_character_is_certain_when_its_last_byte_is_there(make):
    tokenizer = make()
    a, face = tokenizer.encode("a"), tokenizer.encode("🙂")
    assert [tokenizer.certain(a + face[:n] + a * (n == 4)) for n in range(1, 5)] == ["a", "a", "a", "a🙂a"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_written_as_jinja_is_found_again_with_the_same_ids_and_masks(name):
    template = TEMPLATES[name]
    tokenizer = fast(SPECIALS[name])
    own = Chat(tokenizer, template)
    tokenizer.fast.chat_template = chats.jinja(own.template)
    found = chats.stock(tokenizer)
    markup = ("first", "reply", "end", "next", "trim")
    assert [getattr(found, part) for part in markup] == [getattr(own.template, part) for part in markup]
    odd = [DIALOGUE[0], *turns(" u\n", "a é", "<eos>", "", "v")]
    ids, mask = own.dialogue(odd)
    again, again_mask = Chat(tokenizer, found).dialogue(odd)
    assert again.tolist() == ids.tolist() and again_mask.tolist() == mask.tolist()
    theirs = tokenizer.fast.apply_chat_template(DIALOGUE[:3], return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = own.dialogue(DIALOGUE[:3])
    assert theirs["input_ids"] == ids.tolist() and theirs["assistant_masks"] == mask.tolist()


# a stock template: variables MARK set per case
STOCK = (
    "{% for m in messages %}{% if m.role == 'system' %}SYSTEM{% elif m.role == 'user' %}<|im_start|>user\n"
    "{{ m.content }}<|im_end|>\n{% else %}<|im_start|>assistant\nTHOUGHTS{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def folder_of(tmp_path: Path, tokenizer: HuggingFace, family: str = "qwen3", **generation: object) -> Path:
    tokenizer.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    return tmp_path


def warned(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr("playpen_jax.chat.templates.logging.warning", lambda text, *words: lines.append(text % words))
    return lines


def test_a_stock_template_that_keeps_earlier_turns_is_used_as_it_is(tmp_path, monkeypatch):
    lines = warned(monkeypatch)
    text = STOCK.replace("SYSTEM", "<|im_start|>system\n{{ m.content }}<|im_end|>\n").replace(
        "THOUGHTS", "<think>\n\n</think>\n\n"
    )
    tokenizer = fast(CHATML, text)
    chat = chats.load(folder_of(tmp_path, tokenizer, eos_token_id=[257, 258]))
    assert chat.template.name == "stock" and not lines
    theirs = tokenizer.fast.apply_chat_template(DIALOGUE, add_generation_prompt=True, enable_thinking=False, return_dict=False)
    assert chat.dialogue(DIALOGUE)[0].tolist() == theirs
    end, text_end = tokenizer.specials["<|im_end|>"], tokenizer.specials["<|endoftext|>"]
    assert chat.stops == (end, text_end), "as the generation config names them"


def test_a_stock_template_that_drops_thoughts_is_replaced_in_one_line(tmp_path, monkeypatch):
    lines = warned(monkeypatch)
    text = STOCK.replace("SYSTEM", "<|im_start|>system\n{{ m.content }}<|im_end|>\n").replace("THOUGHTS", "")
    chat = chats.load(folder_of(tmp_path, fast(CHATML, text)))
    assert chat.template.name == "qwen3"
    assert len(lines) == 1 and "\n" not in lines[0]
    assert "does not keep earlier turns" in lines[0] and lines[0].endswith("ours for 'qwen3' takes its place")


def test_a_stock_template_that_nothing_replaces_is_refused_in_one_line(tmp_path):
    text = "{% for m in messages[-1:] %}{{ m.content }}<end>{% endfor %}"
    with pytest.raises(ValueError, match="does not write every message once; and no chat template has its special tokens"):
        chats.load(folder_of(tmp_path, fast(["<end>"], text)))
    with pytest.raises(ValueError, match="cannot be rendered: .*TemplateSyntaxError"):
        chats.load(folder_of(tmp_path, fast(["<end>"], "{% for %}")))


def test_a_stock_template_without_a_system_prompt_has_it_folded():
    text = STOCK.replace("SYSTEM", "{{ raise_exception('no system') }}").replace("THOUGHTS", "<think>\n\n</think>\n\n")
    chat = Chat(fast(CHATML, text), chats.stock(fast(CHATML, text)))
    assert chat.template.system is None
    assert chat.tokenizer.decode(chat.dialogue(DIALOGUE)[0]).startswith("user\nS\n\nu")


def test_a_stock_template_that_writes_the_date_gives_the_same_tokens_every_day():
    text = "{{ strftime_now('%d %B %Y') }}" + STOCK.replace("THOUGHTS", "<think>\n\n</think>\n\n")
    assert chats.stock(fast(CHATML, text)).first == "26 July 2024<|im_start|>user\n"


def test_a_broken_tokenizer_is_refused_in_one_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="transformers cannot load its tokenizer") as caught:
        chats.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_special_tokens_that_swallow_white_space_do():
    """Phi-3's tokenizer takes the line after <|user|> away; the ids are those of the rendered text."""
    tokenizer = fast(SPECIALS["phi3"], chats.jinja(TEMPLATES["phi3"]), strips=True)
    chat = Chat(tokenizer, TEMPLATES["phi3"])
    theirs = tokenizer.fast.apply_chat_template(DIALOGUE, return_dict=False)
    assert chat.dialogue(DIALOGUE)[0].tolist() == theirs
    named = {i: piece for piece, i in tokenizer.specials.items()}
    pieces = [named.get(i) or tokenizer.decode([i]) for i in theirs]
    wanted = "<|system|> S <|end|> <|user|> u <|end|> <|assistant|> a <|end|> <|user|> v <|end|> <|assistant|>"
    assert pieces == wanted.split()


# ---------------------------------------------------------------------------------------------- recorded dialogues

REAL = ("llama2", "mistral-v1", "plain", "llama3", "chatml", "qwen3", "qwen3.5", "smollm3", "olmo2")
WITH_TOKENS = ("gemma", "phi3", "mistral", "mistral-v7", "tiny")  # Llama 2's pieces, the family's special tokens added


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A function from the name of a template to its chat over one of the two real tokenizers."""
    if SHARED is None:
        pytest.skip("no tokenizers")
    sentencepiece, ranks = (SHARED / "tokenizers" / name for name in ("llama2.sentencepiece.model", "llama3.tiktoken.model"))
    small, large = chats.read(sentencepiece), chats.read(ranks)
    folder = tmp_path_factory.mktemp("llama2")
    (folder / "tokenizer.model").write_bytes(sentencepiece.read_bytes())
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "legacy": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    middle = chats.read(folder)

    def with_tokens(tokenizer: HuggingFace, names: tuple[str, ...]) -> HuggingFace:
        from transformers import AddedToken

        for piece in sorted({piece for name in names for piece in SPECIALS[name]} - set(tokenizer.specials)):
            strips = piece in SPECIALS["phi3"][2:]
            tokenizer.fast.add_tokens([AddedToken(piece, rstrip=strips, normalized=False, special=True)], special_tokens=True)
        return HuggingFace(tokenizer.fast)

    large, middle = with_tokens(large, REAL[3:]), with_tokens(middle, WITH_TOKENS)

    def make(name: str) -> Chat:
        tokenizer = small if name in REAL[:3] else large if name in REAL else middle
        return Chat(tokenizer, TEMPLATES[name])

    return make


def recorded(every: int) -> Iterator[list[str]]:
    """Each player's dialogue of each `every`-th recorded episode."""
    for path in sorted((SHARED / "replay").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number % every == 0:
                    yield from seen_and_said(json.loads(line))


def assert_exact(chat: Chat, texts: list[str], system: str | None) -> None:
    """Prefixes, masks and special tokens of one dialogue."""
    head = [] if system is None else [{"role": "system", "content": system}]
    ids, mask = chat.dialogue([*head, *turns(*texts)])
    if system is None:
        assert ids.tolist() == grown(chat, texts), "every turn only appends"
    begins = np.flatnonzero(mask & ~np.roll(mask, 1))
    ends = np.flatnonzero(mask & ~np.roll(mask, -1))
    assert (ids[ends] == chat.end).all(), "the end of turn is the policy's"
    assert [chat.text(ids[a : b + 1]) for a, b in zip(begins, ends)] == [chats.clean(text) for text in texts[1::2]]
    bos = chat.tokenizer.specials.get(chat.tokenizer.bos)
    if chat.template.name not in ("llama2", "olmo2"):  # these begin every pair of turns with it, or end turns by it
        assert (ids == bos).sum() <= 1
    named = set(chat.tokenizer.specials.values())
    markup = chat.dialogue([*head, *turns(*("x" for _ in texts))])[0]
    assert [i for i in ids.tolist() if i in named] == [i for i in markup.tolist() if i in named], "text makes no special token"


def check_recorded(chat: Chat, every: int) -> int:
    count = 0
    for count, texts in enumerate(recorded(every), 1):
        assert_exact(chat, texts, None if count % 2 else "Play by the rules.")
    return count


@pytest.mark.parametrize("name", (*REAL, *WITH_TOKENS))
def test_some_recorded_dialogues_are_exact_under_every_template(name, real):
    assert check_recorded(real(name), 157) > 40


@pytest.mark.slow
@pytest.mark.parametrize("name", (*REAL, *WITH_TOKENS))
def test_all_recorded_dialogues_are_exact_under_every_template(name, real):
    assert check_recorded(real(name), 1) > 6527


def test_real_tokenizers_give_the_ids_of_their_makers(real):
    """Llama 2's as Meta's own code writes its first turns, Llama 3's as the package tiktoken splits the text."""
    ids, mask = real("llama2").dialogue(turns("hi", "ok", "hi"))
    inst, close = [518, 25580, 29962], [518, 29914, 25580, 29962]
    assert ids.tolist() == [1, *inst, 7251, *close, 3431, 2, 1, *inst, 7251, *close]
    assert np.flatnonzero(mask).tolist() == [9, 10]
    large = real("llama3").tokenizer
    wanted = [15339, 83739, 7413, 3659, 4424, 91, 29, 1917, 271, 220, 220, 4513, 1774, 4046, 57668, 53901, 9468, 19044]
    assert large.encode("hello <|begin_of_text|> world\n\n  12345 é你好🙂") == wanted
    assert large.specials["<|eot_id|>"] == 128009 and large.specials["<|reserved_special_token_247|>"] == 128255


def test_a_saved_tokenizer_is_read_again(real, tmp_path):
    large = real("llama3").tokenizer
    large.save(tmp_path)
    again = chats.load(tmp_path)
    assert again.template.name == "llama3" and again.tokenizer.specials == large.specials
    assert again.tokenizer.encode("Gu\u00e9ss: crane\n") == large.encode("Gu\u00e9ss: crane\n")


@pytest.mark.parametrize("name", (*REAL[3:], *WITH_TOKENS))
def test_ids_are_those_of_the_rendered_text(name, real):
    """transformers' own way from messages to ids, over the real pieces, blanks and swallowed lines included."""
    chat = real(name)
    chat.tokenizer.fast.chat_template = chats.jinja(chat.template)
    dialogue = [{"role": "system", "content": "Play fair."}, *turns("What is it?\nGuess.", "a crane", "No! Again", "two words")]
    theirs = chat.tokenizer.fast.apply_chat_template(dialogue, return_dict=False)
    assert chat.dialogue(dialogue)[0].tolist() == theirs
