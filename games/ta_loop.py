"""What the games that come from TextArena share: messages, invalid moves, counts, rewards, and seeds for fresh instances.

An official instance holds the arguments of its environment (`env_specs`) and a `seed`; all else follows from the two.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable, Generator, Mapping
from typing import Any

from games.core import Ask, Game, InstanceError, Outcome, Status, split_of
from games.templates import fill

WARNING = "attempted an invalid move"  # a reply with these words counts as violated, even if it is a valid move
ALLOWED = 1  # invalid moves in a row that are only warned of
BENCHMARK_SEEDS = range(525119131, 525119141)  # the seeds of the official instances
_TAGS = re.compile(r"\[(?:GAME|Player)\]")

COMMON = {
    "full": {
        "preamble": "You play a game whose rules judge each of your replies. Read them with care, and keep to their form.\n\n",
        "message": "[GAME] $TEXT$",
        "invalid": "This was an invalid move: $REASON$. Send a valid one now: a second one in a row ends the game.",
    },
    "short": {"preamble": "", "message": "$TEXT$", "invalid": "Invalid: $REASON$"},
}


def prompts(full: Mapping[str, str], short: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """All texts of a game by form."""
    return {"full": COMMON["full"] | dict(full), "short": COMMON["short"] | dict(short)}


def texts(settings: Mapping, known: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """The texts that the settings bring, checked; the official ones bring none and get our full ones."""
    found = settings.get("prompts", known["full"])
    if not isinstance(found, Mapping) or not all(isinstance(found.get(key), str) for key in known["full"]):
        raise InstanceError("prompts", f"texts are wanted: {', '.join(known['full'])}")
    return found


def spec(instance: Mapping, name: str, low: int, high: int) -> int:
    """A whole number of `env_specs`; raises `InstanceError` if it is missing, none, or not in low..high."""
    value = instance["env_specs"].get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InstanceError(f"env_specs.{name}", f"a whole number from {low} to {high} is wanted")
    return value


def flag(instance: Mapping, name: str) -> bool:
    """A switch of `env_specs`, off if missing."""
    value = instance["env_specs"].get(name, False)
    if not isinstance(value, bool):
        raise InstanceError(f"env_specs.{name}", "true or false is wanted")
    return value


def game(
    name: str,
    seat: str,
    role: str,
    levels: Mapping[str, Any],
    texts: Mapping[str, Mapping[str, str]],
    **parts: Any,
) -> Game:
    """The entry of a game of one seat; `parts` are the other fields of `Game`.

    levels: name -> `env_specs` of fresh instances, or what a `generate` among `parts` reads. texts: by form.
    """
    parts.setdefault("fields", {"env_specs": dict, "seed": int})
    parts.setdefault("generate", lambda rng, level, split: fresh(rng, split, levels[level], parts["target"]))
    return Game(
        name=name,
        suite="outofdomain",
        seats=(seat,),
        roles=(role,),
        levels=tuple(levels),
        settings_fields={"name": str},
        settings=lambda level, form: {"name": level, "prompts": texts[form]},
        **parts,
    )


def fresh(rng: random.Random, split: str, specs: Mapping, target: Callable[[Mapping], str]) -> dict:
    """An instance whose target lies in the split and is that of no official instance."""
    taken = _benchmark_targets(target, json.dumps(specs))
    while True:
        instance = {"env_specs": dict(specs), "seed": rng.randrange(2**32)}
        if (found := target(instance)) not in taken and split_of(found) == split:
            return instance


@functools.cache
def _benchmark_targets(target: Callable[[Mapping], str], specs: str) -> set[str]:
    """The targets of the official seeds with these specs, which are JSON to be hashable."""
    return {target({"env_specs": json.loads(specs), "seed": seed}) for seed in BENCHMARK_SEEDS}


class Loop:
    """One episode: what its seat is told, and what each reply counts for.

    `value` is the partial reward, 0..1, for what is reached so far; `turn` counts the valid moves before the current one.
    """

    def __init__(self, seat: str, texts: Mapping[str, str]):
        self.seat, self.texts = seat, texts
        self.turn = self.requests = self.violated = self.errors = 0
        self.value = 0.0
        self.progress: list[float] = []
        self._parroted = False
        self._news: list[str] = []

    def tell(self, name: str, **values: Any) -> None:
        """Add the text of that name to what the seat is told next."""
        text = fill(self.texts[name], {key: str(value) for key, value in values.items()})
        self._news.append(fill(self.texts["message"], {"TEXT": text}))

    def ask(self) -> Generator[Ask, str, str]:
        """The seat's reply to all that it was told since its last one."""
        text = ("" if self.requests else self.texts["preamble"]) + "\n".join(self._news)
        self._news = []
        reply = yield from self.draw(self.seat, text)
        self.requests += 1
        self._parroted = WARNING in _TAGS.sub("", reply)
        self.violated += self._parroted
        return reply

    def draw(self, seat: str, text: str) -> Generator[Ask, str, str]:
        """The reply of a seat that draws by chance."""
        reply = yield Ask(seat, text)
        self.progress.append(self.value)
        return reply

    def reach(self, value: float) -> None:
        """The last reply led to this value."""
        self.value = self.progress[-1] = value

    def valid(self) -> None:
        """The last reply was a move, and the game goes on."""
        self.turn, self.errors = self.turn + 1, 0

    def invalid(self, reason: str) -> Outcome | None:
        """The last reply was no allowed move: a warning, or the second time in a row the end."""
        if self.errors == ALLOWED:
            self.violated += 1
            return self._outcome("aborted", -1, f"{ALLOWED + 1} invalid moves in a row: {reason}")
        self.errors += 1
        self.violated += not self._parroted
        self.tell("invalid", REASON=reason)
        return None

    def end(self, reward: float, reason: str) -> Outcome:
        """The end by the rules of the game, with its reward, 0..1."""
        self.reach(reward)
        return self._outcome("success" if reward == 1 else "lose", reward, reason)

    def _outcome(self, status: Status, reward: float, reason: str) -> Outcome:
        """Officially no episode is lost: it is a success, aborted, or neither."""
        aborted = status == "aborted"
        score = float("nan") if aborted else 100 * reward
        metrics = {"Lose": 0, "Numeric Reward": reward, "ta_reward": {"0": self.value}}
        counts = (self.requests, self.requests - self.violated, self.violated)
        return Outcome(status, score, *counts, metrics, reason, self.seat if aborted else None, tuple(self.progress))
