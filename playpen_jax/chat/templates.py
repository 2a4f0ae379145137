"""How each family writes a dialogue: our own training templates, and those that a tokenizer brings along.

A template here is a few pieces of markup around messages, so the ids of a dialogue are by construction the beginning of the ids
of its continuation, and which tokens are the policy's is known exactly. A stock template (Jinja) is used if it is of this kind.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

from playpen_jax.chat.tokenizers import HuggingFace, Tokenizer


@dataclasses.dataclass(frozen=True)
class Template:
    """Markup around messages; names of special tokens stand for them, {bos} and {eos} for the tokenizer's own.

    A dialogue is `first`, the user's text, `reply`, the policy's text, `end`, `next`, the user's text, `reply`, and so on. With
    a system prompt it begins with system[0], that text and system[1] in place of `first`. A blank at the end of `reply` belongs
    to the policy's text.
    """

    name: str
    first: str
    reply: str
    end: str  # one special token: the policy says it to end its turn
    next: str
    system: tuple[str, str] | None = None  # None: folded into the first user's message
    trim: bool = False  # the user's and the system's texts lose white space at both ends
    needs: tuple[str, ...] = ()  # further tokens by which `fitting` knows the tokenizer
    families: tuple[str, ...] = ()  # values of model_type in config.json to which it is limited; (): any


THOUGHTLESS = "<think>\n\n</think>"  # a closed block of thoughts, so that the policy answers at once


def _chatml(name: str, think: str = "", needs: tuple[str, ...] = (), **more: Any) -> Template:
    """ChatML; `think` stands before every reply, also in earlier turns, where stock templates would take it away."""
    user = "<|im_start|>user\n"
    system = "<|im_start|>system\n", "<|im_end|>\n" + user
    reply = "<|im_end|>\n<|im_start|>assistant\n" + think
    return Template(name, user, reply, "<|im_end|>", "\n" + user, system, needs=("<|im_start|>", *needs), **more)


def _llama3() -> Template:
    def header(role: str) -> str:
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n"

    bos, end = "<|begin_of_text|>", "<|eot_id|>"
    system = bos + header("system"), end + header("user")
    needs = (bos, "<|start_header_id|>", "<|end_header_id|>")
    return Template("llama3", bos + header("user"), end + header("assistant"), end, header("user"), system, True, needs)


# in the order in which `fitting` tries them
TEMPLATES = {
    template.name: template
    for template in (
        Template("tiny", "<bos><|user|>", "<|assistant|>", "<eos>", "<|user|>", needs=("<|user|>", "<|assistant|>")),
        _llama3(),
        _chatml("qwen3.5", THOUGHTLESS + "\n\n", trim=True, needs=("<think>",), families=("qwen3_5", "qwen3_5_text")),
        _chatml("smollm3", THOUGHTLESS + "\n", needs=("<think>",), families=("smollm3",)),
        _chatml("qwen3", THOUGHTLESS + "\n\n", needs=("<think>",)),
        _chatml("chatml"),  # Qwen2.5, SmolLM2
        Template(
            "gemma",
            "<bos><start_of_turn>user\n",
            "<end_of_turn>\n<start_of_turn>model\n",
            "<end_of_turn>",
            "\n<start_of_turn>user\n",
            trim=True,
            needs=("<start_of_turn>",),
        ),
        Template(
            "phi3",
            "<|user|>\n",
            "<|end|>\n<|assistant|>\n",
            "<|end|>",
            "\n<|user|>\n",
            ("<|system|>\n", "<|end|>\n<|user|>\n"),
            needs=("<|user|>", "<|assistant|>"),
        ),
        Template(
            "mistral-v7",
            "<s>[INST]",
            "[/INST]",
            "</s>",
            "[INST]",
            ("<s>[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT][INST]"),
            needs=("[INST]", "[/INST]", "[SYSTEM_PROMPT]"),
        ),
        Template("mistral", "<s>[INST] ", "[/INST] ", "</s>", "[INST] ", needs=("[INST]", "[/INST]")),
        Template("mistral-v1", "<s>[INST] ", " [/INST] ", "</s>", "[INST] ", needs=("<s>",), families=("mistral",)),
        Template(
            "llama2",
            "<s>[INST] ",
            " [/INST] ",
            "</s>",
            "<s>[INST] ",
            ("<s>[INST] <<SYS>>\n", "\n<</SYS>>\n\n"),
            needs=("<s>",),
            trim=True,
            families=("llama",),
        ),
        Template(
            "olmo2",
            "<|endoftext|><|user|>\n",
            "\n<|assistant|>\n",
            "<|endoftext|>",
            "\n<|user|>\n",
            ("<|endoftext|><|system|>\n", "\n<|user|>\n"),
            families=("olmo2",),
        ),
        Template("plain", "{bos}User: ", "\nAssistant: ", "{eos}", "\nUser: ", ("{bos}System: ", "\nUser: ")),
    )
}


def filled(template: Template, tokenizer: Tokenizer) -> Template:
    """The template with the tokenizer's own tokens in place of {bos} and {eos}; raises `ValueError` if one is lacking."""

    def fill(text: str) -> str:
        return text.replace("{bos}", tokenizer.bos or "").replace("{eos}", tokenizer.eos or "")

    markup: dict[str, Any] = {name: fill(getattr(template, name)) for name in ("first", "reply", "end", "next")}
    system = template.system and (fill(template.system[0]), fill(template.system[1]))
    for piece in (markup["end"], *template.needs):
        if not known(tokenizer, piece):
            raise ValueError(f"chat template {template.name!r}: the tokenizer has no token {piece or 'at the end'!r}")
    return dataclasses.replace(template, **markup, system=system)


def known(tokenizer: Tokenizer, piece: str) -> bool:
    """Whether this is one token."""
    return piece in tokenizer.specials or len(tokenizer.encode(piece)) == 1


def fitting(tokenizer: Tokenizer, family: str | None = None) -> Template:
    """The first of our templates whose tokens the tokenizer has; `family`: model_type of config.json, if there is one.

    Raises `ValueError` if none fits.
    """
    for template in TEMPLATES.values():
        end = tokenizer.eos if template.end == "{eos}" else template.end
        tokens = end in tokenizer.specials and all(known(tokenizer, piece) for piece in template.needs)
        if tokens and (not template.families or family in template.families):
            return template
    raise ValueError("no chat template has its special tokens")


# ---------------------------------------------------------------------------------------------- stock templates

ASKED = [f"Qx{i}xQ" for i in range(4)]
ANSWERED = [f"Ax{i}xA" for i in range(4)]
SYSTEM = "SxxS"
DAY = datetime.datetime(2024, 7, 26)  # where a template writes today's date: the same tokens on every day


def stock(tokenizer: HuggingFace) -> Template:
    """The template that came with a tokenizer, with thinking switched off; raises `ValueError` if it is not regular.

    It is regular if every rendered dialogue is the same few pieces of markup around its messages: then earlier turns are
    written as they were when they were said.
    """
    try:
        return _pieces(_renderer(tokenizer), tokenizer)
    except ValueError:
        raise
    except Exception as error:  # a template is a program of its author's: it may raise anything
        raise ValueError(f"it cannot be rendered: {type(error).__name__}: {error}") from error


def _renderer(tokenizer: HuggingFace) -> Callable[[Sequence[str], str | None], str]:
    """A function from texts (user's and assistant's in turn) and a system prompt to the rendered dialogue, open for a reply."""
    text = re.sub(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)", lambda found: repr(DAY.strftime(found[2])), _text(tokenizer))
    settings = {"date_string": DAY.strftime("%d %b %Y"), "enable_thinking": False, "chat_template": text}

    def render(texts: Sequence[str], system: str | None = None) -> str:
        messages = [] if system is None else [{"role": "system", "content": system}]
        messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
        open_end = len(texts) % 2 == 1
        return tokenizer.fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_end, **settings)

    return render


def _text(tokenizer: HuggingFace) -> str:
    """The template in Jinja; of several the one for plain chat."""
    found = tokenizer.fast.chat_template
    return found["default"] if isinstance(found, dict) else found


def _pieces(render: Callable[..., str], tokenizer: HuggingFace) -> Template:
    user, answer, again = ASKED[0], ANSWERED[0], ASKED[1]
    whole = render((user, answer, again))
    first, reply, close, after = _split(whole, (user, answer, again))
    if reply.rstrip(" ") != after.rstrip(" "):
        raise ValueError(f"an earlier turn begins with {reply!r}, a new one with {after!r}")
    end = min((piece for piece in tokenizer.specials if piece in close), key=close.index, default="")
    before, _, bridge = close.partition(end) if end else (close, "", "")
    if before.strip():
        raise ValueError(f"no special token ends a turn: {close!r}")
    trim = not _split(render((f" \n{user}\n ",)), (user,))[0].endswith(" \n")
    found = Template("stock", first, max(reply, after, key=len), end, bridge, trim=trim)
    _compare(render, found, before, None)
    system = _system(render, found, before)
    return dataclasses.replace(found, system=system)


def _system(render: Callable[..., str], found: Template, before: str) -> tuple[str, str] | None:
    """Markup around a system prompt; None: the template refuses one, or moves it about, so that we fold it."""
    try:
        head, tail, _ = _split(render((ASKED[0],), SYSTEM), (SYSTEM, ASKED[0]))
        _compare(render, dataclasses.replace(found, system=(head, tail)), before, SYSTEM)
    except Exception:  # templates refuse system prompts by raising whatever they like
        return None
    return head, tail


def _compare(render: Callable[..., str], template: Template, before: str, system: str | None) -> None:
    """Raise `ValueError` if dialogues of one to four turns are not rendered as the pieces say."""
    for turns in range(1, 5):
        texts = [text for pair in zip(ASKED, ANSWERED) for text in pair][: 2 * turns - 1]
        first, between = template.system or ("", "")
        head = template.first if system is None else first + system + between
        bridge = before + template.end + template.next
        written = head + bridge.join(ASKED[i] + template.reply + (ANSWERED[i] if i < turns - 1 else "") for i in range(turns))
        if render(texts, system).rstrip(" ") != written.rstrip(" "):
            raise ValueError(f"turn {turns} changes what was written before it")


def _split(text: str, parts: Sequence[str]) -> list[str]:
    """What stands before, between and after `parts`; raises `ValueError` unless each stands there once, in this order."""
    found = []
    for part in parts:
        before, middle, text = text.partition(part)
        if not middle or part in text:
            raise ValueError("it does not write every message once")
        found.append(before)
    return [*found, text]


def choose(tokenizer: Tokenizer, family: str | None, where: str) -> Template:
    """The stock template if there is one and it is regular, else one of ours, said in one line; or raises `ValueError`."""
    if not isinstance(tokenizer, HuggingFace) or not tokenizer.fast.chat_template:
        return fitting(tokenizer, family)
    try:
        return stock(tokenizer)
    except ValueError as error:
        problem = f"{where}: its chat template does not keep earlier turns: {error}"
    try:
        own = fitting(tokenizer, family)
    except ValueError as error:
        raise ValueError(f"{problem}; and {error}") from None
    logging.warning("%s; ours for %r takes its place", problem, own.name)
    return own


def jinja(template: Template) -> str:
    """The template in Jinja, for chat_template.jinja, with the marks by which transformers finds the policy's tokens."""

    def write(markup: str) -> str:
        return "{{ " + json.dumps(markup) + " }}" if markup else ""

    def content(text: str) -> str:
        return "{{ (" + text + ")" + (" | trim" if template.trim else "") + " }}"

    user = content("message.content")
    if template.system:
        system = write(template.system[0]) + content("messages[0].content") + write(template.system[1])
    else:
        system = write(template.first)
        user = "{% if system and loop.first %}" + content("messages[0].content") + write("\n\n") + "{% endif %}" + user
    reply = template.reply.rstrip(" ")  # the blank is the policy's
    said = write(template.reply[len(reply) :]) + "{{ message.content }}" + write(template.end)
    policy = "{% generation %}" + said + "{% endgeneration %}"
    return "".join(
        (
            "{% set system = messages[0].role == 'system' %}",
            "{% if system %}" + system + "{% else %}" + write(template.first) + "{% endif %}",
            "{% for message in (messages[1:] if system else messages) %}",
            "{% if message.role == 'user' %}",
            "{% if not loop.first %}" + write(template.next) + "{% endif %}" + user + write(reply),
            "{% else %}" + policy + "{% endif %}{% endfor %}",
        )
    )
