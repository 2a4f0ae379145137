"""Sentences and word tokens as IFEval counts them.

Sentences end as by Punkt (Kiss and Strunk 2006) with a small table of abbreviations in place of a trained one; words are tokens
of the Penn Treebank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st jr sr inc co corp ltd vs u.s u.k u.n u.s.a a.m p.m i.e ph.d gen sen rep gov lt col sgt d.c "
    "jan feb aug sept oct nov dec".split()
)
# words that, after an abbreviation or an ellipsis, begin a sentence if they are capitalised
STARTERS = frozenset(
    "the an and but so it he she we they you this that these those there here in on at as if when while after "
    "since for with what why how then however most many some his her our their its".split()
)
_AFTER = r"[)\";}\]*:@'({\[!?]"  # signs that end a word
_MANY = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
_END = re.compile(rf"[.?!](?=(?P<after>{_AFTER}|\s+(?P<next>\S+)))")
_TOKEN = re.compile(rf"{_MANY}|(?=[^(\"`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|{_AFTER}|{_MANY}|,(?=$|\s|{_AFTER}|{_MANY}))|\S")
_CLOSING = re.compile(r"[\"')\]}]+?(?:\s+|(?=--)|$)", re.MULTILINE)
_INITIAL, _NUMBER, _ELLIPSIS = re.compile(r"[^\W\d]\."), re.compile(r"-?[.,]?\d[\d,.-]*"), re.compile(r"\.\.+")
_BLANKS = " \t\n\r\x0b\x0c"


def sentences(text: str) -> list[str]:
    """The sentences of a text; closing quotes and brackets stay with the sentence that they end."""
    breaks = [*_breaks(text), (len(text.rstrip()), len(text))]
    found = list(zip([0, *(following for _, following in breaks)], (end for end, _ in breaks)))
    kept: list[str] = []
    moved = 0
    for (start, end), after in zip(found, [*found[1:], None]):
        closing = _CLOSING.match(text[slice(*after)]) if after else None
        start, stop = start + moved, after[0] + len(closing[0].rstrip()) if after and closing else end
        moved = closing.end() if closing else 0
        kept += [text[start:stop]] if closing or text[start:end] else []
    return kept


def _breaks(text: str) -> Iterator[tuple[int, int]]:
    """(end of a sentence, start of the next one)."""
    for hit, context in _candidates(text):
        if _ends(context):
            yield hit.end(), hit.start("next") if hit["next"] else hit.end()


def _candidates(text: str) -> Iterator[tuple[re.Match, str]]:
    """Signs that may end a sentence, each with the word before it and the token after it; of one word only the last sign."""
    last, start, stop = None, 0, 0
    for hit in _END.finditer(text):
        before = text[stop : hit.start()]
        blank = max(before.rfind(sign) for sign in _BLANKS)
        begin = stop + blank + 1 if blank > 0 else start
        if last is not None and stop <= begin:
            yield last, text[start:stop] + last[0] + last["after"]
        last, start, stop = hit, begin, hit.start()
    if last is not None:
        yield last, text[start:stop] + last[0] + last["after"]


def _ends(context: str) -> bool:
    """Does a sentence end within these tokens, before the last one?"""
    tokens = _TOKEN.findall(context)
    return any(_final(token, following) for token, following in pairwise(tokens))


def _final(token: str, following: str) -> bool:
    """Is a token the last one of its sentence?"""
    if token in (".", "?", "!"):
        return True
    if not token.endswith("."):
        return False
    word = token[:-1].lower()
    known = word in ABBREVIATIONS or word.split("-")[-1] in ABBREVIATIONS
    if token.endswith("..") or (known and not _INITIAL.fullmatch(token)):
        return following[0].isupper() and following.lower().rstrip(".") in STARTERS
    if known:
        return False
    if _INITIAL.fullmatch(token):
        return not (following[0].islower() or following[0].isupper() or following in ";:,.!?")
    if _NUMBER.fullmatch(token):
        return not (following[0].islower() or following in ";:,.!?")
    return True


_SIGNS = re.compile(r"''|--|\.{2,}|[:,](?!\d)|[`«»“”‘’„\"\[\](){}<>?!;@#$%&*\u2012-\u2015]")
_QUOTED = re.compile(r"'(?!re|ve|ll|m|t|s|d|n)(?=\w\b)", re.IGNORECASE)
_SHORT = re.compile(r"(?<=[^' ])('[sSmMdD]|') "), re.compile(r"(?<=[^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ")
_MERGED = (
    re.compile(
        r"\b(?:(can)(not)|(d)('ye)|(gim)(me)|(gon)(na)|(got)(ta)|(lem)(me)|(more)('n)|(wan)(na)(?=\s))\b", re.IGNORECASE
    ),
    re.compile(r" ('t)(is|was)\b", re.IGNORECASE),
)
_TAIL = " \n\t\r\x0b\x0c])}>\"'»”’"


def capital_words(text: str) -> int:
    """How many word tokens of a text are in capitals; clitics ("N'T") and split forms ("CAN NOT") are tokens of their own."""
    return sum(token.isupper() for sentence in sentences(text) for token in _tokens(sentence))


def _tokens(sentence: str) -> list[str]:
    body = sentence.rstrip(_TAIL)
    if body.endswith(".") and not body.endswith("..") and body != ".":
        sentence = f"{body[:-1]} . {sentence[len(body) :]}"
    text = _SIGNS.sub(lambda found: f" {found[0]} ", _QUOTED.sub("' ", sentence))
    text = f" {' '.join(text.split())} "
    for pattern in _SHORT + _MERGED:
        text = pattern.sub(lambda found: f" {' '.join(filter(None, found.groups()))} ", text)
    return text.split()
