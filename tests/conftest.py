"""Settings of all tests: strict ranks, programs compiled once, and `--typecheck`.

JAX is told by environment variables, so that tests of the games need not import it and programs started by tests obey too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--typecheck", action="store_true", help="check shapes and types of playpen_jax's signatures as it runs")


def pytest_configure(config: pytest.Config) -> None:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home / "playpen_jax" / "tests-xla"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
    if config.getoption("--typecheck"):
        from jaxtyping import install_import_hook

        from tests import shapes

        install_import_hook("playpen_jax", f"{shapes.__name__}.{shapes.check.__name__}")
