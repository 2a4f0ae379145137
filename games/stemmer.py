"""The English Snowball stemmer ("Porter2") in the edition that clue checks use, from before the 2025 revision.

A word's regions R1 and R2 are kept as start positions, found once and never again. `y` counts as a consonant, written `Y`,
at the start of a word and after a vowel.
"""

from __future__ import annotations

import functools

LONGEST_CACHED = 32  # letters: longer strings are no words
VOWELS = frozenset("aeiouy")
_DOUBLES = ("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")
_APOSTROPHES = str.maketrans("\u2018\u2019\u201b", "'''")
_R1_PREFIXES = ("gener", "commun", "arsen")

_WHOLE = {
    "skis": "ski",
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "idly": "idl",
    "gently": "gentl",
    "ugly": "ugli",
    "early": "earli",
    "only": "onli",
    "singly": "singl",
}
_WHOLE |= {word: word for word in ("sky", "news", "howe", "atlas", "cosmos", "bias", "andes")}
_WHOLE |= {word + s: word for word in ("inning", "outing", "canning", "herring", "earring") for s in ("", "s")}
_WHOLE |= {word + s: word for word in ("proceed", "exceed", "succeed") for s in ("", "s", "ed", "ing")}

# longest first: only the first suffix that fits is tried
_STEP2 = {
    "ization": "ize",
    "ational": "ate",
    "fulness": "ful",
    "ousness": "ous",
    "iveness": "ive",
    "tional": "tion",
    "biliti": "ble",
    "lessli": "less",
    "entli": "ent",
    "ation": "ate",
    "alism": "al",
    "aliti": "al",
    "ousli": "ous",
    "iviti": "ive",
    "fulli": "ful",
    "enci": "ence",
    "anci": "ance",
    "abli": "able",
    "izer": "ize",
    "ator": "ate",
    "alli": "al",
    "bli": "ble",
    "ogi": "og",
    "li": "",
}
_STEP3 = {
    "ational": "ate",
    "tional": "tion",
    "alize": "al",
    "icate": "ic",
    "iciti": "ic",
    "ative": "",
    "ical": "ic",
    "ness": "",
    "ful": "",
}
_STEP4 = tuple("ement ance ence able ible ment ant ent ism ate iti ous ive ize ion al er ic".split())


def stem(word: str) -> str:
    """The stem of one word, in lower case; words of one or two letters stay as they are."""
    return _cached_stem(word) if len(word) <= LONGEST_CACHED else _stem(word)


def _stem(word: str) -> str:
    word = word.lower()
    if len(word) <= 2 or word in _WHOLE:
        return _WHOLE.get(word, word)
    word = _mark_consonant_y(word.translate(_APOSTROPHES).removeprefix("'"))
    r1 = next((len(p) for p in _R1_PREFIXES if word.startswith(p)), None) or _region(word, 0)
    r2 = _region(word, r1)
    word = _plural(_possessive(word))
    word = _final_y(_past_and_gerund(word, r1))
    word, r2 = _step2(word, r1, r2)
    word = _step4(_step3(word, r1, r2), r2)
    return _final_e_or_l(word, r1, r2).lower()


_cached_stem = functools.lru_cache(maxsize=1 << 16)(_stem)


def _mark_consonant_y(word: str) -> str:
    letters = list(word)
    for i, letter in enumerate(letters):
        if letter == "y" and (i == 0 or letters[i - 1] in VOWELS):
            letters[i] = "Y"
    return "".join(letters)


def _region(word: str, start: int) -> int:
    """Where the part after the first consonant that follows a vowel begins, looking from `start` on."""
    for i in range(start + 1, len(word)):
        if word[i] not in VOWELS and word[i - 1] in VOWELS:
            return i + 1
    return len(word)


def _has_vowel(text: str) -> bool:
    return any(letter in VOWELS for letter in text)


def _ends_short(word: str) -> bool:
    """Whether the word ends in a short syllable."""
    if len(word) == 2:
        return word[0] in VOWELS and word[1] not in VOWELS
    return len(word) > 2 and word[-3] not in VOWELS and word[-2] in VOWELS and word[-1] not in VOWELS and word[-1] not in "wxY"


def _suffix(word: str, suffixes) -> str | None:
    return next((s for s in suffixes if word.endswith(s)), None)


def _possessive(word: str) -> str:
    return word.removesuffix(_suffix(word, ("'s'", "'s", "'")) or "")


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and _has_vowel(word[:-2]):
        return word[:-1]
    return word


def _past_and_gerund(word: str, r1: int) -> str:
    """Step 1b."""
    suffix = _suffix(word, ("eedly", "ingly", "edly", "eed", "ing", "ed"))
    if suffix is None:
        return word
    base = word[: -len(suffix)]
    if suffix.startswith("eed"):
        return base + "ee" if len(base) >= r1 else word
    if not _has_vowel(base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if base.endswith(_DOUBLES):
        return base[:-1]
    return base + "e" if r1 >= len(base) and _ends_short(base) else base


def _final_y(word: str) -> str:
    """Step 1c."""
    return word[:-1] + "i" if len(word) > 2 and word[-1] in "yY" and word[-2] not in VOWELS else word


def _step2(word: str, r1: int, r2: int) -> tuple[str, int]:
    suffix = _suffix(word, _STEP2)
    if suffix is None or len(word) - len(suffix) < r1:
        return word, r2
    base = word[: -len(suffix)]
    if (suffix == "ogi" and not base.endswith("l")) or (suffix == "li" and not base.endswith(tuple("cdeghkmnrt"))):
        return word, r2
    # this edition forgets R2 after -ization and -izer unless the suffix lies in it: "realization" keeps its e
    if suffix in ("ization", "izer") and len(base) < r2:
        r2 = len(base) + 3
    return base + _STEP2[suffix], r2


def _step3(word: str, r1: int, r2: int) -> str:
    suffix = _suffix(word, _STEP3)
    if suffix is None or len(word) - len(suffix) < (r2 if suffix == "ative" else r1):
        return word
    return word[: -len(suffix)] + _STEP3[suffix]


def _step4(word: str, r2: int) -> str:
    suffix = _suffix(word, _STEP4)
    if suffix is None or len(word) - len(suffix) < r2:
        return word
    base = word[: -len(suffix)]
    return word if suffix == "ion" and not base.endswith(("s", "t")) else base


def _final_e_or_l(word: str, r1: int, r2: int) -> str:
    """Step 5."""
    last = len(word) - 1
    if word.endswith("l") and last >= r2 and word[:-1].endswith("l"):
        return word[:-1]
    if word.endswith("e") and (last >= r2 or (last >= r1 and not _ends_short(word[:-1]))):
        return word[:-1]
    return word
