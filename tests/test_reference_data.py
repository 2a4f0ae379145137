"""Reference tasks from rows of their data sets: files, folders, `datasets`; what is wrong is said in one line."""

from __future__ import annotations

import json

import pytest

import games
from playpen_jax.data import reference

ROWS = {
    "bbh": [{"input": f"not True and {word} is", "target": "False"} for word in ("True", "False", "not True", "not False")],
    "cladder": [{"prompt": "Does it?", "label": "no"}, {"prompt": "Would it?", "label": "yes"}],
    "eqbench": [
        {
            "prompt": "How?",
            "reference_answer_fullscale": "{'emotion1': 'Sad', 'emotion2': 'Glad', 'emotion1_score': 3, 'emotion2_score': '8'}",
        }
    ],
    "ifeval": [
        {
            "prompt": "Say it",
            "instruction_id_list": ["punctuation:no_comma", "detectable_format:number_bullet_lists"],
            "kwargs": [{"num_bullets": None}, {"num_bullets": 2}],
        }
    ],
    "mmlu_pro": [
        {
            "question": f"{n}?",
            "options": [str(i) for i in range(10)],
            "answer": "ABCDEFGHIJ"[n % 10],
            "category": "computer science",
        }
        for n in range(7)
    ],
}
RIGHT = {"bbh": "False", "cladder": "no", "eqbench": "Sad: 3\nGlad: 8", "ifeval": "* a\n* b", "mmlu_pro": "The answer is (F)"}
COUNTS = {"bbh": 1, "cladder": 2, "eqbench": 1, "ifeval": 1, "mmlu_pro": 2}


def write(path, rows):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answered(name: str, pair, reply: str):
    play = games.make(name).start(*pair)
    play.reply(reply)
    return play


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_a_file(name, tmp_path):
    found = reference.instances(write(tmp_path / "word_sorting.jsonl", ROWS[name]), name)
    assert len(found) == COUNTS[name] and [instance["game_id"] for instance, _ in found] == list(range(len(found)))
    assert answered(name, found[0], RIGHT[name]).outcome.status == "success"
    assert answered(name, found[0], "A").outcome.status != "success"


def test_examples_are_taken_from_the_rows(tmp_path):
    (pair,) = reference.instances(write(tmp_path / "boolean_expressions.jsonl", ROWS["bbh"]), "bbh")
    text = answered("bbh", pair, "False").history[0][0].text
    assert text.count("\nA: False\n\n") == 3 and text.endswith("Q: not True and not False is\nA:")
    assert pair[1]["name"] == "boolean_expressions"
    first, _ = reference.instances(write(tmp_path / "x.jsonl", ROWS["mmlu_pro"]), "mmlu_pro")
    text = answered("mmlu_pro", first, "").history[0][0].text
    assert text.count("The answer is (") == 6 and text.endswith(
        "5?\nOptions:\n" + "".join(f"{c}. {i}\n" for i, c in enumerate("ABCDEFGHIJ"))
    )
    assert first[1]["name"] == "mmlu_pro_computer_science" and "computer science" in text


def test_a_folder_has_one_experiment_a_file(tmp_path):
    for task in ("dyck_languages", "navigate"):
        write(tmp_path / f"{task}.jsonl", ROWS["bbh"])
    assert [settings["name"] for _, settings in reference.instances(tmp_path, "bbh")] == ["dyck_languages", "navigate"]


def test_an_official_file_keeps_its_prompts(tmp_path):
    instance = {"game_id": 7, "input": "x", "target": "y"}
    file = tmp_path / "instances.json"
    file.write_text(json.dumps({"experiments": [{"name": "e", "initial_prompt": "<{{input}}>", "game_instances": [instance]}]}))
    assert reference.instances(file, "bbh") == [(instance, {"name": "e", "initial_prompt": "<{{input}}>"})]


@pytest.mark.parametrize(
    "name, rows, problem",
    [
        ("bbh", [{"input": "a"}] * 4, "'target'"),
        ("bbh", ROWS["bbh"][:3], "no instance of bbh"),
        ("cladder", [{"prompt": "a", "label": "maybe"}], "instance 0: field 'target'"),
        ("eqbench", [{"prompt": "a", "reference_answer_fullscale": "{'emotion1': "}], "SyntaxError"),
        ("ifeval", [{"prompt": "a", "instruction_id_list": ["rhyme"], "kwargs": [{}]}], "no instruction of IFEval"),
        ("wordle", [{}], "reference tasks alone"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name, rows, problem, tmp_path):
    with pytest.raises(ValueError, match=problem) as error:
        reference.instances(write(tmp_path / "rows.jsonl", rows), name)
    assert "rows.jsonl" in str(error.value) and "\n" not in str(error.value)


def test_broken_json_and_empty_folders(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"input": "a"}\n{')
    with pytest.raises(ValueError, match="line 2: not JSON"):
        reference.instances(tmp_path / "rows.jsonl", "bbh")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no .jsonl"):
        reference.instances(tmp_path / "empty", "bbh")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_rows_by_datasets(tmp_path, monkeypatch):
    """The hub is not asked: the data set is a folder."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    home = tmp_path / "ifeval"
    write(home / "train.jsonl", ROWS["ifeval"])
    ((instance, settings),) = reference.instances(f"hf:{home}", "ifeval")
    assert instance["target"] == {"punctuation:no_comma": {}, "detectable_format:number_bullet_lists": {"num_bullets": 2}}
    datasets.Dataset.from_list(ROWS["cladder"]).to_parquet(tmp_path / "cladder.parquet")
    assert len(reference.instances(tmp_path / "cladder.parquet", "cladder")) == 2
