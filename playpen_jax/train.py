"""Train a policy: `python -m playpen_jax.train --config=grpo.py [--workdir=DIR] [--config.KEY=VALUE ...]`.

DIR gets config.json, metrics.jsonl, episodes/, evaluations/, checkpoints/, model/, tensorboard/ and report.html, and at the
end finished.json. The same command on the same DIR resumes where it stopped. SIGTERM saves, and ends with status 75.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from playpen_jax import checks, trackers
from playpen_jax import config as configs
from playpen_jax.programs import arguments, compilation_cache, parser, user_errors, workdir_of


def parse(argv: Sequence[str]) -> tuple[configs.Config, Path, argparse.Namespace]:
    """Config, working directory, and what else was said on the command line."""
    options = parser("train", __doc__)
    options.add_argument("--config", required=True, metavar="FILE", help="a config file; a bare name is found in configs/")
    options.add_argument("--workdir", metavar="DIR", help="where everything is written (default: runs/NAME of the config)")
    options.add_argument("--distributed", action="store_true", help="one of several processes that train together (launch/)")
    options.add_argument("--dry-run", action="store_true", help="only tell what the run would need, and whether it fits")
    options.add_argument("--topology", metavar="NAME", help="with --dry-run: where it would run, such as v5e:4x4 or h100:8")
    known, overrides = arguments(options, argv, configs.Config())
    if known.topology and not known.dry_run:
        options.error("--topology is for --dry-run")
    config = checks.named(configs.load(known.config, overrides))
    checks.check(config)
    trackers.check(config.tracker)
    return config, workdir_of(known.workdir, known.config), known


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    with user_errors():
        config, workdir, options = parse(argv)
        from playpen_jax import dryrun, processes  # JAX, for which --help and a wrong setting do not wait
        from playpen_jax.learn.course import LEARN

        if options.dry_run:
            return os.EX_OK if dryrun.run(config, LEARN[config.algorithm], options.topology) else 1
        if options.distributed:
            processes.join()
    with contextlib.nullcontext() if processes.first() else contextlib.redirect_stdout(None):
        return work(argv, config, workdir)


def work(argv: Sequence[str], config: configs.Config, workdir: Path) -> int:
    """One run, or what is left of it; returns the exit status."""
    from playpen_jax import checkpoint, metrics, processes
    from playpen_jax.learn import course, disk, folder
    from playpen_jax.learn.run import NothingToLearn

    with user_errors():
        if processes.first():
            folder.open_workdir(config, workdir)
        if processes.of_first(folder.finished(config, workdir)):
            print(f"{workdir} has made its {config.steps} steps: {workdir / 'report.html'}")
            return os.EX_OK
        compilation_cache()
        own = processes.folder(workdir)
        run, params, data = course.start(config, own, workdir / "checkpoints")
    metrics.replace(own / "command.txt", "python -m playpen_jax.train " + shlex.join(argv) + "\n")
    try:
        return course.train(run, params, data)
    except disk.DiskError as error:
        print(f"error: {error}; the same command goes on from the newest checkpoint", file=sys.stderr)
        return os.EX_IOERR
    except (checkpoint.CheckpointError, NothingToLearn) as error:  # what the user can mend; all else is shown whole
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
