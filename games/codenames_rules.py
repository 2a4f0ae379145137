"""The rules of Codenames: what a reply means on a board, and how a match is scored."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from typing import Any

from games.codenames_words import OWNERS, REMARK, related
from games.core import Ask, InstanceError, Outcome, Status
from games.templates import fill

MARKS = " .,<>\"'"  # stripped from words
COUNT = " ,0123456789"  # stripped from clues
RETRIES = 2  # per answer, where the settings grant them


@dataclasses.dataclass
class Reading:
    """What the rules make of a reply: clue and words, or the foul that it commits; `engaged` counts the flags that applied."""

    seat: str
    flags: Mapping[str, bool]
    clue: str = ""
    words: list[str] = dataclasses.field(default_factory=list)
    foul: str = ""
    engaged: Counter = dataclasses.field(default_factory=Counter)

    def excused(self, flag: str) -> bool:
        """Whether the settings forgive this; counted if so."""
        granted = bool(self.flags.get(flag))
        self.engaged[flag] += granted
        return granted

    def wrong(self, foul: str) -> Reading:
        self.foul = foul
        return self

    def strip(self, word: str) -> str:
        """The word in lower case, without marks at its ends where the settings strip words."""
        return (word.strip(MARKS) if _marked(word) and self.excused("STRIP WORDS") else word).lower()

    def judge(self, match: Match, kind: str, banned: str | None = None) -> Reading:
        """The first wrong word is a foul, unless wrong words are forgiven: then they are dropped."""
        times = Counter(self.words)
        for word in self.words:
            fouls = (
                (word == banned, f"the {kind} is the clue"),
                (word not in match.hidden, f"the {kind} is not on the board" + " any more" * (word in match.uncovered)),
                (times[word] > 1, f"the {kind} is named twice"),
            )
            for committed, foul in fouls:
                if committed and not self.excused("IGNORE FALSE TARGETS OR GUESSES"):
                    return self.wrong(foul)
        self.words = [word for word in self.words if word in match.hidden]
        return self if self.words else self.wrong(f"no {kind} is on the board")


def read_clue(match: Match, reply: str) -> Reading:
    """Two lines, a clue of one word that is no form of a hidden word, and hidden words as its targets."""
    reading = Reading("cluegiver", match.flags)
    lines = _spaced(reply).split("\n")
    if len(lines) > 2 and not reading.excused("IGNORE RAMBLING"):
        return reading.wrong("more than two lines")
    clue, targets = _tagged(lines, "CLUE: "), _tagged(lines, "TARGETS: ")
    if clue is None or targets is None:
        return reading.wrong(f"no line starts with '{'CLUE' if clue is None else 'TARGETS'}: '")
    clue = reading.strip(clue)
    if _marked(clue) and not match.flags.get("STRIP WORDS"):
        return reading.wrong("the clue has marks in it")
    if re.search(r", [0-9]+", clue):
        if not reading.excused("IGNORE NUMBER OF TARGETS"):
            return reading.wrong("the clue line has the number of targets")
        clue = clue.strip(COUNT)
    reading.words = [reading.strip(word) for word in targets.split(", ")]
    if " " in clue:
        return reading.wrong("the clue is not a single word")
    if related(clue, match.hidden):
        return reading.wrong("the clue is a form of a word on the board")
    reading.clue = clue.strip(COUNT)
    return reading.judge(match, "target")


def read_guesses(match: Match, clue: Reading, reply: str) -> Reading:
    """One line of hidden words, no more than there are targets."""
    reading = Reading("guesser", match.flags)
    line = _spaced(reply)
    if "\n" in line:
        if not reading.excused("IGNORE RAMBLING"):
            return reading.wrong("more than one line")
        line = "GUESS: " + (_tagged(line.split("\n"), "GUESS: ") or "")
    if not line.startswith("GUESS: "):
        return reading.wrong("it does not start with 'GUESS: '")
    reading.words = [reading.strip(word) for word in line.removeprefix("GUESS: ").split(", ")]
    if not match.flags.get("STRIP WORDS") and any(map(_marked, reading.words)):
        return reading.wrong("a guess has marks in it")
    if len(reading.words) > len(clue.words):
        return reading.wrong("more guesses than targets")
    return reading.judge(match, "guess", banned=clue.clue)


def _spaced(reply: str) -> str:
    return re.sub(r",(?=\S)", ", ", reply)


def _tagged(lines: list[str], tag: str) -> str | None:
    return next((line.removeprefix(tag) for line in lines if line.startswith(tag)), None)


def _marked(word: str) -> bool:
    return any(mark in word for mark in MARKS)


@dataclasses.dataclass
class Round:
    """What happened between two moves of the opponent; `open_team` counts the team's hidden words at its start."""

    open_team: int
    targets: list[str] = dataclasses.field(default_factory=list)
    guesses: list[str] = dataclasses.field(default_factory=list)
    revealed: list[str] = dataclasses.field(default_factory=list)
    fouls: Counter = dataclasses.field(default_factory=Counter)

    def scores(self, owner: Mapping[str, str]) -> dict[str, float]:
        """The official scores of one round."""
        targets, revealed = len(self.targets), len(self.revealed)
        meant = sum(owner[word] == "team" for word in self.targets)
        won = sum(owner[word] == "team" for word in self.revealed)
        hit = sum(word in self.targets for word in self.revealed)
        scores: dict[str, float] = {
            "Cluegiver validation error": self.fouls["cluegiver"],
            "Guesser validation error": self.fouls["guesser"],
            "Cluegiver Number of Targets": targets,
            "Guesser Number of Guesses": len(self.guesses),
            "Guesser Number of Revealed Words": revealed,
            "Guesser Number of Unrevealed Guesses": len(self.guesses) - revealed,
        }
        for name, right, named, wanted in (
            ("Cluegiver Team", meant, targets, self.open_team),
            ("Guesser Target", hit, revealed, targets),
            ("Guesser Team", won, revealed, self.open_team),
        ):
            precision, recall = _ratio(right, named), _ratio(right, wanted)
            f1 = _ratio(2 * precision * recall, precision + recall)
            scores |= {f"{name} Precision": precision, f"{name} Recall": recall, f"{name} F1": f1}
        return {name: round(value, 3) for name, value in scores.items()}


class Match:
    """The board and the books of one episode."""

    def __init__(self, instance: Mapping, settings: Mapping):
        self.settings, self.flags = settings, settings["flags"]
        self.dealt = {owner: _words(instance["assignments"], owner) for owner in OWNERS}
        self.owner = {word: owner for owner in OWNERS for word in self.dealt[owner]}
        if sorted(instance["board"], key=str) != sorted(word for owner in OWNERS for word in self.dealt[owner]):
            raise InstanceError("board", "not the words that are assigned")
        if len(self.owner) != len(instance["board"]):
            raise InstanceError("board", "a word is on it twice")
        self.hidden = {word: self.owner[word] for word in instance["board"]}
        self.uncovered: list[str] = []  # by the team
        self.rounds: list[Round] = []
        self.requests = self.violated = 0
        self.engaged: dict[str, Counter] = {"cluegiver": Counter(), "guesser": Counter()}
        self.progress: list[float] = []

    def open_words(self, owner: str) -> list[str]:
        return [word for word in self.dealt[owner] if word in self.hidden]

    def start_round(self) -> Round:
        self.rounds.append(Round(len(self.open_words("team"))))
        return self.rounds[-1]

    def opponent_moves(self) -> Generator[Ask, str, None]:
        """The opponent uncovers words of its own; a draw that names too few of them is filled up in order."""
        words = self.open_words("opponent")
        count = min(self.settings["opponent difficulty"], len(words))
        if count > 0:
            drawn = yield Ask("opponent", f"Uncover {count} of: {', '.join(words)}")
            self.note_progress()
            wanted = set(drawn.split(", "))
            for word in sorted(words, key=lambda word: word not in wanted)[:count]:
                del self.hidden[word]

    def ask(self, seat: str, text: str, read: Callable[[str], Reading]) -> Generator[Ask, str, Reading]:
        """Ask until an answer is in order or no retry is left; all of them are counted."""
        for _ in range(1 + RETRIES * bool(self.flags.get("REPROMPT ON ERROR"))):
            reading = read((yield Ask(seat, text)))
            self.note_progress()
            self.requests += 1
            self.engaged[seat] += reading.engaged
            if not reading.foul:
                break
            self.violated += 1
            self.rounds[-1].fouls[seat] += 1
            text = fill(REMARK, {"PROBLEM": reading.foul})
        return reading

    def uncover(self, now: Round) -> str:
        """Uncover the guesses up to the first word that is not the team's; returns the feedback."""
        for word in now.guesses:
            if word not in self.hidden:  # named twice, where that is forgiven
                continue
            now.revealed.append(word)
            self.uncovered.append(word)
            if self.hidden.pop(word) != "team":
                break
        self.progress[-1] = self.recall()
        right = [word for word in now.revealed if self.owner[word] == "team"]
        wrong = [f"Wrong guess: {word} ({self.owner[word]})." for word in now.revealed[len(right) :]]
        return " ".join([f"Right guesses: {', '.join(right)}."] * bool(right) + wrong)

    def recall(self) -> float:
        return _ratio(sum(self.owner[word] == "team" for word in self.uncovered), len(self.dealt["team"]))

    def note_progress(self) -> None:
        self.progress.append(self.recall())

    def ended(self) -> str:
        """Who has won, and how; empty while the game is open."""
        if not self.open_words("team"):
            return "won: the team has all its words"
        if not self.open_words("opponent"):
            return "lost: the opponent has all its words"
        if any(self.owner[word] == "assassin" for word in self.uncovered):
            return "lost: the team hit an assassin"
        return ""

    def outcome(self, last: Reading, turns: int) -> Outcome:
        """The official scores; a foul aborts the game, whatever else happened."""
        ended = self.ended()
        status: Status = "aborted" if last.foul else "success" if ended.startswith("won") else "lose"
        score = math.nan if last.foul else 100 * (status == "success")
        rounds = [now.scores(self.owner) for now in self.rounds]
        averages = {
            f"Average {name}": statistics.mean(scores[name] for scores in rounds)
            for name in rounds[0]
            if not name.endswith("validation error")
        }
        others = [word for word, owner in self.owner.items() if owner != "team"]
        guesses = sum(len(now.guesses) for now in self.rounds)
        metrics = averages | {
            "Game ended through assassin": int(ended.endswith("assassin")),
            "Episode Recall": self.recall(),
            "Episode Negative Recall": 1 - _ratio(sum(word in others for word in self.uncovered), len(others)),
            "Number of turns": turns,
            "Efficiency": min(1, 0.5 * guesses / turns),
            "Request Success Ratio": (self.requests - self.violated) / self.requests,
        }
        for flag in (flag for flag, on in self.flags.items() if on):
            metrics |= {f"{seat.capitalize()} {flag.lower()}": count[flag] for seat, count in self.engaged.items()}
        rounded: dict[str, Any] = {name: round(value, 3) for name, value in metrics.items()}
        return Outcome(
            status,
            score,
            self.requests,
            self.requests - self.violated,
            self.violated,
            rounded | {"experiment name": self.settings.get("name"), "experiment variable": self.settings.get("variable")},
            last.foul or ended,
            last.seat if last.foul else None,
            tuple(self.progress),
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0


def _words(assignments: Mapping, owner: str) -> list[str]:
    words = assignments.get(owner)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InstanceError(f"assignments.{owner}", "a list of words is wanted")
    return words
