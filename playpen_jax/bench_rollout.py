"""How fast episodes are played: of real games, and of recorded lengths.

Every line gives seconds of the clock and of the processor: on a machine that others use too, only the latter can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import games
from games.core import Ask, Game, Outcome
from playpen_jax import charts, model, players, policy, sharding
from playpen_jax import config as configs
from playpen_jax.bench_decode import config, decode, machine, weights
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.rollout import Job, Limits, Rollout
from playpen_jax.sampler import programs
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.types import Episode

# 20-quantiles of 6,527 episodes of four models in the challenge's closed set: characters of what was said and shown, turns
REPLIES = (8, 9, 11, 14, 17, 24, 35, 44, 50, 57, 85, 111, 117, 123, 156, 219, 278, 373, 935)
MESSAGES = (8, 9, 25, 26, 31, 42, 52, 84, 114, 117, 122, 131, 150, 168, 212, 267, 337, 411, 531)
PROMPTS = (25, 247, 462, 491, 567, 663, 743, 850, 891, 986, 1034, 1083, 1188, 1270, 1368, 1510, 1680, 2156, 2980)
TURNS = (1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 5, 6, 9, 12, 16, 20, 40)
CHARACTERS = 4  # of a token, about


class Stopwatch:
    """Seconds since it was made, of the clock and of the processor."""

    def __init__(self):
        self.clock, self.processor = time.perf_counter(), time.process_time()

    def seconds(self) -> dict[str, float]:
        return {
            "seconds": round(time.perf_counter() - self.clock, 3),
            "processor_seconds": round(time.process_time() - self.processor, 3),
        }


# --- episodes


def jobs(names: Sequence[str], episodes: int, plays: int, form: str = "short") -> list[Job]:
    """Episodes of the games in turn, `plays` of each instance; the model plays the seats that a learner would."""
    found: list[Job] = []
    pools = {name: games.make(name).instances("train", -(-episodes // plays)) for name in names}
    for i in range(-(-episodes // plays)):
        name = names[i % len(names)]
        game = games.make(name)
        seats = players.seating(game, {seat: "scripted" for seat in ("describer", "answerer") if seat in game.seats})
        instance = pools[name][i // len(names)]
        found += [Job(game, instance, seats, n, f"bench/{name}/{i}", form) for n in range(plays)]
    return found[:episodes]


def play(sampler: Sampler, params: Any, chat: Chat, todo: Sequence[Job], limits: Limits) -> tuple[list[Episode], dict]:
    """All episodes once, timed; what is compiled is compiled by an earlier call."""
    sampler.load(params)
    watch = Stopwatch()
    episodes = Rollout({players.LEARNER: sampler}, chat, limits).play(todo)
    spent, done = watch.seconds(), sampler.counters
    new = done.prefilled - done.recomputed
    return episodes, {
        "episodes": len(episodes),
        "turns": sum(len(episode.turns) for episode in episodes),
        "rows": sampler.rows,
        "cohorts": len(sampler._lanes),
        **spent,
        "episodes_per_second": len(episodes) / spent["seconds"],
        "new_tokens_per_second": done.sampled / spent["seconds"],
        "new_tokens_per_processor_second": done.sampled / spent["processor_seconds"],
        "new_tokens": done.sampled,
        "prefilled_to_new": done.prefilled / max(new, 1),
        "shared_tokens": done.shared,
        "occupancy": done.sampled / max(done.row_steps, 1),
        "waiting_for_host": done.waiting / max(done.seconds, 1e-9),
        "evicted_pages": done.evicted,
    }


# --- episodes of the recorded lengths


def quantile(table: Sequence[int], u: float) -> int:
    """The value at `u` in 0..1 of a table of quantiles, in between in proportion; the ends go on as they came."""
    at = u * (len(table) + 1) - 1
    i = min(max(int(at), 0), len(table) - 2)
    return max(1, round(table[i] + (at - i) * (table[i + 1] - table[i])))


def _referee(instance: Mapping, settings: Mapping):
    """One seat is shown messages of given lengths, and says what it likes."""
    for n in instance["messages"]:
        yield Ask("speaker", "x" * n)
    count = len(instance["messages"])
    return Outcome("success", 100.0, count, count, 0)


PACED = Game(
    name="paced",
    suite="indomain",
    seats=("speaker",),
    roles=("Speaker",),
    levels=("only",),
    fields={"messages": list},
    settings_fields={},
    referee=_referee,
    generate=lambda rng, level, split: {"messages": [1]},
    target=lambda instance: str(instance["messages"]),
    settings=lambda level, form: {},
    players={},
)


class Paced(Sampler):
    """Its replies are as long as recorded ones, whatever the weights say: `stops` must be empty."""

    longest = 10**9

    def feed(self, row: int, ids: list[int], key: tuple[int, int], max_tokens: int) -> None:
        length = quantile(REPLIES, random.Random(key[0]).random()) // CHARACTERS
        super().feed(row, ids, key, max(1, min(max_tokens, length, self.longest)))


def paced_jobs(episodes: int, context: int) -> list[Job]:
    """Episodes whose turns and messages follow the recorded ones, as far as they fit; a byte is a token."""
    rng, found = random.Random(0), []
    for i in range(episodes):
        lengths = [quantile(PROMPTS, rng.random())]
        lengths += [quantile(MESSAGES, rng.random()) for _ in range(quantile(TURNS, rng.random()) - 1)]
        fitting: list[int] = []
        total = 0
        for length in (max(1, n // CHARACTERS) for n in lengths):
            total += length + REPLIES[-1] // CHARACTERS
            if not fitting or total < context:
                fitting.append(min(length, context // 2))
        found.append(Job(PACED, {"messages": fitting}, {"speaker": players.LEARNER}, 0, f"paced/{i}"))
    return found


def paced(c: model.ModelConfig, params: Any, rows: int, episodes: int, context: int, **options: Any) -> dict:
    """Episodes of the recorded lengths with random weights, twice: the first time compiles."""
    sampler = Paced(c, rows, context, Sampling(1.0), (), dialogues=4 * rows, **options)
    todo, chat, limits = paced_jobs(episodes, context), Chat(ByteTokenizer()), Limits(context, 10**6)
    for _ in range(2):
        seen = _Refills(sampler)
        _, line = play(sampler, params, chat, todo, limits)
    return {"what": "episodes of recorded lengths", "parameters": model.param_count(c)} | line | {"occupancy_refilled": seen()}


class _Refills:
    """Occupancy up to the last moment with as many live dialogues as rows: from then on nobody is left to refill a row."""

    def __init__(self, sampler: Sampler):
        self.last = (0, 1)
        inner = type(sampler).run

        def run() -> list:
            replies = inner(sampler)
            if len(sampler._held) >= sampler.rows:
                self.last = sampler.counters.sampled, max(sampler.counters.row_steps, 1)
            return replies

        sampler.run = run  # type: ignore[method-assign]  # it looks at each of these calls

    def __call__(self) -> float:
        return self.last[0] / self.last[1]


# --- the part of the bench


def measure(options: Any) -> Iterator[dict]:
    """Machine, decoding alone, episodes of real games, episodes of recorded lengths."""
    if options.grow:
        yield from grow(options)
        return
    dtype = policy.compute_dtype("auto")
    limit = machine(dtype)
    yield {"what": "machine", "platform": jax.default_backend(), "devices": jax.device_count(), "dtype": dtype} | limit
    c = config(options.size)
    params = weights(c)
    layers = programs.unstack(c, None)(params)
    for batch in options.batches:
        yield decode(c, layers, batch, options.context, options.chunk, limit)
    if options.decode_only:
        return
    learner = policy.load(options.model)
    todo, limits = jobs(options.games, options.episodes, options.plays), Limits(32, 40)
    how = Sampling(options.temperature)
    for cohorts in options.cohorts:
        more = {"dialogues": 4 * options.rows, "cohorts": cohorts}
        sampler = Sampler(learner.config, options.rows, 512, how, learner.speech.stops, 4, **more)
        for _ in range(2):
            _, line = play(sampler, learner.params, learner.speech, todo, limits)
        yield {"what": f"episodes of {', '.join(options.games)}"} | line
    yield paced(c, params, options.rows, options.episodes, 2 * options.context, cohorts=options.cohorts[-1])


def grow(options: Any) -> Iterator[dict]:
    """Episodes a second over rows, for each number of devices in a process of its own, and a plot of them."""
    lines = []
    for devices in options.devices:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        wanted = json.dumps({key: getattr(options, key) for key in ("model", "games", "episodes", "plays", "grow")})
        code = f"from playpen_jax import bench_rollout as b; b.grow_here({wanted!r})"
        run = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"XLA_FLAGS": flags}, stdout=subprocess.PIPE, text=True
        )
        if run.returncode:
            raise SystemExit(f"error: the run on {devices} devices failed")
        for line in map(json.loads, run.stdout.splitlines()):
            lines.append(line)
            yield line
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_text(growth_plot(lines), encoding="utf-8")


def grow_here(wanted: str) -> None:
    """The lines of one number of devices, the rows split over them, printed as JSON."""
    options = argparse.Namespace(**json.loads(wanted))
    learner = policy.load(options.model)
    todo, limits = jobs(options.games, options.episodes, options.plays), Limits(32, 40)
    devices = jax.device_count()
    mesh = sharding.make_mesh(configs.Mesh()) if devices > 1 else None
    for n in (n for n in options.grow if n % devices == 0):
        sampler = Sampler(learner.config, n, 512, Sampling(1.0), learner.speech.stops, 4, dialogues=4 * n, mesh=mesh)
        for _ in range(2):
            _, line = play(sampler, learner.params, learner.speech, todo, limits)
        print(json.dumps({"what": "growth", "devices": devices} | line), flush=True)


def growth_plot(lines: Sequence[Mapping]) -> str:
    """Episodes a second of the clock over the logarithm of the rows, a line for each number of devices."""
    runs = []
    for color, devices in enumerate(sorted({line["devices"] for line in lines})):
        own = [line for line in lines if line["devices"] == devices]
        at = np.array([np.log2(line["rows"]) for line in own])
        speed = np.array([line["episodes_per_second"] for line in own])
        runs.append(charts.Series(f"{devices} devices", at, speed, color, np.zeros(len(own))))
    return charts.points_svg(runs, "Episodes a second", "over the logarithm (base 2) of the rows", 0.0)


def rounded(line: dict) -> dict:
    """Numbers to four digits."""
    return {key: float(f"{x:.4g}") if isinstance(x, float) else x for key, x in line.items()}
