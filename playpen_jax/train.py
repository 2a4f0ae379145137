"""Train a policy: `python -m playpen_jax.train --config=grpo.py [--workdir=DIR] [--config.KEY=VALUE ...]`.

DIR gets config.json, metrics.jsonl, episodes/, evaluations/, checkpoints/, model/, tensorboard/ and report.html, and at the
end finished.json. The same command on the same DIR resumes where it stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from playpen_jax import chat as chats
from playpen_jax import checkpoint, draws, hf, metrics, model, optim, policy, report, scores, sharding, update
from playpen_jax import config as configs
from playpen_jax.learn import dpo, grpo, sft
from playpen_jax.learn.run import NothingToLearn, Run
from playpen_jax.programs import arguments, compilation_cache, parser, user_errors
from playpen_jax.sampler.sample import Sampling
from playpen_jax.types import TrainState

LEARN = {"grpo": grpo, "sft": sft, "dpo": dpo}  # algorithm -> its module: gather, prepare, updates, learner
FREE = ("steps", "tensorboard", "eval", "checkpoints")  # settings that may differ when a run is resumed
FINISHED = "finished.json"  # written last: how many steps were made, and how far the weights moved
IDLE = 20  # steps in a row with nothing to learn from, after which a run stops


# ---------------------------------------------------------------------------------------------- the working directory


def open_workdir(config: configs.Config, workdir: Path) -> None:
    """Make DIR; one that cannot be written or holds a run of other settings is refused, named setting by setting."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".write-test").touch()
        (workdir / ".write-test").unlink()
    except OSError as error:
        raise configs.ConfigError(f"--workdir={workdir} cannot be written: {error.strerror}") from None
    file = workdir / "config.json"
    if file.exists():
        try:
            before = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise configs.ConfigError(f"{file}: line {error.lineno}: not JSON: {error.msg}") from None
        plain = json.loads(json.dumps(dataclasses.asdict(config)))
        other = [f"{k}: {before.get(k)} is now {plain[k]}" for k in plain if k not in FREE and before.get(k) != plain[k]]
        if other:
            raise configs.ConfigError(
                f"--workdir={workdir} holds a run of other settings ({'; '.join(other)[:300]}): choose another"
            )


def write_model_folder(folder: Path, c: model.ModelConfig, chat: chats.Chat, source: Path | None) -> None:
    """`DIR/model`: config.json and the tokenizer, so that a checkpoint can be loaded and exported."""
    folder.mkdir(exist_ok=True)
    if source is not None:
        hf.save_config(folder, c, assets_from=source)
        return
    (folder / "tokenizer.part").write_bytes(chat.tokenizer.serialized)
    os.replace(folder / "tokenizer.part", folder / "tokenizer.model")
    pieces = zip(hf.TOKEN_IDS, ("<bos>", "<eos>", "<pad>"))
    hf.save_config(folder, c, ids={name: chat.tokenizer.special(piece) for name, piece in pieces})


# ---------------------------------------------------------------------------------------------- held-out episodes


def evaluate(run: Run, params: Any, step: int) -> scores.Table:
    """Play the held-out episodes, unless this step's evaluation is on disk already, and keep table and transcripts."""
    file = run.workdir / "evaluations" / f"step_{step:06d}.json"
    if file.exists():
        return scores.read_evaluation(file)[1]
    how = Sampling(run.config.eval.temperature)
    episodes, _ = run.play(params, draws.held_out_jobs(run.config), how, f"evaluation at {step}")
    return scores.write_evaluation(run.workdir, step, episodes)


# ---------------------------------------------------------------------------------------------- the run


def start(config: configs.Config, workdir: Path) -> tuple[Run, Any, Any]:
    """Load what is trained: the run, its weights, and what it learns from; then write config.json and model/."""
    mesh, chat, source, way = sharding.make_mesh(config.mesh), None, None, LEARN[config.algorithm]
    if config.batch.micro % (ways := mesh.shape["data"] * mesh.shape["fsdp"]):
        raise configs.ConfigError(f"batch.micro={config.batch.micro} rows cannot be dealt out to {ways} devices")
    kept = workdir / "model"
    if config.model.path is not None:
        learner = policy.load(config.model.path, config.model.dtype, config.lora, config.seed)
        c, params, chat, source = learner.config, learner.params, learner.chat, learner.folder
        if chat is None:
            raise configs.ConfigError(f"model.path={config.model.path} has no tokenizer")
    gathered = way.gather(config)
    if chat is None:
        chat, source = fresh_chat(config, kept, gathered)
        m, dtype = config.model, policy.compute_dtype(config.model.dtype)
        shape = dict(vocab=chat.tokenizer.size, dim=m.dim, layers=m.layers, heads=m.heads, kv_heads=m.kv_heads, mlp=m.mlp)
        c = model.ModelConfig("llama", head_dim=m.dim // m.heads, dtype=dtype, **shape)
        params = model.init(c, jax.random.key(config.seed))
    c = dataclasses.replace(c, remat=config.model.remat, attention=policy.attention(config.model.attention))
    data = way.prepare(config, chat, gathered)
    metrics.replace(workdir / "config.json", json.dumps(dataclasses.asdict(config), indent=1))
    if not (kept / "config.json").exists():
        write_model_folder(kept, c, chat, source)
    return Run(config, workdir, c, chat, mesh), params, data


def fresh_chat(config: configs.Config, kept: Path, dialogues: Sequence) -> tuple[chats.Chat, Path | None]:
    """The tokenizer of a fresh model: the one named, the one kept in DIR, or one trained on the dialogues."""
    if (kept / "tokenizer.model").exists():
        return chats.load(kept), kept
    if config.model.tokenizer is not None:
        return chats.Chat(chats.SentencePiece(config.model.tokenizer)), None
    if not dialogues:
        raise configs.ConfigError("a fresh model needs model.tokenizer, or algorithm=sft to train one on its dialogues")
    texts = [message["content"] for dialogue in dialogues[:5000] for message in dialogue]
    return chats.Chat(chats.SentencePiece(chats.train_sentencepiece(texts, config.model.vocab))), None


def train(run: Run, params: Any, data: Any) -> None:
    """All steps that are left, with evaluations, checkpoints, metrics and the report."""
    config, way = run.config, LEARN[run.config.algorithm]
    updates = way.updates(config)
    tx = optim.make(config.optim, config.steps * updates)
    at = update.state_shardings(run.c, tx, run.mesh)
    state = update.fresh_state(tx, params, at)
    before = model.fork(state.params)
    base = None
    if run.c.lora:
        base = "tiny" if config.model.path == "tiny" else str(Path(config.model.path).absolute())
    learn = way.learner(run, tx, at, before, data)
    (run.workdir / FINISHED).unlink(missing_ok=True)
    with contextlib.closing(checkpoint.Checkpoints(run.workdir / "checkpoints", config.checkpoints.keep, base)) as saved:
        state = saved.restore(state) or state
        done, idle = int(state.step) // updates, 0
        devices = f"{len(jax.devices())} {jax.default_backend()} device(s)"
        print(f"{policy.numbers(params):,} weights, {devices}, step {done} of {config.steps}", flush=True)
        if config.eval.episodes:
            evaluate(run, before, 0)
        if evaluation_due(config, done):  # a kill may have come after the checkpoint
            evaluate(run, state.params, done)
        with metrics.Writer(run.workdir, resume=done or None, tensorboard=config.tensorboard) as writer:
            seen = tokens_seen(run.workdir)
            for step in tqdm(
                range(done, config.steps), initial=done, total=config.steps, desc=config.algorithm, unit="step", disable=None
            ):
                state, found = learn(state, step)
                seen += found["num_tokens"]
                rate = optim.schedule(config.optim, config.steps * updates)(int(state.step) - 1)
                writer.write(step + 1, found | {"num_tokens": seen, "learning_rate": float(rate)})
                idle = idle_steps(config, step + 1, found, idle)
                if not sys.stderr.isatty() and due(max(config.steps // 20, 1), step + 1, config.steps):
                    print(progress_line(step + 1, config.steps, found), flush=True)
                if due(config.checkpoints.every, step + 1, config.steps):
                    saved.save(state, run.c)
                if evaluation_due(config, step + 1):
                    evaluate(run, state.params, step + 1)
                    report.write(run.workdir)
    finish(run, before, state)


def due(every: int, step: int, steps: int) -> bool:
    """Whether something is to be done after a step: every so many (0: never), and after the last."""
    return step == steps or bool(every and step and step % every == 0)


def evaluation_due(config: configs.Config, step: int) -> bool:
    return config.eval.episodes > 0 and due(config.eval.every, step, config.steps)


def idle_steps(config: configs.Config, step: int, found: dict[str, float], before: int) -> int:
    """How many steps in a row, this one included, had nothing to learn from; `before`: up to the last one.

    Says so for each, and raises `NothingToLearn` where it is hopeless: after `IDLE` steps when playing, else at once.
    """
    if not math.isfinite(found["grad_norm"]):
        raise NothingToLearn(f"step {step}: the gradient is {found['grad_norm']}")
    equal = found.get("frac_reward_zero_std") == 1
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


def finish(run: Run, before: Any, state: TrainState) -> None:
    """The table of held-out scores before and after, how far the weights moved, and where things lie."""
    files = sorted((run.workdir / "evaluations").glob("step_*.json"))
    if len(files) > 1:
        first, last = (metrics.read(file.with_suffix(".episodes.jsonl")) for file in (files[0], files[-1]))
        print("\nHeld-out scores, before and after:\n")
        print(scores.show_difference(scores.compare(first, last)))
    moved = update.moved(before, state.params)
    print(f"\nweights moved by {max(moved.values()):.2%} of their norm at most ({max(moved, key=moved.get)})")
    report.write(run.workdir)
    metrics.replace(run.workdir / FINISHED, json.dumps({"steps": run.config.steps, "moved": moved}, indent=1))
    print(f"report: {run.workdir / 'report.html'}")


def progress_line(step: int, steps: int, found: dict[str, float]) -> str:
    """What a log file shows in place of the progress bar."""
    names = ("reward", "loss", "entropy", "grad_norm", "step_time")
    return f"step {step}/{steps}  " + "  ".join(f"{name} {found[name]:.4g}" for name in names if name in found)


def tokens_seen(workdir: Path) -> float:
    rows = metrics.read(workdir / "metrics.jsonl") if (workdir / "metrics.jsonl").exists() else []
    return rows[-1].get("num_tokens", 0.0) if rows else 0.0


def finished(config: configs.Config, workdir: Path) -> bool:
    """Whether a run was finished with this number of steps, so that nothing is left to do."""
    file = workdir / FINISHED
    return file.exists() and json.loads(file.read_text())["steps"] == config.steps


def parse(argv: Sequence[str]) -> tuple[configs.Config, Path]:
    options = parser("train", __doc__)
    options.add_argument("--config", required=True, metavar="FILE", help="a config file; a bare name is found in configs/")
    options.add_argument("--workdir", metavar="DIR", help="where everything is written (default: runs/NAME of the config)")
    known, overrides = arguments(options, argv, configs.Config())
    config = configs.load(known.config, overrides)
    draws.check(config)
    return config, Path(known.workdir or Path("runs") / Path(known.config).stem)


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    with user_errors():
        config, workdir = parse(argv)
        open_workdir(config, workdir)
        if finished(config, workdir):
            print(f"{workdir} has made its {config.steps} steps: {workdir / 'report.html'}")
            return os.EX_OK
        compilation_cache()
        run, params, data = start(config, workdir)
    metrics.replace(workdir / "command.txt", "python -m playpen_jax.train " + shlex.join(argv) + "\n")
    try:
        train(run, params, data)
    except (checkpoint.CheckpointError, NothingToLearn) as error:  # what the user can mend; all else is shown whole
        print(f"error: {error}", file=sys.stderr)
        return 2
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
