"""Games written for the package `clemcore`, from a clembench checkout or any folder of such games, as games of ours.

`games.make("clem:taboo")` is a game like any other: in rollouts, in evaluation, in training. It is looked for below the folder
that $CLEMBENCH_HOME names, as by clemcore itself; `register(folder)` makes those of another folder known.

Their own master says what happens and their own scorer what it is worth. Instances are those of the game's file, shared out to
our splits; levels are its experiments. What the code of a game draws from Python's or numpy's global generators comes from a
state of its own that is seeded by the instance, so that an episode stays a function of (instance, replies).
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import hashlib
import importlib.util
import json
import logging
import math
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import games
from games.core import SPLITS, Ask, Game, InstanceError, Outcome, Referee, Status
from playpen_jax.bridges.common import Chance

PREFIX = "clem:"  # before the name of each game, so that it is not taken for one of ours
HOME = "CLEMBENCH_HOME"
_COUNTS = {"requests": "Request Count", "parsed": "Parsed Request Count", "violated": "Violated Request Count"}


def named(name: str) -> Game:
    """The text game called `name` below $CLEMBENCH_HOME; raises `KeyError` with the nearest one, `ValueError` as `register`."""
    home = os.environ.get(HOME)
    if not home:
        raise ValueError(f"{PREFIX}{name}: set ${HOME} to a clembench checkout, or register its folder")
    found = specs(home)
    if name not in found:
        near = difflib.get_close_matches(name, found, 1)
        raise KeyError(f"{home} has no text game {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    return game(found[name])


def register(folder: str | Path, names: Sequence[str] | None = None) -> list[str]:
    """Make the text games below a folder known (or those named, without the prefix); returns their names here.

    Raises `ValueError` if there are none, and for what is broken: a game's clemgame.json or its file of instances.
    """
    found = specs(folder)
    unknown = [name for name in names or () if name not in found]
    if unknown or not found:
        listed = f"; there are {', '.join(found)}" if found else ""
        raise ValueError(f"{folder}: no text game {unknown[0] if unknown else 'with a clemgame.json'} below it{listed}")
    return [games.register(game(found[name])).name for name in names or found]


@contextlib.contextmanager
def _loggers_as_they_are() -> Iterator[None]:
    """The import of clemcore switches off all loggers that are there, and sends the others to a file: we would not be heard."""
    root = logging.root
    loggers = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    disabled, handlers, level = [logger.disabled for logger in loggers], root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, before in zip(loggers, disabled):
        logger.disabled = before


def specs(folder: str | Path) -> dict[str, Any]:
    """Name -> clemcore's specification, for all text games below a folder."""
    if importlib.util.find_spec("clemcore") is None:
        raise ValueError("games of clembench need the package clemcore: pip install 'playpen-jax[clembench]'")
    with _loggers_as_they_are():
        from clemcore.clemgame import GameSpec

    found: dict[str, Game] = {}
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    for path in sorted(folder.rglob("clemgame.json")):
        try:
            entries = GameSpec.from_directory(str(path.parent))
        except (ValueError, KeyError, TypeError) as error:  # a file from outside: say which
            raise ValueError(f"{path}: {error}") from None
        found |= {spec.game_name: spec for spec in entries if getattr(spec, "image", "none") == "none"}
    return found


def game(spec: Any) -> Game:
    """One game of clemcore as one of ours."""
    file = Path(spec.game_path) / "in" / f"{getattr(spec, 'instances', 'instances')}.json"
    experiments = _experiments(file)
    seats = tuple(f"player_{i}" for i in range(1, spec.players + 1))
    roles = tuple(getattr(spec, "roles", None) or (f"Player {i}" for i in range(1, spec.players + 1)))
    return Game(
        name=PREFIX + spec.game_name,
        suite="outofdomain",
        seats=seats,
        roles=roles,
        levels=tuple(experiments),
        fields={"game_id": (int, str)},
        settings_fields={"name": str},
        referee=functools.partial(_referee, _Code(spec)),
        generate=functools.partial(_draw, experiments, file),
        target=lambda instance: f"{instance.get('level')}/{instance['game_id']}",
        settings=lambda level, form: {key: value for key, value in experiments[level].items() if key != "game_instances"},
        players={seat: {} for seat in seats},
    )


def _experiments(file: Path) -> dict[str, Mapping]:
    """Name -> experiment with its instances, in the order of the file."""
    try:
        rows = json.loads(file.read_text("utf-8"))["experiments"]
        found = {row["name"]: row for row in rows if row["game_instances"]}
    except (OSError, ValueError, KeyError, TypeError) as error:  # a file from outside: say which
        raise ValueError(f"{file}: no experiments with game_instances can be read: {type(error).__name__}: {error}") from None
    if not found:
        raise ValueError(f"{file}: there are no instances")
    return found


def _draw(experiments: Mapping[str, Mapping], file: Path, rng: random.Random, level: str, split: str) -> dict:
    """An instance of an experiment, under "game_instance": at least one and a tenth are to test, as many to validate."""
    rows = experiments[level]["game_instances"]
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{level}/{row['game_id']}".encode()).digest())
    few = max(1, len(order) // 10)
    part = dict(zip(SPLITS, (order[2 * few :], order[few : 2 * few], order[:few])))[split]
    if not part:
        raise ValueError(f"{file}: experiment {level!r} has only {len(order)} instances, too few for the {split} split")
    row = rng.choice(part)
    return {"game_id": row["game_id"], "game_instance": row}


class _Code:
    """The code of one game, loaded when it is first played."""

    def __init__(self, spec: Any):
        self.spec = spec

    @functools.cached_property
    def benchmark(self) -> Any:
        from clemcore.clemgame import GameBenchmark

        return GameBenchmark.load_from_spec(self.spec)

    @functools.cached_property
    def modules(self) -> dict[str, Any]:
        """The modules from the game's folder and from that above it, which games with files of like names must not share."""
        self.benchmark  # noqa: B018 - loads them
        home = Path(self.spec.game_path).parent
        files = {name: Path(getattr(module, "__file__", None) or "") for name, module in sys.modules.items()}
        own = [name for name, file in files.items() if home in file.parents and "site-packages" not in file.parts]
        return {name: sys.modules[name] for name in own}

    @contextlib.contextmanager
    def running(self, chance: Chance) -> Iterator[None]:
        """For calls into the game: its modules can be imported, and it draws from its own generators."""
        modules, path = self.modules, str(self.spec.game_path)
        sys.modules.update(modules)
        sys.path.insert(0, path)
        try:
            with chance.drawn():
                yield
        finally:
            sys.path.remove(path)
            for name in modules:
                sys.modules.pop(name, None)


def _referee(code: _Code, instance: Mapping, settings: Mapping) -> Referee:
    """Ask whoever the master wants to hear, until it says that the game is over; programmatic players answer by themselves."""
    seed = f"{code.spec.game_name}/{settings['name']}/{instance['game_id']}"
    chance = Chance(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big"))
    with code.running(chance):
        table = _Table(code, instance.get("game_instance", instance), settings)
    while not table.done:
        with code.running(chance):
            seat, text = table.next()
        reply = yield Ask(seat, text)
        with code.running(chance):
            table.hear(reply)
    with code.running(chance):
        return table.outcome()


class _Table:
    """One episode: the master, its players and the record that the scorer reads."""

    def __init__(self, code: _Code, instance: Mapping, settings: Mapping):
        from clemcore.clemgame import GameInteractionsRecorder

        spec, self.code, self.seat, self.failure = code.spec, code, "player_1", ""
        self.instance, self.settings = copy.deepcopy(dict(instance)), copy.deepcopy(dict(settings))
        self.models = _models(spec.players)
        try:
            self.master = code.benchmark.create_game_master(self.settings, self.models)
            self.master.setup(**self.instance)
        except Exception as error:  # whatever the code of another's game makes of an instance
            raise InstanceError(
                "game_id", f"{spec.game_name} cannot set up this one: {type(error).__name__}: {error}"
            ) from error
        where = (settings["name"], instance["game_id"])
        self.record = GameInteractionsRecorder(spec.game_name, *where, results_folder="", player_model_infos={})
        for player in self.master.get_players():
            self.record.log_player(player.name, player.game_role, player.model.name)
        self.master.register(self.record)
        self.replies, self.done = 0, False
        self._guarded(self.master.before_game)
        self._go_on()

    @property
    def _asked(self) -> Any:
        """The master's current player, if it is one of ours."""
        player = self.master.current_player
        return player if any(player.model is model for model in self.models) else None

    def _guarded(self, call, *args) -> Any:
        """Call the game; if its code fails, the episode is over: an engine never raises for a reply."""
        try:
            return call(*args)
        except Exception as error:  # whatever the code of another's game makes of a reply
            self.failure, self.done = f"the game's code fails: {type(error).__name__}: {error}", True
            return None

    def _go_on(self) -> None:
        """Let programmatic players answer until one of ours is asked or the game is over."""
        while not self.done and self._asked is None:
            self._guarded(self._step_alone)
        if not self.done:
            self.context = self._guarded(self._context)

    def _step_alone(self) -> None:
        self._step(self.master.current_player(self._context()))

    def _step(self, reply: str) -> None:
        self.done = self.master.step(reply)[0]

    def _context(self) -> dict:
        context = self.master.get_context_for(self.master.current_player)
        if context is None:
            raise ValueError(f"{self.master.current_player.name} is asked, but nothing was said to it")
        return context

    def next(self) -> tuple[str, str]:
        """Who is asked, and what."""
        self._asked.perceive_context(self.context)
        self.seat = "player_" + self._asked.name.rpartition(" ")[2]
        return self.seat, self.context["content"]

    def hear(self, reply: str) -> None:
        """The asked player answers."""
        self.replies += 1
        self._asked.perceive_response(reply)
        self._guarded(self._step, reply)
        self._go_on()

    def outcome(self) -> Outcome:
        """What the scorer of the game says."""
        scores = {} if self.failure else self._guarded(self._scores) or {}
        if self.failure:
            return Outcome("aborted", math.nan, self.replies, self.replies, 0, reason=_line(self.failure))
        counts: dict[str, Any] = {
            name: int(_number(scores.get(key, default))) for (name, key), default in zip(_COUNTS.items(), self._counted())
        }
        aborted, won = (_number(scores.get(key, 0)) == 1 for key in ("Aborted", "Success"))
        status: Status = "aborted" if aborted else "success" if won else "lose"
        score = math.nan if aborted else _number(scores["Main Score"])
        return Outcome(status, score, **counts, metrics=scores, reason=self._why(status), seat=self.seat if aborted else None)

    def _scores(self) -> dict:
        """The episode's scores by the game's own scorer, NaN as NaN."""
        scorer = self.code.benchmark.create_game_scorer(self.settings, self.instance)
        scorer.compute_scores(json.loads(json.dumps(self.record.interactions)))
        found = dict(scorer.scores["episode scores"])
        if "Main Score" not in found:
            raise ValueError("the scorer tells no Main Score")
        return found

    def _counted(self) -> tuple[int, int, int]:
        """Requests in all, parsed and violating, for scorers that do not tell."""
        violated = sum(self.record.violated_requests_counts)
        return self.replies, self.replies - violated, violated

    def _why(self, status: str) -> str:
        """The last thing that the master noted for itself."""
        events = [event for turn in self.record.interactions["turns"] for event in turn]
        notes = [event["action"] for event in events if event["from"] == event["to"] == "GM"]
        return _line(f"{notes[-1]['type']}: {notes[-1]['content']}" if notes else f"the game master ends it: {status}")


def _number(value: Any) -> float:
    """A score as a number; what is none is NaN."""
    return float(value) if isinstance(value, (int, float)) else math.nan


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _models(number: int) -> list:
    """Stand-ins for whoever plays the seats; a player that holds one of them is asked through us."""
    from clemcore.backends import Model, ModelSpec

    class Seat(Model):
        def generate_response(self, messages: list) -> tuple:
            raise NotImplementedError("this seat is asked through the rollout")

    return [Seat(ModelSpec.from_name(f"seat_{i}")) for i in range(1, number + 1)]
