"""Forks of the letters game: replayed to a turn, sampled anew, played on; the best and the worst make a pair."""

from __future__ import annotations

import dataclasses
import json

import games
from games.core import Outcome
from playpen_jax import forks
from playpen_jax.config import Collect, Config, Rollout
from playpen_jax.data.read import Pair, Reader
from playpen_jax.rollout import Job
from playpen_jax.types import Episode, Turn
from tests import letters


class Talker:
    """A policy that goes through the alphabet; it notes what it was asked."""

    def __init__(self, words: str):
        self.words, self.asked = words, []

    def generate(self, dialogues, max_tokens, temperature, seed, top_k, top_p):
        found = [self.words[(len(self.asked) + i) % len(self.words)] for i in range(len(dialogues))]
        self.asked += dialogues
        return found


def played(rounds: int, said: str, sample: int = 0) -> tuple[Job, Episode]:
    instance = {"game_id": rounds, "letter": "a", "rounds": rounds, "level": "two"}
    job = Job(games.make(letters.config().games[0]), instance, {"speaker": "learner"}, sample, "0")
    play, turns = job.game.start(instance), []
    for word in said:
        turns.append(Turn("speaker", "learner", play.ask.text, word, "stop"))
        play.reply(word)
    return job, Episode("letters", instance, sample, tuple(turns), play.outcome, "end")


def settings(count: int) -> Config:
    return dataclasses.replace(letters.config(), collect=Collect(forks=count), rollout=Rollout(max_turns=9))


def test_a_turn_is_sampled_anew_and_the_best_and_the_worst_make_a_pair(tmp_path):
    plays = [played(2, "ab", sample) for sample in range(6)]
    talker = Talker("abcd")
    found = forks.pairs([job for job, _ in plays], [episode for _, episode in plays], {"learner": talker}, settings(4))
    assert len(found) == 6
    for row in found:
        turn = row["meta"]["turn"]
        assert [m["content"] for m in row["prompt"]] == ["Say a.", "a", "2?"][: 2 * turn + 1], "the history as it was"
        assert row["chosen"][0]["content"] == "a" != row["rejected"][0]["content"]
        assert row["meta"]["scores"]["chosen"] > row["meta"]["scores"]["rejected"] and row["meta"]["game_role"] == "Speaker"
    assert {row["meta"]["turn"] for row in found} == {0, 1}
    assert all(dialogue[-1]["role"] == "user" for dialogue in talker.asked)
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in found))
    assert all(isinstance(row, Pair) for row in Reader().rows([file]))


def test_branches_that_end_alike_or_say_the_same_make_no_pair_and_an_abort_is_the_worst():
    job, episode = played(1, "a")
    for words in ("b", "bc"):
        assert forks.pairs([job], [episode], {"learner": Talker(words)}, settings(3)) == []
    (row,) = forks.pairs([job], [episode], {"learner": Talker(["b", ""])}, settings(2))
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("b", "")
    assert row["meta"]["outcomes"] == {"chosen": "lose", "rejected": "aborted"}


def test_an_episode_without_a_turn_of_the_learner_or_with_a_failed_engine_is_passed_over():
    job, episode = played(1, "a")
    failed = dataclasses.replace(episode, outcome=Outcome("aborted", float("nan"), 0, 0, 0), turns=())
    assert forks.pairs([job], [failed], {"learner": Talker("ab")}, settings(2)) == []
