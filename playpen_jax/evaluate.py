"""Evaluate a policy: `python -m playpen_jax.evaluate --checkpoint=PATH --suite=NAME[,NAME] --out=DIR`.

PATH is a checkpoint, a training directory, a Hugging Face folder, "tiny", or an endpoint (http://HOST:PORT/v1#MODEL). NAME is a
suite (indomain, outofdomain, reference) or a game. DIR gets the clembench results tree, results.csv, results.html,
summary.json, episodes.jsonl, setup.json and cost.json (seconds, tokens). The same command on the same DIR goes on where it was
cut, with the same result. `playpen_jax.compare` makes a page of several.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import games
from games.core import SPLITS
from playpen_jax import players
from playpen_jax.programs import compilation_cache, parser, user_errors

SUITES = ("indomain", "outofdomain", "reference")


def chosen(suite: str) -> tuple[str, ...]:
    """The games that `--suite` names."""
    found: list[str] = []
    for name in suite.split(","):
        found += games.names(name) if name in SUITES else [games.make(name).name]
    if not found:
        raise ValueError(f"--suite={suite} holds no game yet")
    return tuple(dict.fromkeys(found))


def options() -> argparse.ArgumentParser:
    made = parser("evaluate", __doc__)
    made.add_argument("--checkpoint", required=True, metavar="PATH")
    made.add_argument("--suite", required=True, metavar="NAME[,NAME]")
    made.add_argument("--out", required=True, type=Path, metavar="DIR")
    made.add_argument("--split", default="test", choices=SPLITS, help="which of our instances (default: test)")
    made.add_argument("--episodes", type=int, default=50, help="instances per game (default: 50)")
    made.add_argument("--plays", type=int, default=1, help="plays of each instance (default: 1)")
    made.add_argument(
        "--instances",
        metavar="FILE",
        help="played instead of ours (one game): an official instance file; for a reference task also a .jsonl or "
        ".parquet file of its data set, or `hf` to download it",
    )
    made.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    made.add_argument("--max-tokens", type=int, default=300, help="tokens of one reply (default: 300)")
    made.add_argument("--max-turns", type=int, default=100, help="replies of one episode (default: 100)")
    made.add_argument("--context", type=int, default=2048, help="tokens of one dialogue (default: 2048)")
    made.add_argument("--rows", type=int, default=32, help="dialogues on the device at once (default: 32)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--form", choices=("full", "short"), help="our prompts, long or short (default: as in training)")
    made.add_argument("--players", help="game.seat=player,...: scripted partners (default: as in training, else self-play)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    args = options().parse_args(argv)
    with user_errors():
        names = chosen(args.suite)
        if args.instances and len(names) != 1:
            raise ValueError("--instances wants --suite to name one game")
        from playpen_jax import policy, suites  # JAX, for which --help and a wrong argument do not wait
        from playpen_jax.sampler.sample import Sampling

        compilation_cache()
        learner = None if players.is_remote(args.checkpoint) else policy.load(args.checkpoint)
        if learner and learner.chat is None:
            raise ValueError(f"--checkpoint={args.checkpoint} has no tokenizer")
        trained: dict[str, Any] = learner.trained() if learner else {"form": "full", "players": ()}
        form: str = args.form or trained["form"]
        specs = trained["players"] if args.players is None else tuple(filter(None, args.players.split(",")))
        todo, how = suites.jobs(args, names, form, specs), Sampling(args.temperature)
        suites.check(args, todo)
        setup = vars(args) | {"suite": ",".join(names), "form": form, "players": specs}
        setup = {k: str(v) if isinstance(v, Path) else v for k, v in setup.items() if k not in ("out", "rows")}
        suites.open_out(args.out, setup)
    partners = f" against {', '.join(specs)}" if specs else ", all seats its own"
    source = args.instances or f"{args.split} split"
    print(f"{args.checkpoint} plays {', '.join(names)} ({source}, {form} prompts, temperature {args.temperature:g}){partners}")
    print(suites.write(args, *suites.finished(todo, suites.play(args, suites.table(args, learner, how), todo))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
