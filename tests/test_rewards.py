"""Rewards by hand."""

import math

import pytest

from games.core import Outcome
from playpen_jax import rewards

WON = Outcome("success", 50.0, 4, 4, 0, progress=(0.2, 0.2, 0.5, 1.0))
LOST = Outcome("lose", 0.0, 6, 6, 0, progress=(0.2, 0.4))
ABORTED = Outcome("aborted", math.nan, 1, 0, 1, seat="guesser", progress=(0.4,))
CUT = Outcome("aborted", math.nan, 40, 40, 0)


@pytest.mark.parametrize(
    "name, won, lost, aborted",
    [("score", 0.5, 0.0, 0.0), ("success", 1.0, 0.0, 0.0), ("penalty", 0.5, 0.0, -0.5), ("shaped", 0.75, 0.2, 0.0)],
)
def test_rewards_by_hand(name, won, lost, aborted):
    reward = rewards.REWARDS[name]
    assert [reward(outcome, "guesser") for outcome in (WON, LOST, ABORTED)] == pytest.approx([won, lost, aborted])


def test_only_the_seat_that_broke_the_rules_is_punished():
    assert rewards.penalty(ABORTED, "describer") == 0.0
    assert rewards.penalty(CUT, "describer") == -0.5  # cut by a limit: both are to blame


def test_turn_progress_adds_up_to_the_last_progress():
    assert rewards.turn_progress(WON) == pytest.approx([0.2, 0.0, 0.3, 0.5])
    assert rewards.turn_progress(CUT) == []


def test_a_role_can_have_a_reward_of_its_own():
    choose = rewards.chosen("score", ("taboo.describer=success",))
    assert choose("taboo", "describer") is rewards.success
    assert choose("taboo", "guesser") is rewards.score
    with pytest.raises(ValueError, match="taboo.describer=fame"):
        rewards.chosen("score", ("taboo.describer=fame",))
