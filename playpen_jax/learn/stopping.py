"""When something is due, and when a run had better stop: nothing to learn from, updates left out, scores below their floor."""

from __future__ import annotations

import sys

from tqdm import tqdm

from playpen_jax import config as configs
from playpen_jax import scores
from playpen_jax.learn.run import NothingToLearn, Run

IDLE = 20  # steps in a row with nothing to learn from, after which a run stops


def due(every: int, step: int, steps: int) -> bool:
    """Whether something is to be done after a step: every so many (0: never), and after the last."""
    return step == steps or bool(every and step and step % every == 0)


def evaluation_due(config: configs.Config, step: int) -> bool:
    return config.eval.episodes > 0 and due(config.eval.every, step, config.steps)


def idle_steps(config: configs.Config, step: int, found: dict[str, float], before: int) -> int:
    """How many steps in a row, this one included, had nothing to learn from; `before`: up to the last one.

    Says so for each, and raises `NothingToLearn` where it is hopeless: after `IDLE` steps when playing, else at once.
    """
    if found["skipped"]:
        return before
    equal = found.get("frac_reward_zero_std") == 1 and not found.get("advantages/max") and not found.get("advantages/min")
    if found["grad_norm"] > 0 and not equal:
        return 0
    why = "all plays of each instance earned the same reward" if equal else "the gradient is exactly 0"
    if config.algorithm != "grpo":
        raise NothingToLearn(f"step {step}: {why}")
    tqdm.write(f"warning: step {step} has nothing to learn from: {why}", file=sys.stderr)
    if before + 1 >= IDLE:
        raise NothingToLearn(
            f"{why} in {IDLE} steps in a row (mean reward {found['reward']:.3g}): there is nothing to learn from"
        )
    return before + 1


def note_skip(run: Run, step: int, found: dict[str, float], updates: int) -> int:
    """How many updates of the run were left out so far; `updates`: of a step.

    Says so for each, and raises `NothingToLearn` after too many.
    """
    left_out = round(found["skipped"] * updates)
    total = run.memory["skipped"] = run.memory.get("skipped", 0) + left_out
    if left_out:
        why = f"loss {found['loss']:g}, gradient {found['grad_norm']:g}"
        tqdm.write(f"warning: step {step} is left out: {why} (culprits/step_{step:06d}.npz, {total} in all)", file=sys.stderr)
        if total >= run.config.optim.skips:
            raise NothingToLearn(f"step {step}: {why}: {total} updates were left out, as many as optim.skips allows")
    return total


def too_low(run: Run, step: int) -> str:
    """Which score of the newest evaluation lies below its floor, in words; empty if none does."""
    if not run.config.eval.floor:
        return ""
    files = sorted((run.workdir / "evaluations").glob("step_*.json"))
    tables = [made for at, made in map(scores.read_evaluation, files) if at <= step]
    for entry in run.config.eval.floor if len(tables) > 1 else ():
        game, _, bound = entry.partition("=")
        floor = float(bound) + (tables[0][game]["score"] if bound.startswith("-") else 0)
        if tables[-1][game]["score"] < floor:
            return f"{game} scores {tables[-1][game]['score']:.1f}, below its floor of {floor:.1f} (eval.floor)"
    return ""
