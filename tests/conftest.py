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
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # the models are too small to share out
    os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
    if config.getoption("--typecheck"):
        from jaxtyping import install_import_hook

        from tests import shapes

        install_import_hook("playpen_jax", f"{shapes.__name__}.{shapes.check.__name__}")


@pytest.fixture(scope="session")
def toy_chat():
    """A chat with pieces of the small games."""
    from tests import toys  # JAX is imported only for the tests that use a model

    return toys.chat()


@pytest.fixture(scope="session")
def toy(toy_chat):
    """(config, weights) of a two-layer model for `toy_chat`."""
    from tests import toys

    c = toys.config(toy_chat.tokenizer.size)
    return c, toys.weights(c, toy_chat.end)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory, toy, toy_chat):
    """A Hugging Face folder of `toy`."""
    from tests import toys

    return toys.write_folder(tmp_path_factory.mktemp("toy"), *toy, toy_chat.tokenizer)


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory, toy, toy_chat):
    """A training directory whose newest checkpoint is `toy`; not to be changed."""
    from tests import toys

    return toys.write_run(tmp_path_factory.mktemp("run"), *toy, toy_chat)


@pytest.fixture(scope="session")
def imitated(tmp_path_factory):
    """A run of imitation of letters: the policy says one of eight; not to be changed."""
    from tests.test_train import run

    return run(tmp_path_factory.mktemp("imitated") / "run", **{"algorithm": "sft", "steps": 40, "checkpoints.every": 0})


@pytest.fixture(scope="session")
def short(imitated):
    """The settings of `played`."""
    from tests.test_train import SHORT

    return SHORT | {"model.path": imitated}


@pytest.fixture(scope="session")
def played(tmp_path_factory, short):
    """A short run of play, not disturbed by anything; not to be changed."""
    from tests.test_train import run

    return run(tmp_path_factory.mktemp("played") / "run", **short)
