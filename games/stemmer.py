"""The English Snowball stemmer ("Porter2") in its edition before 2025, which the official engines use.

M. F. Porter, "The English (Porter2) stemming algorithm", snowballstem.org.
"""

from __future__ import annotations

import functools
import re

_WHOLE = dict(
    pair.split(">")
    for pair in (
        "skis>ski skies>sky dying>die lying>lie tying>tie idly>idl gently>gentl ugly>ugli early>earli only>onli singly>singl "
        "sky>sky news>news howe>howe atlas>atlas cosmos>cosmos bias>bias andes>andes"
    ).split()
)
_WHOLE |= {word + end: word for word in ("inning", "outing", "canning", "herring", "earring") for end in ("", "s")}
_WHOLE |= {word + end: word for word in ("proceed", "exceed", "succeed") for end in ("", "s", "ed", "ing")}

_STEP2 = dict(
    pair.split(">")
    for pair in (
        "ization>ize ational>ate fulness>ful ousness>ous iveness>ive tional>tion biliti>ble lessli>less entli>ent ation>ate "
        "alism>al aliti>al ousli>ous iviti>ive fulli>ful enci>ence anci>ance abli>able izer>ize ator>ate alli>al bli>ble ogi>og li>"
    ).split()
)
_STEP3 = dict(
    pair.split(">")
    for pair in "ational>ate tional>tion alize>al icate>ic iciti>ic ical>ic ness> ful> ative>".split()
)
_STEP4 = "ement ance ence able ible ment ant ent ism ate iti ous ive ize ion al er ic".split()
_REGION = re.compile(r"[aeiouy][^aeiouy]")
_SHORT = re.compile(r"(?:[^aeiouy][aeiouy][^aeiouywxY]|^[aeiouy][^aeiouy])\Z")
_DOUBLE = ("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")
_VOWEL = re.compile(r"[aeiouy]")


@functools.lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The stem of one English word, lower case; words of one or two letters stay as they are."""
    word = word.lower()
    if len(word) <= 2:
        return word
    if word in _WHOLE:
        return _WHOLE[word]
    word = re.sub("[\u2018\u2019\u201b]", "'", word).removeprefix("'")
    word = re.sub("^y|(?<=[aeiouy])y", "Y", word)  # a y that is a consonant
    r1, r2 = _regions(word)
    for end in ("'s'", "'s", "'"):
        if word.endswith(end):
            word = word.removesuffix(end)
            break
    word = _plural(word)
    word = _past(word, r1)
    if len(word) > 2 and word[-1] in "yY" and not _VOWEL.match(word[-2]):
        word = word[:-1] + "i"
    word = _derived(word, r1, r2)
    return word.replace("Y", "y")


def _regions(word: str) -> tuple[int, int]:
    """Where R1 and R2 begin: after the first consonant that follows a vowel, and the same again inside R1."""
    special = re.match("gener|commun|arsen", word)
    found = special or _REGION.search(word)
    r1 = found.end() if found else len(word)
    again = _REGION.search(word, r1)
    return r1, again.end() if again else len(word)


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and _VOWEL.search(word[:-2]):
        return word[:-1]
    return word


def _past(word: str, r1: int) -> str:
    """Step 1b."""
    end = next((end for end in ("eedly", "ingly", "edly", "eed", "ing", "ed") if word.endswith(end)), None)
    if end is None:
        return word
    base = word.removesuffix(end)
    if end.startswith("ee"):
        return base + "ee" if len(base) >= r1 else word
    if not _VOWEL.search(base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if base.endswith(_DOUBLE):
        return base[:-1]
    return base + "e" if r1 >= len(base) and _SHORT.search(base) else base


def _derived(word: str, r1: int, r2: int) -> str:
    """Steps 2 to 5: of the endings of each step the longest one counts, if it lies in its region."""
    end = next((end for end in _STEP2 if word.endswith(end)), "")
    base = word.removesuffix(end)
    fits = {"ogi": base.endswith("l"), "li": base.endswith(tuple("cdeghkmnrt"))}
    if end and len(base) >= r1 and fits.get(end, True):
        word = base + _STEP2[end]
        if end in ("ization", "izer") and len(base) < r2:  # the edition in use then forgets R2: "realization" keeps its e
            r2 = len(word) + 1
    end = next((end for end in _STEP3 if word.endswith(end)), "")
    base = word.removesuffix(end)
    if end and len(base) >= (r2 if end == "ative" else r1):
        word = base + _STEP3[end]
    end = next((end for end in _STEP4 if word.endswith(end)), "")
    base = word.removesuffix(end)
    if end and len(base) >= r2 and (end != "ion" or base.endswith(("s", "t"))):
        word = base
    base = word[:-1]
    if word.endswith("l") and len(base) >= r2 and base.endswith("l"):
        return base
    if word.endswith("e") and (len(base) >= r2 or (len(base) >= r1 and not _SHORT.search(base))):
        return base
    return word
