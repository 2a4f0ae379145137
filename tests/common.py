"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _shared() -> Path | None:
    """The folder of recorded episodes: $PLAYPEN_SHARED, or `shared` beside the checkout; None if there is none."""
    for path in (os.environ.get("PLAYPEN_SHARED"), ROOT.parent / "shared"):
        if path and (Path(path) / "replay").is_dir():
            return Path(path)
    return None


SHARED = _shared()
