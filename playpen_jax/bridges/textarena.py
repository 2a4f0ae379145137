"""TextArena's games as ours, and ours as TextArena's (package `textarena`, Guertler et al. 2025, arXiv:2504.11442).

`games.make("textarena:Nim-v0")` is a game like any other: in rollouts, in evaluation, in training. `environment("taboo")` is an
environment for TextArena's agents and wrappers. Some of its games want Python 3.12, word lists of nltk, or a judge over the
network; making one that cannot start says so in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import games
from games.core import Ask, Game, InstanceError, Referee
from playpen_jax import rewards as rewarding
from playpen_jax.bridges import textarena_players
from playpen_jax.bridges.common import Chance, limit, outcome, seeded_game
from playpen_jax.players import scripted

RAW = "-raw"  # TextArena's name for an environment without wrappers: what a seat has not seen yet, not all that it ever saw
MOST = 15  # players of a game


def game(name: str, players: int | None = None, max_turns: int = 500) -> Game:
    """The game of an environment's id; `players` seats, by default as few as it can be played with.

    Raises `KeyError` for an unknown id and `ValueError` if the environment cannot start here.
    """
    from textarena.envs.registration import ENV_REGISTRY  # the `textarena` extra

    if name + RAW not in ENV_REGISTRY:
        near = difflib.get_close_matches(name, [known for known in ENV_REGISTRY if known + RAW in ENV_REGISTRY], 1)
        raise KeyError(f"TextArena has no environment {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    count = players or _fewest(name)
    seats = [f"player_{i}" for i in range(count)]

    def referee(instance: Mapping, settings: Mapping) -> Referee:
        chance = Chance(instance["seed"])
        if instance["max_turns"] < 1:
            raise InstanceError("max_turns", "at least 1 is wanted")
        with chance.drawn():
            env = _started(name, count, instance["seed"])
        for turn in range(1, instance["max_turns"] + 1):
            with chance.drawn():
                player, seen = env.get_observation()
            reply = yield Ask(seats[player], shown(seen, player))
            try:
                with chance.drawn():
                    done, _ = env.step(action=bracketed(reply))
            except Exception as error:  # their code may raise for a strange reply, and a rollout must not end by it
                return outcome(
                    dict.fromkeys(seats, 0.0), turn, f"TextArena raised {type(error).__name__}: {error}", seats[player]
                )
            if done:
                return _ended(env, seats, turn)
        return limit(dict.fromkeys(seats, 0.0), instance["max_turns"])

    return seeded_game(f"textarena:{name}", seats, referee, textarena_players.players(name), max_turns)


def _started(name: str, players: int, seed: int):
    import textarena

    env = textarena.make(name + RAW)
    env.reset(num_players=players, seed=seed)
    return env


def _fewest(name: str) -> int:
    """The smallest number of players that the environment takes."""
    from textarena import SinglePlayerState

    problem: Exception | None = None
    for count in range(1, MOST + 1):
        try:
            with Chance(0).drawn():
                state = _started(name, count, 0).state
            if state.num_players == count and (count > 1 or isinstance(state, SinglePlayerState)):
                return count  # not all environments refuse another number
        except AssertionError as error:  # how TextArena refuses a number of players
            problem = error
        except Exception as error:  # a missing word list, a package, a service: other people's code, any kind
            problem = error
            if count > 1:
                break
    raise ValueError(f"textarena:{name} cannot start here: {type(problem).__name__}: {' '.join(str(problem).split())[:200]}")


def shown(seen: Sequence[tuple], player: int) -> str:
    """Messages in one text, the seat's own words left out; some environments mix up who speaks with the kind of message."""
    names = [
        (f"Player {source}" if isinstance(source, int) and source >= 0 else "GAME", source, text) for source, text, _ in seen
    ]
    return "\n".join(f"[{name}] {text}" for name, source, text in names if source != player)


def bracketed(reply: str) -> str:
    """TextArena's rule: a reply without brackets is one action."""
    return reply if "[" in reply or "]" in reply else f"[{reply}]"


def _ended(env: Any, seats: Sequence[str], turns: int):
    given, info = env.close()
    rewards = {seat: _number((given or {}).get(i)) for i, seat in enumerate(seats)}
    reasons = [info[i].get("reason") or "" for i in range(len(seats)) if i in info]
    guilty = [seats[i] for i in range(len(seats)) if info.get(i, {}).get("invalid_move") and rewards[seats[i]] < 1]
    return outcome(rewards, turns, str(next(filter(None, reasons), "")), guilty[0] if guilty else None)


def _number(reward: Any) -> float:
    """A reward; some environments mistake the reason for it, which is worth nothing."""
    return float(reward) if isinstance(reward, (int, float)) else 0.0


# ---------------------------------------------------------------------------------------------- our games as theirs


def environment(
    name: str | Game, split: str = "train", form: str = "full", reward: str = "score", partners: Mapping | None = None
):
    """One of our games as a `textarena.Env`: `reset(num_players, seed)` picks an instance of the split.

    reward: a name of `playpen_jax.rewards`. partners: seat -> scripted player; all others are TextArena's players, in order.
    """
    import textarena as ta  # the `textarena` extra

    game = games.make(name) if isinstance(name, str) else name
    hired = {seat: "scripted" for seat in game.chance} | dict(partners or {})
    seats = [seat for seat in game.seats if seat not in hired]

    class GameEnv(ta.Env):
        env_id = game.name

        def reset(self, num_players: int, seed: int | None = None) -> None:
            if num_players != len(seats):
                raise ValueError(f"{game.name} has {len(seats)} free seats ({', '.join(seats)}), not {num_players}")
            self._seed = 0 if seed is None else seed
            self.state = ta.State(num_players=num_players)
            roles = {i: game.roles[game.seats.index(seat)] for i, seat in enumerate(seats)}
            self.state.standard_resets(game_state={}, role_mapping=roles)
            self.play = game.start(game.instances(split, 1, self._seed)[0], form=form)
            self._settle()

        def step(self, action: str) -> tuple[bool, dict]:
            self.play.reply(action)
            self._settle()
            return self.state.step()

        def _settle(self) -> None:
            """Hired players answer; then the next player is told, or the rewards are given."""
            while self.play.ask is not None and self.play.ask.seat in hired:
                player = scripted(game, self.play.ask.seat, hired[self.play.ask.seat])
                self.play.reply(player.reply(self.play, str(self._seed)))
            if self.play.ask is not None:
                self.state.current_player_id = place = seats.index(self.play.ask.seat)
                self.state.add_observation(self.play.ask.shown, ta.ObservationType.GAME_MESSAGE, to_id=place)
                return
            ended = self.play.ended
            self.state.done = True
            self.state.rewards = {i: rewarding.REWARDS[reward](ended, seat) for i, seat in enumerate(seats)}
            for i, seat in enumerate(seats):
                broke = ended.status == "aborted" and ended.seat == seat
                self.state.game_info[i] |= {"reason": ended.reason, "invalid_move": broke}

    return GameEnv()
