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
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from playpen_jax import chat as chats
from playpen_jax import checkpoint, draws, hf, metrics, model, optim, policy, report, rewards, rollout, scores, sharding, update
from playpen_jax import config as configs
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.losses import grpo, sft
from playpen_jax.programs import arguments, compilation_cache, parser, user_errors
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.types import Batch, Episode, TokenRow, TrainState

FREE = ("steps", "tensorboard", "eval", "checkpoints")  # settings that may differ when a run is resumed
FINISHED = "finished.json"  # written last: how many steps were made, and how far the weights moved
IDLE = 20  # steps in a row with nothing to learn from, after which a run stops


class NothingToLearn(RuntimeError):
    """A run that trains nothing; the message says in one line why."""


@dataclasses.dataclass
class Run:
    """Everything that stays the same during a run."""

    config: configs.Config
    workdir: Path
    c: model.ModelConfig
    chat: chats.Chat
    mesh: jax.sharding.Mesh
    samplers: dict[Sampling, Sampler] = dataclasses.field(default_factory=dict)


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


# ---------------------------------------------------------------------------------------------- learning by playing


def sampler_for(run: Run, how: Sampling, params: Any) -> Sampler:
    """The sampler of these settings, made once, with the weights of now."""
    if how not in run.samplers:
        r = run.config.rollout
        run.samplers[how] = Sampler(run.c, r.rows, r.context, how, run.chat.stops, r.chunk)
    run.samplers[how].load(params)
    return run.samplers[how]


def play(run: Run, params: Any, jobs: list[rollout.Job], how: Sampling, label: str) -> tuple[list[Episode], Sampler]:
    r = run.config.rollout
    sampler = sampler_for(run, how, params)
    with tqdm(total=len(jobs), desc=label, unit="episode", leave=False, disable=None) as bar:
        player = rollout.Rollout({"learner": sampler}, run.chat, rollout.Limits(r.max_tokens, r.max_turns))
        return player.play(jobs, lambda episode: bar.update()), sampler


def grpo_rows(config: configs.Config, episodes: Sequence[Episode]) -> tuple[list[Weighted], dict[str, float]]:
    """Advantages inside (instance, seat), one weighted row per learner's seat, and what TRL's users watch."""
    reward = rewards.chosen(config.grpo.reward, config.grpo.role_rewards)
    groups: dict[tuple[int, str], list[tuple[TokenRow, float]]] = defaultdict(list)
    for number, episode in enumerate(episodes):
        for seat, row in episode.rows.items():
            value = reward(episode.game, seat)(episode.outcome, seat)
            groups[number // config.grpo.plays, seat].append((row, value))
    rows, deviations = [], []
    for members in groups.values():
        values = np.array([value for _, value in members])
        deviations.append(values.std())
        for (row, _), advantage in zip(members, grpo.advantages(values, config.grpo.scale_rewards == "group")):
            rows.append(Weighted(row, float(advantage)))
    lengths = np.array([row.mask.sum() for members in groups.values() for row, _ in members] or [0])
    replies = [turn for episode in episodes for turn in episode.turns if turn.stop != "text"]
    found = {
        "reward": float(np.mean([value for members in groups.values() for _, value in members] or [0.0])),
        "reward_std": float(np.mean(deviations or [0.0])),
        "frac_reward_zero_std": float(np.mean([d < 1e-9 for d in deviations] or [1.0])),
        "completions/mean_length": float(lengths.mean()),
        "completions/min_length": float(lengths.min()),
        "completions/max_length": float(lengths.max()),
        "completions/clipped_ratio": sum(turn.stop == "length" for turn in replies) / max(len(replies), 1),
    }
    return rows, found


def teaching(rows: list[Weighted]) -> list[Weighted]:
    """Only the rows with an advantage; the gradient stays as it is for all of them.

    A row of a zero-variance group adds nothing but its tokens to the count by which the loss is divided, so the other rows'
    advantages are scaled by their share of the tokens.
    """
    kept = [w for w in rows if w.advantage]
    share = sum(w.row.mask.sum() for w in kept) / max(sum(w.row.mask.sum() for w in rows), 1)
    return [Weighted(w.row, float(w.advantage * share)) for w in kept] or rows


def grpo_step(run: Run, state: TrainState, ref_params: Any, step: int, apply: Callable) -> tuple[TrainState, dict[str, float]]:
    """One rollout, its transcripts, and the updates made on it."""
    config, began = run.config, time.perf_counter()
    how = Sampling(config.rollout.temperature, config.rollout.top_k, config.rollout.top_p)
    episodes, sampler = play(run, state.params, draws.training_jobs(config, step), how, f"step {step + 1}")
    played = time.perf_counter()
    write_episodes(run.workdir, step + 1, episodes)
    rows, found = grpo_rows(config, episodes)
    if not rows:
        why = episodes[0].outcome.reason
        raise NothingToLearn(f"step {step + 1}: the learner said nothing in any of {len(episodes)} episodes ({why})")
    batch, left_out = pack(rows if config.grpo.beta else teaching(rows), config.batch.length)
    folded, used = micro_batches(batch, config.batch.micro)
    for _ in range(config.grpo.updates):
        state, learned = apply(state, ref_params, folded, used)
    learned = {name: float(x) for name, x in learned.items()}
    done = time.perf_counter()
    counts = sampler.counters
    found |= learned | metrics.episode_metrics(episodes)
    found |= {
        "rows_left_out": left_out,
        "num_tokens": float((batch.segment_ids > 0).sum()),
        "rollout/occupancy": counts.sampled / max(counts.row_steps, 1),
        "rollout/tokens_per_second": counts.sampled / (played - began),
        "rollout/prefilled_tokens": counts.prefilled,
        "time/rollout": played - began,
        "time/update": done - played,
        "step_time": done - began,
    }
    return state, found


def write_episodes(workdir: Path, step: int, episodes: Sequence[Episode]) -> None:
    folder = workdir / "episodes"
    folder.mkdir(exist_ok=True)
    text = "".join(metrics.json_text(episode.to_json()) + "\n" for episode in episodes)
    metrics.replace(folder / f"step_{step:06d}.jsonl", text)


# ---------------------------------------------------------------------------------------------- learning by imitation


def sft_dialogues(config: configs.Config) -> list[list[chats.Message]]:
    """The dialogues of all learner's seats in `sft.episodes` scripted episodes."""
    numbers = tqdm(range(config.sft.episodes), desc="scripted episodes", unit="episode", leave=False, disable=None)
    return [dialogue for number in numbers for dialogue in draws.scripted_dialogue(config, number)]


def sft_bins(config: configs.Config, chat: chats.Chat, dialogues: list[list[chats.Message]]) -> tuple[Batch, int]:
    """All dialogues, packed once: [rows, T]."""
    rows = []
    for dialogue in dialogues:
        ids, mask = chat.dialogue(dialogue)
        zeros = np.zeros(len(ids), np.float32)
        rows.append(Weighted(TokenRow(ids, mask, zeros, zeros)))
    return pack(rows, config.batch.length)


def sft_step(run: Run, bins: Batch, state: TrainState, step: int, apply: Callable) -> tuple[TrainState, dict[str, float]]:
    """One update on the next `sft.rows` packed rows; every epoch has an order of its own."""
    began, count, n = time.perf_counter(), len(bins.tokens), run.config.sft.rows
    places = np.arange(step * n, (step + 1) * n)
    orders = {e: np.random.default_rng([run.config.seed, e]).permutation(count) for e in set(places // count)}
    chosen = np.array([orders[place // count][place % count] for place in places])
    batch = jax.tree.map(lambda x: x[chosen], bins)
    folded, used = micro_batches(batch, run.config.batch.micro)
    state, learned = apply(state, None, folded, used)
    found = {name: float(x) for name, x in learned.items()}
    found |= {"epoch": (step + 1) * n / count, "num_tokens": float((batch.segment_ids > 0).sum())}
    return state, found | {"step_time": time.perf_counter() - began}


# ---------------------------------------------------------------------------------------------- held-out episodes


def evaluate(run: Run, params: Any, step: int) -> scores.Table:
    """Play the held-out episodes, unless this step's evaluation is on disk already, and keep table and transcripts."""
    file = run.workdir / "evaluations" / f"step_{step:06d}.json"
    if file.exists():
        return scores.read_evaluation(file)[1]
    episodes, _ = play(
        run, params, draws.held_out_jobs(run.config), Sampling(run.config.eval.temperature), f"evaluation at {step}"
    )
    return scores.write_evaluation(run.workdir, step, episodes)


# ---------------------------------------------------------------------------------------------- the run


def start(config: configs.Config, workdir: Path) -> tuple[Run, Any, Any]:
    """Load what is trained: the run, its weights, and the packed rows to imitate (sft); then write config.json and model/."""
    if config.algorithm == "grpo" and config.batch.length < config.rollout.context:
        sizes = f"batch.length={config.batch.length} is less than rollout.context={config.rollout.context}"
        raise configs.ConfigError(f"{sizes}: longer dialogues could be played but not learned from")
    mesh, bins, chat, source = sharding.make_mesh(config.mesh), None, None, None
    if config.batch.micro % (ways := mesh.shape["data"] * mesh.shape["fsdp"]):
        raise configs.ConfigError(f"batch.micro={config.batch.micro} rows cannot be dealt out to {ways} devices")
    kept = workdir / "model"
    if config.model.path is not None:
        learner = policy.load(config.model.path, config.model.dtype)
        c, params, chat, source = learner.config, learner.params, learner.chat, learner.folder
        if chat is None:
            raise configs.ConfigError(f"model.path={config.model.path} has no tokenizer")
    dialogues = sft_dialogues(config) if config.algorithm == "sft" else []
    if chat is None:
        chat, source = fresh_chat(config, kept, dialogues)
        m, dtype = config.model, policy.compute_dtype(config.model.dtype)
        shape = dict(vocab=chat.tokenizer.size, dim=m.dim, layers=m.layers, heads=m.heads, kv_heads=m.kv_heads, mlp=m.mlp)
        c = model.ModelConfig("llama", head_dim=m.dim // m.heads, dtype=dtype, **shape)
        params = model.init(c, jax.random.key(config.seed))
    if config.algorithm == "sft":
        bins, left_out = sft_bins(config, chat, dialogues)
        size = f"{len(bins.tokens)} rows of {config.batch.length} tokens"
        print(f"{len(dialogues)} dialogues in {size}, {left_out} left out as too long")
        if not bins.mask.any():
            raise configs.ConfigError("no dialogue is left to imitate: batch.length or sft.episodes is too small")
    metrics.replace(workdir / "config.json", json.dumps(dataclasses.asdict(config), indent=1))
    if not (kept / "config.json").exists():
        write_model_folder(kept, c, chat, source)
    return Run(config, workdir, c, chat, mesh), params, bins


def fresh_chat(config: configs.Config, kept: Path, dialogues: list) -> tuple[chats.Chat, Path | None]:
    """The tokenizer of a fresh model: the one named, the one kept in DIR, or one trained on the dialogues."""
    if (kept / "tokenizer.model").exists():
        return chats.load(kept), kept
    if config.model.tokenizer is not None:
        return chats.Chat(chats.SentencePiece(config.model.tokenizer)), None
    if not dialogues:
        raise configs.ConfigError("a fresh model needs model.tokenizer, or algorithm=sft to train one on its dialogues")
    texts = [message["content"] for dialogue in dialogues[:5000] for message in dialogue]
    return chats.Chat(chats.SentencePiece(chats.train_sentencepiece(texts, config.model.vocab))), None


def train(run: Run, params: Any, bins: Batch | None) -> None:
    """All steps that are left, with evaluations, checkpoints, metrics and the report."""
    config, updates = run.config, run.config.grpo.updates if run.config.algorithm == "grpo" else 1
    tx = optim.make(config.optim, config.steps * updates)
    at = update.state_shardings(run.c, tx, run.mesh)
    state = update.fresh_state(tx, params, at)
    before, ref_params = state.params, state.params if config.grpo.beta and config.algorithm == "grpo" else None
    before = jax.tree.map(jnp.copy, before)
    if ref_params is not None:
        ref_params = before
    if config.algorithm == "grpo":
        g = config.grpo
        clip = grpo.Clip(g.epsilon, g.epsilon if g.epsilon_high is None else g.epsilon_high, g.beta)
        temperature = config.rollout.temperature or 1.0
        apply = update.make(run.c, lambda batch, logps, ref: grpo.loss(batch, logps, ref, clip), tx, run.mesh, at, temperature)
        learn = lambda state, step: grpo_step(run, state, ref_params, step, apply)
    else:
        apply = update.make(run.c, lambda batch, logps, ref: sft.loss(batch, logps), tx, run.mesh, at)
        learn = lambda state, step: sft_step(run, bins, state, step, apply)

    (run.workdir / FINISHED).unlink(missing_ok=True)
    with contextlib.closing(checkpoint.Checkpoints(run.workdir / "checkpoints", config.checkpoints.keep)) as saved:
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

    Says so for each, and raises `NothingToLearn` where it is hopeless: at once when imitating, after `IDLE` steps when playing.
    """
    if not math.isfinite(found["grad_norm"]):
        raise NothingToLearn(f"step {step}: the gradient is {found['grad_norm']}")
    equal = found.get("frac_reward_zero_std") == 1
    if found["grad_norm"] > 0 and not equal:
        return 0
    why = "all plays of each instance earned the same reward" if equal else "the gradient is exactly 0"
    if config.algorithm == "sft":
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
        run, params, bins = start(config, workdir)
    metrics.replace(workdir / "command.txt", "python -m playpen_jax.train " + shlex.join(argv) + "\n")
    try:
        train(run, params, bins)
    except (checkpoint.CheckpointError, NothingToLearn) as error:  # what the user can mend; all else is shown whole
        print(f"error: {error}", file=sys.stderr)
        return 2
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
