"""Credit over episodes, turns and forks, each against a case counted by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from games.core import Outcome
from playpen_jax import config as configs
from playpen_jax.learn import credit
from playpen_jax.learn.credit import Group
from playpen_jax.losses import advantages
from playpen_jax.types import Episode, TokenRow, Turn


def row(*replies: int) -> TokenRow:
    """A dialogue with replies of these many tokens, two tokens of the game before each."""
    mask = np.concatenate([np.r_[np.zeros(2, bool), np.ones(n, bool)] for n in replies])
    logps = np.where(mask, -1.0, 0.0).astype(np.float32)
    return TokenRow(np.arange(len(mask), dtype=np.int32), mask, logps, logps)


def episode(score: float, said: str = "aa", lengths=(1, 2), status="lose", progress=(), players=None, sample=0) -> Episode:
    """The seats a and b speak in the order of `said`; all of them are the learner's unless `players` says otherwise."""
    players = players or {}
    turns = tuple(Turn(seat, players.get(seat, "learner"), "?", "!", "stop") for seat in said)
    rows = {seat: row(*[n for s, n in zip(said, lengths) if s == seat]) for seat in sorted(set(said))}
    outcome = Outcome(status, score, len(said), len(said), 0, progress=progress)
    return Episode("toy", {"level": "only"}, sample, turns, outcome, "end", rows)


def config(**changes) -> configs.Config:
    made = configs.Config(batch=configs.Batching(length=100))
    for key, value in changes.items():
        made = configs.override(made, f"grpo.{key}", str(value))
    return made


def learned(config: configs.Config, groups: list[Group], baselines: dict | None = None):
    found = credit.samples(config, groups)
    values = credit.advantages_of(config, found, {} if baselines is None else baselines)
    return found, values, credit.weighted(config, found, values)


# ---------------------------------------------------------------------------------------------- whole episodes


def test_a_whole_episode_gives_each_of_its_tokens_the_same_advantage():
    group = Group([episode(100), episode(0, lengths=(3, 1)), episode(0)])
    found, values, rows = learned(config(advantage="centred"), [group])
    assert [sample.reward for sample in found] == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(rows[0].advantage, [0, 0, 2 / 3, 0, 0, 2 / 3, 2 / 3])
    np.testing.assert_allclose(rows[1].advantage, [0, 0, -1 / 3, -1 / 3, -1 / 3, 0, 0, -1 / 3])
    assert [r.weight for r in rows] == [1 / 10] * 3  # 3 + 4 + 3 tokens


@pytest.mark.parametrize(
    "normalise, wanted", [("tokens", [1 / 7, 1 / 7]), ("dialogues", [1 / 6, 1 / 8]), ("constant", [1 / 200, 1 / 200])]
)
def test_what_a_token_weighs(normalise, wanted):
    group = Group([episode(100), episode(0, lengths=(3, 1))])
    assert [r.weight for r in learned(config(normalise=normalise), [group])[2]] == wanted


def test_advantages_stay_inside_instance_and_role():
    """Two instances, two seats: one seat earns a penalty, which must not touch the other's mean."""
    guilty = dataclasses.replace(
        episode(math.nan, "ab", status="aborted"), outcome=Outcome("aborted", math.nan, 2, 1, 1, seat="b")
    )
    groups = [Group([episode(100, "ab"), guilty]), Group([episode(50, "ab"), episode(50, "ab")])]
    found, values, _ = learned(config(advantage="centred", reward="penalty"), groups)
    by = {(sample.group, sample.role): [] for sample in found}
    for sample, value in zip(found, values):
        by[sample.group, sample.role].append(float(value[0]))
    assert by == {(0, "toy/a"): [0.5, -0.5], (0, "toy/b"): [0.75, -0.75], (1, "toy/a"): [0.0, 0.0], (1, "toy/b"): [0.0, 0.0]}
    assert credit.spreads(found)[0, "toy/b"] == 0.75 and credit.spreads(found)[1, "toy/a"] == 0


def test_partners_are_not_learned_from():
    group = Group([episode(100, "ab", players={"b": "past"}), episode(0, "ab", players={"b": "scripted"})])
    assert [sample.role for sample in credit.samples(config(), [group])] == ["toy/a", "toy/a"]


def test_a_team_earns_the_mean_of_its_seats():
    outcome = Outcome("aborted", math.nan, 2, 1, 1, seat="b")
    guilty = dataclasses.replace(episode(math.nan, "ab", status="aborted"), outcome=outcome)
    assert [s.reward for s in credit.samples(config(reward="penalty", share="team"), [Group([guilty])])] == [-0.25, -0.25]
    assert [s.reward for s in credit.samples(config(reward="penalty"), [Group([guilty])])] == [0.0, -0.5]


def test_every_kind_of_baseline_by_hand():
    groups = [Group([episode(100), episode(0)]), Group([episode(100), episode(100)])]
    first = lambda kind, known=None: [float(v[0]) for v in learned(config(advantage=kind), groups, known)[1]]
    assert first("centred") == [0.5, -0.5, 0.0, 0.0]
    assert first("leave_one_out") == [1.0, -1.0, 0.0, 0.0]
    assert first("batch") == [0.25, -0.75, 0.25, 0.25]
    known = {"toy/a": 0.5}
    np.testing.assert_allclose(first("role", known), [0.5, -0.525, 0.50125, 0.4761875])
    assert known["toy/a"] == pytest.approx(0.547621875)


def test_a_long_reply_loses_some_of_its_reward():
    made = configs.override(config(overlong=4, overlong_penalty=0.5), "rollout.max_tokens", "10")
    lost = lambda *lengths: credit.overlong(made, lengths)
    assert [lost(6), lost(7), lost(8, 2), lost(10), lost(12)] == [0, 0.125, 0.25, 0.5, 0.5]
    assert credit.samples(made, [Group([episode(100, lengths=(1, 8))])])[0].turns == (0.0, 0.75)


# ---------------------------------------------------------------------------------------------- turns


def test_returns_by_hand():
    np.testing.assert_allclose(credit.returns([1, 0, 2], 0.5), [1.5, 1.0, 2.0])
    np.testing.assert_allclose(credit.returns([1, 0, 2], 1.0), [3, 2, 2])


def test_progress_is_thanked_to_the_reply_that_brought_it():
    played = episode(60, "aba", (1, 1, 1), progress=(0.2, 0.6, 0.5))
    own = credit.turn_rewards(config(reward="shaped", credit="turns"), played, "a", ["a", "b"])
    np.testing.assert_allclose(own, [0.5 * 0.2, 0.5 * -0.1 + 0.5 * 0.6])
    team = credit.turn_rewards(config(reward="shaped", credit="turns", share="team"), played, "a", ["a", "b"])
    np.testing.assert_allclose(team, [0.5 * 0.6, 0.5 * -0.1 + 0.5 * 0.6])
    late = credit.turn_rewards(config(reward="shaped", share="team"), played, "b", ["a", "b"])
    np.testing.assert_allclose(late, [0.5 * (0.2 + 0.4 - 0.1) + 0.5 * 0.6])


def test_credit_over_turns_by_hand():
    """Two plays of two and one replies with rewards (0, 1) and (0.5), discount 1/2: returns (1/2, 1) and (1/2)."""
    made = credit.turn_advantages([(0.0, 1.0), (0.5,)], 0.5, "centred", "", advantages.Baselines({}))
    np.testing.assert_allclose(made[0], [0.0, 0.25])  # at the second reply the other play stands with its last return
    np.testing.assert_allclose(made[1], [0.0])
    role = credit.turn_advantages([(0.0, 1.0), (0.5,)], 0.5, "role", "r", known := advantages.Baselines({}, 0.5))
    np.testing.assert_allclose(role[0], [0.5, 1.0])
    np.testing.assert_allclose(role[1], [0.25])
    assert known.known == {"r/0": 0.375, "r/1": 0.5}


@pytest.mark.parametrize("kind", sorted(advantages.GROUPED))
def test_with_one_reward_at_the_end_and_no_discount_turns_are_credited_like_episodes(kind):
    group = Group([episode(100), episode(0, "aaa", (1, 2, 1)), episode(30, "a", (2,))])
    whole = learned(config(advantage=kind), [group])[2]
    turns = learned(config(advantage=kind, credit="turns"), [group])[2]
    for a, b in zip(whole, turns, strict=True):
        np.testing.assert_allclose(a.advantage, b.advantage, atol=1e-12)


# ---------------------------------------------------------------------------------------------- forks


def test_what_came_before_a_fork_is_nobodys_merit():
    group = Group([episode(100, "aa", (2, 1)), episode(0, "aaa", (2, 2, 1)), episode(0, "a", (2,))], first=1)
    found, values, rows = learned(config(advantage="centred", credit="fork"), [group])
    assert len(found) == 2, "a play that ended before the fork is not compared"
    np.testing.assert_array_equal(rows[0].row.mask, [0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(rows[0].advantage[rows[0].row.mask], [0.5])
    np.testing.assert_allclose(rows[1].advantage[rows[1].row.mask], [-0.5, -0.5, -0.5])
    assert not rows[0].row.logps[:6].any() and rows[0].weight == 1 / 4


def test_replies_are_counted_and_cut():
    dialogue = row(2, 1, 3)
    assert credit.replies(dialogue.mask) == [2, 1, 3]
    np.testing.assert_array_equal(credit.reply_numbers(dialogue.mask), [0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert len(dialogue.replies(1).ids) == 4 and len(dialogue.replies(3).ids) == len(dialogue.ids)
