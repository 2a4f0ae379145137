"""Cryptolect: some rounds of questions to the only speaker of an unknown language, then ten sentences to translate into it."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Generator, Mapping, Sequence

from games import cryptolect_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee, Status
from games.cryptolect_language import Language, Malformed, english, words
from games.cryptolect_make import LEVELS, generate, schema, settings, target, vocabulary
from games.patience import Patience
from games.templates import fill

SEAT = "linguist"
_MARKER = re.compile(r"^\s*(?:\d+[.)]|[-*])\s*")
_NUMBERED = re.compile(r"\s*\d+[.)]")
_FIELDS = ("Exam Accuracy", "Exam Correct", "Exam Size", "Token Similarity", "Probes Used", "Malformed Probes")


class _Unreadable(Exception):
    """A reply holds no list of the kind asked for; the text says why."""


class _TooMany(Exception):
    """One unreadable reply too many."""


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """Rounds of probes, each answered with translations, then the exam; an unreadable reply is asked for again."""
    table = _Table(instance, settings)
    text = fill(settings["initial_prompt"], table.marks(settings["has_seed"]))
    try:
        for number in range(1, table.rounds + 1):
            probes = yield from table.ask(text, table.probes, table.how_to_probe)
            text = table.answer(probes) + (table.status(number) if number < table.rounds else table.exam())
        answers = yield from table.ask(text, table.answers, table.how_to_answer)
    except _TooMany as end:  # may come from any round
        seen = {field: math.nan for field in _FIELDS}
        return table.outcome("aborted", math.nan, seen, f"too many replies without a list, the last one: {end}")
    return table.graded(answers)


class _Table:
    """One episode: the language, the settings, and what has been counted so far."""

    def __init__(self, instance: Mapping, settings: Mapping):
        self.language = Language(instance["language"])
        self.rounds, self.a_round, self.size = (settings[f] for f in ("num_rounds", "probes_per_round", "exam_size"))
        for field in ("num_rounds", "probes_per_round", "exam_size"):
            if settings[field] < 1:
                raise InstanceError(field, "at least 1 is wanted")
        for field in ("exam_english", "exam_targets"):
            good = len(instance[field]) == self.size and all(isinstance(line, str) for line in instance[field])
            if not good:
                raise InstanceError(field, f"{self.size} sentences are wanted")
        self.questions, self.targets = instance["exam_english"], instance["exam_targets"]
        self.seed = [self._shown(meaning) for meaning in instance["seed_corpus"]]
        self.budget = settings["probe_budget"]
        self.patience = Patience()
        self.requests = self.used = self.malformed = 0

    def _shown(self, meaning: Mapping) -> str:
        try:
            return f"    {english(meaning)}  =>  {self.language.say(meaning)}"
        except (KeyError, TypeError):  # an instance from outside
            raise InstanceError("seed_corpus", "meanings in words of the language are wanted") from None

    def marks(self, has_seed: bool) -> dict[str, str]:
        """What the placeholders of the prompt stand for."""
        numbers = {"NUM_ROUNDS": self.rounds, "PROBES_PER_ROUND": self.a_round, "PROBE_BUDGET": self.budget}
        texts = {"VOCAB": vocabulary(self.language), "SCHEMA": schema(self.language)}
        texts |= {"SEED_BLOCK": "\n".join(self.seed)} if has_seed else {}
        return texts | {name: str(value) for name, value in (numbers | {"EXAM_SIZE": self.size}).items()}

    def ask(self, text: str, read, how: str) -> Generator[Ask, str, list[str]]:
        """Ask until a reply holds the list that `read` looks for."""
        self.patience.next_round()
        while True:
            reply = yield Ask(SEAT, text)
            self.requests += 1
            try:
                return read(reply)
            except _Unreadable as problem:  # the rules count these, and ask again
                if self.patience.lost():
                    raise _TooMany(problem) from None
                text = f"I cannot work with this reply: {problem}.\n{how}"

    @property
    def how_to_probe(self) -> str:
        return (
            f"Send at least one and at most {self.a_round} probes, with nothing after them:\nPROBES:\n1. <an English sentence>"
        )

    @property
    def how_to_answer(self) -> str:
        return f"Send exactly {self.size} numbered lines, with nothing after them:\n{self._form()}"

    def _form(self) -> str:
        return f"ANSWERS:\n1. <translation of sentence 1>\n... and so on to {self.size}."

    def probes(self, reply: str) -> list[str]:
        """The probe sentences of a reply; without the label, the lines that are well-formed ones."""
        found = block(reply, "PROBES")
        if found is None:
            lines = (_MARKER.sub("", line) for line in reply.splitlines() if line.strip())
            found = [line.strip() for line in itertools.islice(filter(self._well_formed, lines), self.a_round)]
        if not found:
            raise _Unreadable("there are no probe sentences under a 'PROBES:' line")
        if len(found) > self.a_round:
            raise _Unreadable(f"at most {self.a_round} probes fit in a round, but there are {len(found)}")
        return found

    def _well_formed(self, line: str) -> bool:
        try:
            return bool(self.language.read(line))
        except Malformed:
            return False

    def answers(self, reply: str) -> list[str]:
        """The translations in a reply; without the label, its numbered lines, or all lines if these are so many."""
        found = block(reply, "ANSWERS")
        if found is None:
            lines = [line.strip() for line in reply.splitlines() if line.strip()]
            numbered = [_MARKER.sub("", line).strip() for line in lines if _NUMBERED.match(line)]
            found = lines if len(lines) == self.size != len(numbered) else numbered
        if len(found) != self.size:
            raise _Unreadable(f"exactly {self.size} answer lines are wanted, but there are {len(found)}")
        return found

    def answer(self, probes: Sequence[str]) -> str:
        """The informant's translations of a round."""
        lines = ["TRANSLATIONS:"]
        for number, probe in enumerate(probes, 1):
            try:
                said = self.language.say(self.language.read(probe))
            except Malformed as problem:  # costs the probe and nothing else
                said, self.malformed = f"MALFORMED: {problem}", self.malformed + 1
            lines.append(f'{number}. "{probe}"  =>  {said}')
        self.used += len(probes)
        return "\n".join(lines)

    def status(self, number: int) -> str:
        left = self.rounds - number
        return (
            f"\nSTATUS: round {number} of {self.rounds} is over, {self.used} of {self.budget} probes are used. "
            f"{left} more round{'s' * (left > 1)} of probes, then the exam of {self.size} sentences.\n"
            "Your next probes (after PROBES:, with a short THOUGHTS line before it if you like):"
        )

    def exam(self) -> str:
        lines = [f"{number}. {sentence}" for number, sentence in enumerate(self.questions, 1)]
        return (
            f"\n\nFINAL EXAM. There are no more probes. Say these {self.size} sentences in the language; all their words are "
            "known to you. A translation counts if it is right to the letter; capitals and outer blanks do not matter.\n\n"
            + "\n".join(lines)
            + f"\n\nReply in this form (a short THOUGHTS line may come first):\n{self._form()}"
        )

    def graded(self, answers: Sequence[str]) -> Outcome:
        pairs = [(words(answer), words(wanted)) for answer, wanted in zip(answers, self.targets)]
        correct = sum(answer == wanted for answer, wanted in pairs)
        likeness = sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs) / self.size
        values = (correct / self.size, correct, self.size, likeness, self.used, self.malformed)
        status: Status = "success" if correct == self.size else "lose"
        reason = f"{correct} of {self.size} translations are right"
        return self.outcome(status, 100 * correct / self.size, dict(zip(_FIELDS, values)), reason, likeness)

    def outcome(self, status: Status, score: float, metrics: Mapping, reason: str, likeness: float = 0.0) -> Outcome:
        """Progress is how like the translations are to the right ones, told by the last reply."""
        violated, seat = self.patience.total, SEAT if status == "aborted" else None
        progress = (*[0.0] * (self.requests - 1), likeness)
        return Outcome(status, score, self.requests, self.requests - violated, violated, metrics, reason, seat, progress)


def block(reply: str, label: str) -> list[str] | None:
    """The items from the first line with the label to the end of the reply, without list markers; None if there is no label."""
    lines, start = reply.splitlines(), re.compile(rf"\s*{label}\s*:", re.IGNORECASE)
    for number, line in enumerate(lines):
        if found := start.match(line):
            items = [_MARKER.sub("", item).strip() for item in (line[found.end() :], *lines[number + 1 :])]
            return [item for item in items if item]
    return None


CRYPTOLECT = Game(
    name="cryptolect",
    suite="outofdomain",
    seats=(SEAT,),
    roles=("Linguist",),
    levels=LEVELS,
    fields={"language": Mapping, "seed_corpus": list, "exam_english": list, "exam_targets": list},
    settings_fields={
        "num_rounds": int,
        "probes_per_round": int,
        "probe_budget": int,
        "exam_size": int,
        "has_seed": bool,
        "initial_prompt": str,
    },
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={SEAT: {"scripted": players.study, "random": players.ask_anything, "broken": players.ramble}},
)
