"""The space of all texts, for environments whose observations and actions are messages."""

from __future__ import annotations

import string
from typing import Any


def text_space():
    """A `gymnasium.Space` of every text; what it samples is short and printable."""
    import gymnasium  # the `environments` extra

    class AnyText(gymnasium.Space):
        def __init__(self):
            super().__init__(shape=(), dtype=str)

        @property
        def is_np_flattenable(self) -> bool:
            return False

        def contains(self, x: Any) -> bool:
            return isinstance(x, str)

        def sample(self, mask: Any = None, probability: Any = None) -> str:
            signs = list(string.ascii_letters + string.digits + " :")
            return "".join(self.np_random.choice(signs, size=int(self.np_random.integers(40))))

        def __eq__(self, other: Any) -> bool:
            return type(other).__name__ == "AnyText"

        def __repr__(self) -> str:
            return "AnyText()"

    return AnyText()
