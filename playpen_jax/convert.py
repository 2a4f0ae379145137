"""Weights from one form to another: `python -m playpen_jax.convert FROM TO [--as=folder|checkpoint|adapter] [--dtype=TYPE]`.

FROM is a checkpoint, a training directory (its newest checkpoint), a Hugging Face folder, or a folder of adapters as PEFT
writes them. TO becomes a folder that `transformers` loads (adapters are merged into their weights), a directory whose
checkpoint training can start from, or a folder of the adapters alone that `peft` loads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from playpen_jax.programs import parser, user_errors


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("convert", __doc__)
    options.add_argument("source", metavar="FROM")
    options.add_argument("target", metavar="TO", type=Path)
    options.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights written")
    options.add_argument(
        "--as", dest="form", choices=("folder", "checkpoint", "adapter"), default="folder", help="what TO becomes"
    )
    args = options.parse_args(argv)
    with user_errors():
        from playpen_jax import adapters, checkpoint, hf, metrics, policy  # --help must not wait for JAX

        loaded, setup = policy.load(args.source), args.target
        c, params = loaded.config, loaded.params
        if args.form == "folder":
            hf.save(args.target, c, params, args.dtype, assets_from=loaded.folder)
        elif args.form == "adapter":
            adapters.save(args.target, c, params, policy.under(args.source), args.dtype)
        else:
            checkpoint.write(args.target / "checkpoints", c, params)
            setup = args.target / "model"
            hf.save_config(setup, c, assets_from=loaded.folder)
        metrics.replace(setup / policy.SETUP, json.dumps(loaded.trained()) + "\n")
    print(f"{args.target}: {policy.numbers(params):,} weights, as {args.form}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
