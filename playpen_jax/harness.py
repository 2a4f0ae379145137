"""Run tasks of lm-evaluation-harness on a policy: `python -m playpen_jax.harness --checkpoint=PATH --tasks=NAME[,NAME]`.

PATH is a checkpoint, a training directory, a Hugging Face folder, or "tiny". NAME is a task or a group that the package
`lm_eval` knows, or one of the task files under --include. Prints its table; --out gets `results.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from playpen_jax import config, metrics
from playpen_jax.programs import compilation_cache, parser, user_errors


def options() -> argparse.ArgumentParser:
    made = parser("harness", __doc__)
    made.add_argument("--checkpoint", required=True, metavar="PATH")
    made.add_argument("--tasks", required=True, metavar="NAME[,NAME]")
    made.add_argument("--include", type=Path, metavar="DIR", help="task files of your own")
    made.add_argument("--out", type=Path, metavar="DIR")
    made.add_argument("--shots", type=int, help="examples in the prompt (default: as the task says)")
    made.add_argument("--limit", type=int, help="only the first documents of each task, to try it out")
    made.add_argument("--context", type=int, default=2048, help="tokens of one request (default: 2048)")
    made.add_argument("--rows", type=int, default=16, help="requests on the device at once (default: 16)")
    made.add_argument("--add-bos", action="store_true", help="prompts begin with the start token")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    args = options().parse_args(argv)
    with user_errors():
        import lm_eval  # the `lm_eval` extra; slow to import
        from lm_eval.tasks import TaskManager
        from lm_eval.utils import make_table

        from playpen_jax import policy, sharding  # JAX, for which --help does not wait
        from playpen_jax.bridges.lm_eval import harness_model

        compilation_cache()
        tasks = TaskManager(include_path=str(args.include) if args.include else None)
        names = args.tasks.split(",")
        unknown = [name for name in names if name not in tasks.all_tasks]
        if unknown:
            raise ValueError(f"--tasks: lm_eval knows no task {unknown[0]!r}; --include=DIR adds task files")
        mesh = sharding.make_mesh(config.Mesh())
        learner = harness_model(policy.load(args.checkpoint), args.rows, args.context, args.add_bos, mesh)
        found = lm_eval.simple_evaluate(learner, tasks=names, task_manager=tasks, num_fewshot=args.shots, limit=args.limit)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        kept = {key: found[key] for key in ("results", "n-shot", "n-samples", "versions") if key in found}
        metrics.replace(args.out / "results.json", metrics.json_text(kept | {"checkpoint": args.checkpoint}) + "\n")
    print(make_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
