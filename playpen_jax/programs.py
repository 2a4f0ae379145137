"""What the programs share: arguments with settings, errors in one line, the cache of compiled programs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from playpen_jax import config as configs


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"error: {message}; --help tells more\n")


def parser(name: str, doc: str) -> argparse.ArgumentParser:
    """An argument parser whose --help shows the program's own docstring, and whose errors are one line."""
    return _Parser("playpen_jax." + name, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str], defaults: Any) -> tuple[argparse.Namespace, dict[str, str]]:
    """Parse `argv` with `--config.KEY=VALUE` overrides taken out; --help lists every setting of `defaults`."""
    parser.epilog = "settings (defaults of the library; a config file sets its own):\n" + "\n".join(configs.describe(defaults))
    rest, overrides = configs.split_argv(list(argv))
    return parser.parse_args(rest), overrides


def workdir_of(named: str | None, config: str) -> Path:
    """The working directory: DIR, or runs/NAME of the config; raises `ConfigError` for an address such as gs://BUCKET/RUN."""
    if named and "://" in named:
        mounted = "a folder is wanted; a bucket can be one when it is mounted (gcsfuse, docs/pods.md)"
        raise configs.ConfigError(f"--workdir={named}: {mounted}")
    return Path(named or Path("runs") / Path(config).stem)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn an error that the user can mend (a setting, a file) into one line and exit status 2."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        logging.debug("where it came from", exc_info=True)
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        print("error: " + " ".join(message.split()), file=sys.stderr)
        raise SystemExit(2) from None


def compilation_cache() -> None:
    """Keep compiled programs between runs: in $JAX_COMPILATION_CACHE_DIR, or the user's cache folder."""
    import jax  # a program's --help must not wait for it

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(home / "playpen_jax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
