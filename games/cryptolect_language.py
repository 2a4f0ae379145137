"""The made-up languages of Cryptolect: English sentences about a small world, and how a language says them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from games.core import InstanceError

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_CHOICES = {
    "order": ("SVO", "SOV", "VSO", "VOS", "OSV", "OVS"),
    "adj_position": ("pre", "post"),
    "num_position": ("pre", "post"),
    "def_type": ("suffix", "particle_before", "particle_after"),
}
# rules of grammar that no official language has
_UNUSED = ("nom", "acc", "verb_pl", "has_case", "has_agreement", "has_concord", "has_phonology")
Meaning = Mapping  # {"subj": noun phrase, "verb": word, "obj": noun phrase}
Slot = tuple  # ("noun", word, plural, definite suffix), ("adj", word), ("verb", word), ("num", count) or ("def",)


class Malformed(Exception):
    """An English sentence is none of those that the informant understands; the text says why."""


def words(text: str) -> list[str]:
    """The words of a sentence; of all signs only letters count, and not their case."""
    return re.sub(r"[^a-z]", " ", text.strip().strip("\"'`").lower()).split()


class World:
    """The English words in play."""

    def __init__(self, nouns: Sequence[str], adjectives: Sequence[str], verbs: Sequence[str], counts: Sequence[int]):
        self.nouns, self.adjectives, self.verbs = list(nouns), list(adjectives), list(verbs)
        self.numbers = {NUMBERS[count]: count for count in counts if count > 1}

    def read(self, sentence: str) -> Meaning:
        """What an English sentence means; raises `Malformed`."""
        said = words(sentence)
        verbs = [i for i, word in enumerate(said) if word in self.verbs]
        if not said:
            raise Malformed("there is no sentence")
        if len(verbs) != 1:
            raise Malformed(f"exactly one of these verbs is wanted: {', '.join(sorted(self.verbs))}")
        subject, at = self._phrase(said[: verbs[0]], "subject"), verbs[0]
        return {"subj": subject, "verb": said[at], "obj": self._phrase(said[at + 1 :], "object")}

    def _phrase(self, said: list[str], role: str) -> dict:
        """[the | a] [number word] [adjectives] noun."""
        if not said:
            raise Malformed(f"there is no {role}")
        at = int(said[0] in ("the", "a"))
        count = self.numbers.get(said[at], 1) if at < len(said) else 1
        if count > 1 and said[0] == "a":
            raise Malformed("'a' does not go with a number word")
        at = start = at + (count > 1)
        while at < len(said) and said[at] in self.adjectives:
            at += 1
        if at == len(said):
            raise Malformed(f"the {role} has no noun")
        noun, plural = said[at], said[at] not in self.nouns
        if plural and (not noun.endswith("s") or noun[:-1] not in self.nouns):
            raise Malformed(f"'{noun[:40]}' is no known noun")
        if at + 1 < len(said):
            raise Malformed(f"'{said[at + 1][:40]}' does not belong into the {role}")
        if plural and count == 1:
            raise Malformed("a plural noun needs a number word")
        return {"noun": noun[:-1] if plural else noun, "count": count, "def": said[0] == "the", "adjs": said[start:at]}


def english(meaning: Meaning) -> str:
    """A meaning as an English sentence."""
    return f"{_english(meaning['subj'])} {meaning['verb']} {_english(meaning['obj'])}"


def _english(phrase: Mapping) -> str:
    many = phrase["count"] > 1
    article = ["the"] if phrase["def"] else [] if many else ["a"]
    number = [NUMBERS[phrase["count"]]] if many else []
    return " ".join([*article, *number, *phrase["adjs"], phrase["noun"] + "s" * many])


def layout(meaning: Meaning, order: str, adj_position: str, num_position: str, def_type: str | None) -> list[Slot]:
    """The slots of a sentence, one for each word that is said; `def_type` None: the language does not tell "the" from "a"."""
    parts: dict[str, list[Slot]] = {"V": [("verb", meaning["verb"])]}
    for role, field in (("S", "subj"), ("O", "obj")):
        phrase = meaning[field]
        many, marked = phrase["count"] > 1, phrase["def"] and def_type is not None
        adjectives: list[Slot] = [("adj", word) for word in phrase["adjs"]]
        noun: list[Slot] = [("noun", phrase["noun"], many, marked and def_type == "suffix")]
        block = adjectives + noun if adj_position == "pre" else noun + adjectives
        number: list[Slot] = [("num", phrase["count"])] if many else []
        block = number + block if num_position == "pre" else block + number
        before: list[Slot] = [("def",)] if marked and def_type == "particle_before" else []
        after: list[Slot] = [("def",)] if marked and def_type == "particle_after" else []
        parts[role] = before + block + after
    return [slot for letter in order for slot in parts[letter]]


class Language(World):
    """A language as an instance describes it, checked."""

    def __init__(self, fields: Mapping):
        for field, allowed in _CHOICES.items():
            _wanted(fields.get(field) in allowed, field, f"one of {', '.join(allowed)}")
        for field in _UNUSED:
            _wanted(not fields.get(field), field, "nothing: no game has this rule")
        lists: dict[str, Any] = {field: fields.get(f"active_{field}") for field in ("nouns", "adjs", "verbs", "counts")}
        for field, values in lists.items():
            kind = int if field == "counts" else str
            good = isinstance(values, list) and all(isinstance(value, kind) for value in values)
            _wanted(good and (values or field == "adjs"), f"active_{field}", "a list")
        _wanted(set(lists["counts"]) <= {1, *NUMBERS}, "active_counts", "counts from 1 to 6")
        super().__init__(lists["nouns"], lists["adjs"], lists["verbs"], lists["counts"])
        self.stems: Any = fields.get("lexicon")  # these are of the wanted type once they have been looked at
        self.numerals: Any = fields.get("numerals")
        _wanted(_has(self.stems, [*self.nouns, *self.adjectives, *self.verbs]), "lexicon", "a stem for each active word")
        _wanted(_has(self.numerals, map(str, self.numbers.values())), "numerals", "a word for each active count above 1")
        plural: Any = fields.get("number_pl")
        _wanted(isinstance(plural, Mapping) and plural.get("type") == "fixed", "number_pl", "an affix of the type 'fixed'")
        self.plural: Any = plural.get("form")
        self.definite: Any = fields.get("def_form")
        _wanted(isinstance(self.plural, str), "number_pl.form", "a text")
        _wanted(isinstance(self.definite, str), "def_form", "a text")
        _wanted(isinstance(fields.get("has_definiteness"), bool), "has_definiteness", "true or false")
        self.grammar = {field: fields[field] for field in _CHOICES}
        if not fields["has_definiteness"]:
            self.grammar["def_type"] = None

    def say(self, meaning: Meaning) -> str:
        """How the language says it."""
        return " ".join(self._form(slot) for slot in layout(meaning, **self.grammar))

    def _form(self, slot: Slot) -> str:
        if slot[0] == "num":
            return self.numerals[str(slot[1])]
        if slot[0] == "def":
            return self.definite
        if slot[0] == "noun":
            return self.stems[slot[1]] + self.plural * slot[2] + self.definite * slot[3]
        return self.stems[slot[1]]


def _has(table: object, keys) -> bool:
    """Is this a table with a text for each of the keys?"""
    return isinstance(table, Mapping) and all(isinstance(table.get(key), str) for key in keys)


def _wanted(good: object, field: str, what: str) -> None:
    if not good:
        raise InstanceError(f"language.{field}", f"{what} is wanted")
