"""Play for a data set: `python -m playpen_jax.collect --config=collect.py [--workdir=DIR] [--config.KEY=VALUE ...]`.

Fresh training instances of `games` are played by whom `players` names: the game's own players ("scripted", "scripted:0.7",
"random", ...), "learner" (model.path; every seat not named), "frozen" (collect.frozen), or who answers at an endpoint
("http://HOST:PORT/v1#MODEL"). DIR gets interactions/, the rows that `data.paths` reads (one per seat, in the layout of
playpen-data), episodes/, all transcripts, pairs/, what forks of turns gave (collect.forks), and collect.json, what was kept
and dropped. The same command on the same DIR goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from playpen_jax import checks, metrics
from playpen_jax import config as configs
from playpen_jax.programs import arguments, compilation_cache, parser, user_errors, workdir_of


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("collect", __doc__)
    options.add_argument("--config", required=True, metavar="FILE", help="a config file; a bare name is found in configs/")
    options.add_argument("--workdir", metavar="DIR", help="where everything is written (default: runs/NAME of the config)")
    with user_errors():
        known, overrides = arguments(options, sys.argv[1:] if argv is None else argv, configs.Config())
        config = checks.named(configs.load(known.config, overrides))
        folder = workdir_of(known.workdir, known.config)
        from playpen_jax import harvest  # JAX, for which --help and a wrong setting do not wait

        cast = harvest.seats(config)
        harvest.open_folder(config, folder)
        compilation_cache()
        policies = harvest.load(config, cast)
    counts = harvest.play(config, folder, cast, policies)
    if counts["episodes"]:
        metrics.replace(folder / "collect.json", json.dumps(dict(counts), indent=1))
    print(json.dumps(dict(counts)) if counts else f"{folder} holds all plays already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
