"""Recorded episodes of the official games, and what our engines make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from games.core import Play
from games.records import read_records, replay, same
from tests.common import SHARED

needed = pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")


def episodes(name: str) -> list[dict[str, Any]]:
    """All that there are of a game."""
    return list(read_records(SHARED / "replay" / f"{name}.jsonl.gz"))


def replayed(name: str, count: int) -> Iterator[tuple[dict[str, Any], Play]]:
    """Each of `count` episodes with our engine after the same replies: it ended, with the scores that were recorded."""
    found = episodes(name)
    assert len(found) == count
    for record in found:
        play, differences = replay(record)
        assert not differences, (record["experiment"], record["game_id"], record["model"], differences)
        yield record, play


def unequal(record: Mapping[str, Any], play: Play) -> list[str]:
    """Which of the recorded scores, the game's own among them, our engine has otherwise."""
    ours = play.ended.official()
    return [key for key, value in record["episode_scores"].items() if not same(value, ours.get(key))]


def sent(record: Mapping[str, Any], player: str | None = None) -> list[str]:
    """What the game told its players, or one of them."""
    events = (event for turn in record["rounds"] for event in turn if event["type"] == "send message")
    return [event["content"] for event in events if player in (None, event["to"])]


def told(play: Play) -> list[str]:
    """What our engine told them."""
    return [ask.text for ask, _ in play.history]
