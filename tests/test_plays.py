"""Which plays a step is made of: curricula, partners, groups that are replaced, forks, and what is never drawn."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

import games
from games.core import Outcome
from playpen_jax import checks, curriculum, draws, leaks, players
from playpen_jax import config as configs
from playpen_jax.learn import plays, pool
from playpen_jax.learn.run import Rolled
from playpen_jax.rollout import Job, Past
from playpen_jax.sampler.sampler import Counters
from playpen_jax.types import Episode, Turn
from tests.test_credit import row
from tests.test_rollout import chatter_jobs, make, transcript  # noqa: F401  (make is a fixture)


def config(**changes) -> configs.Config:
    made = configs.Config(games=("textmapworld", "guesswhat"), form="short", grpo=configs.Grpo(instances=4, plays=3))
    for key, value in changes.items():
        made = configs.override(made, key.replace("__", "."), value)
    return made


# ---------------------------------------------------------------------------------------------- curricula


def test_games_and_levels_take_turns_by_default():
    jobs = [draws.training_jobs(config(), step)[::3] for step in range(3)]
    assert [job.game.name for job in jobs[0]] == ["textmapworld", "guesswhat"] * 2
    assert len({str(job.instance) for step in jobs for job in step}) == 12, "every instance is drawn anew"
    levels = [job.instance["level"] for step in jobs for job in step if job.game.name == "guesswhat"]
    assert levels == [games.make("guesswhat").levels[i % 3] for i in range(6)] or len(set(levels)) > 1


def test_weights_say_how_often_a_game_and_a_level_is_drawn():
    level = games.make("guesswhat").levels[0]
    made = config(curriculum__draw="weights", curriculum__weights=f"textmapworld=0,guesswhat.{level}=8")
    drawn = Counter(curriculum.place(made, group, {})[:2] for group in range(400))
    others = [each for each in games.make("guesswhat").levels if each != level]
    assert not any(name == "textmapworld" for name, _ in drawn)
    share = 8 / (8 + len(others) / (len(others) + 1))
    assert drawn["guesswhat", level] / 400 == pytest.approx(share, abs=0.07)
    assert draws.training_jobs(made, 0)[0].instance["level"] in games.make("guesswhat").levels


def test_learnability_draws_where_groups_still_vary_and_keeps_a_floor():
    made, memory = config(curriculum__draw="learnability", curriculum__floor="0.1", curriculum__decay="0.5"), {}
    assert set(curriculum.weights(made, memory).values()) == {1 / len(games.make(n).levels) for n in made.games}
    level = games.make("guesswhat").levels[0]
    curriculum.remember(made, memory, [("guesswhat", level, False)] * 3 + [("guesswhat", level, True)])
    assert memory["learnability"] == {f"guesswhat.{level}": (0.125 + 1) / 2}
    curriculum.remember(made, memory, [("guesswhat", level, False)] * 20)
    table = curriculum.weights(made, memory)
    assert table["guesswhat", level] * len(games.make("guesswhat").levels) == pytest.approx(0.1, abs=1e-4)
    assert draws.training_jobs(made, 5, memory) == draws.training_jobs(made, 5, dict(memory)), (
        "a function of what is remembered"
    )


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"held_out": "guesswhat"}, "guesswhat is held out (held_out) and trained (games)"),
        ({"held_out": "nogame"}, "nogame"),
        ({"curriculum__weights": "taboo=1"}, "'taboo=1' names no game or level that is trained"),
        ({"curriculum__weights": "guesswhat=x"}, "'guesswhat=x' is not game=weight"),
        ({"curriculum__weights": "guesswhat=2"}, "needs curriculum.draw=weights or learnability"),
        ({"curriculum__draw": "weights", "curriculum__weights": "guesswhat=0,textmapworld=0"}, "leaves nothing to draw"),
        ({"eval__games": "guesswhat"}, "names a game that is evaluated already"),
        ({"eval__floor": "taboo=3"}, "'taboo=3' is not game=score or game=-points"),
        ({"players": "guesswhat.answerer=scripted*x"}, "'scripted*x' is not of the form player*weight"),
        ({"players": "guesswhat.answerer=scripted*0|past*0"}, "leaves nobody to draw"),
        ({"players": "guesswhat.answerer=scripted|nobody"}, "has no player 'nobody'"),
        ({"pool__every": "0"}, "at least 1"),
        ({"grpo__credit": "fork", "grpo__plays": "1"}, "grpo.plays is at least 2"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_at_the_start(changes, problem):
    with pytest.raises(configs.ConfigError) as error:
        checks.check(config(**changes))
    assert problem in str(error.value) and "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------- partners


def test_a_pool_is_drawn_by_weights_and_all_plays_of_an_instance_meet_the_same_partner():
    made = config(games="guesswhat", players="guesswhat.answerer=scripted:0.5*3|past|learner*0")
    checks.check(made)
    seen = Counter()
    for step in range(100):
        jobs = draws.training_jobs(made, step)
        for i in range(0, len(jobs), 3):
            (partner,) = {job.seats["answerer"] for job in jobs[i : i + 3]}
            seen[partner] += 1
    assert seen.keys() == {"scripted:0.5", "past"} and seen["past"] / 400 == pytest.approx(0.25, abs=0.07)
    assert {job.seats["answerer"] for job in draws.held_out_jobs(made)[:3]} == {"scripted:0.5"}, "the first one named"
    assert pool.named(made) == {"past"}
    assert players.is_policy("folder:/some/where") and not players.is_policy("scripted")


def test_which_earlier_selves_may_play_depends_on_the_step_alone():
    settings = configs.Pool(every=10, keep=3)
    assert [pool.candidates(settings, step) for step in (0, 9, 10, 35, 60)] == [
        [0], [0], [0, 10], [10, 20, 30], [40, 50, 60],
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------- groups


class Runner:
    """A run whose plays earn what `scores` says of (part, instance, sample)."""

    def __init__(self, config: configs.Config, scores, workdir):
        self.config, self.scores, self.workdir, self.rolled = config, scores, workdir, []

    def play(self, params, jobs, how, label, journal, partners, weights):
        part = journal.name.split(".")[1]
        self.rolled.append((part, len(jobs)))
        return Rolled([self.episode(job, self.scores(part, i, job.sample)) for i, job in enumerate(jobs)], Counters(sampled=1))

    def episode(self, job: Job, score: float | None) -> Episode | None:
        if score is None:
            return None
        past = job.past.turns if job.past else ()
        turns = (*past, *[Turn("explorer", "learner", "?", f"{job.sample}.{k}", "stop") for k in range(3 - len(past))])
        outcome = Outcome("lose", score, 3, 3, 0)
        return Episode(job.game.name, job.instance, job.sample, turns, outcome, "end", {"explorer": row(1, 2, 1)})


def step_of(made: configs.Config, scores, workdir) -> tuple[plays.Played, Runner]:
    run = Runner(dataclasses.replace(made, games=("textmapworld",)), scores, workdir)
    return plays.play(plays.Table(run, None, 0, {}, {})), run


def test_groups_without_variance_are_replaced_round_by_round(tmp_path):
    """Of four groups one varies at first; of three fresh ones one; of two fresh ones one; then the rounds are over."""
    varies = {"0": (1,), "1": (0,), "2": (1,)}
    made, run = step_of(
        config(grpo__refill="2"), lambda part, i, sample: 100.0 * (sample == 0 and i // 3 in varies[part]), tmp_path
    )
    assert run.rolled == [("0", 12), ("1", 9), ("2", 6)]
    assert [plays.varied(run.config, group) for group in made.groups] == [True, True, True, False]
    assert len(made.every) == 9 and len(made.episodes) == 27 and made.rounds == 2 and made.counters.sampled == 3
    assert len({str(group.episodes[0].instance) for group in made.every}) == 9, "fresh instances"
    again, _ = step_of(config(grpo__variant="dapo"), lambda part, i, sample: 100.0 * (sample == 0), tmp_path)
    assert again.rounds == 0 and len(again.groups) == 4


def test_plays_that_hung_or_broke_are_no_part_of_their_group(tmp_path):
    made, _ = step_of(config(), lambda part, i, sample: None if i in (0, 3, 4, 5) else 10.0 * sample, tmp_path)
    assert [len(group.episodes) for group in made.groups] == [2, 3, 3] and made.hung == 4


def test_a_fork_plays_one_episode_and_goes_on_from_a_turn_of_it(tmp_path):
    made, run = step_of(config(grpo__credit="fork"), lambda part, i, sample: 10.0 * sample, tmp_path)
    assert run.rolled == [("0", 4), ("0-forks", 8)]
    places = [group.first for group in made.groups]
    assert len(set(places)) > 1 and set(places) <= {0, 1, 2}
    for group in made.groups:
        said = [[turn.reply for turn in episode.turns] for episode in group.episodes]
        assert [episode.sample for episode in group.episodes] == [0, 1, 2]
        assert all(each[: group.first] == said[0][: group.first] for each in said)
        assert len({each[group.first] for each in said}) == 3
    again, _ = step_of(config(grpo__credit="fork"), lambda part, i, sample: 10.0 * sample, tmp_path)
    assert [group.first for group in again.groups] == places


def test_a_dialogue_taken_up_at_any_turn_goes_on_as_if_it_had_never_been_left(make):  # noqa: F811
    """The draws of a turn depend on what is said where: the same sample from a fork repeats the episode, another does not."""
    job = chatter_jobs(1)[0]
    (straight,) = make().play([job])
    forks = [dataclasses.replace(job, past=Past.of(straight, k)) for k in (0, 1, 3, 5)]
    others = [dataclasses.replace(fork, sample=7) for fork in forks]
    played = make().play(forks + others)
    for again in played[:4]:
        assert transcript(again) == transcript(straight)
        for seat, tokens in again.rows.items():
            np.testing.assert_allclose(tokens.logps, straight.rows[seat].logps, atol=1e-5)
    for other, k in zip(played[4:], (0, 1, 3, 5)):
        assert other.turns[:k] == straight.turns[:k] and other.turns[k:] != straight.turns[k:]


# ---------------------------------------------------------------------------------------------- what is kept apart


def test_training_and_evaluation_share_nothing_and_the_account_says_so():
    made = config(steps="5", eval__games="taboo", eval__episodes="10", held_out="wordle")
    found = leaks.check(made)
    assert found["trained"] == {"games": ["textmapworld", "guesswhat"], "instances": 20}
    assert found["held_out"] == {"textmapworld": 10, "guesswhat": 10, "taboo": 10}
    assert found["never_trained"] == ["taboo", "wordle"]
    assert "none of 30 held-out instances or targets is among 20 of textmapworld, guesswhat" in leaks.line(found)


@pytest.mark.parametrize("kind", ["targets", "instances"])
def test_a_leak_refuses_the_run(monkeypatch, kind):
    made = config(games="guesswhat", steps="2", eval__episodes="10")
    stolen = draws.held_out_jobs(made)[3].instance
    if kind == "targets":
        monkeypatch.setattr(leaks, "parts", lambda name, instance, form: {"targets": "the same", "prompts": ""})
    else:
        monkeypatch.setattr(draws, "training_instance", lambda *_: {**stolen, "game_id": 99})
    with pytest.raises(configs.ConfigError, match="leak: guesswhat trains on .*, one of the held-out"):
        leaks.check(made)
