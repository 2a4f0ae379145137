"""Learning by playing: groups of plays become advantages, and a policy gradient follows them (losses/grpo.py)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from playpen_jax import config as configs
from playpen_jax import curriculum, draws, masks, metrics, model, update
from playpen_jax.chat import Chat, Message
from playpen_jax.data.pack import Weighted, micro_batches, pack
from playpen_jax.data.read import Dialogue, Reader
from playpen_jax.data.rows import Counts, samples
from playpen_jax.learn import credit, plays
from playpen_jax.learn.ahead import Ahead
from playpen_jax.learn.pool import Pool
from playpen_jax.learn.run import NothingToLearn, Run, Step
from playpen_jax.losses import grpo, sft
from playpen_jax.state import Batch, TrainState
from playpen_jax.types import Episode


def gather(config: configs.Config) -> list[list[Message]]:
    """The general dialogues that are learned beside the plays (data.general); the episodes are played."""
    reader = Reader(config.data.bad == "skip", config.data.largest)
    try:
        return [list(row.messages) for row in reader.rows(config.data.general) if isinstance(row, Dialogue)]
    except (ValueError, OSError) as error:  # a row or a file that cannot be read, named in the message
        raise configs.ConfigError(str(error)) from None


def prepare(config: configs.Config, c: model.ModelConfig, chat: Chat, general: list[list[Message]]) -> Batch | None:
    """The general dialogues, packed; raises `ConfigError` for sizes in which what is played could not be learned from."""
    if config.batch.length < config.rollout.context:
        sizes = f"batch.length={config.batch.length} is less than rollout.context={config.rollout.context}"
        raise configs.ConfigError(f"{sizes}: longer dialogues could be played but not learned from")
    if not config.data.general:
        return None
    counts = Counts()
    rows = [r for each in general for r in samples(chat, each, "all", config.batch.length, config.data.too_long, counts)]
    if not rows:
        raise configs.ConfigError(f"data.general: no dialogue fits: {counts.line()}")
    print(f"beside the plays: {counts.line()}")
    return pack([Weighted(row) for row in rows], config.batch.length, alone=c.delta is not None)[0]


def updates(config: configs.Config) -> int:
    """Updates of one step."""
    return config.grpo.updates


def moves(config: configs.Config) -> bool:
    """Whether the run has a reference that follows the weights."""
    return bool(config.grpo.beta) and config.grpo.reference == "average"


def clip_of(config: configs.Config) -> grpo.Clip:
    """The loss that the config chooses."""
    g = config.grpo
    chosen = {name: credit.setting(config, name) for name in ("low", "high", "ratio")}
    chosen["surrogate"] = grpo.VARIANTS[g.variant].surrogate
    return grpo.Clip(**chosen, beta=g.beta, kl=g.kl, kl_gradient=g.kl_gradient, correction=g.correction, cap=g.correction_cap)


def has_reference(config: configs.Config) -> bool:
    """Whether an update needs reference weights beside the state's own."""
    return bool(config.grpo.beta)


def program(
    config: configs.Config,
    c: model.ModelConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    at: TrainState,
    general: bool = False,
) -> update.Program:
    """The update of this run; `general`: with general dialogues beside the plays."""
    g, clip = config.grpo, clip_of(config)
    options: dict[str, Any] = dict(
        beside=(lambda batch, logps, ref: sft.loss(batch, logps), config.replay.weight) if general else None,
        moving=(g.reference_every, g.reference_decay) if moves(config) else None,
    )
    loss = lambda batch, logps, ref: grpo.loss(batch, logps, ref, clip)
    return update.make(c, loss, tx, mesh, at, config.rollout.temperature or 1.0, **options)


def learner(run: Run, tx: optax.GradientTransformation, at: TrainState, before: Any, general: Batch | None) -> Step:
    """The step of this run; `before`: the weights at its start."""
    config, g = run.config, run.config.grpo
    apply, temperature = program(config, run.c, tx, run.mesh, at, bool(general)), config.rollout.temperature or 1.0
    scores = update.make_scores(run.c, run.mesh, temperature) if g.updates > 1 and g.correction != "clip" else None
    reference = model.split(before)[0] if g.beta else None  # where there are adapters: with them as they began, without effect
    pool = Pool(run, at.params, before)
    ahead = Ahead(run, pool) if config.mesh.rollout else None

    def plays_of(state: TrainState, number: int) -> plays.Played:
        if ahead is None:
            return plays.play(plays.Table(run, state.params, number, run.memory, pool.partners(state.params, number)))
        found = ahead.take(state.params, number)
        if number + 1 < config.steps:
            ahead.start(state.params, number + 1)
        return found

    def step(state: TrainState, number: int) -> tuple[TrainState, dict[str, float]]:
        """One rollout, its transcripts, and the updates made on it."""
        began = time.perf_counter()
        played = plays_of(state, number)
        ended = time.perf_counter()
        batch, found = prepared(run, number, played)
        folded, used = micro_batches(batch, config.batch.micro)
        if scores:
            folded = dataclasses.replace(folded, old=scores(state.params, folded))
        learned = []
        for i in range(number * g.updates, (number + 1) * g.updates):
            state, of_update = apply(state, reference, folded, used, *beside(config, general, i))
            learned.append(of_update)
        found |= joined([{name: float(x) for name, x in each.items()} for each in learned])
        run.keep_culprit(number + 1, batch, found)
        done = time.perf_counter()
        found |= rollout_metrics(played, played.seconds) | metrics.episode_metrics(played.episodes)
        found |= {"time/rollout": played.seconds, "time/update": done - ended, "step_time": done - began}
        found["time/waiting"] = ended - began if ahead else 0.0
        return state, found

    return step


def beside(config: configs.Config, general: Batch | None, number: int) -> tuple:
    """The general rows that are learned in update `number`, in micro-batches, and how many; nothing if there are none."""
    if general is None:
        return ()
    n = config.replay.rows
    chosen = draws.epoch_order(len(general.tokens), config.seed, number * n, n)
    return micro_batches(jax.tree.map(lambda x: x[chosen], general), config.batch.micro)


def prepared(run: Run, number: int, played: plays.Played) -> tuple[Batch, dict[str, float]]:
    """The batch of a step's plays and what is to be said of it; transcripts and memory are written by the way."""
    config = run.config
    run.write(f"episodes/step_{number + 1:06d}.jsonl", lambda file: metrics.replace(file, lines(played.episodes)))
    mine = credit.samples(config, played.groups)
    if not mine:
        why = played.episodes[0].outcome.reason if played.episodes else "all of them hung"
        raise NothingToLearn(f"step {number + 1}: the learner said nothing in any of {len(played.episodes)} episodes ({why})")
    values = credit.advantages_of(config, mine, run.memory.setdefault("baselines", {}))
    differed = [(g.episodes[0].game, g.episodes[0].level, plays.varied(config, g)) for g in played.every]
    curriculum.remember(config, run.memory, differed)
    rows = credit.weighted(config, mine, values)
    run.write(f"samples/step_{number + 1:06d}.jsonl", lambda file: metrics.replace(file, shown(run, mine, rows)))
    taught = rows if config.grpo.beta else credit.teaching(rows)
    batch, left_out = pack(taught, config.batch.length, alone=run.c.delta is not None)
    found = play_metrics(mine, values, played) | {"rows_left_out": left_out}
    return batch, found | {"num_tokens": float((batch.segment_ids > 0).sum())}


SHOWN = 6  # dialogues of a step that are kept with their masks


def shown(run: Run, mine: Sequence[credit.Sample], rows: Sequence[Weighted]) -> str:
    """Some dialogues of a step as the loss sees them, of the roles in turn the best and the worst rewarded, as JSON lines."""
    chosen: list[int] = []
    for role in sorted({sample.role for sample in mine}):
        order = sorted((i for i in range(len(mine)) if mine[i].role == role), key=lambda i: mine[i].reward)
        chosen += dict.fromkeys([order[0], order[-1]])
    text = ""
    for i in chosen[:SHOWN]:
        game, seat = mine[i].role.split("/")
        pieces = masks.pieces(rows[i].row, rows[i].advantage, run.chat.tokenizer.decode)
        text += metrics.json_text({"game": game, "seat": seat, "reward": mine[i].reward, "pieces": pieces}) + "\n"
    return text


def joined(learned: Sequence[dict[str, float]]) -> dict[str, float]:
    """The metrics of several updates on one batch: means, but the sampler's gap is that before the first of them."""
    first = {name: x for name, x in learned[0].items() if name.startswith("sampling/")}
    return {name: float(np.mean([each[name] for each in learned])) for name in learned[0]} | first


# ---------------------------------------------------------------------------------------------- what is told


def play_metrics(samples: Sequence[credit.Sample], values: Sequence[np.ndarray], played: plays.Played) -> dict[str, float]:
    """What TRL's users watch, then rewards per role and replies per turn."""
    lengths = np.array([sample.row.mask.sum() for sample in samples])
    replies = [turn for episode in played.episodes for turn in episode.turns if turn.stop != "text"]
    ended = np.array([s.row.mask.sum() for s, stop in zip(samples, stops(samples, played)) if stop == "stop"] or [0])
    deviations = np.array(list(credit.spreads(samples).values()))
    each = np.concatenate([value[sample.shared :] for sample, value in zip(samples, values)])
    rewards = np.array([sample.reward for sample in samples])
    found = {
        "reward": float(rewards.mean()),
        "reward_std": float(deviations.mean()),
        "frac_reward_zero_std": float((deviations < 1e-9).mean()),
        "advantages/mean": float(each.mean()),
        "advantages/std": float(each.std()),
        "advantages/min": float(each.min()),
        "advantages/max": float(each.max()),
        "completions/clipped_ratio": sum(turn.stop == "length" for turn in replies) / max(len(replies), 1),
    }
    for kind, array in (("length", lengths), ("terminated_length", ended)):
        found |= {f"completions/{name}_{kind}": float(getattr(array, name)()) for name in ("mean", "min", "max")}
    return found | role_metrics(samples) | turn_metrics(samples)


def stops(samples: Sequence[credit.Sample], played: plays.Played) -> list[str]:
    """Why the last reply of each sample stopped."""
    rows = {id(row): (episode, seat) for g in played.groups for episode in g.episodes for seat, row in episode.rows.items()}
    found = []
    for sample in samples:
        episode, seat = rows[id(sample.row)]
        found.append([turn.stop for turn in episode.turns if turn.seat == seat][-1])
    return found


def role_metrics(samples: Sequence[credit.Sample]) -> dict[str, float]:
    """games/{game}/{seat}/reward and reward_std, the deviation over all its plays."""
    found: dict[str, float] = {}
    for role in sorted({sample.role for sample in samples}):
        values = np.array([sample.reward for sample in samples if sample.role == role])
        found |= {f"games/{role}/reward": float(values.mean()), f"games/{role}/reward_std": float(values.std())}
    return found


TURNS = 8  # replies of a dialogue that have metrics of their own


def turn_metrics(samples: Sequence[credit.Sample]) -> dict[str, float]:
    """turns/{k}/reached (share of dialogues), /length (tokens) and /reward of the k-th reply."""
    found, lengths = {}, [credit.replies(sample.row.mask) for sample in samples]
    for k in range(min(TURNS, max(map(len, lengths)))):
        here = [i for i, each in enumerate(lengths) if len(each) > k]
        found[f"turns/{k + 1}/reached"] = len(here) / len(samples)
        found[f"turns/{k + 1}/length"] = float(np.mean([lengths[i][k] for i in here]))
        found[f"turns/{k + 1}/reward"] = float(np.mean([samples[i].turns[k] for i in here]))
    return found


def rollout_metrics(played: plays.Played, seconds: float) -> dict[str, float]:
    return played.counters.metrics() | {
        "rollout/tokens_per_second": played.counters.sampled / seconds,
        "rollout/episodes": len(played.episodes),
        "rollout/refills": played.rounds,
        "rollout/hung": played.hung,
        "rollout/failed": played.failed,
    }


def lines(episodes: Sequence[Episode]) -> str:
    """Transcripts, as JSON lines."""
    return "".join(metrics.json_text(episode.to_json()) + "\n" for episode in episodes)
