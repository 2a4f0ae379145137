"""The study of docs/study.md: one small base, several recipes, three seeds; what they gain, what they cost, what they forget.

python benchmarks/study.py run ROW --seed=S --out=DIR
python benchmarks/study.py all --out=DIR [--seeds=0,1,2] [--rows=ROW,ROW]
python benchmarks/study.py pilot --out=DIR
python benchmarks/study.py table --out=DIR

The first makes one row of one seed, stage by stage, and goes on where it was cut; stages that rows have in common are made
once. The second makes all of them, one after another. The third tries other settings of a row on training instances, the
fourth writes docs/results/study.json, the plots, and the tables below the mark in docs/study.md.
"""

from __future__ import annotations

import argparse
import html
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import games
import playpen_jax as pp
from games.core import exchange
from playpen_jax import charts, collect, evaluate, metrics, scores, statistics, train
from playpen_jax import config as configs
from playpen_jax.learn import dpo

DOCS = Path(__file__).resolve().parent.parent / "docs"
GROUPS = {
    "trained": ("textmapworld", "ta_frozen_lake"),
    "unseen": ("textmapworld_specificroom", "ta_blackjack", "ta_mastermind"),
    "reference": ("bbh", "cladder"),
}
NAMES = {"trained": "trained games", "unseen": "unseen games", "reference": "reference tasks"}
GAMES = tuple(game for group in GROUPS.values() for game in group)
# row -> its stages, each of which starts from the model of the one before it; the first one from the base
ROWS = {
    "base": (),
    "sft": ("sft",),
    "sft_dpo": ("sft", "dpo"),
    "sft_dpo_turn": ("sft", "dpo_turn"),
    "sft_dpo_fork": ("sft", "dpo_fork"),
    "grpo": ("grpo",),
    "sft_grpo": ("sft", "grpo"),
    "grpo_kl": ("grpo_kl",),
    "grpo_general": ("grpo_general",),
    "grpo_lora": ("grpo_lora",),
    "sft_grpo_kept": ("sft_general", "grpo_kept"),
    "grpo_more": ("grpo", "grpo"),
}
AGAINST = ("sft", "grpo")  # rows that the others of their seed are compared with, beside the base
ACCOUNT = (
    "account.json"  # what a folder cost; written last, so that it is there if all is (evaluate has a cost.json of its own)
)
LOOKED_AT = "textmapworld_specificroom"  # the game whose levels are shown one by one
EPISODES, PLAYS = 48, 2  # held-out instances of a game, and plays of each at temperature 1
SETTINGS = {
    "form": "short",
    "players": "",
    "model.remat": "none",
    "tensorboard": "false",
    "eval.episodes": 0,
    "rollout.context": 256,
    "rollout.max_tokens": 32,
    "checkpoints.every": 1000,
    "checkpoints.keep": 1,
}
SFT = {"steps": 60, "sft.rows": 8, "batch.length": 256, "batch.micro": 8, "optim.learning_rate": 1e-3}
DPO = {"steps": 30, "dpo.pairs": 16, "batch.length": 384, "batch.micro": 4, "optim.learning_rate": 1e-4}
GRPO = {"steps": 20, "grpo.instances": 8, "grpo.plays": 8, "batch.length": 256, "batch.micro": 4, "optim.learning_rate": 5e-4}
KL = {"grpo.beta": 0.04, "grpo.kl_gradient": "direct"}  # the paper's
GENERAL = {"data.general": "general"}
# stage -> config file, settings, and the data sets (setting -> name) that it reads
STAGES: dict[str, tuple[str, dict, dict[str, str]]] = {
    "sft": ("sft.py", SFT, {"data.paths": "teacher"}),
    "sft_general": ("sft.py", SFT | {"data.general_weight": 0.25}, {"data.paths": "teacher"} | GENERAL),
    "dpo": ("dpo.py", DPO, {"data.paths": "plays"}),
    "dpo_turn": ("dpo_turn.py", DPO, {"data.paths": "plays"}),
    "dpo_fork": ("dpo_turn.py", DPO | {"steps": 60, "optim.learning_rate": 3e-4, "dpo.sft": 0.2}, {"data.paths": "forks"}),
    "grpo": ("grpo.py", GRPO, {}),
    "grpo_kl": ("grpo.py", GRPO | KL, {}),
    "grpo_general": ("grpo.py", GRPO, GENERAL),
    "grpo_kept": ("grpo.py", GRPO | KL, GENERAL),
    "grpo_lora": ("grpo.py", GRPO | {"lora.rank": 16, "optim.learning_rate": 5e-3}, {}),  # ten times that of all weights
}
# row -> what its last stage was tried with, on training instances of seed 0 (`pilot`); the best stands in STAGES
PILOT: dict[str, tuple[dict, ...]] = {
    "sft": ({},),
    "sft_dpo_fork": tuple({"optim.learning_rate": rate, "dpo.sft": x} for rate, x in ((3e-4, 0.0), (3e-4, 0.2), (1e-3, 0.2))),
}
PILOT_PLAYS = {"instances": 60, "plays": 4}
# data set -> games, who plays (scripted teachers, the base, or the SFT model of the seed), settings, and the folder it gives
DATA: dict[str, tuple[tuple[str, ...], str, dict, str]] = {
    "teacher": (GROUPS["trained"], "teacher", {"instances": 300, "outcomes": "success"}, "interactions"),
    "plays": (GROUPS["trained"], "sft", {"instances": 50, "plays": 8}, "interactions"),
    "forks": (GROUPS["trained"], "sft", {"instances": 240, "forks": 4, "part": 240}, "pairs"),
    "general": (GROUPS["reference"], "base", {"instances": 150}, "interactions"),
}


def flags(settings: Mapping[str, object]) -> list[str]:
    return [f"--config.{name}={value}" for name, value in settings.items()]


# ---------------------------------------------------------------------------------------------- one row


def once(folder: Path, work: Callable[[], object]) -> dict[str, float]:
    """Do what fills a folder, unless that was done; what it cost. The last line it writes is the account."""
    file = folder / ACCOUNT
    if not file.exists():
        began, used = time.perf_counter(), time.process_time()
        if status := work():
            raise SystemExit(f"{folder}: status {status}")
        made = {"processor": round(time.process_time() - used, 1), "wall": round(time.perf_counter() - began, 1)}
        metrics.replace(file, metrics.json_text(made) + "\n")
    return json.loads(file.read_text())


def dataset(name: str, seed: int, out: Path) -> tuple[Path, dict[str, dict]]:
    """The folder of a data set, played if it is not there, and the costs of all that it took."""
    names, who, settings, read = DATA[name]
    folder, costs = out / f"seed{seed}" / name, {}
    if who == "teacher":
        model, players = "tiny", ",".join(f"{game}.{games.make(game).seats[0]}=scripted" for game in names)
    else:
        (model, costs), players = trained(ROWS[who], seed, out), ""
    cost = collected(folder, seed, {"games": ",".join(names), "players": players, "model.path": model}, settings)
    return folder / read, costs | {name: cost}


def collected(folder: Path, seed: int, who: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, float]:
    """Plays of training instances; what they cost."""
    made = SETTINGS | {"seed": seed, "rollout.temperature": 1.0, **who}
    made |= {f"collect.{key}": value for key, value in settings.items()}
    return once(folder, lambda: collect.main(["--config=collect.py", f"--workdir={folder}", *flags(made)]))


def trained(stages: Sequence[str], seed: int, out: Path) -> tuple[Path, dict[str, dict]]:
    """The folder of the model that these stages make, trained if it is not there, and the costs of all that it took."""
    if not stages:
        folder = out / "base"
        cost = once(folder, lambda: train.main(["--config=study_base.py", f"--workdir={folder}"]))
        return folder, {"base": cost}
    folder = out / f"seed{seed}" / "-".join(stages)
    return folder, stage(stages, seed, out, folder, {})


def stage(stages: Sequence[str], seed: int, out: Path, folder: Path, changes: Mapping[str, object]) -> dict[str, dict]:
    """Train the last of these stages, its settings changed, into a folder; the costs of all that it took."""
    before, costs = trained(stages[:-1], seed, out)
    config, settings, reads = STAGES[stages[-1]]
    made = SETTINGS | settings | {"seed": seed, "games": ",".join(GROUPS["trained"]), "model.path": before} | dict(changes)
    for setting, name in reads.items():
        made[setting], more = dataset(name, seed, out)
        costs |= more
    argv = [f"--config={config}", f"--workdir={folder}", *flags(made)]
    return costs | {"-".join(stages): once(folder, lambda: train.main(argv))}


def played(model: Path, folder: Path, temperature: float, plays: int) -> dict[str, dict[str, list[float]]]:
    """game -> the mean score of each held-out instance, and the share of its plays that kept the format."""
    limits = ["--context=256", "--max-tokens=32", "--rows=64", "--form=short", "--players="]
    argv = [f"--checkpoint={model}", f"--suite={','.join(GAMES)}", f"--out={folder}", f"--episodes={EPISODES}"]
    once(folder, lambda: evaluate.main([*argv, f"--plays={plays}", f"--temperature={temperature}", *limits]))
    found: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for row in map(scores.row, metrics.read(folder / "episodes.jsonl")):
        found[row.game][row.instance].append((row.score, 100.0 * (not row.aborted)))
    means = {game: np.array([np.mean(each, 0) for each in instances.values()]) for game, instances in found.items()}
    return {game: {"score": m[:, 0].tolist(), "played": m[:, 1].tolist()} for game, m in means.items()}


def text_loss(model: Path) -> dict[str, float]:
    """game -> nats per token of what a strong player says to held-out instances."""
    policy, found = pp.load(model), {}
    for name in GAMES:
        game, total, count = games.make(name), 0.0, 0
        for number, instance in enumerate(game.instances("test", EPISODES, 1)):
            play = game.start(instance, form="short")
            while play.ask is not None:
                play.reply(game.players[play.ask.seat]["scripted"](play.view(play.ask.seat, str(number), 1.0)))
            mine = [exchange(ask.text, reply) for ask, reply in play.history if ask.seat == game.seats[0]]
            ids, mask = policy.chat.dialogue([message for each in mine for message in each])
            padded = np.zeros((1, 64 * -(-len(ids) // 64)), np.int32)  # few shapes to compile
            padded[0, : len(ids)] = ids
            logits = np.asarray(policy.logits(padded), np.float64)[0, : len(ids) - 1]
            logps = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
            said = logps[np.arange(len(ids) - 1), ids[1:]][mask[1:]]
            total, count = total - said.sum(), count + len(said)
        found[name] = total / count
    return found


def run(row: str, seed: int, out: Path) -> None:
    """One row of one seed, into DIR/rows; nothing is done if it is there."""
    file = out / "rows" / f"{row}-{seed}.json"
    if file.exists():
        return
    model, costs = trained(ROWS[row], seed, out)
    made = {"row": row, "seed": seed, "cost": costs}
    evaluated = out / "evaluated" / f"{row}-{seed}"
    made["sampled"] = played(model, evaluated / "sampled", 1.0, PLAYS)
    made["greedy"] = played(model, evaluated / "greedy", 0.0, 1)
    made["text_loss"] = text_loss(model)
    curve = [line["reward"] for line in metrics.read(model / "metrics.jsonl") if "reward" in line]
    made["reward"] = [round(value, 4) for value in curve]
    file.parent.mkdir(parents=True, exist_ok=True)
    metrics.replace(file, metrics.json_text(made) + "\n")


def every(rows: Sequence[str], seeds: Sequence[int], out: Path) -> None:
    """These rows, seed by seed; the base is the same for all seeds."""
    for seed in seeds:
        for row in rows:
            if row != "base" or seed == seeds[0]:
                run(row, seed, out)


def pilot(out: Path) -> dict[str, list[dict]]:
    """Row of PILOT -> the score of seed 0 under each of its settings, on fresh training instances."""
    found: dict[str, list[dict]] = {}
    for row, tried in PILOT.items():
        for number, changes in enumerate(tried):
            model = out / "pilot" / f"{row}-{number}"
            if changes.items() <= STAGES[ROWS[row][-1]][1].items():  # what the row does
                model, _ = trained(ROWS[row], 0, out)
            else:
                stage(ROWS[row], 0, out, model, changes)
            plays = out / "pilot" / "plays" / f"{row}-{number}"
            who = {"games": ",".join(GROUPS["trained"]), "model.path": model}
            collected(plays, 1000, who, PILOT_PLAYS)  # a seed that no row draws its instances by
            found.setdefault(row, []).append({"settings": changes, "score": trained_score(plays)})
            print(f"{row} {changes}: {found[row][-1]['score']}")
    return found


def trained_score(folder: Path) -> dict[str, float]:
    """The mean score of collected plays, game by game, and of the games."""
    found: dict[str, list[float]] = defaultdict(list)
    for file in sorted((folder / "episodes").glob("*.jsonl")):
        for row in map(scores.row, metrics.read(file)):
            found[row.game].append(row.score)
    means = {game: round(float(np.mean(each)), 2) for game, each in found.items()}
    return means | {"mean": round(float(np.mean(list(means.values()))), 2)}


# ---------------------------------------------------------------------------------------------- what came out


def said_done(out: Path) -> dict[str, dict[str, int]]:
    """Stage of single turns -> its pairs, over all seeds, and how many prefer, or reject, that the walker says it is done."""
    found: dict[str, dict[str, int]] = {}
    for made_of_turns in ("dpo_turn", "dpo_fork"):
        config, settings, reads = STAGES[made_of_turns]
        name = reads["data.paths"]
        for folder in sorted(file.parent for file in out.glob(f"seed*/{name}/{ACCOUNT}")):
            given = SETTINGS | settings | {"seed": folder.parent.name[4:], "data.paths": folder / DATA[name][3]}
            made = found.setdefault(made_of_turns, {"pairs": 0, "prefer": 0, "reject": 0})
            for pair in dpo.gather(configs.load(config, {key: str(value) for key, value in given.items()})):
                made["pairs"] += 1
                made["prefer"] += pair.chosen[-1]["content"] == "DONE"
                made["reject"] += pair.rejected[-1]["content"] == "DONE"
    return found


def read(out: Path) -> dict[str, list[dict]]:
    """row -> what its seeds reached."""
    found: dict[str, list[dict]] = {}
    for row in ROWS:
        files = sorted((out / "rows").glob(f"{row}-[0-9]*.json"))
        if files:
            found[row] = [json.loads(file.read_text()) for file in files]
    for row, seeds in found.items():
        for made in seeds:
            episodes = metrics.read(out / "evaluated" / f"{row}-{made['seed']}" / "sampled" / "episodes.jsonl")
            made["levels"] = by_level([each for each in episodes if each["game"] == LOOKED_AT])
    return found


def by_level(episodes: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    """level -> mean score, and mean number of replies."""
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for episode in episodes:
        row = scores.row(episode)
        found[episode["level"]].append((row.score, row.turns))
    return {level: dict(zip(("score", "replies"), np.mean(each, 0).tolist())) for level, each in found.items()}


def values(made: Mapping, kind: str, names: Sequence[str], key: str = "score") -> np.ndarray:
    """The instances of these games, one after another."""
    return np.concatenate([made[kind][name][key] for name in names])


def change(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> dict[str, object]:
    """Difference of seeds [instances] to those of another row (or to its only one), paired by instance.

    Its interval resamples instances, and seeds within them; p: of the means over seeds, under random signs.
    """
    each = np.stack([b - before[i % len(before)] for i, b in enumerate(after)], 1)
    found = {"difference": statistics.bootstrap(each.tolist()).json(), "p": statistics.sign_flip(each.mean(1).tolist())}
    return found | {"by_seed": each.mean(0).round(2).tolist()}


def part(rows: Mapping[str, list[dict]], row: str, kind: str, names: Sequence[str]) -> dict[str, object]:
    """Score and share played of these games, and how the score differs from the base and from rows of the same seed."""
    now = [values(made, kind, names) for made in rows[row]]
    found = {"score": round(float(np.mean(now)), 2)}
    found["played"] = round(float(np.mean([values(made, kind, names, "played") for made in rows[row]])), 1)
    if row != "base":
        found["to_base"] = change([values(made, kind, names) for made in rows["base"]], now)
    for other in AGAINST:
        of_seed = {made["seed"]: values(made, kind, names) for made in rows.get(other, ())}
        if row not in ("base", other) and all(made["seed"] in of_seed for made in rows[row]):
            found[f"to_{other}"] = change([of_seed[made["seed"]] for made in rows[row]], now)
    return found


def losses(made: Sequence[Mapping], names: Sequence[str]) -> dict[str, object]:
    each = [float(np.mean([one["text_loss"][name] for name in names])) for one in made]
    return {"mean": round(float(np.mean(each)), 4), "by_seed": [round(x, 4) for x in each]}


def summary(rows: Mapping[str, list[dict]]) -> dict[str, object]:
    """All that the document and the notebook show, as plain data."""
    found = {}
    for row, made in rows.items():
        parts = {**GROUPS, **{name: (name,) for name in GAMES}}
        one: dict[str, object] = {"seeds": [each["seed"] for each in made]}
        for kind in ("sampled", "greedy"):
            one[kind] = {name: part(rows, row, kind, names) for name, names in parts.items()}
        one["text_loss"] = {name: losses(made, names) for name, names in parts.items()}
        one["levels"] = {
            level: {key: round(float(np.mean([each["levels"][level][key] for each in made])), 2) for key in numbers}
            for level, numbers in made[0]["levels"].items()
        }
        costs = [[cost["processor"] for name, cost in each["cost"].items() if name != "base"] for each in made]
        one["processor_seconds"] = [round(sum(each), 1) for each in costs]
        one["stages"] = {name: cost["processor"] for name, cost in made[0]["cost"].items()}
        if any(each["reward"] for each in made):
            one["reward"] = [each["reward"] for each in made]
        found[row] = one
    setup = {"groups": GROUPS, "instances": EPISODES, "plays": PLAYS, "stages": STAGES, "data": DATA, "settings": SETTINGS}
    return {"setup": setup, "rows": found}


def signed(found: Mapping | None) -> str:
    if found is None:
        return ""
    value, low, high = found["difference"]
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def tables(made: Mapping) -> str:
    """The tables of docs/study.md."""
    lines = []
    titles = {"sampled": "Temperature 1", "greedy": "Greedy"}
    for kind, title in titles.items():
        lines += [f"### {title}: score, and its change to the base", ""]
        lines += ["| row | seeds | " + " | ".join(f"{name} | change" for name in NAMES.values()) + " | played % |"]
        lines += ["| --- " * (2 * len(NAMES) + 3) + "|"]
        for row, one in made["rows"].items():
            cells = [f"`{row}`", str(len(one["seeds"]))]
            for group in GROUPS:
                cells += [f"{one[kind][group]['score']:.1f}", signed(one[kind][group].get("to_base"))]
            cells.append(" / ".join(f"{one[kind][group]['played']:.0f}" for group in GROUPS))
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["### Each game at temperature 1", "", "| row | " + " | ".join(f"`{game}`" for game in GAMES) + " |"]
    lines += ["| --- " * (1 + len(GAMES)) + "|"]
    for row, one in made["rows"].items():
        cells = [f"{one['sampled'][game]['score']:.1f} {signed(one['sampled'][game].get('to_base'))}" for game in GAMES]
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    for other in AGAINST:
        lines += ["", f"### Change to `{other}` of the same seed, temperature 1", ""]
        lines += ["| row | " + " | ".join(NAMES.values()) + " |", "| --- " * (1 + len(NAMES)) + "|"]
        for row, one in made["rows"].items():
            if f"to_{other}" in one["sampled"]["trained"]:
                cells = [signed(one["sampled"][group][f"to_{other}"]) for group in GROUPS]
                lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    lines += ["", "### Pairs of single turns in which a walker says that it is done", ""]
    lines += ["| stage | pairs of all seeds | prefer DONE | reject DONE |", "| --- | --- | --- | --- |"]
    for stage, counts in made.get("said_done", {}).items():
        lines.append(f"| `{stage}` | " + " | ".join(map(str, counts.values())) + " |")
    lines += ["", f"### `{LOOKED_AT}` level by level, temperature 1: score (mean number of replies)", ""]
    levels = list(made["rows"]["base"]["levels"])
    lines += ["| row | " + " | ".join(levels) + " |", "| --- " * (1 + len(levels)) + "|"]
    for row, one in made["rows"].items():
        cells = [f"{one['levels'][level]['score']:.1f} ({one['levels'][level]['replies']:.1f})" for level in levels]
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    lines += ["", "### Text loss (nats per token of a strong player's replies) and cost", ""]
    lines += ["| row | " + " | ".join(NAMES.values()) + " | seconds of the processor, after the base |"]
    lines += ["| --- " * (2 + len(NAMES)) + "|"]
    for row, one in made["rows"].items():
        cells = [f"{one['text_loss'][group]['mean']:.3f}" for group in GROUPS]
        lines.append(f"| `{row}` | " + " | ".join(cells) + f" | {np.mean(one['processor_seconds']):.0f} |")
    return "\n".join(lines) + "\n"


def replication(made: Mapping, before: Mapping) -> str:
    """The changes to the base at temperature 1, from the first base of the study and from this one."""
    lines = ["", "### The rows that an earlier base had, too: change to the base, first that one's, then this one's", ""]
    lines += ["| row | " + " | ".join(f"{name}, earlier | now" for name in NAMES.values()) + " |"]
    lines += ["| --- " * (1 + 2 * len(NAMES)) + "|"]
    for row in before["rows"]:
        if row != "base" and row in made["rows"]:
            each = [[of["rows"][row]["sampled"][group] for of in (before, made)] for group in GROUPS]
            lines.append(f"| `{row}` | " + " | ".join(signed(one["to_base"]) for pair in each for one in pair) + " |")
    return "\n".join(lines) + "\n"


def forest(made: Mapping, kind: str) -> str:
    """Change of each row to the base with its interval, a line for each group of games."""
    rows = [row for row in made["rows"] if row != "base"]
    changes = {(row, group): made["rows"][row][kind][group]["to_base"]["difference"] for row in rows for group in GROUPS}
    marks = charts.ticks(min(low for _, low, _ in changes.values()), max(high for _, _, high in changes.values()))
    height = 24  # of a row
    left, right, top, bottom = 110, charts.WIDTH - 20, 16, 16 + height * len(rows)

    def x(value: float) -> float:
        return left + (right - left) * (value - marks[0]) / (marks[-1] - marks[0])

    parts = []
    for mark in marks:
        parts.append(f'<line class="grid" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(mark):.1f}" y="{bottom + 14}" text-anchor="middle">{mark:+g}</text>')
    for color, (group, name) in enumerate(NAMES.items()):
        parts.append(f'<circle class="f{color}" cx="{60 + 105 * color}" cy="5" r="3"/>')
        parts.append(f'<text x="{68 + 105 * color}" y="9">{name}</text>')
        for i, row in enumerate(rows):
            value, low, high = changes[row, group]
            y = top + (i + (color + 1) / (len(GROUPS) + 1)) * height
            tip = html.escape(f"{row}, {name}: {signed(made['rows'][row][kind][group]['to_base'])}")
            parts.append(f'<line class="error s{color}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<circle class="f{color}" cx="{x(value):.1f}" cy="{y:.1f}" r="3"><title>{tip}</title></circle>')
    for i, row in enumerate(rows):
        parts.append(f'<text x="{left - 6}" y="{top + (i + 0.5) * height + 4:.1f}" text-anchor="end">{row}</text>')
    return charts.standalone("".join(parts), "Change of the score to the base", "95 % intervals", height=bottom + 20)


def table(out: Path) -> None:
    costs = [json.loads(file.read_text())["processor"] for file in out.rglob(ACCOUNT)]
    made = summary(read(out)) | {"said_done": said_done(out), "processor_seconds": round(sum(costs))}
    (DOCS / "results" / "study.json").write_text(metrics.json_text(made, indent=1) + "\n", encoding="utf-8")
    (DOCS / "study_changes.svg").write_text(forest(made, "sampled"), encoding="utf-8")
    if curves := made["rows"].get("grpo", {}).get("reward"):
        runs = [[{"step": i + 1, "reward": value} for i, value in enumerate(curve)] for curve in curves]
        title = "GRPO from the base: mean reward in training"
        (DOCS / "study_reward.svg").write_text(charts.learning_curve_svg(runs, "reward", title), encoding="utf-8")
    file = DOCS / "study.md"
    head = file.read_text(encoding="utf-8").partition("<!-- table -->")[0] if file.exists() else ""
    before = json.loads((DOCS / "results" / "study_first_base.json").read_text("utf-8"))
    text = tables(made) + replication(made, before)
    file.write_text(head + "<!-- table -->\n\n" + text, encoding="utf-8")
    print(text)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=("run", "all", "pilot", "table"))
    options.add_argument("row", nargs="?", choices=tuple(ROWS))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seeds", default="0,1,2")
    options.add_argument("--rows", default=",".join(ROWS))
    options.add_argument("--out", required=True, type=Path)
    args = options.parse_args()
    if args.what == "run":
        if args.row is None:
            options.error("run wants a row")
        run(args.row, args.seed, args.out)
    elif args.what == "all":
        every(args.rows.split(","), [int(seed) for seed in args.seeds.split(",")], args.out)
    elif args.what == "pilot":
        made = {"plays": PILOT_PLAYS, "rows": pilot(args.out)}
        (DOCS / "results" / "study_pilot.json").write_text(metrics.json_text(made, indent=1) + "\n", encoding="utf-8")
    else:
        table(args.out)


if __name__ == "__main__":
    main()
