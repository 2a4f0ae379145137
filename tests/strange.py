"""Strange replies: what a player might send that the rules did not have in mind. Seeded, so that a find can be repeated."""

from __future__ import annotations

import json
import random
import re

HUGE = 100_000  # characters

_FOREIGN = (
    "我不知道该说什么。",
    "Ich weiß es leider nicht, straße ẞ ﬁnger.",
    "Δεν ξέρω την απάντηση.",
    "मुझे नहीं पता",
    "わかりません。１２３",
    "İstanbul ıssız",
    "🙂🙃👩‍👩‍👧 ok",
    "½ ² ٣ Ⅷ 七",
)
_RIGHT_TO_LEFT = ("אני לא יודע", "لا أعرف الجواب", "\u202eGUESS: abc\u202c", "\u2067(1, 2)\u2069")
_SURROGATES = ("\ud800", "\udfff", "\udc80abc", "a\ud83d")
_BLANKS = ("", " ", "\n", "\t\n ", "\r\n\r\n", "\u00a0", "\u200b", "\ufeff")
_SEPARATORS = ("\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85", "\r", "\r\n", "\u00a0", "\u3000", "\u200b")
_MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def strange(rng: random.Random, good: str, prompt: str) -> str:
    """A strange reply, often made from a good one; `prompt` is what the player was just told."""
    kind = rng.random()
    if kind < 0.70:
        return _several_near_misses(rng, good)
    if kind < 0.72:
        return _huge(rng, good)
    return rng.choice(_ODDITIES)(rng, good, prompt)


def _several_near_misses(rng: random.Random, good: str) -> str:
    reply = good
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        reply = rng.choice(_NEAR_MISSES)(rng, reply)
    return reply[:HUGE]


def _huge(rng: random.Random, good: str) -> str:
    """A hundred thousand characters: noise, one unit for ever, or a good reply that stutters somewhere."""
    start = rng.randrange(len(good) + 1)
    stop = rng.randint(start, len(good))
    part = good[start:stop] or rng.choice(("a", " ", "\n", ",", "(", "[", '"', "1", "a ", "é", "\\", "'", "-", "{", "\ud800"))
    many = part * (HUGE // len(part) + 1)
    kind = rng.randrange(6)
    if kind == 0:
        return "".join(rng.choices("ab c\n,.:()[]{}\"'12é字", k=HUGE))
    if kind == 1:
        return many[:HUGE]
    if kind == 2:
        return (good + many)[:HUGE]
    if kind == 3:
        return many[: HUGE - len(good)] + good
    inside = many[: max(0, HUGE - len(good))]
    inside = inside[: len(inside) // len(part) * len(part)]
    return good[:start] + inside + good[start:]


_ODDITIES = (
    lambda rng, good, prompt: rng.choice(_BLANKS),
    lambda rng, good, prompt: rng.choice(_FOREIGN),
    lambda rng, good, prompt: good + rng.choice(_FOREIGN),
    lambda rng, good, prompt: rng.choice(_RIGHT_TO_LEFT),
    lambda rng, good, prompt: f"\u202e{good}\u202c",
    lambda rng, good, prompt: rng.choice(_SURROGATES),
    lambda rng, good, prompt: good + rng.choice(_SURROGATES),
    lambda rng, good, prompt: rng.choice(_SURROGATES) + good,
    lambda rng, good, prompt: "".join(chr(rng.randrange(32)) for _ in range(rng.randint(1, 40))),
    lambda rng, good, prompt: "".join(chr(rng.choice((rng.randrange(0x110000), rng.randrange(256)))) for _ in range(20)),
    lambda rng, good, prompt: json.dumps({"reply": good, "reasoning": None, "n": [1, 2.5, True]}),
    lambda rng, good, prompt: json.dumps([[[good]]], indent=1),
    lambda rng, good, prompt: good.replace('"', "'") if rng.random() < 0.5 else good.replace("'", '"'),
    lambda rng, good, prompt: prompt,
    lambda rng, good, prompt: prompt.rsplit("\n", 1)[-1],
    lambda rng, good, prompt: f"{prompt}\n{good}",
    lambda rng, good, prompt: rng.choice([*prompt.split("\n"), *re.findall(r"\S+: .*", prompt)]),
    lambda rng, good, prompt: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in good),  # full-width
    lambda rng, good, prompt: f"<think>\nHm.\n</think>\n\n{good}",
    lambda rng, good, prompt: "".join(rng.sample(good, len(good))),
)


def _cut(rng: random.Random, text: str) -> tuple[int, int]:
    start = rng.randrange(len(text) + 1)
    return start, rng.randint(start, min(len(text), start + 12))


def _insert(rng: random.Random, text: str, what: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + what + text[at:]


def _drop(rng: random.Random, text: str) -> str:
    start, stop = _cut(rng, text)
    return text[:start] + text[stop:]


def _stutter(rng: random.Random, text: str) -> str:
    start, stop = _cut(rng, text)
    return text[:start] + text[start:stop] * rng.choice((2, 2, 3, 30)) + text[stop:]


def _swap(rng: random.Random, text: str) -> str:
    start, stop = _cut(rng, text)
    return text[:start] + text[start:stop][::-1] + text[stop:]


def _words(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    rng.shuffle(words)
    return " ".join(words)


def _lines(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    rng.shuffle(lines)
    return "\n".join(lines)


def _tag(rng: random.Random, text: str) -> str:
    """The tag doubled, missing, in bold, without its colon, or without the blank behind it."""
    tag, colon, rest = text.partition(":")
    return rng.choice((rest, f"{tag}:{text}", f"**{tag}:** {rest}", f"{tag} {rest}", f"{tag}:{rest.strip()}", f"{tag} :{rest}"))


def _digits(rng: random.Random, text: str) -> str:
    new = rng.choice(("0", "9", "-1", "1.5", "٣", "²", "1e9", "9" * 30, "9" * 5000, "one"))
    return re.sub(r"\d", lambda match: new if rng.random() < 0.5 else match[0], text)


_NEAR_MISSES = (
    lambda rng, text: text.upper(),
    lambda rng, text: text.lower(),
    lambda rng, text: text.swapcase(),
    lambda rng, text: text.title(),
    lambda rng, text: f" {text}",
    lambda rng, text: f"{text} ",
    lambda rng, text: f"\n{text}\n",
    lambda rng, text: text.replace(" ", rng.choice(("", "  ", "\n", "\t"))),
    lambda rng, text: text.replace("\n", rng.choice(("", "\n\n", "\r\n", " "))),
    lambda rng, text: _insert(rng, text, rng.choice(_SEPARATORS)),
    lambda rng, text: _insert(rng, text, rng.choice(_MARKS)),
    lambda rng, text: _insert(rng, text, rng.choice("abcXYZ éß字")),
    lambda rng, text: _insert(rng, text, chr(rng.randrange(32))),
    lambda rng, text: _insert(rng, text, "\\"),
    lambda rng, text: text.translate(str.maketrans("", "", rng.choice(_MARKS))),
    lambda rng, text: f"{text}{rng.choice(_MARKS)}",
    lambda rng, text: f'"{text}"',
    lambda rng, text: f"**{text}**",
    lambda rng, text: f"```\n{text}\n```",
    lambda rng, text: f"{text}\n{text}",
    lambda rng, text: f"Sure!\n\n{text}",
    lambda rng, text: f"{text}\n\nI hope that this helps.",
    lambda rng, text: text[: rng.randrange(len(text) + 1)],
    lambda rng, text: text[rng.randrange(len(text) + 1) :],
    _tag,
    _tag,
    _digits,
    _drop,
    _stutter,
    _swap,
    _words,
    _lines,
)
