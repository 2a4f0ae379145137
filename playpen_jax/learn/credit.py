"""Who is to be thanked: rewards of plays, and of their turns, become an advantage for each token of the learner.

A group holds the plays of one instance; advantages are taken inside (group, role). Whole-episode credit gives every token of a
play the same advantage. Credit over turns gives each reply the discounted sum of the rewards from there on,
G_k = sum over j >= k of discount^(j - k) r_j, against the other plays of the group at the same reply. A group at a fork shares
the turns before `first`; these are nobody's merit and stay out of the loss.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from playpen_jax import config as configs
from playpen_jax import rewards
from playpen_jax.data.pack import Weighted
from playpen_jax.losses import advantages, grpo
from playpen_jax.players import LEARNER
from playpen_jax.types import Episode, TokenRow


@dataclasses.dataclass(frozen=True)
class Group:
    """Plays that are compared with each other; the turns before number `first` are the same in all of them."""

    episodes: Sequence[Episode]
    first: int = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """One seat of one play: its tokens, what each of its replies earned, and how many replies came before the fork."""

    row: TokenRow
    role: str
    group: int
    turns: tuple[float, ...]
    shared: int = 0

    @property
    def reward(self) -> float:
        return float(sum(self.turns))


def samples(config: configs.Config, groups: Sequence[Group]) -> list[Sample]:
    """The seats that the learner played and spoke in."""
    found = []
    for number, group in enumerate(groups):
        for episode in group.episodes:
            seats = learner_seats(episode)
            for seat in seats:
                own = [i for i, turn in enumerate(episode.turns) if turn.seat == seat]
                turns = turn_rewards(config, episode, seat, seats)
                shared = sum(i < group.first for i in own)
                if shared < len(own):
                    found.append(Sample(episode.rows[seat], f"{episode.game}/{seat}", number, turns, shared))
    return found


def learner_seats(episode: Episode) -> list[str]:
    """The seats whose tokens are there and were the learner's, in the order in which they first spoke."""
    mine = dict.fromkeys(turn.seat for turn in episode.turns if turn.player == LEARNER)
    return [seat for seat in mine if seat in episode.rows]


def turn_rewards(config: configs.Config, episode: Episode, seat: str, seats: Sequence[str]) -> tuple[float, ...]:
    """What each reply of `seat` earned; their sum is what the seat earned.

    All comes with the last reply, but under the reward "shaped" changes of progress come with the replies that brought them.
    With grpo.share="team" a seat also earns what others brought, with its reply before theirs, and else the mean of the seats.
    """
    g, outcome = config.grpo, episode.outcome
    named = rewards.name_of(g.reward, g.role_rewards, episode.game, seat)
    own = [i for i, turn in enumerate(episode.turns) if turn.seat == seat]
    found = np.zeros(len(own))
    if named == "shaped" and rewards.measured(outcome):
        for i, change in enumerate(rewards.turn_progress(outcome)[: len(episode.turns)]):
            if episode.turns[i].seat == seat or g.share == "team":
                found[max(int(np.searchsorted(own, i, side="right")) - 1, 0)] += rewards.SHAPING * change
        found[-1] += (1 - rewards.SHAPING) * rewards.score(outcome, seat)
    else:
        every = [rewards.chosen(g.reward, g.role_rewards)(episode.game, s)(outcome, s) for s in seats]
        found[-1] = np.mean(every) if g.share == "team" else every[list(seats).index(seat)]
    found[-1] -= overlong(config, replies(episode.rows[seat].mask))
    return tuple(found.tolist())


def overlong(config: configs.Config, lengths: Sequence[int]) -> float:
    """What is taken for the longest reply: growing from 0 over the last `overlong` tokens before the limit (DAPO)."""
    buffer, limit = config.grpo.overlong, config.rollout.max_tokens
    if not buffer or not len(lengths):
        return 0.0
    return config.grpo.overlong_penalty * float(np.clip((max(lengths) - (limit - buffer)) / buffer, 0, 1))


def replies(mask: np.ndarray) -> list[int]:
    """The token counts of the replies in a row."""
    starts = np.flatnonzero(np.diff(mask.astype(int), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(mask.astype(int), append=0) == -1)
    return (ends - starts + 1).tolist()


# ---------------------------------------------------------------------------------------------- advantages


def advantages_of(config: configs.Config, found: Sequence[Sample], baselines: dict[str, float]) -> list[np.ndarray]:
    """The advantage of each reply of each sample; `baselines` of the roles are moved on by the way."""
    kind = setting(config, "advantage")
    known, made = advantages.Baselines(baselines), [np.zeros(0)] * len(found)
    keys = {"role": lambda s: s.role, "batch": lambda s: ""}.get(kind, lambda s: (s.group, s.role))
    for key, members in _gathered(found, keys).items():
        if config.grpo.credit == "turns":
            values = turn_advantages([found[i].turns for i in members], config.grpo.discount, kind, key, known)
        else:
            whole = np.array([found[i].reward for i in members])
            each = known.advantages(key, whole) if kind == "role" else advantages.GROUPED[kind](whole)
            values = [np.full(len(found[i].turns), value) for i, value in zip(members, each)]
        for i, value in zip(members, values):
            made[i] = value
    return made


def _gathered(found: Sequence[Sample], key) -> dict:
    places = defaultdict(list)
    for i, sample in enumerate(found):
        places[key(sample)].append(i)
    return places


def returns(turns: Sequence[float], discount: float) -> np.ndarray:
    """G_k = r_k + discount G_(k+1)."""
    found = np.array(turns, float)
    for k in range(len(found) - 2, -1, -1):
        found[k] += discount * found[k + 1]
    return found


def turn_advantages(
    plays: Sequence[Sequence[float]], discount: float, kind: str, role: str, known: advantages.Baselines
) -> list[np.ndarray]:
    """The advantage of each reply: its return against those of the other plays at the same reply.

    A play that ended before stands there with the return of its last reply, so that nobody is compared with nobody; with one
    reward at the end and discount 1 this is whole-episode credit.
    """
    found = [returns(turns, discount) for turns in plays]
    made = [np.zeros(len(each)) for each in found]
    for k in range(max(map(len, found))):
        at = np.array([each[min(k, len(each) - 1)] for each in found])
        here = [i for i, each in enumerate(found) if k < len(each)]
        if kind == "role":
            for i, value in zip(here, known.advantages(f"{role}/{k}", at[here])):
                made[i][k] = value
        else:
            for i, value in enumerate(advantages.GROUPED[kind](at)):
                made[i][k : k + 1] = value
    return made


# ---------------------------------------------------------------------------------------------- rows


def weighted(config: configs.Config, found: Sequence[Sample], values: Sequence[np.ndarray]) -> list[Weighted]:
    """One row a sample, with the advantage and the weight of each of its tokens."""
    counts = [int(loss_mask(sample).sum()) for sample in found]
    rows = []
    for sample, value, count in zip(found, values, counts):
        weight = {
            "tokens": 1 / max(sum(counts), 1),
            "dialogues": 1 / (len(found) * max(count, 1)),
            "constant": 1 / (len(found) * config.batch.length),
        }[setting(config, "normalise")]
        row = dataclasses.replace(sample.row, **cut(sample)) if sample.shared else sample.row
        spread = np.concatenate([[0.0], value])[reply_numbers(sample.row.mask)]
        rows.append(Weighted(row, spread * row.mask, weight))
    return rows


def reply_numbers(mask: np.ndarray) -> np.ndarray:
    """The number of each token's reply, from 1; 0 before the first."""
    return np.cumsum(np.diff(mask.astype(int), prepend=0) == 1)


def loss_mask(sample: Sample) -> np.ndarray:
    """The tokens that the learner sampled from the fork on."""
    return sample.row.mask & (reply_numbers(sample.row.mask) > sample.shared)


def cut(sample: Sample) -> dict[str, np.ndarray]:
    """The fields of the row in which what came before the fork is no longer the learner's."""
    mask = loss_mask(sample)
    return {"mask": mask, "logps": sample.row.logps * mask, "sampled_logps": sample.row.sampled_logps * mask}


def teaching(rows: list[Weighted]) -> list[Weighted]:
    """Only the rows with an advantage: the others add nothing to the gradient, as each token has its weight already."""
    return [w for w in rows if np.any(w.advantage)] or rows


def setting(config: configs.Config, name: str):
    """A setting of the variant, unless the config has its own."""
    own = getattr(config.grpo, {"low": "epsilon", "high": "epsilon_high"}.get(name, name))
    if name == "high" and own is None:
        own = config.grpo.epsilon  # one bound for both sides
    return getattr(grpo.VARIANTS[config.grpo.variant], name) if own is None else own


def spreads(found: Sequence[Sample]) -> dict[tuple[int, str], float]:
    """The deviation of the rewards in each (group, role)."""
    places = _gathered(found, lambda s: (s.group, s.role))
    return {key: float(np.std([found[i].reward for i in members])) for key, members in places.items()}
