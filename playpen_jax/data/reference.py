"""Instances of the reference tasks from their own data sets: files of rows, or Hugging Face `datasets`.

An official instance file gives the official prompts; from rows the prompts are ours, with the examples that the task asks for
taken from the rows, so that scores of the two are not to be mixed.
"""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import games
from games import bbh_make, cladder, mmlu_pro, mmlu_pro_make, records
from games.core import InstanceError

Row = Mapping[str, Any]
Pair = tuple[dict, dict]  # instance, settings
HUB = "hf"  # `hf`: the task's own data set; `hf:NAME`: another one of the same columns, or a local folder
BBH_SHOTS = 3


def bbh(name: str, rows: Sequence[Row], examples: Sequence[Row]) -> Iterable[Pair]:
    """The first rows are the examples of the prompt, the others are played; `name` is the task of BIG-Bench Hard."""
    shots = "".join(f"Q: {row['input']}\nA: {row['target']}\n\n" for row in rows[:BBH_SHOTS])
    rules = bbh_make.TASKS[name].rules if name in bbh_make.TASKS else "Answer as in these examples, with the answer alone."
    settings = {"name": name, "initial_prompt": f"{rules}\n\n{shots}Q: {{{{input}}}}\nA:"}
    for row in rows[BBH_SHOTS:]:
        yield {"input": row["input"], "target": row["target"]}, settings


def causes(name: str, rows: Sequence[Row], examples: Sequence[Row]) -> Iterable[Pair]:
    settings = cladder.settings("seeing", "full") | {"name": name}
    for row in rows:
        yield {"input": row["prompt"], "target": row["label"]}, settings


def emotions(name: str, rows: Sequence[Row], examples: Sequence[Row]) -> Iterable[Pair]:
    for row in rows:
        answer = row["reference_answer_fullscale"]
        answer = ast.literal_eval(answer) if isinstance(answer, str) else answer
        places = [key for key in answer if not key.endswith("_score")]
        target = {answer[key]: int(answer[f"{key}_score"]) for key in places}
        yield {"input": row["prompt"], "target": target}, {"name": "eq_bench"}


def instructions(name: str, rows: Sequence[Row], examples: Sequence[Row]) -> Iterable[Pair]:
    for row in rows:
        arguments = json.loads(row["kwargs"]) if isinstance(row["kwargs"], str) else row["kwargs"]
        given = [{key: value for key, value in one.items() if value is not None} for one in arguments]
        yield {"input": row["prompt"], "target": dict(zip(row["instruction_id_list"], given))}, {"name": "ifeval"}


def choices(name: str, rows: Sequence[Row], examples: Sequence[Row]) -> Iterable[Pair]:
    """Subject by subject, after five solved questions: of the rows for examples, else the subject's first ones."""
    subjects: dict[str, list[Row]] = defaultdict(list)
    solved: dict[str, list[Row]] = defaultdict(list)
    for found, given in ((subjects, rows), (solved, examples)):
        for row in given:
            found[row["category"]].append(row)
    for subject, asked in subjects.items():
        cut = 0 if solved[subject] else mmlu_pro_make.SHOTS
        shots = (solved[subject] or asked)[: mmlu_pro_make.SHOTS]
        text = "".join(f"{_question(row)}The answer is ({row['answer']})\n\n" for row in shots)
        settings = mmlu_pro.settings("arithmetic", "full") | {"name": f"mmlu_pro_{subject.replace(' ', '_')}"}
        settings["initial_prompt"] = f"{mmlu_pro.rules(subject)}\n\n{text}{{{{input}}}}"
        for row in asked[cut:]:
            yield {"input": _question(row), "target": row["answer"]}, settings


def _question(row: Row) -> str:
    return mmlu_pro_make.lay_out(row["question"], row["options"])


class Source(NamedTuple):
    """A data set on the Hugging Face hub, and `pairs(experiment, rows, rows for examples)`."""

    path: str
    split: str
    pairs: Callable[[str, Sequence[Row], Sequence[Row]], Iterable[Pair]]
    examples: str | None = None
    config: str | None = None  # None: all of them, each one experiment


SOURCES = {
    "bbh": Source("lukaemon/bbh", "test", bbh),
    "cladder": Source("clembench-playpen/cladder", "default", causes, config="full_v1.5_default"),
    "eqbench": Source("pbevan11/EQ-Bench", "validation", emotions),
    "ifeval": Source("google/IFEval", "train", instructions),
    "mmlu_pro": Source("TIGER-Lab/MMLU-Pro", "test", choices, examples="validation"),
}


def instances(source: str | Path, name: str) -> list[Pair]:
    """All (instance, settings) of a game from an official instance file, or of a reference task from rows.

    `source`: a .json file is an official one; a .jsonl[.gz] or .parquet file, or a folder of them (one experiment a file), has
    the rows of the task's data set; "hf" or "hf:NAME" loads it with `datasets`. Raises `ValueError`: what is wrong, and where.
    """
    text = str(source)
    if text == HUB or text.startswith(HUB + ":"):
        return _made(text, name, _hub(text[len(HUB) + 1 :], name))
    path = Path(source)
    if path.is_file() and not _has_rows(path):
        return records.read_instances(path, name)
    files = sorted(filter(_has_rows, path.iterdir())) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: no .jsonl, .jsonl.gz or .parquet file in this folder")
    return _made(text, name, [(file.name.split(".")[0], _rows(file), []) for file in files])


def _has_rows(path: Path) -> bool:
    return path.name.endswith((".jsonl", ".jsonl.gz", ".parquet"))


def _rows(path: Path) -> list[Row]:
    if path.suffix == ".parquet":
        import pyarrow.parquet  # comes with `datasets`, the `reference` extra

        return pyarrow.parquet.read_table(path).to_pylist()
    with records.open_text(path) as file:
        found = []
        for number, line in enumerate(file, 1):
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:  # a file from outside: say where
                raise ValueError(f"{path}: line {number}: not JSON: {error.msg}") from None
    return found


def _hub(place: str, name: str) -> list[tuple[str, Sequence[Row], Sequence[Row]]]:
    import datasets  # the `reference` extra

    source = _source(HUB, name)
    place = place or source.path
    configs = [source.config] if source.config else datasets.get_dataset_config_names(place)
    load = lambda config, split: list(datasets.load_dataset(place, config, split=split)) if split else []
    return [(config, load(config, source.split), load(config, source.examples)) for config in configs]


def _source(where: str, name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"{where}: rows are read for the reference tasks alone ({', '.join(SOURCES)}), not for {name}")
    return SOURCES[name]


def _made(where: str, name: str, parts: Iterable[tuple[str, Sequence[Row], Sequence[Row]]]) -> list[Pair]:
    """The instances of some experiments, numbered and checked."""
    game, source = games.make(name), _source(where, name)
    found: list[Pair] = []
    for experiment, rows, examples in parts:
        try:
            for instance, settings in source.pairs(experiment, rows, examples):
                game.start(instance, settings)
                found.append(({"game_id": len(found), **instance}, settings))
        except InstanceError as error:
            raise ValueError(f"{where}: {experiment}, instance {len(found)}: {error}") from None
        except (KeyError, TypeError, AttributeError, ValueError, SyntaxError) as error:  # rows of other columns or types
            raise ValueError(f"{where}: {experiment}, instance {len(found)}: {type(error).__name__}: {error}") from None
    if not found:
        raise ValueError(f"{where}: no instance of {name}")
    return found
