"""What several test files share."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from games.core import Outcome, Play

ROOT = Path(__file__).resolve().parent.parent


def _shared() -> Path | None:
    """The folder of recorded episodes: $PLAYPEN_SHARED, or `shared` beside the checkout; None if there is none."""
    for path in (os.environ.get("PLAYPEN_SHARED"), ROOT.parent / "shared"):
        if path and (Path(path) / "replay").is_dir():
            return Path(path)
    return None


SHARED = _shared()


def answered(play: Play, replies: Iterable[str]) -> Play:
    """The play after these replies."""
    for reply in replies:
        play.reply(reply)
    return play


def summary(outcome: Outcome) -> tuple:
    """Status, score (None where there is none), requests, parsed, violated, and the seat that is to blame."""
    score = None if math.isnan(outcome.score) else outcome.score
    return outcome.status, score, outcome.requests, outcome.parsed, outcome.violated, outcome.seat
