"""Games whose best play is known are solved by every variant: from rewards to advantages, weights, losses and updates.

The policy is a table of logits [states, actions]. A token is state * ACTIONS + action, so a row tells all there is to know.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from playpen_jax import config as configs
from playpen_jax.data.pack import pack
from playpen_jax.learn import credit
from playpen_jax.losses import grpo
from playpen_jax.types import TokenRow
from tests.test_grpo_losses import clip_of

ACTIONS, STATES, PLAYS, STEPS, UPDATES = 4, 5, 32, 60, 2
BANDIT = np.array([0.1, 0.3, 0.9, 0.5])
# what the second action earns after the first; the first one earns nothing, and by chance play 1 is hardly better than 0
TWO = np.array([[0.3, 0.3, 0.3, 0.3], [0.2, 0.2, 1.0, 0.2], [0.0, 0.1, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0]])
TX = optax.adam(0.1)


@partial(jax.jit, static_argnums=3)
def learn(table, moments, batch, clip: grpo.Clip):
    """One update of the table."""

    def total(table):
        policy = jax.nn.log_softmax(table)
        logps = policy[batch.tokens // ACTIONS, batch.tokens % ACTIONS]
        return (grpo.loss(batch, logps, None, clip)[0] * batch.weights).sum()

    change, moments = TX.update(jax.grad(total)(table), moments)
    return table + change, moments


def play(table: np.ndarray, rng: np.random.Generator, turns: int) -> tuple[TokenRow, tuple[float, ...]]:
    """One play: its row (a question stands before each action), and what each action earned."""
    policy = np.exp(table - np.logaddexp.reduce(table, axis=1, keepdims=True))
    first = int(rng.choice(ACTIONS, p=policy[0]))
    ids, logps, rewards = [0, first], [0.0, np.log(policy[0, first])], (float(BANDIT[first]),)
    if turns == 2:
        second = int(rng.choice(ACTIONS, p=policy[1 + first]))
        ids += [0, (1 + first) * ACTIONS + second]
        logps += [0.0, np.log(policy[1 + first, second])]
        rewards = (0.0, float(TWO[first, second]))
    mask = np.arange(len(ids)) % 2 == 1
    logps = np.array(logps, np.float32)
    return TokenRow(np.array(ids, np.int32), mask, logps, logps), rewards


@pytest.mark.parametrize("turns", [1, 2], ids=["bandit", "two turns"])
@pytest.mark.parametrize("name", sorted(grpo.VARIANTS))
def test_the_best_play_is_found_within_the_budget(name, turns):
    """60 steps of 32 plays, each learned from twice: then 85 of 100 plays are the best one."""
    config = configs.override(configs.Config(batch=configs.Batching(length=4)), "grpo.variant", name)
    config = configs.override(config, "grpo.credit", "turns" if turns == 2 else "episode")
    rng, table, baselines = np.random.default_rng(0), np.zeros((STATES, ACTIONS), np.float32), {}
    moments = TX.init(table)
    for _ in range(STEPS):
        plays = [play(np.asarray(table, np.float64), rng, turns) for _ in range(PLAYS)]
        found = [credit.Sample(row, "toy/player", 0, rewards) for row, rewards in plays]
        rows = credit.weighted(config, found, credit.advantages_of(config, found, baselines))
        batch, _ = pack(rows, 4, multiple=PLAYS)
        for _ in range(UPDATES):
            table, moments = learn(jnp.asarray(table), moments, batch, clip_of(name))
    policy = np.exp(np.asarray(jax.nn.log_softmax(table)))
    best = policy[0, 2] if turns == 1 else policy[0, 1] * policy[2, 2]
    assert best > 0.85, policy.round(2)
