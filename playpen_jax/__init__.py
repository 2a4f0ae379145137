"""Playpen JAX: train language models by playing dialogue games.

    import playpen_jax as pp

    policy = pp.load("tiny")
    episodes = pp.play("taboo", players={"describer": "scripted", "guesser": policy}, episodes=32)

Names are imported when they are asked for, so that `import playpen_jax` is quick and needs no JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from games import make
    from playpen_jax.api import play
    from playpen_jax.policy import Policy, load

__all__ = ["Policy", "load", "make", "play"]

_HOMES = {"Policy": "playpen_jax.policy", "load": "playpen_jax.policy", "make": "games", "play": "playpen_jax.api"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'playpen_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
