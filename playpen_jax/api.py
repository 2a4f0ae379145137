"""Play from a notebook or a script: `pp.play(game, players=...)`."""

from __future__ import annotations

from collections.abc import Mapping

import games
from games.core import FORMS, Game
from playpen_jax.players import check_seats, seating
from playpen_jax.policy import Policy
from playpen_jax.rollout import Job, Limits, Rollout
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.types import Episode

Player = Policy | str


def play(
    game: str | Game,
    players: Player | Mapping[str, Player],
    episodes: int = 32,
    seed: int = 0,
    split: str = "test",
    form: str | None = None,
    temperature: float = 0.0,
    level: str | None = None,
    max_tokens: int = 300,
    max_turns: int = 100,
    context: int = 2048,
    rows: int = 32,
) -> list[Episode]:
    """Play `episodes` episodes, instance by instance, and again from the first one where a split has fewer.

    players: one for all seats, or seat -> player: a policy, or the name of one of the game's own ("scripted", "random",
    "scripted:0.5", ...); a seat that is not named is "scripted". form: our prompts "full" or "short"; None: as the policy was
    trained. rows: dialogues on the device at once, for each policy; context, max_tokens: tokens of a dialogue, of one reply.
    Raises `KeyError` or `ValueError` for a game, seat, player, level, split or form that does not exist.
    """
    game = games.make(game) if isinstance(game, str) else game
    given = players if isinstance(players, Mapping) else dict.fromkeys(game.seats, players)
    policies = list(dict.fromkeys(player for player in given.values() if isinstance(player, Policy)))
    names = {policy: f"policy{i}" if i else "policy" for i, policy in enumerate(policies)}
    seats = seating(game, {seat: names[x] if isinstance(x, Policy) else x for seat, x in given.items()}, "scripted")
    check_seats(game, seats, names.values())
    if form is None:
        form = policies[0].trained()["form"] if policies else "full"
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}: one of {', '.join(FORMS)}")
    pool = game.instances(split, episodes, seed, level)
    jobs = [Job(game, pool[i % len(pool)], seats, i // len(pool), f"{seed}/{game.name}/{i}", form) for i in range(episodes)]
    samplers, chats = {}, {}
    for policy, name in names.items():
        if policy.chat is None:
            raise ValueError(f"{policy.folder}: no tokenizer, so it cannot play")
        samplers[name] = Sampler(policy.config, rows, context, Sampling(temperature), policy.chat.stops, dialogues=4 * rows)
        samplers[name].load(policy.params)
        chats[name] = policy.chat
    return Rollout(samplers, chats, Limits(max_tokens, max_turns)).play(jobs)
