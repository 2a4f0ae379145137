"""Measure: `python -m playpen_jax.bench games|rollout|train [--out=FILE] ...`; `bench games --help` and so on list the rest.

`games`: how fast the engines are on one core. Scripted episodes are recorded first; then only the engines are timed, fed with
the recorded replies. With clemcore installed the same episodes are played in its own game loop too.

`rollout`: how fast episodes are played with a model, and how near decoding comes to the limits of the machine, which it
measures in the same run. Speed is given by the clock and, since others may use the machine too, by the processor's time.

`train`: tokens a second of an update, and which share of the machine's matrix rate, measured in the same run, it reaches.

Prints one JSON object a line; --out keeps them in a file, with the command.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import games
from games.core import Game, play_out

STRENGTHS = (1.0, 0.5)
REPEATS = 5


# --- games


class Script(NamedTuple):
    """A recorded episode: where it starts, who said what, and how it ended."""

    instance: dict
    settings: Mapping
    replies: tuple[str, ...]
    status: str


class Loop(NamedTuple):
    """Something that plays scripts: `start(script)`, `turn(episode, reply)` for each reply, `status(episode)` at the end."""

    name: str
    start: Callable
    turn: Callable
    status: Callable


def record(game: Game, episodes: int) -> list[Script]:
    """Episodes of scripted players, good and weak, on all levels."""
    scripts = []
    for instance, strength in zip(game.instances("test", episodes), itertools.cycle(STRENGTHS)):
        settings = game.settings(instance["level"], "full")
        players = {seat: (game.players[seat]["scripted"], strength) for seat in (*game.seats, *game.chance)}
        play = play_out(game.start(instance, settings), players, seed=instance["game_id"])
        scripts.append(Script(instance, settings, tuple(reply for _, reply in play.history), play.ended.status))
    return scripts


def ours(game: Game) -> Loop:
    """The engines of this repository."""
    return Loop(
        "playpen",
        lambda script: game.start(script.instance, script.settings),
        lambda play, text: play.reply(text),
        lambda play: play.outcome.status,
    )


def measure(loop: Loop, scripts: Sequence[Script]) -> dict:
    """Play every script several times; the first time is not counted, as it fills caches."""
    starts, turns = [], []
    clock = time.process_time
    idle = statistics.median(-clock() + clock() for _ in range(1000))  # what a look at the clock takes is taken off
    for number, script in itertools.product(range(REPEATS + 1), scripts):
        before = clock()
        episode = loop.start(script)
        spent = [clock() - before - idle]
        for text in script.replies:
            before = clock()
            loop.turn(episode, text)
            spent.append(clock() - before - idle)
        if loop.status(episode) != script.status:
            raise RuntimeError(f"{loop.name} ended a recorded episode as {loop.status(episode)}, not {script.status}")
        if number:
            starts.append(spent[0])
            turns += spent[1:]
    percentile = statistics.quantiles(turns, n=100, method="inclusive")
    return {
        "loop": loop.name,
        "episodes": len(starts),
        "turns": len(turns),
        "turns_per_second": round(len(turns) / (sum(starts) + sum(turns))),
        "start_ms_p50": _ms(statistics.median(starts)),
        "turn_ms_p50": _ms(percentile[49]),
        "turn_ms_p99": _ms(percentile[98]),
        "turn_ms_max": _ms(max(turns)),
    }


def _ms(seconds: float) -> float:
    return float(f"{1000 * seconds:.3g}")


def bench_games(options: argparse.Namespace) -> Iterator[dict]:
    """One line a game, then the slowest, then the comparison with clemcore if it is there."""
    rival = all(map(importlib.util.find_spec, ("clemcore", "benchmarks")))
    if options.against_clemcore and not rival:
        raise SystemExit("error: --against-clemcore: run it in a checkout, with the package clemcore installed")
    lines = []
    for game in options.games or map(games.make, games.names()):
        lines.append({"bench": "games", "game": game.name} | measure(ours(game), record(game, options.episodes)))
        yield lines[-1]
    median = statistics.median(line["turn_ms_p50"] for line in lines)
    slowest = max(lines, key=lambda line: line["turn_ms_p99"])
    yield {"bench": "games", "game": "all", "turn_ms_p50": median, "slowest": slowest["game"], "p99": slowest["turn_ms_p99"]}
    if rival:
        yield from _against_clemcore(options.episodes)


def _against_clemcore(episodes: int) -> Iterator[dict]:
    """The same taboo episodes with the same rules, in our loop and in clemcore's, with its recorders and without."""
    from benchmarks.clemcore_games import loops  # an optional dependency

    game = games.make("taboo")
    scripts = record(game, episodes)
    first, *rest = (measure(loop, scripts) for loop in (ours(game), *(Loop(*loop) for loop in loops())))
    yield {"bench": "games", "game": "taboo, side by side"} | first
    for line in rest:
        ratio = {"times_faster": round(line["turn_ms_p50"] / first["turn_ms_p50"], 1)}
        yield {"bench": "games", "game": "taboo, side by side"} | line | ratio


# --- the program


def bench_rollout(options: argparse.Namespace) -> Iterator[dict]:
    """The lines of bench_rollout.py, which needs JAX."""
    from playpen_jax import bench_rollout, programs  # the engines are measured without JAX

    programs.compilation_cache()
    for line in bench_rollout.measure(options):
        yield {"bench": "rollout"} | bench_rollout.rounded(line)


def bench_train(options: argparse.Namespace) -> Iterator[dict]:
    """The lines of bench_train.py, which needs JAX."""
    from playpen_jax import bench_train as part  # the engines are measured without JAX
    from playpen_jax import programs

    programs.compilation_cache()
    for line in part.measure(options):
        yield {"bench": "train"} | {key: float(f"{x:.4g}") if isinstance(x, float) else x for key, x in line.items()}


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[dict]]] = {
    "games": bench_games,
    "rollout": bench_rollout,
    "train": bench_train,
}


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("playpen_jax.bench", description=__doc__, formatter_class=plain)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("games", help="how fast the engines are")
    part.add_argument("--games", type=_chosen, metavar="NAME,...", help="which games; all of them if not given")
    part.add_argument("--episodes", type=int, default=40, metavar="N", help="recorded episodes per game")
    part.add_argument("--against-clemcore", action="store_true", help="stop if clemcore is not installed")
    part.add_argument("--out", type=Path, metavar="FILE", help="keep the lines in this file too")
    part = parts.add_parser("rollout", help="how fast episodes are played with a model")
    part.add_argument("--model", default="tiny", help="the policy of the real games")
    part.add_argument(
        "--games", type=lambda names: names.split(","), default=["wordle", "taboo", "guesswhat"], metavar="NAME,..."
    )
    part.add_argument("--episodes", type=int, default=128, metavar="N")
    part.add_argument("--plays", type=int, default=4, metavar="G", help="plays of each instance, which share their prompt")
    part.add_argument("--rows", type=int, default=64, metavar="B", help="dialogues that speak at once")
    part.add_argument("--cohorts", type=_numbers, default=[1, 2], metavar="N,...", help="parts of the rows that take turns")
    part.add_argument("--temperature", type=float, default=1.0)
    part.add_argument("--size", choices=("10m", "1b", "8b"), default="10m", help="of the random weights that decode alone")
    part.add_argument("--batches", type=_numbers, default=[1, 8, 64], metavar="B,...", help="rows of decoding alone")
    part.add_argument("--context", type=int, default=256, metavar="S", help="tokens in each of these rows")
    part.add_argument("--chunk", type=int, default=16, metavar="N", help="steps of one call of these")
    part.add_argument("--decode-only", action="store_true", help="play no episodes")
    part.add_argument("--grow", type=_numbers, default=[], metavar="B,...", help="only: episodes a second with so many rows")
    part.add_argument("--devices", type=_numbers, default=[1], metavar="N,...", help="fake ones of --grow, on a CPU")
    part.add_argument("--plot", type=Path, metavar="FILE", help="an SVG of --grow")
    part.add_argument("--out", type=Path, metavar="FILE", help="keep the lines in this file too")
    part = parts.add_parser("train", help="how fast an update is, beside the machine's rate of matrix products")
    part.add_argument("--size", choices=("10m", "11m", "1b", "8b"), default="11m", help="of a Llama with random weights")
    part.add_argument("--model", metavar="DIR", help="a Hugging Face folder whose shape is taken, in place of --size")
    part.add_argument("--rows", type=int, default=8, metavar="B", help="rows of a micro-batch")
    part.add_argument("--length", type=int, default=512, metavar="T", help="tokens of a row")
    part.add_argument("--micro", type=int, default=1, metavar="A", help="micro-batches of an update")
    part.add_argument("--steps", type=int, default=5, metavar="N", help="updates that are timed")
    part.add_argument("--remat", choices=("all", "dots", "none"), default="none", help="what is computed again to save memory")
    part.add_argument("--dtype", default="auto", help="computing type")
    part.add_argument("--attention", choices=("plain", "splash", "cudnn"), default="plain")
    part.add_argument("--lora", type=int, default=0, metavar="R", help="train adapters of this rank alone")
    part.add_argument("--base", choices=("int8", "nf4"), help="what the frozen projections are kept in")
    part.add_argument("--out", type=Path, metavar="FILE", help="keep the lines in this file too")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _chosen(names: str) -> list[Game]:
    try:
        return [games.make(name) for name in names.split(",")]
    except KeyError as error:  # said in one line, as every wrong argument
        raise argparse.ArgumentTypeError(error.args[0]) from None


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    lines = []
    for line in PARTS[options.part](options):
        print(json.dumps(line), flush=True)
        lines.append(line)
    if options.out:
        command = shlex.join(["python", "-m", "playpen_jax.bench", *(sys.argv[1:] if argv is None else argv)])
        result = {"command": command, "python": platform.python_version(), "cpu": _cpu(), "lines": lines}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _cpu() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
