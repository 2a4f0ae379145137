"""Wordle: find a five-letter word in six rounds from coloured letters; also with a clue, and with a clue and a critic.

Crazy Wordle plays by the same rules, with other names of the colours and one table of scores for all three of its games.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Mapping
from typing import Any

from games import wordle_players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status, Suite
from games.wordle_words import (
    CRAZY_COLOURS,
    LENGTH,
    LEVELS,
    SPEED,
    SPEED_WITH_CLUE,
    Variant,
    colour,
    generate,
    parse,
    settings,
    show,
)

_TAGS = ("clue_lang", "guess_lang", "guess_word_lang", "explanation_lang", "explanataion_details_lang", "guess_feedback_lang")
_CRITIC_TAGS = ("agreement_lang", "agreement_word_lang", "guess_agreement_lang", "agreement_explanation_lang")
_ERRORS = ("INVALID_FORMAT", "NOT_VALID_WORD_FOR_GAME", "RETRY")


class _Foul(Exception):
    """A broken rule that ends the episode; `violated`: 1 if the request counts as violated."""

    def __init__(self, seat: str, reason: str, violated: int = 1):
        super().__init__(reason)
        self.seat, self.reason, self.violated = seat, reason, violated


def _referee(instance: Mapping, settings: Mapping, variant: Variant) -> Referee:
    """The rules of all these games."""
    table = _Table(instance, settings, variant.critic)
    try:
        found = yield from _rounds(table, instance, settings, variant)
    except _Foul as foul:  # may come from any seat's turn, and ends the episode wherever it comes
        return table.outcome(math.nan, foul)
    return table.outcome(variant.speed[found - 1] if found else 0.0)


def _rounds(table: _Table, instance: Mapping, settings: Mapping, variant: Variant) -> Generator[Ask, str, int]:
    """Play the rounds; returns the number of the round that found the word, 0 if none did."""
    tag, hint = table.tag, table.hint("guess_lang", "guess_word_lang")
    clue_line = f"{tag['clue_lang']} {instance['target_word_clue'].strip()}" if variant.clue else ""
    text = settings["guesser_prompt"] + (f"\n\n{clue_line}" if variant.clue else "")
    for number in range(1, table.rounds + 1):
        explanation, word = yield from table.guess(text)
        if variant.critic:
            table.first.append(word)
            text = f"{clue_line}\n{tag['explanation_lang']} {explanation}\n{tag['guess_lang']} {word}"
            if number == 1:
                text = f"{settings['guesser_critic_prompt']}\n\n{text}"
            else:
                text += table.hint("agreement_lang", "agreement_word_lang")
            why, verdict = yield from table.judge(text)
            text = f"{clue_line}\n{tag['guess_agreement_lang']} {verdict}\n{tag['agreement_explanation_lang']} {why}{hint}"
            explanation, word = yield from table.guess(text)
        marks = table.commit(word)
        if word == table.target:
            return number
        text = f"{tag['guess_feedback_lang']} {show(word, marks, variant.colours)}{hint}"
    return 0


class _Table:
    """One episode's settings, and what has been said so far."""

    def __init__(self, instance: Mapping, settings: Mapping, critic: bool):
        tags = _TAGS + _CRITIC_TAGS if critic else _TAGS
        self.tag = {name: _setting(settings, f"lang_keywords.{name}", str) for name in tags}
        self.error = {name: _setting(settings, f"lang_keywords.error_prompt_text.{name}", str) for name in _ERRORS}
        self.answers = _setting(settings, "lang_keywords.agreement_match_keywords_lang", list) if critic else []
        self.rounds = _setting(settings, "common_config.n_turns", int)
        self.retries = _setting(settings, "common_config.max_retry_per_error.NOT_VALID_WORD_FOR_GAME", int)
        known = _setting(settings, "lang_keywords.official_words_list", list)
        if critic and len(self.answers) != 2:
            raise InstanceError("lang_keywords.agreement_match_keywords_lang", "the words for yes and no are wanted")
        if set(map(type, known)) != {str}:
            raise InstanceError("lang_keywords.official_words_list", "a list of words is wanted")
        self.words = frozenset(known)
        self.target = instance["target_word"].strip().lower()
        if not 1 <= self.rounds <= len(SPEED):
            raise InstanceError("common_config.n_turns", f"1 to {len(SPEED)} wanted")
        if len(self.target) != LENGTH or self.target not in self.words:
            raise InstanceError("target_word", f"a word of {LENGTH} letters from official_words_list is wanted")
        self.first: list[str] = []  # guesses shown to the critic
        self.verdicts: list[str] = []
        self.committed: list[str] = []
        self.progress: list[float] = []

    def hint(self, tag: str, example: str) -> str:
        """The reminder of the format that closes most messages."""
        explanation = f"{self.tag['explanation_lang']} {self.tag['explanataion_details_lang']}"
        return f"\n\n{self.error['INVALID_FORMAT']}\n{explanation}\n{self.tag[tag]} {self.tag[example]}"

    def ask(self, seat: str, text: str, tag: str) -> Generator[Ask, str, tuple[str, str]]:
        """Ask a seat; returns its (explanation, value)."""
        reply = yield Ask(seat, text)
        self.progress.append(self.progress[-1] if self.progress else 0.0)
        said = parse(reply, self.tag["explanation_lang"], self.tag[tag])
        if said is None:
            raise _Foul(seat, f"no explanation first, or not exactly one '{self.tag[tag]}' after its line")
        if not said[1].isalpha():
            raise _Foul(seat, f"'{self.tag[tag]}' without one word of letters only")
        return said

    def guess(self, text: str) -> Generator[Ask, str, tuple[str, str]]:
        """Ask for a guess, and again while the word is unknown; returns (explanation, word)."""
        for _ in range(self.retries + 1):
            explanation, word = yield from self.ask("guesser", text, "guess_lang")
            if len(word) != LENGTH:
                raise _Foul("guesser", f"the guess has {len(word)} letters, not {LENGTH}")
            if word in self.words:
                return explanation, word
            text = f"{self.error['NOT_VALID_WORD_FOR_GAME']} {self.error['RETRY']}{self.hint('guess_lang', 'guess_word_lang')}"
        raise _Foul("guesser", "too many unknown words in a row", violated=0)

    def judge(self, text: str) -> Generator[Ask, str, tuple[str, str]]:
        """Ask for the critic's verdict; returns (explanation, verdict)."""
        why, verdict = yield from self.ask("critic", text, "agreement_lang")
        if verdict not in self.answers:
            raise _Foul("critic", f"the verdict is none of {self.answers}")
        self.verdicts.append(verdict)
        return why, verdict

    def commit(self, word: str) -> str:
        """Compare a guess with the target; returns its colours. Progress is the Closeness Score, 5 a green, 3 a yellow."""
        marks = colour(word, self.target)
        self.committed.append(word)
        self.progress[-1] = (5 * marks.count("g") + 3 * marks.count("y")) / (5 * LENGTH)
        return marks

    def outcome(self, score: float, foul: _Foul | None = None) -> Outcome:
        """The end, by a foul or with a Main Score (0: not found)."""
        status: Status = "aborted" if foul else "success" if score else "lose"
        reason = foul.reason if foul else "the word was found" if score else "no rounds left"
        requests, violated = len(self.progress), foul.violated if foul else 0
        repeated = math.nan if foul else len(self.committed) - len(set(self.committed))
        metrics = {"Guess Repetitions": repeated} | (self.opinions() if self.answers else {})
        seat = foul.seat if foul else None
        return Outcome(status, score, requests, requests - violated, violated, metrics, reason, seat, tuple(self.progress))

    def opinions(self) -> dict[str, float]:
        """How often the guesser kept or changed its guess after each kind of verdict."""
        judged = list(zip(self.first, self.committed, self.verdicts))
        shares = {}
        for answer, name in zip(self.answers, ("Agreement", "Disagreement")):
            kept = [first == last for first, last, verdict in judged if verdict == answer]
            for prefix, count in (("Repetition", sum(kept)), ("Non-Repetition", len(kept) - sum(kept))):
                share = round(count / len(kept), 2) if kept else 0
                shares[f"{prefix}-Guesser-On-Critic-{name}"] = share if judged else math.nan
        return shares


def _setting(settings: Mapping, path: str, kind: type) -> Any:
    """The nested setting at a dotted path; raises `InstanceError` if it is missing or of a wrong type."""
    value: Any = settings
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise InstanceError(path, "missing")
        value = value[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InstanceError(path, f"{type(value).__name__} given, {kind.__name__} wanted")
    return value


def _game(name: str, suite: Suite, variant: Variant) -> Game:
    clue, critic = variant.clue, variant.critic
    return Game(
        name=name,
        suite=suite,
        seats=("guesser", "critic") if critic else ("guesser",),
        roles=("ReflectingWordGuesser", "WordCritic") if critic else ("WordGuesser",),
        levels=tuple(LEVELS),
        fields={"target_word": str} | ({"target_word_clue": str} if clue else {}),
        settings_fields={"guesser_prompt": str, "common_config": Mapping, "lang_keywords": Mapping}
        | ({"guesser_critic_prompt": str} if critic else {}),
        referee=functools.partial(_referee, variant=variant),
        generate=generate,
        target=lambda instance: instance["target_word"],
        settings=functools.partial(settings, variant=variant),
        players={"guesser": wordle_players.guesser(variant.colours)} | ({"critic": wordle_players.CRITIC} if critic else {}),
    )


WORDLE = _game("wordle", "indomain", Variant())
WITHCLUE = _game("wordle_withclue", "indomain", Variant(clue=True, speed=SPEED_WITH_CLUE))
WITHCRITIC = _game("wordle_withcritic", "indomain", Variant(clue=True, critic=True, speed=SPEED_WITH_CLUE))
CRAZY = _game("wordle-crazy", "outofdomain", Variant(colours=CRAZY_COLOURS))
CRAZY_WITHCLUE = _game("wordle-crazy_withclue", "outofdomain", Variant(clue=True, colours=CRAZY_COLOURS))
CRAZY_WITHCRITIC = _game("wordle-crazy_withcritic", "outofdomain", Variant(clue=True, critic=True, colours=CRAZY_COLOURS))
