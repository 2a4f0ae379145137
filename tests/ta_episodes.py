"""Recorded episodes of the games from TextArena, fed through our engines."""

from __future__ import annotations

from collections.abc import Iterator

import games
from games import records
from games.core import Play
from tests.common import SHARED

SCORES = ("Aborted", "Success", "Request Count", "Violated Request Count", "Numeric Reward")


def scores(ended: Play) -> tuple:
    """The official scores called `SCORES`, and the reward that is told also of an aborted episode."""
    official = ended.outcome.official()
    assert official["Lose"] == 0
    assert official["Parsed Request Count"] == official["Request Count"] - official["Violated Request Count"]
    return (*(official[key] for key in SCORES), official["ta_reward"]["0"])


def replayed(name: str, episodes: int) -> Iterator[tuple[list[str], list[str]]]:
    """(messages of the record, messages of our engine) to the player of each episode, all scores of which are equal."""
    found = list(records.read_records(SHARED / "replay" / f"{name}.jsonl.gz"))
    assert len(found) == episodes
    for record in found:
        ended, differences = records.replay(record)
        assert differences == []
        ours, theirs = ended.outcome.official(), record["episode_scores"]
        assert all(records.same(ours[key], value) for key, value in theirs.items())
        sent = [event["content"] for turn in record["rounds"] for event in turn if event["type"] == "send message"]
        told = [ask.text for ask, _ in ended.history if ask.seat in games.make(name).seats]
        assert ["invalid move" in text for text in told[1:]] == ["invalid move" in text for text in sent[1:]]
        yield sent, told
