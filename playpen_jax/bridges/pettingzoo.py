"""PettingZoo: environments of its AEC interface as games, and ours as such (Terry et al. 2021, arXiv:2009.14471)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import games
from games.core import Ask, Game, Player, Referee
from playpen_jax import rewards as rewarding
from playpen_jax.bridges.common import TURNS, Chance, limit, outcome, seeded_game
from playpen_jax.bridges.gymnasium import SPEAKERS
from playpen_jax.players import scripted


def text_game(
    name: str,
    make: Callable[[], Any],
    describe: Callable[[Any, Any], str] = lambda env, observation: str(observation),
    parse: Callable[[str], Any] = lambda reply: reply,
    players: Mapping[str, Player] = SPEAKERS,
    max_turns: int = TURNS,
) -> Game:
    """A game from an AEC environment, a seat for each of its agents; the score is made of the first one's sum of rewards.

    `make()` gives the environment, `describe(env, observation)` what the agent is told, `parse(reply)` the action; a
    `ValueError` of it means that the reply is none, and the episode is aborted.
    """
    seats = tuple(make().possible_agents)

    def referee(instance: Mapping, settings: Mapping) -> Referee:
        chance, totals, turn = Chance(instance["seed"]), dict.fromkeys(seats, 0.0), 0
        with chance.drawn():
            env = make()
            env.reset(seed=instance["seed"])
        while env.agents and turn < instance["max_turns"]:
            agent = env.agent_selection
            with chance.drawn():
                observation, reward, terminated, truncated, _ = env.last()
                text = "" if terminated or truncated else describe(env, observation)
            totals[agent] += float(reward)
            action = None
            if not (terminated or truncated):
                turn += 1
                reply = yield Ask(agent, text)
                try:
                    action = parse(reply)
                except ValueError as error:  # the promise above
                    return outcome(totals, turn, f"no action: {error}", agent)
            with chance.drawn():
                env.step(action)
        return limit(totals, turn) if env.agents else outcome(totals, turn, "the environment ended")

    return seeded_game(name, seats, referee, players, max_turns)


def environment(
    name: str | Game, split: str = "train", form: str = "full", reward: str = "score", partners: Mapping[str, str] | None = None
):
    """One of our games as a `pettingzoo.AECEnv`: an agent for each seat; observations are messages, actions are replies.

    partners: seat -> scripted player; such a seat, like one of chance, is no agent. Rewards (a name of `playpen_jax.rewards`)
    come at the end, with the outcome in all `infos`. `reset(options={"instance": ..., "settings": ...})` gives an instance.
    """
    import pettingzoo  # the `environments` extra

    from playpen_jax.bridges.spaces import text_space

    game = games.make(name) if isinstance(name, str) else name
    hired = {seat: scripted(game, seat, (partners or {}).get(seat, "scripted")) for seat in (*game.chance, *(partners or {}))}
    seats = [seat for seat in game.seats if seat not in hired]

    class GameEnv(pettingzoo.AECEnv):
        metadata = {"name": game.name, "render_modes": [], "is_parallelizable": False}
        render_mode = None
        possible_agents = seats

        def __init__(self):
            super().__init__()
            self._space = text_space()

        def observation_space(self, agent: str):
            return self._space

        def action_space(self, agent: str):
            return self._space

        def reset(self, seed: int | None = None, options: dict | None = None) -> None:
            self._seed, given = 0 if seed is None else seed, options or {}
            self.agents = list(seats)
            self.rewards, self._cumulative_rewards = ({seat: 0.0 for seat in seats} for _ in range(2))
            self.terminations, self.truncations = ({seat: False for seat in seats} for _ in range(2))
            self.infos: dict[str, dict] = {seat: {} for seat in seats}
            instance = given["instance"] if "instance" in given else game.instances(split, 1, self._seed)[0]
            self.play = game.start(instance, given.get("settings"), form)
            self._texts = dict.fromkeys(seats, "")
            self.agent_selection = seats[0]
            self._settle()

        def observe(self, agent: str) -> str:
            """What the agent was told last."""
            return self._texts[agent]

        def step(self, action: str | None) -> None:
            if self.terminations[self.agent_selection]:
                self._was_dead_step(action)
                return
            self._cumulative_rewards[self.agent_selection] = 0.0
            self.play.reply(action or "")
            self._settle()
            self._accumulate_rewards()

        def _settle(self) -> None:
            while self.play.ask is not None and self.play.ask.seat in hired:
                self.play.reply(hired[self.play.ask.seat].reply(self.play, str(self._seed)))
            if self.play.ask is not None:
                self.agent_selection = self.play.ask.seat
                self._texts[self.agent_selection] = self.play.ask.shown
                return
            ended = self.play.ended
            self.rewards = {seat: rewarding.REWARDS[reward](ended, seat) for seat in seats}
            self.terminations = dict.fromkeys(seats, True)
            self.infos = {seat: {"outcome": ended} for seat in seats}

    return GameEnv()
