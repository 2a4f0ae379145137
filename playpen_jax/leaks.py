"""Whether anything that is trained on is evaluated too: instances, targets, and opening prompts.

A shared instance or target refuses the run. Opening prompts that tell the instances of an evaluation apart are compared too,
but only counted: short ones may be alike by chance.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import games
from playpen_jax import config as configs
from playpen_jax import draws

MOST = 1000  # training instances that are drawn and compared
FILE = "leaks.json"
OUTSIDE = ("game_id", "level")  # fields that number instances and are not part of them


def parts(name: str, instance: Mapping[str, Any], form: str) -> dict[str, str]:
    """What of an instance must not be met again."""
    game = games.make(name)
    ask = game.start(instance, form=form).ask
    plain = {key: value for key, value in instance.items() if key not in OUTSIDE}
    return {
        "instances": json.dumps(plain, sort_keys=True, default=str),
        "targets": game.target(instance),
        "prompts": ask.shown if ask else "",
    }


def trained(config: configs.Config) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """(game, instance) of the first groups of the run, at most `MOST`; all games and levels have their turn."""
    for group in range(min(config.steps * config.grpo.instances, MOST)):
        name, level, number = draws.curriculum.place(config, group, {})
        yield name, draws.training_instance(config, name, number, level)


def account(config: configs.Config) -> dict[str, Any]:
    """What was compared, and what was found on both sides, by game and kind."""
    held: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for job in draws.held_out_jobs(config):
        if job.sample == 0:
            for kind, text in parts(job.game.name, job.instance, config.form).items():
                held[job.game.name][kind].append(text)
    for kinds in held.values():  # a prompt that all instances share says nothing of them
        if len(set(kinds["prompts"])) == 1:
            kinds["prompts"] = []
    sets = {name: {kind: set(texts) for kind, texts in kinds.items()} for name, kinds in held.items()}
    shared: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    count = 0
    for name, instance in trained(config):
        count += 1
        for kind, text in parts(name, instance, config.form).items() if name in sets else ():
            if text in sets[name].get(kind, ()) and text not in shared[name][kind]:
                shared[name][kind].append(text)
    found = {name: {kind: sorted(texts) for kind, texts in kinds.items()} for name, kinds in shared.items() if kinds}
    return {
        "trained": {"games": list(config.games), "instances": count},
        "held_out": {name: len(kinds["targets"]) for name, kinds in held.items()},
        "never_trained": sorted({*config.held_out, *config.eval.games}),
        "shared": found,
    }


def check(config: configs.Config) -> dict[str, Any]:
    """The account; raises `ConfigError` for the first instance or target on both sides."""
    made = account(config)
    for name, kinds in made["shared"].items():
        for kind in ("instances", "targets"):
            if kinds.get(kind):
                raise configs.ConfigError(f"leak: {name} trains on {kinds[kind][0][:100]!r}, one of the held-out {kind}")
    return made


def line(made: Mapping[str, Any]) -> str:
    """The account in one line."""
    count = sum(made["held_out"].values())
    alike = sum(len(kinds.get("prompts", ())) for kinds in made["shared"].values())
    never = f"; never trained: {', '.join(made['never_trained'])}" if made["never_trained"] else ""
    return (
        f"leaks: none of {count:,} held-out instances or targets is among {made['trained']['instances']:,} of "
        f"{', '.join(made['trained']['games'])}; {alike} opening prompts are alike{never}"
    )
