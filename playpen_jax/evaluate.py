"""Evaluate a policy: `python -m playpen_jax.evaluate --checkpoint=PATH --suite=NAME[,NAME] --out=DIR`.

PATH is a checkpoint, a training directory, a Hugging Face folder, "tiny", or an endpoint (http://HOST:PORT/v1#MODEL). NAME is a
suite (indomain, outofdomain, reference) or a game. DIR gets the clembench results tree, results.csv, results.html,
summary.json, episodes.jsonl and setup.json. The same command on the same DIR goes on where it was cut, with the same result.
`playpen_jax.compare` makes a page of several.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import games
from games import results_tree
from games.core import SPLITS
from playpen_jax import metrics, players, policy, report_runs, rollout, scores
from playpen_jax.data import reference
from playpen_jax.programs import compilation_cache, parser, user_errors
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.types import Episode, episode_from_json

SUITES = ("indomain", "outofdomain", "reference")
PARTIAL = "episodes.part.jsonl"  # of an evaluation that is under way, in the order in which they ended


def chosen(suite: str) -> tuple[str, ...]:
    """The games that `--suite` names."""
    found: list[str] = []
    for name in suite.split(","):
        found += games.names(name) if name in SUITES else [games.make(name).name]
    if not found:
        raise ValueError(f"--suite={suite} holds no game yet")
    return tuple(dict.fromkeys(found))


def jobs(args: argparse.Namespace, names: tuple[str, ...], form: str, specs: tuple[str, ...]) -> list[rollout.Job]:
    default = args.checkpoint if players.is_remote(args.checkpoint) else players.LEARNER
    players.check(specs, names)
    seats = players.parse(specs, names)
    found = []
    for name in names:
        game = games.make(name)
        if args.instances:
            pairs = reference.instances(args.instances, name)
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


def options() -> argparse.ArgumentParser:
    made = parser("evaluate", __doc__)
    made.add_argument("--checkpoint", required=True, metavar="PATH")
    made.add_argument("--suite", required=True, metavar="NAME[,NAME]")
    made.add_argument("--out", required=True, type=Path, metavar="DIR")
    made.add_argument("--split", default="test", choices=SPLITS, help="which of our instances (default: test)")
    made.add_argument("--episodes", type=int, default=50, help="instances per game (default: 50)")
    made.add_argument("--plays", type=int, default=1, help="plays of each instance (default: 1)")
    made.add_argument(
        "--instances",
        metavar="FILE",
        help="played instead of ours (one game): an official instance file; for a reference task also a .jsonl or "
        ".parquet file of its data set, or `hf` to download it",
    )
    made.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    made.add_argument("--max-tokens", type=int, default=300, help="tokens of one reply (default: 300)")
    made.add_argument("--max-turns", type=int, default=100, help="replies of one episode (default: 100)")
    made.add_argument("--context", type=int, default=2048, help="tokens of one dialogue (default: 2048)")
    made.add_argument("--rows", type=int, default=32, help="dialogues on the device at once (default: 32)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--form", choices=("full", "short"), help="our prompts, long or short (default: as in training)")
    made.add_argument("--players", help="game.seat=player,...: scripted partners (default: as in training, else self-play)")
    return made


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
    sampler = Sampler(learner.config, args.rows, args.context, how, learner.chat.stops, dialogues=4 * args.rows)
    sampler.load(learner.params)
    return rollout.Rollout({players.LEARNER: sampler}, learner.chat, limits, temperature=args.temperature)


def play(args: argparse.Namespace, player: rollout.Rollout, todo: Sequence[rollout.Job]) -> list[Episode]:
    """All episodes, in the order of the jobs; those that are finished already are taken from DIR, the others added there."""
    before = kept(args.out)
    keys = [key(job.game.name, job.instance, job.sample) for job in todo]
    left = [job for job, name in zip(todo, keys) if name not in before]
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
            bar.update()

        played = {key(e.game, e.instance, e.sample): e for e in player.play(left, done)}
    return [(before | played)[name] for name in keys]


def finished(todo: Sequence[rollout.Job], episodes: Sequence[Episode]) -> tuple[list[rollout.Job], list[Episode]]:
    """Without the episodes whose engine failed, which say nothing about the policy; exits if none is left."""
    pairs = [(job, episode) for job, episode in zip(todo, episodes) if not episode.failed]
    if failed := len(episodes) - len(pairs):
        print(f"{failed} of {len(episodes)} episodes were dropped: their engines or their partners failed", file=sys.stderr)
    if not pairs:
        raise SystemExit("error: no episode came to an end")
    return [job for job, _ in pairs], [episode for _, episode in pairs]


def main(argv: Sequence[str] | None = None) -> int:
    args = options().parse_args(argv)
    with user_errors():
        names = chosen(args.suite)
        if args.instances and len(names) != 1:
            raise ValueError("--instances wants --suite to name one game")
        compilation_cache()
        learner = None if players.is_remote(args.checkpoint) else policy.load(args.checkpoint)
        if learner and learner.chat is None:
            raise ValueError(f"--checkpoint={args.checkpoint} has no tokenizer")
        trained = learner.trained() if learner else {"form": "full", "players": ()}
        form = args.form or trained["form"]
        specs = trained["players"] if args.players is None else tuple(filter(None, args.players.split(",")))
        todo, how = jobs(args, names, form, specs), Sampling(args.temperature)
        check(args, todo)
        setup = vars(args) | {"suite": ",".join(names), "form": form, "players": specs}
        open_out(args.out, {k: str(v) if isinstance(v, Path) else v for k, v in setup.items() if k not in ("out", "rows")})
    partners = f" against {', '.join(specs)}" if specs else ", all seats its own"
    source = args.instances or f"{args.split} split"
    print(f"{args.checkpoint} plays {', '.join(names)} ({source}, {form} prompts, temperature {args.temperature:g}){partners}")
    todo, episodes = finished(todo, play(args, table(args, learner, how), todo))
    made = scores.write_results(args.out, args.checkpoint, episodes)
    metrics.replace(args.out / "episodes.jsonl", "".join(metrics.json_text(e.to_json()) + "\n" for e in episodes))
    first = [pair for pair in zip(todo, episodes) if pair[0].sample == 0]  # a clembench tree has one play of each instance
    results_tree.write(args.out, "policy", [rollout.replayed(job, episode) for job, episode in first])
    (args.out / PARTIAL).unlink(missing_ok=True)
    print(scores.show(made))
    print(
        report_runs.show(
            report_runs.summary([report_runs.Evaluated(str(args.checkpoint), [e.to_json() for e in episodes], [])])
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
