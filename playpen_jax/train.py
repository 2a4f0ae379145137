"""Train a policy: `python -m playpen_jax.train --config=grpo.py [--workdir=DIR] [--config.KEY=VALUE ...]`.

DIR gets config.json, metrics.jsonl, episodes/, evaluations/, checkpoints/, model/, tensorboard/ and report.html, and at the
end finished.json. The same command on the same DIR resumes where it stopped. SIGTERM saves, and ends with status 75.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from playpen_jax import chat as chats
from playpen_jax import (
    checkpoint,
    draws,
    dryrun,
    hf,
    leaks,
    metrics,
    model,
    moves,
    optim,
    policy,
    processes,
    report,
    scores,
    sharding,
    trackers,
    update,
)
from playpen_jax import config as configs
from playpen_jax.learn import ahead, dpo, grpo, journal, sft
from playpen_jax.learn.disk import DiskError
from playpen_jax.learn.interrupts import Hanging, Preempted
from playpen_jax.learn.run import NothingToLearn, Run, Step
from playpen_jax.programs import arguments, compilation_cache, parser, user_errors
from playpen_jax.sampler.sample import Sampling
from playpen_jax.types import TrainState

LEARN = {"grpo": grpo, "sft": sft, "dpo": dpo}  # algorithm -> its module: gather, prepare, updates, learner
FREE = ("steps", "tensorboard", "tracker", "eval", "checkpoints")  # settings that may differ when a run is resumed
FINISHED = "finished.json"  # written last: how many steps were made, and how far the weights moved
PREEMPTED = os.EX_TEMPFAIL  # exit status after SIGTERM: all is saved, start again
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
    chat.tokenizer.save(folder)
    metrics.replace(folder / "chat_template.jinja", chats.jinja(chat.template))
    pieces = zip(hf.TOKEN_IDS, (chat.tokenizer.bos, chat.tokenizer.eos, "<pad>"))
    hf.save_config(folder, c, ids={name: chat.tokenizer.specials.get(piece) for name, piece in pieces})


# ---------------------------------------------------------------------------------------------- held-out episodes


def evaluate(run: Run, params: Any, step: int) -> scores.Table:
    """Play the held-out episodes, unless this step's evaluation is on disk already, and keep table and transcripts."""
    file = run.workdir / "evaluations" / f"step_{step:06d}.json"
    if kept := processes.of_first(scores.read_evaluation(file)[1] if file.exists() else None):
        return kept
    run.settle()
    began, how = time.perf_counter(), Sampling(run.config.eval.temperature)
    rolled = run.play(params, draws.held_out_jobs(run.config), how, f"evaluation at {step}")
    run.write(f"evaluations/{file.name}", lambda _: scores.write_evaluation(run.workdir, step, rolled.ended))
    run.seconds += time.perf_counter() - began
    return scores.read_evaluation(file)[1]


# ---------------------------------------------------------------------------------------------- the run


def start(config: configs.Config, workdir: Path, saved: Path) -> tuple[Run, Any, Any]:
    """Load what is trained: the run, its weights, and what it learns from; then write config.json and model/.

    `saved`: where the checkpoints of all processes lie.
    """
    if config.mesh.rollout and jax.process_count() > 1:
        raise configs.ConfigError("mesh.rollout wants one process: plays beside the update are not shared by several")
    mesh = sharding.make_mesh(config.mesh, ahead.split(config.mesh, jax.devices())[0])
    chat, source, way = None, None, LEARN[config.algorithm]
    sharding.check_rows(config, mesh)
    kept = workdir / "model"
    if config.model.path is not None:
        learner = policy.load(config.model.path, config.model.dtype, config.lora, config.seed, mesh)
        c, params, chat, source = learner.config, learner.params, learner.chat, learner.folder
        if chat is None:
            raise configs.ConfigError(f"model.path={config.model.path} has no tokenizer")
    gathered = way.gather(config)
    if chat is None:
        chat, source = fresh_chat(config, kept, gathered)
        c = policy.fresh_config(config.model, chat.tokenizer.size)
        params = update.fresh_weights(c, config.seed, mesh)
    c = dataclasses.replace(c, remat=config.model.remat, attention=policy.attention(config.model.attention))
    data = way.prepare(config, c, chat, gathered)
    if config.algorithm == "grpo" and config.eval.episodes:
        found = leaks.check(config)
        print(leaks.line(found))
        metrics.replace(workdir / leaks.FILE, metrics.json_text(found, indent=1))

    def describe() -> None:
        metrics.replace(workdir / "config.json", json.dumps(dataclasses.asdict(config), indent=1))
        if not (kept / "config.json").exists():
            write_model_folder(kept, c, chat, source)

    describe()
    return Run(config, workdir, saved, c, chat, mesh, describe=describe), params, data


def fresh_chat(config: configs.Config, kept: Path, dialogues: Sequence) -> tuple[chats.Chat, Path | None]:
    """The tokenizer of a fresh model: the one named, the one kept in DIR, or one trained on the dialogues."""
    if chats.find(kept):
        return chats.load(kept), kept
    if config.model.tokenizer is not None:
        return chats.load(Path(config.model.tokenizer)), None
    if not dialogues:
        raise configs.ConfigError("a fresh model needs model.tokenizer, or algorithm=sft to train one on its dialogues")
    texts = [message["content"] for dialogue in dialogues[:5000] for message in dialogue]
    return chats.Chat(chats.SentencePiece(chats.train_sentencepiece(texts, config.model.vocab))), None


def train(run: Run, params: Any, data: Any) -> int:
    """All steps that are left, with evaluations, checkpoints, metrics and the report; returns the program's exit status."""
    config, way = run.config, LEARN[run.config.algorithm]
    updates = way.updates(config)
    tx = optim.make(config.optim, config.steps * updates)
    at = update.state_shardings(run.c, tx, run.mesh, config.algorithm == "grpo" and grpo.moves(config))
    state = update.fresh_state(tx, params, at)
    before = model.fork(state.params)
    base = None
    if run.c.lora:
        base = "tiny" if config.model.path == "tiny" else str(Path(config.model.path).absolute())
    (run.workdir / FINISHED).unlink(missing_ok=True)
    saved = checkpoint.Checkpoints(run.saved, config.checkpoints.keep, base)
    run.interrupts.together = jax.process_count() > 1
    with saved, run.interrupts:
        if (found := saved.restore(state)) is not None:
            state = found
            run.memory.update(saved.memory(int(state.step)))
        learn = way.learner(run, tx, at, before, data)
        progress = Progress(state, int(state.step) // updates)
        devices = f"{len(jax.devices())} {jax.default_backend()} device(s)"
        print(f"{policy.numbers(params):,} weights, {devices}, step {progress.step} of {config.steps}", flush=True)
        try:
            steps(run, progress, learn, before, saved)
        except (Preempted, Hanging) as why:
            save(run, saved, progress, last=True)
            said = "SIGTERM" if isinstance(why, Preempted) else f"no episode has ended for {config.rollout.patience:g} seconds"
            where = f"step {progress.step} of {config.steps} is saved; the same command goes on from there"
            print(f"{said}: {where}", file=sys.stderr)
            return PREEMPTED
    finish(run, before, progress)
    return os.EX_OK


@dataclasses.dataclass
class Progress:
    """How far a run has come: its state after `step` steps, and why it stopped early, if it did."""

    state: TrainState
    step: int
    low: str = ""


def steps(run: Run, progress: Progress, learn: Step, before: Any, saved: checkpoint.Checkpoints) -> None:
    """Make the steps that are left; `progress` says at any moment what there is to be saved."""
    config, idle = run.config, 0
    if config.eval.episodes:
        evaluate(run, before, 0)
    if evaluation_due(config, progress.step):  # a kill may have come after the checkpoint
        evaluate(run, progress.state.params, progress.step)
    where = shown(config, run.workdir, progress.step)
    bar = tqdm(initial=progress.step, total=config.steps, desc=config.algorithm, unit="step", disable=None)
    with bar, metrics.Writer(run.workdir, progress.step or None, where) as writer:
        seen = tokens_seen(run.workdir)
        while progress.step < config.steps and not (low := processes.of_first(too_low(run, progress.step))):
            run.interrupts.check_together()
            waited = {"time/evaluation": run.take_seconds()}
            progress.state, found = learn(progress.state, progress.step)
            progress.step, seen = progress.step + 1, seen + found["num_tokens"]
            line = found | {"num_tokens": seen} | rates(run, progress, found) | waited
            run.write("metrics.jsonl", lambda _, step=progress.step, line=line: writer.write(step, line))
            bar.update()
            idle = idle_steps(config, progress.step, found, idle)
            if not sys.stderr.isatty() and due(max(config.steps // 20, 1), progress.step, config.steps):
                print(progress_line(progress.step, config.steps, found), flush=True)
            if due(config.checkpoints.every, progress.step, config.steps):
                run.settle()
                save(run, saved, progress, last=progress.step == config.steps)
            if evaluation_due(config, progress.step):
                evaluate(run, progress.state.params, progress.step)
                run.write("report.html", lambda _: report.write(run.workdir))
        progress.low = low if progress.step < config.steps else ""
    if progress.low:
        save(run, saved, progress, last=True)


def rates(run: Run, progress: Progress, found: dict[str, float]) -> dict[str, float]:
    """The learning rate of the newest update, and how many updates were left out so far."""
    config, skipped = run.config, note_skip(run, progress.step, found)
    schedule = optim.schedule(config.optim, config.steps * LEARN[config.algorithm].updates(config))
    return {"learning_rate": float(schedule(int(progress.state.step) - 1 - skipped)), "optim/skipped": float(skipped)}


def shown(config: configs.Config, workdir: Path, done: int) -> list[trackers.Tracker]:
    """Where the metrics go beside `metrics.jsonl`."""
    found: list[trackers.Tracker] = []
    if config.tensorboard:
        found.append(trackers.TensorBoard(workdir, done + 1 if done else 0))
    if config.tracker != "none":
        found.append(trackers.Service(config.tracker, workdir, dataclasses.asdict(config)))
    return found


def save(run: Run, saved: checkpoint.Checkpoints, progress: Progress, last: bool = False) -> None:
    """A checkpoint, the `last` of which is waited for, and the end of the journals that older ones made superfluous."""
    known = [at // LEARN[run.config.algorithm].updates(run.config) for at in saved.steps()]

    def write(_: Path) -> None:
        if not (run.workdir / "config.json").exists():  # the folder has vanished: what lay there is written anew
            run.describe()
        saved.save(progress.state, run.c, run.memory)
        if last:
            saved.wait()

    run.write(f"checkpoints/{int(progress.state.step)}", write)
    journal.forget(run.workdir, min(known, default=0))


def note_skip(run: Run, step: int, found: dict[str, float]) -> int:
    """How many updates of the run were left out so far; says so for each, and raises `NothingToLearn` after too many."""
    left_out = round(found["skipped"] * LEARN[run.config.algorithm].updates(run.config))
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


def finish(run: Run, before: Any, progress: Progress) -> None:
    """The table of held-out scores before and after, how far the weights moved, and where things lie."""
    moved, by_layer = (how(before, progress.state.params) for how in (update.moved, update.moved_layers))
    if run.config.optim.learning_rate and not max(moved.values()) > 0:
        raise NothingToLearn(f"after {progress.step} steps no weight has moved: nothing was trained")
    if not processes.first():
        return
    files = sorted((run.workdir / "evaluations").glob("step_*.json"))
    if len(files) > 1:
        first, last = (metrics.read(file.with_suffix(".episodes.jsonl")) for file in (files[0], files[-1]))
        print("\nHeld-out scores, before and after:\n")
        print(scores.show_difference(scores.compare(first, last)))
    print(f"\nweights moved by {max(moved.values()):.2%} of their norm at most ({max(moved, key=moved.get)})")
    run.write(moves.FILE, lambda file: metrics.replace(file, json.dumps(by_layer, indent=1)))
    run.write("report.html", lambda _: report.write(run.workdir))
    early = {"stopped": progress.step, "why": progress.low} if progress.low else {}
    ended = {"steps": run.config.steps, "moved": moved} | early
    run.write(FINISHED, lambda file: metrics.replace(file, json.dumps(ended, indent=1)))
    journal.forget(run.workdir, progress.step)
    if progress.low:
        print(f"stopped early at step {progress.step}: {progress.low}")
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
    config = configs.load(known.config, overrides)
    draws.check(config)
    trackers.check(config.tracker)
    return config, Path(known.workdir or Path("runs") / Path(known.config).stem), known


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    with user_errors():
        config, workdir, options = parse(argv)
        if options.dry_run:
            return os.EX_OK if dryrun.run(config, LEARN[config.algorithm], options.topology) else 1
        if options.distributed:
            processes.join()
    with contextlib.nullcontext() if processes.first() else contextlib.redirect_stdout(None):
        return work(argv, config, workdir)


def work(argv: Sequence[str], config: configs.Config, workdir: Path) -> int:
    """One run, or what is left of it; returns the exit status."""
    with user_errors():
        if processes.first():
            open_workdir(config, workdir)
        if processes.of_first(finished(config, workdir)):
            print(f"{workdir} has made its {config.steps} steps: {workdir / 'report.html'}")
            return os.EX_OK
        compilation_cache()
        own = processes.folder(workdir)
        run, params, data = start(config, own, workdir / "checkpoints")
    metrics.replace(own / "command.txt", "python -m playpen_jax.train " + shlex.join(argv) + "\n")
    try:
        return train(run, params, data)
    except DiskError as error:
        print(f"error: {error}; the same command goes on from the newest checkpoint", file=sys.stderr)
        return os.EX_IOERR
    except (checkpoint.CheckpointError, NothingToLearn) as error:  # what the user can mend; all else is shown whole
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
