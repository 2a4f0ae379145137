"""Checkpoint to Hugging Face folder: `python -m playpen_jax.convert FROM TO [--dtype=bfloat16]`.

FROM is a checkpoint, a training directory (its newest checkpoint) or a Hugging Face folder; TO is a folder that
`transformers` loads.
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
    args = options.parse_args(argv)
    with user_errors():
        from playpen_jax import hf, metrics, policy  # --help must not wait for JAX

        loaded = policy.load(args.source)
        hf.save(args.target, loaded.config, loaded.params, args.dtype, assets_from=loaded.folder)
        metrics.replace(args.target / policy.SETUP, json.dumps(loaded.trained()) + "\n")
    print(f"{args.target}: {policy.numbers(loaded.params):,} weights in {args.dtype}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
