"""Whole suites of games, played by one policy or endpoint; what has ended is kept, so that a cut evaluation goes on there."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import games
from games import results_tree
from playpen_jax import metrics, players, policy, report_runs, rollout, scores
from playpen_jax.data import reference
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.types import Episode, episode_from_json

PARTIAL = "episodes.part.jsonl"  # of an evaluation that is under way, in the order in which they ended


def jobs(args: argparse.Namespace, names: tuple[str, ...], form: str, specs: Sequence[str]) -> list[rollout.Job]:
    default = args.checkpoint if players.is_remote(args.checkpoint) else players.LEARNER
    players.check(specs, names)
    seats = players.parse(specs, names)
    found = []
    for name in names:
        game = games.make(name)
        if args.instances:
            pairs: Sequence[tuple[dict, dict | None]] = reference.instances(args.instances, name)
        else:
            pairs = [(instance, None) for instance in game.instances(args.split, args.episodes, args.seed)]
        for i, (instance, settings) in enumerate(pairs):
            seed, cast = f"{args.seed}/{name}/{i}", players.seating(game, seats[name], default)
            found += [rollout.Job(game, instance, cast, n, seed, form, settings) for n in range(args.plays)]
    return found


def check(args: argparse.Namespace, todo: Sequence[rollout.Job]) -> None:
    """Raise `ValueError` for numbers with which nothing could be played."""
    for name in ("episodes", "plays", "max_tokens", "max_turns", "context", "rows"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}={getattr(args, name)} is less than 1")
    most = max((list(job.seats.values()).count(players.LEARNER) for job in todo), default=0)
    if most > args.rows:
        raise ValueError(f"--rows={args.rows}: an episode needs {most}, one for each seat of the policy")


def open_out(out: Path, setup: dict) -> None:
    """Make DIR and write down what is evaluated and how; raises `ValueError` where DIR holds another evaluation."""
    out.mkdir(parents=True, exist_ok=True)
    file, setup = out / "setup.json", json.loads(metrics.json_text(setup))
    if file.exists():
        (before,) = metrics.read(file)
        other = [f"{k}: {before.get(k)} is now {v}" for k, v in setup.items() if before.get(k) != v]
        if other:
            raise ValueError(f"--out={out} holds another evaluation ({'; '.join(other)[:300]}): choose another folder")
    metrics.replace(file, metrics.json_text(setup) + "\n")


def key(game: str, instance: object, sample: int) -> str:
    """What tells an episode from all others of an evaluation."""
    return f"{game} {sample} {json.dumps(metrics.plain(instance), sort_keys=True)}"


def kept(out: Path) -> dict[str, Episode]:
    """The episodes that an evaluation which was cut has finished."""
    file = out / PARTIAL
    lines = metrics.read(file) if file.exists() else []
    return {key(e.game, e.instance, e.sample): e for e in map(episode_from_json, lines)}


def table(args: argparse.Namespace, learner: policy.Policy | None, how: Sampling) -> rollout.Rollout:
    """Where the episodes are played; no learner: an endpoint plays."""
    limits = rollout.Limits(args.max_tokens, args.max_turns)
    if learner is None:
        return rollout.Rollout({}, {}, limits, temperature=args.temperature, most=args.rows)
    sampler = Sampler(learner.config, args.rows, args.context, how, learner.speech.stops, dialogues=4 * args.rows)
    sampler.load(learner.params)
    return rollout.Rollout({players.LEARNER: sampler}, learner.speech, limits, temperature=args.temperature)


def play(args: argparse.Namespace, player: rollout.Rollout, todo: Sequence[rollout.Job]) -> list[Episode]:
    """All episodes, in the order of the jobs; those that are finished already are taken from DIR, the others added there."""
    before = kept(args.out)
    keys = [key(job.game.name, job.instance, job.sample) for job in todo]
    left = [job for job, name in zip(todo, keys) if name not in before]
    spent = Cost(args.out / report_runs.COST, player, bool(before))
    if before:
        print(f"{len(todo) - len(left)} of {len(todo)} episodes were finished already")
    metrics.replace(args.out / PARTIAL, "".join(metrics.json_text(e.to_json()) + "\n" for e in before.values()))
    with (
        open(args.out / PARTIAL, "a", encoding="utf-8") as file,
        tqdm(initial=len(todo) - len(left), total=len(todo), unit="episode", disable=None) as bar,
    ):

        def done(episode: Episode) -> None:
            if not episode.failed:  # that one is played anew if the evaluation goes on
                file.write(metrics.json_text(episode.to_json()) + "\n")
                file.flush()
            spent.note()
            bar.update()

        played = {key(e.game, e.instance, e.sample): e for e in player.play(left, done)}
        spent.note()
    return [(before | played)[name] for name in keys]


class Cost:
    """Seconds and tokens of an evaluation, kept in a file beside it; one that goes on after a cut adds to them."""

    def __init__(self, file: Path, player: rollout.Rollout, goes_on: bool):
        self.file, self.player, self.began = file, player, time.perf_counter()
        self.before: Counter = Counter(metrics.read(file)[0] if goes_on and file.exists() else {})

    def note(self) -> None:
        made = [sampler.counters for sampler in self.player.samplers.values()]
        now = {"tokens_said": sum(c.sampled for c in made), "tokens_read": sum(c.prefilled for c in made)}
        now = now if made else {}  # what endpoints count is theirs
        total = self.before + Counter(now | {"seconds": time.perf_counter() - self.began})
        metrics.replace(self.file, metrics.json_text({**total, "seconds": round(total["seconds"], 1)}) + "\n")


def finished(todo: Sequence[rollout.Job], episodes: Sequence[Episode]) -> tuple[list[rollout.Job], list[Episode]]:
    """Without the episodes whose engine failed, which say nothing about the policy; exits if none is left."""
    pairs = [(job, episode) for job, episode in zip(todo, episodes) if not episode.failed]
    if failed := len(episodes) - len(pairs):
        print(f"{failed} of {len(episodes)} episodes were dropped: their engines or their partners failed", file=sys.stderr)
    if not pairs:
        raise SystemExit("error: no episode came to an end")
    return [job for job, _ in pairs], [episode for _, episode in pairs]


def write(args: argparse.Namespace, todo: Sequence[rollout.Job], episodes: Sequence[Episode]) -> str:
    """Fill DIR; returns the tables that are printed."""
    made, plain = scores.write_results(args.out, args.checkpoint, episodes), [episode.to_json() for episode in episodes]
    metrics.replace(args.out / "episodes.jsonl", "".join(metrics.json_text(episode) + "\n" for episode in plain))
    first = [pair for pair in zip(todo, episodes) if pair[0].sample == 0]  # a clembench tree has one play of each instance
    results_tree.write(args.out, "policy", [rollout.replayed(job, episode) for job, episode in first])
    (args.out / PARTIAL).unlink(missing_ok=True)
    (cost,) = metrics.read(args.out / report_runs.COST)
    found = report_runs.summary([report_runs.Evaluated(str(args.checkpoint), plain, [], cost)])
    return "\n".join([scores.show(made), report_runs.show(found), report_runs.spent(cost)])
