"""Forks of the letters game: replayed to a turn, sampled anew, played on; the best and the worst make a pair."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import games
from games.core import Outcome
from playpen_jax import forks
from playpen_jax.data.read import Pair, Reader
from playpen_jax.rollout import Job, Past
from playpen_jax.types import Episode, Turn
from tests import letters


class Talker:
    """Plays jobs by going through the alphabet; it notes what it was given."""

    def __init__(self, words: str):
        self.words, self.said, self.jobs = words, 0, []

    def __call__(self, jobs: Sequence[Job]) -> list[Episode]:
        self.jobs += jobs
        return [self.episode(job) for job in jobs]

    def episode(self, job: Job) -> Episode:
        play, turns = job.game.start(job.instance), list(job.past.turns)
        for turn in turns:
            play.reply(turn.reply)
        while play.ask is not None:
            word = self.words[self.said % len(self.words)]
            self.said += 1
            turns.append(Turn("speaker", "learner", play.ask.text, word, "stop"))
            play.reply(word)
        return Episode("letters", job.instance, job.sample, tuple(turns), play.outcome, "end")


def played(rounds: int, said: str, sample: int = 0) -> tuple[Job, Episode]:
    instance = {"game_id": rounds, "letter": "a", "rounds": rounds, "level": "two"}
    job = Job(games.make(letters.config().games[0]), instance, {"speaker": "learner"}, sample, "0", past=Past((), {}))
    return job, Talker(said).episode(job)


def test_a_turn_is_sampled_anew_and_the_best_and_the_worst_make_a_pair(tmp_path):
    plays = [played(2, "ab", sample) for sample in range(6)]
    talker = Talker("abcd")
    found = forks.pairs([job for job, _ in plays], [episode for _, episode in plays], talker, 4, "me")
    assert len(found) == 6
    for row in found:
        turn = row["meta"]["turn"]
        assert [m["content"] for m in row["prompt"]] == ["Say a.", "a", "2?"][: 2 * turn + 1], "the history as it was"
        assert row["chosen"][0]["content"] == "a" != row["rejected"][0]["content"]
        assert row["meta"]["scores"]["chosen"] > row["meta"]["scores"]["rejected"] and row["meta"]["game_role"] == "Speaker"
    assert {row["meta"]["turn"] for row in found} == {0, 1}
    draws = {(job.seed, job.sample) for job in talker.jobs}
    assert len(draws) == 24 and not draws & {(job.seed, job.sample) for job, _ in plays}, "each branch draws for itself"
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in found))
    assert all(isinstance(row, Pair) for row in Reader().rows([file]))


def test_branches_that_end_alike_or_say_the_same_make_no_pair_and_an_abort_is_the_worst():
    job, episode = played(1, "a")
    for words in ("b", "bc"):
        assert forks.pairs([job], [episode], Talker(words), 3, "me") == []
    (row,) = forks.pairs([job], [episode], Talker(["b", ""]), 2, "me")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("b", "")
    assert row["meta"]["outcomes"] == {"chosen": "lose", "rejected": "aborted"}
    assert row["meta"]["scores"] == {"chosen": 0.0, "rejected": -1.0}


def test_an_episode_without_a_turn_of_the_learner_or_with_a_failed_engine_is_passed_over():
    job, episode = played(1, "a")
    silent = dataclasses.replace(episode, outcome=Outcome("aborted", float("nan"), 0, 0, 0), turns=())
    failed = dataclasses.replace(episode, stop="error")
    assert forks.pairs([job, job], [silent, failed], Talker("ab"), 2, "me") == []
    failing = lambda jobs: [dataclasses.replace(Talker("ab").episode(each), stop="error") for each in jobs]
    assert forks.pairs([job], [episode], failing, 2, "me") == [], "branches too"
