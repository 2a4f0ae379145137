"""Selection: each rule, and an account in which every row is either kept or dropped for a reason."""

from __future__ import annotations

import json

import pytest

from playpen_jax.config import ConfigError, Data
from playpen_jax.data import gather
from playpen_jax.data.read import Dialogue
from playpen_jax.data.select import Ranking, select


def row(n: int, **meta) -> Dialogue:
    messages = ({"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"})
    base = {"game": "taboo", "experiment": "e", "task_id": 0, "game_role": "Guesser", "model": "m", "outcome": "success"}
    return Dialogue(messages, base | {"score": 100.0} | meta, f"line {n}")


ROWS = [
    row(0),
    row(1, outcome="failure", score=0.0),
    row(2, outcome="aborted", score=None),
    row(3, game="wordle", score=50.0),
    row(4, game_role="Describer"),
    row(5, model="other", task_id=1),
    row(0, model="copy"),
]


@pytest.mark.parametrize(
    "settings, kept, why",
    [
        ({}, [0, 1, 2, 3, 4, 5], "the same dialogue"),
        ({"unique": False}, [0, 1, 2, 3, 4, 5, 6], None),
        ({"outcomes": ("success",)}, [0, 3, 4, 5], "outcome is not among"),
        ({"outcomes": ("failure", "aborted")}, [1, 2], "outcome is not among"),
        ({"games": ("wordle",)}, [3], "game is not among"),
        ({"roles": ("Describer",)}, [4], "game_role is not among"),
        ({"models": ("other",)}, [5], "model is not among"),
        ({"min_score": 60.0}, [0, 4, 5], "score is less"),
    ],
)
def test_each_rule_keeps_what_it_says_and_tells_the_rest(settings, kept, why):
    found, account = select(ROWS, Data(**settings), seed=0)
    assert [ROWS.index(each) for each in found] == kept
    told = account.to_json()
    assert told["rows"] == len(ROWS) == told["kept"] + sum(each["rows"] for each in told["dropped"].values())
    assert (why is None and not told["dropped"]) or any(reason.startswith(why) for reason in told["dropped"])
    assert sum(told["kept_by_game"].values()) == told["kept"]


def test_caps_are_even_draws_that_keep_the_order_and_repeat():
    rows = [row(n, task_id=n, experiment=f"e{n % 3}", game=f"g{n % 2}") for n in range(120)]
    for settings, groups, most in ((Data(per_game=10), 2, 10), (Data(per_experiment=4), 6, 4)):
        found, account = select(rows, settings, seed=1)
        places = [rows.index(each) for each in found]
        assert len(found) == groups * most and places == sorted(places)
        assert max(places) > 60 and places == [rows.index(each) for each in select(rows, settings, seed=1)[0]]
        assert places != [rows.index(each) for each in select(rows, settings, seed=2)[0]]
        assert account.to_json()["kept"] == len(found)


def test_the_papers_rule_keeps_the_best_models_of_each_instance():
    """b plays everything well; a half as often; c aborts: per instance the best one that is there stays."""
    rows = [row(1, model="a", outcome="failure", score=0.0), row(2, model="a", task_id=1), row(3, model="b")]
    rows += [row(4, model="c"), row(5, model="c", task_id=1), row(6, model="c", task_id=2, outcome="aborted", score=None)]
    rows += [row(7, model="c", task_id=3)]
    ranking = Ranking()
    for each in rows:
        ranking.count(each)
    assert ranking.scores() == pytest.approx({"a": 50.0, "b": 100.0, "c": 75.0})
    found, _ = select(rows, Data(outcomes=("success",), best_models=1), seed=0)
    assert [(each.meta["model"], each.meta["task_id"]) for each in found] == [("b", 0), ("c", 1), ("c", 3)]
    found, _ = select(rows, Data(outcomes=("success",), best_models=2), seed=0)
    assert [(each.meta["model"], each.meta["task_id"]) for each in found] == [
        ("a", 1), ("b", 0), ("c", 0), ("c", 1), ("c", 3)
    ]  # fmt: skip


def write(path, rows):
    path.write_text("".join(json.dumps({"messages": r.messages, "meta": r.meta}) + "\n" for r in rows))
    return str(path)


def test_general_data_is_mixed_in_by_weight_and_again_where_there_is_too_little(tmp_path, capsys):
    games = write(tmp_path / "games.jsonl", [row(n, task_id=n) for n in range(90)])
    general = write(tmp_path / "general.jsonl", [row(1000 + n, game=None) for n in range(4)])
    found = gather.dialogues(Data(paths=(games,), general=(general,), general_weight=0.1), seed=0)
    texts = [messages[0]["content"] for messages in found]
    assert len(texts) == 100 and sorted(set(texts[90:])) == ["q1000", "q1001", "q1002", "q1003"]
    assert max(texts.count(f"q{1000 + n}") for n in range(4)) == 3
    assert found.account["general"]["mixed_in"] == 10 and found.account["selection"]["kept"] == 90
    assert "90 of 90 rows kept" in capsys.readouterr().out
    for weight in (0.0, 1.0):
        with pytest.raises(ConfigError, match="general_weight"):
            gather.dialogues(Data(paths=(games,), general=(general,), general_weight=weight), seed=0)


def test_if_no_row_is_left_the_reasons_are_told(tmp_path):
    games = write(tmp_path / "games.jsonl", ROWS)
    with pytest.raises(ConfigError, match=r"no row is left:   7 dropped: game is not among data.games"):
        gather.dialogues(Data(paths=(games,), games=("chess",)), seed=0)
    with pytest.raises(ConfigError, match="no such file or folder"):
        gather.dialogues(Data(paths=(str(tmp_path / "none"),)), seed=0)
