"""The course of a run: what is trained is loaded, then step after step with evaluations and checkpoints, then the account."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from playpen_jax import chat as chats
from playpen_jax import (
    checkpoint,
    draws,
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
from playpen_jax.learn import ahead, dpo, folder, grpo, journal, sft, stopping
from playpen_jax.learn.interrupts import Hanging, Preempted
from playpen_jax.learn.run import NothingToLearn, Run, Step
from playpen_jax.sampler.sample import Sampling
from playpen_jax.state import TrainState

LEARN = {"grpo": grpo, "sft": sft, "dpo": dpo}  # algorithm -> its module: gather, prepare, updates, learner
PREEMPTED = os.EX_TEMPFAIL  # exit status after SIGTERM: all is saved, start again


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
    given, config = config, sharding.dealt(config, mesh)  # what is written is the same on any number of devices
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
    c = c.within(config.rollout.context if config.algorithm == "grpo" else max(config.rollout.context, config.batch.length))
    data = way.prepare(config, c, chat, gathered)
    if config.algorithm == "grpo" and config.eval.episodes:
        found = leaks.check(config)
        print(leaks.line(found))
        metrics.replace(workdir / leaks.FILE, metrics.json_text(found, indent=1))

    def describe() -> None:
        metrics.replace(workdir / "config.json", json.dumps(dataclasses.asdict(given), indent=1))
        if not (kept / "config.json").exists():
            folder.write_model_folder(kept, c, chat, source)

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
    if run.c.lora and config.model.path:
        base = "tiny" if config.model.path == "tiny" else str(Path(config.model.path).absolute())
    (run.workdir / folder.FINISHED).unlink(missing_ok=True)
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
    if stopping.evaluation_due(config, progress.step):  # a kill may have come after the checkpoint
        evaluate(run, progress.state.params, progress.step)
    where = shown(config, run.workdir, progress.step)
    bar = tqdm(initial=progress.step, total=config.steps, desc=config.algorithm, unit="step", disable=None)
    with bar, metrics.Writer(run.workdir, progress.step or None, where) as writer:
        seen = folder.tokens_seen(run.workdir)
        while progress.step < config.steps and not (low := processes.of_first(stopping.too_low(run, progress.step))):
            run.interrupts.check_together()
            waited = {"time/evaluation": run.take_seconds()}
            progress.state, found = learn(progress.state, progress.step)
            progress.step, seen = progress.step + 1, seen + found["num_tokens"]
            line = found | {"num_tokens": seen} | rates(run, progress, found) | waited
            run.write("metrics.jsonl", partial(_log, writer, progress.step, line))
            bar.update()
            idle = stopping.idle_steps(config, progress.step, found, idle)
            if not sys.stderr.isatty() and stopping.due(max(config.steps // 20, 1), progress.step, config.steps):
                print(progress_line(progress.step, config.steps, found), flush=True)
            if stopping.due(config.checkpoints.every, progress.step, config.steps):
                run.settle()
                save(run, saved, progress, last=progress.step == config.steps)
            if stopping.evaluation_due(config, progress.step):
                evaluate(run, progress.state.params, progress.step)
                run.write("report.html", lambda _: report.write(run.workdir))
        progress.low = low if progress.step < config.steps else ""
    if progress.low:
        save(run, saved, progress, last=True)


def _log(writer: metrics.Writer, step: int, line: dict[str, float], _: Path) -> None:
    writer.write(step, line)


def rates(run: Run, progress: Progress, found: dict[str, float]) -> dict[str, float]:
    """The learning rate of the newest update, and how many updates were left out so far."""
    updates = LEARN[run.config.algorithm].updates(run.config)
    skipped = stopping.note_skip(run, progress.step, found, updates)
    schedule = optim.schedule(run.config.optim, run.config.steps * updates)
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
    print(f"\nweights moved by {max(moved.values()):.2%} of their norm at most ({max(moved, key=moved.__getitem__)})")
    run.write(moves.FILE, lambda file: metrics.replace(file, json.dumps(by_layer, indent=1)))
    run.write("report.html", lambda _: report.write(run.workdir))
    early = {"stopped": progress.step, "why": progress.low} if progress.low else {}
    ended = {"steps": run.config.steps, "moved": moved} | early
    run.write(folder.FINISHED, lambda file: metrics.replace(file, json.dumps(ended, indent=1)))
    journal.forget(run.workdir, progress.step)
    if progress.low:
        print(f"stopped early at step {progress.step}: {progress.low}")
    print(f"report: {run.workdir / 'report.html'}")


def progress_line(step: int, steps: int, found: dict[str, float]) -> str:
    """What a log file shows in place of the progress bar."""
    names = ("reward", "loss", "entropy", "grad_norm", "step_time")
    return f"step {step}/{steps}  " + "  ".join(f"{name} {found[name]:.4g}" for name in names if name in found)
