"""The protocol of a dialogue game: a referee is a generator from replies to an outcome.

A referee yields `Ask(seat, text)`, receives that seat's reply, and returns an `Outcome`. An episode is therefore a pure
function of (instance, settings, replies); forks, crash recovery and the check against recorded episodes all rest on that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Literal

SPLITS = ("train", "validation", "test")
FORMS = ("full", "short")
Status = Literal["success", "lose", "aborted"]
Suite = Literal["indomain", "outofdomain", "reference"]


class InstanceError(ValueError):
    """An instance or its settings cannot be played; `field` names what is wrong."""

    def __init__(self, field: str, problem: str):
        super().__init__(f"field '{field}': {problem}")
        self.field = field


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One seat's turn: `text` is what this seat has not seen yet, never the history again.

    aside: this message and the reply to it are struck from the seat's history, once the rules have heard the reply. before:
    (message, reply) exchanges that the rules put into the seat's history ahead of this one, without asking anybody.
    """

    seat: str
    text: str
    aside: bool = False
    before: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> str:
        """All that the seat has not seen yet, as one text: for those into whose mouth no reply can be put."""
        return "\n\n".join([*(message for message, _ in self.before), self.text])


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended.

    `score` is the official quality, 0..100, NaN if aborted. `metrics` are the game's own episode scores under their official
    names; they win over the derived ones in `official`. `reason` says in one line which rule ended the episode, `seat` who
    broke it. `progress` holds the game's own measure of progress (0..1) after every reply, where it has one.
    """

    status: Status
    score: float
    requests: int
    parsed: int
    violated: int
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    seat: str | None = None
    progress: tuple[float, ...] = ()

    def __post_init__(self):
        if self.status not in ("success", "lose", "aborted"):
            raise ValueError(f"unknown status {self.status!r}")

    def official(self) -> dict[str, Any]:
        """Episode scores under clembench's names."""
        derived = {
            "Aborted": int(self.status == "aborted"),
            "Success": int(self.status == "success"),
            "Lose": int(self.status == "lose"),
            "Request Count": self.requests,
            "Parsed Request Count": self.parsed,
            "Violated Request Count": self.violated,
            "Request Success Ratio": self.parsed / self.requests if self.requests else math.nan,
            "Main Score": self.score,
        }
        return derived | dict(self.metrics)


Referee = Generator[Ask, str, Outcome]
Message = dict[str, Any]  # {"role": "user" | "assistant", "content": text}; perhaps marked, see `lesson`


@dataclasses.dataclass(frozen=True)
class View:
    """All that a scripted player may know: what its seat was shown and said, and the public settings of the game.

    `rng` is drawn from (seed, seat, number of replies so far), so a player is a pure function of its view; `strength` is 0..1.
    """

    seat: str
    seen: tuple[str, ...]
    said: tuple[str, ...]
    settings: Mapping[str, Any]
    rng: random.Random
    strength: float = 1.0


Player = Callable[[View], str]


@dataclasses.dataclass(frozen=True)
class Game:
    """One entry of the table of games.

    seats: in the order of the official "Player 1", "Player 2", ...; chance: seats that draw, never given to a policy.
    roles: the official role name of each seat. levels: difficulty names, easiest first.
    referee(instance, settings) -> Referee.  generate(rng, level, split) -> instance (its `target` lies in that split).
    target(instance) -> str names what splits must not share.  settings(level, form) -> our own settings and prompts.
    players: seat -> name -> Player, with at least "scripted", "random" and "broken" for each seat that is not chance.
    replies(record) -> [(seat, reply)] reads a recorded episode; None: the common reading (see records.py).
    """

    name: str
    suite: Suite
    seats: tuple[str, ...]
    roles: tuple[str, ...]
    levels: tuple[str, ...]
    fields: Mapping[str, type | tuple[type, ...]]
    settings_fields: Mapping[str, type | tuple[type, ...]]
    referee: Callable[[Mapping, Mapping], Referee]
    generate: Callable[[random.Random, str, str], dict]
    target: Callable[[Mapping], str]
    settings: Callable[[str, str], dict]
    players: Mapping[str, Mapping[str, Player]]
    chance: tuple[str, ...] = ()
    replies: Callable[[Mapping], list[tuple[str, str]]] | None = None

    def start(self, instance: Mapping, experiment: Mapping | None = None, form: str = "full") -> Play:
        """Start an episode; without `experiment` our own settings for the instance's level, in long or short form."""
        if experiment is None:
            experiment = self.settings(instance.get("level", self.levels[0]), form)
        return Play(self, instance, experiment)

    def instances(self, split: str, n: int | None = None, seed: int = 0, level: str | None = None) -> list[dict]:
        """Up to `n` fresh instances (default 100) of a split, levels in turn, no target twice; fewer if there are no more."""
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: one of {', '.join(SPLITS)}")
        levels = self.levels if level is None else (level,)
        if level is not None and level not in self.levels:
            raise ValueError(f"{self.name} has no level {level!r}: one of {', '.join(self.levels)}")
        n = 100 if n is None else n
        found: dict[str, dict] = {}
        for draw in range(20 * n + 100):
            if len(found) >= n:
                break
            at = levels[draw % len(levels)]
            rng = random.Random(f"{seed}/{self.name}/{split}/{at}/{draw}")
            instance = self.generate(rng, at, split)
            found.setdefault(self.target(instance), instance | {"level": at})
        return [{"game_id": i} | instance for i, instance in enumerate(found.values())]

    def check(self, instance: Mapping, settings: Mapping) -> None:
        """Raise `InstanceError` for the first field that is missing or of a wrong type."""
        for where, fields in ((instance, self.fields), (settings, self.settings_fields)):
            for field, kind in fields.items():
                if field not in where:
                    raise InstanceError(field, "missing")
                if not isinstance(where[field], kind) or (isinstance(where[field], bool) and kind is int):
                    raise InstanceError(field, f"{type(where[field]).__name__} given, {_kind(kind)} wanted")


def _kind(kind: type | tuple[type, ...]) -> str:
    return " or ".join(k.__name__ for k in kind) if isinstance(kind, tuple) else kind.__name__


class Play:
    """One running episode: `ask` (None at the end), `reply(text)`, `outcome` (None before the end), `fork()`."""

    def __init__(self, game: Game, instance: Mapping, settings: Mapping):
        game.check(instance, settings)
        self.game, self.instance, self.settings = game, instance, settings
        self.history: list[tuple[Ask, str]] = []
        self.ask: Ask | None = None
        self.outcome: Outcome | None = None
        self._referee = game.referee(instance, settings)
        self._step(None)

    def reply(self, text: str) -> None:
        """The asked seat answers; the rules decide what that means. Only a call after the end is an error."""
        self.history.append((self.asked, text))
        self._step(text)

    @property
    def asked(self) -> Ask:
        """Who is asked what; raises `RuntimeError` after the end."""
        if self.ask is None:
            raise RuntimeError("the episode has ended: there is nobody to answer")
        return self.ask

    @property
    def ended(self) -> Outcome:
        """How the episode ended; raises `RuntimeError` before."""
        if self.outcome is None:
            raise RuntimeError("the episode has not ended: there is no outcome")
        return self.outcome

    def fork(self) -> Play:
        """An independent copy at the same point, made by replaying the replies."""
        twin = Play(self.game, self.instance, self.settings)
        for _, text in self.history:
            twin.reply(text)
        return twin

    def view(self, seat: str, seed: int | str = 0, strength: float = 1.0) -> View:
        """What `seat` knows now, the pending message included."""
        seen = [ask.shown for ask, _ in self.history if ask.seat == seat]
        said = [text for ask, text in self.history if ask.seat == seat]
        if self.ask is not None and self.ask.seat == seat:
            seen.append(self.ask.shown)
        rng = random.Random(f"{seed}/{seat}/{len(said)}")
        return View(seat, tuple(seen), tuple(said), self.settings, rng, strength)

    def messages(self) -> list[Message]:
        """The history of the seat that is asked, as chat messages; its pending message is the last one."""
        found: list[Message] = []
        for ask, reply in (*self.history, (self.asked, None)):
            if ask.seat == self.asked.seat:
                found += _before(ask)
                if reply is None or not ask.aside:
                    found += exchange(ask.text, reply)
        return found

    def _step(self, text: str | None) -> None:
        try:
            self.ask = next(self._referee) if text is None else self._referee.send(text)
        except StopIteration as end:  # a generator returns its value this way
            self.ask, self.outcome = None, end.value


def exchange(shown: str, said: str | None) -> list[Message]:
    """A message and the reply to it, if there is one yet."""
    return [{"role": "user", "content": shown}] + ([] if said is None else [{"role": "assistant", "content": said}])


def _before(ask: Ask) -> list[Message]:
    return [message for shown, said in ask.before for message in exchange(shown, said)]


def lesson(history: Iterable[tuple[Ask, str]], seat: str) -> list[Message]:
    """All that a seat was shown and said, to learn its replies from.

    Exchanges aside stand where they took place, marked "aside"; what was put into its mouth has the weight 0.
    """
    found: list[Message] = []
    for ask, reply in history:
        if ask.seat == seat:
            found += [message | {"weight": 0} if message["role"] == "assistant" else message for message in _before(ask)]
            found += [message | {"aside": True} if ask.aside else message for message in exchange(ask.text, reply)]
    return found


def split_of(target: str) -> str:
    """The split a target belongs to, the same on every machine: 80 % train, 10 % validation, 10 % test."""
    digit = int.from_bytes(hashlib.sha256(target.encode("utf-8")).digest()[:8], "big") % 10
    return "test" if digit == 9 else "validation" if digit == 8 else "train"


def pool(targets: list[str], split: str) -> list[str]:
    """The targets that belong to a split, in their order."""
    return [t for t in targets if split_of(t) == split]


def play_out(play: Play, players: Mapping[str, tuple[Player, float]], seed: int | str = 0) -> Play:
    """Play to the end with scripted players; `players` maps a seat to (player, strength)."""
    while play.ask is not None:
        player, strength = players[play.ask.seat]
        play.reply(player(play.view(play.ask.seat, seed, strength)))
    return play
