"""Scripted players of the wordle games: a solver, a critic, random words, and the ways in which models break the format."""

from __future__ import annotations

import dataclasses
import functools
import random
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from games.core import Player, View
from games.wordle_words import colour, parse, targets, words

Marks = list[tuple[str, str]]  # (guess, one mark a letter): g, y, r, or ? where the colour was forgotten


@dataclasses.dataclass
class _Memory:
    """What a guesser has been told: the clue, colours, guesses the critic refused, and its word on the pending guess."""

    clue: str = ""
    marks: Marks = dataclasses.field(default_factory=list)
    refused: set[str] = dataclasses.field(default_factory=set)
    pending: str = ""
    agreed: bool = False


def _remember(view: View, names: Mapping[str, str]) -> _Memory:
    """Read a guesser's messages by inverting the engine's templates; `names` are those of the colours."""
    tag, marks = view.settings["lang_keywords"], {name: mark for mark, name in names.items()}
    memory = _Memory(view.seen[0].removeprefix(view.settings["guesser_prompt"]).strip().removeprefix(tag["clue_lang"]).strip())
    for said, text in zip(view.said, view.seen[1:]):
        if text.startswith(tag["guess_feedback_lang"]):
            shown = re.findall(f"(.)<({'|'.join(marks)})>", text)
            memory.marks.append(("".join(letter for letter, _ in shown), "".join(marks[name] for _, name in shown)))
            memory.pending = ""
        elif text.startswith(tag["clue_lang"]):
            own = parse(said, tag["explanation_lang"], tag["guess_lang"])
            verdict = re.search(f"^{re.escape(tag['guess_agreement_lang'])} (.*)$", text, re.MULTILINE)
            if own and verdict:
                memory.pending, memory.agreed = own[1], verdict[1] == tag["agreement_match_keywords_lang"][0]
                memory.refused |= set() if memory.agreed else {own[1]}
    return memory


def _forget(marks: Marks, view: View) -> Marks:
    """At strength s a slip happens with probability 1 - s, and leaves each colour with probability s."""
    if view.rng.random() < view.strength:
        return marks
    keep = lambda mark: mark if view.rng.random() < view.strength else "?"
    left = [(guess, "".join(map(keep, colours))) for guess, colours in marks]
    return [(guess, colours) for guess, colours in left if colours.strip("?")]


def _knows(clue: str, strength: float) -> str:
    """The word that a player of this strength finds for a clue, else "": a weaker one knows fewer of our clues."""
    if zlib.crc32(clue.encode("utf-8", "replace")) % 1000 >= 1000 * strength:
        return ""
    return next((word for word, (_, its_clue) in targets().items() if its_clue == clue), "")


def _letters(marks: Marks) -> tuple[list[str], str, str]:
    """What the colours say: a letter or "_" for each place, letters that are out, letters that are in but not placed."""
    seen = [(i, letter, mark) for guess, colours in marks for i, (letter, mark) in enumerate(zip(guess, colours))]
    places = ["_"] * 5
    for i, letter, mark in seen:
        if mark == "g":
            places[i] = letter
    spared = {letter for _, letter, mark in seen if mark != "r"}
    out = dict.fromkeys(letter for _, letter, mark in seen if mark == "r" and letter not in spared)
    loose = dict.fromkeys(letter for _, letter, mark in seen if mark == "y" and letter not in places)
    return places, "".join(out), "".join(loose)


def _spell(marks: Marks) -> str:
    """The known letters in one line, as in `_ r a _ e not c n has t`."""
    places, out, loose = _letters(marks)
    parts = [*places, *(["not", *out] if out else []), *(["has", *loose] if loose else [])]
    return " ".join(parts)


def _candidates(marks: Marks, settings: Mapping[str, Any]) -> list[str]:
    """Words of the game that suit the colours: of our targets, or else of our words, or else any."""
    places, out, _ = _letters(marks)
    banned = [out + "".join(guess[i] for guess, colours in marks if colours[i] in "yr") for i in range(5)]
    shape = "".join(p if p != "_" else f"[^{re.escape(ban)}\n]" for p, ban in zip(places, banned))
    text = "\n".join(settings["lang_keywords"]["official_words_list"])
    shaped = re.findall(f"^{shape}$", text, re.MULTILINE)
    for preferred in (targets(), _word_set(), None):
        found = [word for word in shaped if (preferred is None or word in preferred) and _suits(word, marks)]
        if found:
            return found
    return shaped


@functools.cache
def _word_set() -> frozenset[str]:
    return frozenset(words())


def _suits(word: str, marks: Marks) -> bool:
    """Whether `word` as the target would have given all the colours that are remembered."""
    for guess, colours in marks:
        shown = colour(guess, word)
        if shown != colours and any(mark not in (own, "?") for own, mark in zip(shown, colours)):
            return False
    return True


def _choose(candidates: list[str], rng: random.Random) -> str:
    """A guess that leaves few candidates: of ten with frequent letters, the best against a sample of forty."""
    if len(candidates) < 3:
        return rng.choice(candidates)
    often = Counter("".join(candidates))
    ten = sorted(candidates, key=lambda word: sum(often[letter] for letter in set(word)), reverse=True)[:10]
    sample = rng.sample(candidates, min(40, len(candidates)))
    return min(ten, key=lambda guess: sum(n * n for n in Counter(colour(guess, word) for word in sample).values()))


def _reply(view: View, explanation: str, word: str) -> str:
    tag = view.settings["lang_keywords"]
    return f"{tag['explanation_lang']} {explanation}\n{tag['guess_lang']} {word}"


def solve(view: View, names: Mapping[str, str]) -> str:
    """A guesser that keeps to the colours, to our clues as far as it knows them, and mostly to the critic."""
    memory = _remember(view, names)
    marks = _forget(memory.marks, view)
    candidates = _candidates(marks, view.settings)
    answer = _knows(memory.clue, view.strength)
    if answer in candidates:
        return _reply(view, f"{_spell(marks)} fits the clue", answer)
    if memory.agreed and memory.pending:
        return _reply(view, _spell(marks), memory.pending)
    candidates = [word for word in candidates if word not in memory.refused] or candidates
    slipped = marks != memory.marks
    return _reply(view, _spell(marks), view.rng.choice(candidates) if slipped else _choose(candidates, view.rng))


def guess_anything(view: View) -> str:
    """A legal reply with any word of the game."""
    word = view.rng.choice(view.settings["lang_keywords"]["official_words_list"])
    return _reply(view, view.rng.choice(("any word", "a try", "why not")), word)


_BROKEN_GUESSES = (
    "{e} a common word\n{g} {w}",
    "{e} a common word\n\n{g} {w}",
    "{e} it should have these letters\n{g} {w}s",
    "{e} it must be short\n{g} {w4}",
    "{e} the letters fit\n{g} {w4}q",
    "{e} {v}? no. {w}? no. {v}? no. {w}? no. {v}? no. {w}? no. {v}",
    "{e} my {g} {w}",
    "{e} first try\n{g} {v}\n{e} no, rather\n{g} {w}",
    '{e} a common word\n{g} "{w}"',
    "{e} one of two\n{g} {v} or {w}",
    "\n{e} a common word\n{g} {w}",
    "**{e}** a common word\n**{g}** {w}",
    "{g} {w}",
    "I think the word is {w}.",
    "",
)
_BROKEN_VERDICTS = (
    "{e} it fits\n{a} {yes}",
    "{e} it does not fit\n{a} {no}",
    "{e} it fits\n{a} {yes}.",
    "{e} it fits in part\n{a} partly",
    "{e} the clue fits. so it is right. so it fits. so it is right. so it fits",
    "{e} it fits {a} {yes}",
    "{e} it fits\n{a} {yes}\n{a} {no}",
    "**{e}** it fits\n**{a}** {yes}",
    "{a} {yes}",
    "{Yes}, I agree with this guess.",
    "",
)


def break_guess(view: View) -> str:
    """A guess in one of the ways in which models break the format; one in three is legal."""
    tag = view.settings["lang_keywords"]
    first, second = view.rng.sample(words(), 2)
    form = _BROKEN_GUESSES[0] if view.rng.random() < 1 / 3 else view.rng.choice(_BROKEN_GUESSES)
    return form.format(e=tag["explanation_lang"], g=tag["guess_lang"], w=first, v=second, w4=first[:4])


def _judged(text: str, view: View) -> tuple[str, str, str]:
    """(clue, explanation, guess) of a message to the critic; empty strings where it has another form."""
    tag = view.settings["lang_keywords"]
    names = ("clue_lang", "explanation_lang", "guess_lang")
    shape = "\n".join(f"{re.escape(tag[name])} ([^\n]*)" for name in names)
    found = re.match(shape, text.removeprefix(view.settings["guesser_critic_prompt"] + "\n\n"))
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _misfit(word: str, explanation: str) -> str:
    """What speaks against a word in an explanation of the solver's kind, "" if nothing does."""
    told = re.match(r"((?:[a-z_] ){4}[a-z_])(?: not((?: [a-z])+))?(?: has((?: [a-z])+))?(?: |$)", explanation + " ")
    if not told:
        return ""
    places, out, loose = ((part or "").split() for part in told.groups())
    wrong = [p for p, letter in zip(places, word) if p not in ("_", letter)]
    unused = [letter for letter in loose if letter not in word]
    barred = [letter for letter in out if letter in word]
    return next((f"{what} {letter}" for what, letters in (("has", barred), ("lost", wrong + unused)) for letter in letters), "")


def criticise(view: View) -> str:
    """A critic that agrees unless the clue, the letters told, or an earlier round speak against the guess."""
    tag = view.settings["lang_keywords"]
    yes, no = tag["agreement_match_keywords_lang"]
    *earlier, (clue, explanation, word) = [_judged(text, view) for text in view.seen]
    answer = _knows(clue, view.strength)
    if answer:
        against = "" if word == answer else "not the clue"
    else:
        against = "said before" if word in [guess for _, _, guess in earlier] else _misfit(word, explanation)
    agrees = not against
    if view.rng.random() >= view.strength:
        agrees, against = view.rng.random() < 0.5, "a feeling"
    return f"{tag['explanation_lang']} {'fits' if agrees else against}\n{tag['agreement_lang']} {yes if agrees else no}"


def judge_anything(view: View) -> str:
    """A legal reply with any verdict."""
    tag = view.settings["lang_keywords"]
    verdict = view.rng.choice(tag["agreement_match_keywords_lang"])
    return f"{tag['explanation_lang']} a feeling\n{tag['agreement_lang']} {verdict}"


def break_verdict(view: View) -> str:
    """A verdict in one of the ways in which models break the format; two in five are legal."""
    tag = view.settings["lang_keywords"]
    yes, no = tag["agreement_match_keywords_lang"]
    form = view.rng.choice(_BROKEN_VERDICTS[: 2 if view.rng.random() < 0.3 else None])
    return form.format(e=tag["explanation_lang"], a=tag["agreement_lang"], yes=yes, no=no, Yes=yes.capitalize())


def guesser(colours: Mapping[str, str]) -> Mapping[str, Player]:
    """The guessers of a game whose colours have these names."""
    return {"scripted": functools.partial(solve, names=colours), "random": guess_anything, "broken": break_guess}


CRITIC = {"scripted": criticise, "random": judge_anything, "broken": break_verdict}
