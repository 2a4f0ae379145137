"""Gymnasium: text environments as games of one seat, and one seat of our games as an environment (package `gymnasium`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import games
from games.core import Ask, Game, Player, Referee, View
from playpen_jax import rewards as rewarding
from playpen_jax.bridges.common import TURNS, Chance, limit, outcome, seeded_game
from playpen_jax.players import scripted

SEAT = "agent"


def _say(view: View) -> str:
    return view.rng.choice(view.seen[-1].split() or [""])


SPEAKERS: Mapping[str, Player] = {"scripted": _say, "random": _say, "broken": lambda view: ""}


def text_game(
    name: str,
    make: Callable[[], Any],
    describe: Callable[[Any, Any], str] = lambda env, observation: str(observation),
    parse: Callable[[str], Any] = lambda reply: reply,
    players: Mapping[str, Player] = SPEAKERS,
    max_turns: int = TURNS,
) -> Game:
    """A game of one seat from a Gymnasium environment; the score is 100 times the sum of rewards, within 0 and 100.

    `make()` gives the environment, `describe(env, observation)` what the seat is told, `parse(reply)` the action; a
    `ValueError` of it means that the reply is none, and the episode is aborted.
    """

    def referee(instance: Mapping, settings: Mapping) -> Referee:
        chance, total = Chance(instance["seed"]), 0.0
        with chance.drawn():
            env = make()
            observation, _ = env.reset(seed=instance["seed"])
            text = describe(env, observation)
        for turn in range(1, instance["max_turns"] + 1):
            reply = yield Ask(SEAT, text)
            try:
                action = parse(reply)
            except ValueError as error:  # the promise above
                return outcome({SEAT: total}, turn, f"no action: {error}", SEAT)
            with chance.drawn():
                observation, reward, terminated, truncated, _ = env.step(action)
                text = describe(env, observation)
            total += float(reward)
            if terminated or truncated:
                return outcome({SEAT: total}, turn, "the environment " + ("ended" if terminated else "was cut"))
        return limit({SEAT: total}, instance["max_turns"])

    return seeded_game(name, (SEAT,), referee, players, max_turns)


def environment(
    name: str | Game,
    seat: str | None = None,
    split: str = "train",
    form: str = "full",
    reward: str = "score",
    partners: Mapping[str, str] | None = None,
):
    """One seat of one of our games (None: the first) as a `gymnasium.Env`; observations are messages, actions are replies.

    The other seats are scripted players, "scripted" unless `partners` names others. `reset(seed)` picks the instance;
    `options={"instance": ..., "settings": ...}` gives one. The reward (a name of `playpen_jax.rewards`) comes at the end, with
    the outcome in `info`.
    """
    import gymnasium  # the `environments` extra

    from playpen_jax.bridges.spaces import text_space

    game = games.make(name) if isinstance(name, str) else name
    mine = seat or game.seats[0]
    if mine not in game.seats:
        raise ValueError(f"{game.name} has no seat {mine!r}: one of {', '.join(game.seats)}")
    others = [other for other in (*game.seats, *game.chance) if other != mine]
    hired = {other: scripted(game, other, (partners or {}).get(other, "scripted")) for other in others}

    class SeatEnv(gymnasium.Env):
        metadata: dict[str, Any] = {"render_modes": []}
        observation_space = action_space = text_space()

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[str, dict]:
            super().reset(seed=seed)
            self._seed = int(self.np_random.integers(2**31))
            given = options or {}
            instance = given["instance"] if "instance" in given else game.instances(split, 1, self._seed)[0]
            self.play = game.start(instance, given.get("settings"), form)
            return self._settle(), {}

        def step(self, action: str) -> tuple[str, float, bool, bool, dict]:
            self.play.reply(action)
            text, ended = self._settle(), self.play.outcome
            value = 0.0 if ended is None else rewarding.REWARDS[reward](ended, mine)
            return text, value, ended is not None, False, {} if ended is None else {"outcome": ended}

        def _settle(self) -> str:
            while self.play.ask is not None and self.play.ask.seat != mine:
                self.play.reply(hired[self.play.ask.seat].reply(self.play, str(self._seed)))
            return self.play.ask.shown if self.play.ask is not None else ""

    return SeatEnv()
