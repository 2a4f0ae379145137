"""The programs as their users meet them: what they write, what they say, and how they take bad input."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import math
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import games
import playpen_jax as pp
from games import play_out
from playpen_jax import model
from playpen_jax.chat import clean
from tests.common import ROOT, SHARED
from tests.test_layers import PROGRAMS
from tests.toys import CONTEXT, ROWS


class Ran(NamedTuple):
    """How a program ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def program(capsys, monkeypatch):
    """Run a program of the package in this process."""

    def run(name: str, *argv: object, typed: str = "") -> Ran:
        argv = [str(word) for word in argv]
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        monkeypatch.setattr(sys, "argv", [name, *argv])
        try:
            if name == "play":  # not imported: `playpen_jax.play` is the function of that name
                runpy.run_module("playpen_jax.play", run_name="__main__")
            status = importlib.import_module(f"playpen_jax.{name}").main(argv)
        except SystemExit as end:  # the way of argparse, of wrong input, and of a module that is run
            status = end.code
        return Ran(status, *capsys.readouterr())

    return run


def assert_one_line(ran: Ran, *parts: str) -> None:
    """Exit status 2 and one line on stderr that says `parts`."""
    assert ran.status == 2
    assert ran.err.startswith("error: ") and ran.err.endswith("\n") and ran.err.count("\n") == 1, ran.err
    for part in parts:
        assert part in ran.err, ran.err


# ---------------------------------------------------------------------------------------------- replay


def record(number: int = 0) -> dict:
    """A recorded episode of Wordle between our own players, in the format of the published ones."""
    game = games.make("wordle")
    instance = game.instances("train", number + 1)[number]
    settings = game.settings(instance["level"], "full")
    play = play_out(game.start(instance, settings), {"guesser": (game.players["guesser"]["scripted"], 1.0)})
    rounds = [
        [
            {"from": "GM", "to": "Player 1", "type": "send message", "content": ask.text},
            {"from": "Player 1", "to": "GM", "type": "get message", "content": reply},
        ]
        for ask, reply in play.history
    ]
    return {
        "suite": "indomain",
        "game": "wordle",
        "experiment": instance["level"],
        "game_id": instance["game_id"],
        "model": "scripted",
        "instance": instance,
        "settings": settings,
        "players": {"Player 1": "WordGuesser"},
        "rounds": rounds,
        "episode_scores": play.outcome.official(),
    }


def write_records(path: Path, *records: object) -> Path:
    lines = "".join(json.dumps(each) + "\n" for each in records)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def counts(*numbers: int) -> dict[str, int]:
    return dict(zip(("episodes", "equal", "different", "failed"), numbers))


def test_equal_episodes_exit_with_0(program, tmp_path):
    path = write_records(tmp_path / "wordle.jsonl", record(0), record(1))
    ran = program("replay", path)
    assert (ran.status, ran.err) == (0, "")
    wanted = [{"game": "wordle"} | counts(2, 2, 0, 0), {"game": "total"} | counts(2, 2, 0, 0)]
    assert [json.loads(line) for line in ran.out.splitlines()] == wanted
    (tmp_path / "more").mkdir()
    packed = write_records(tmp_path / "more" / "again.jsonl.gz", record(2))
    ran = program("replay", tmp_path, packed)
    assert ran.status == 0 and json.loads(ran.out.splitlines()[-1]) == {"game": "total"} | counts(3, 3, 0, 0)


def test_different_and_failed_episodes_are_counted_and_shown(program, tmp_path):
    scores, missing, unknown = record(1), record(2), record(3)
    scores["episode_scores"]["Main Score"] = 7
    del missing["instance"]["target_word"]
    unknown["game"] = "wordel"
    path = write_records(tmp_path / "wordle.jsonl", record(0), scores, missing, unknown)
    ran = program("replay", path)
    assert (ran.status, ran.err) == (1, "")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert lines == [
        {"game": "wordel"} | counts(1, 0, 0, 1),
        {"game": "wordle"} | counts(3, 1, 1, 1),
        {"game": "total"} | counts(4, 1, 1, 2),
    ]
    shown = program("replay", path, "--show=2")
    assert shown.out == ran.out
    first, second = shown.err.splitlines()
    assert first.startswith(f"wordle/{scores['experiment']}/1 scripted: different: Main Score: official 7, ours ")
    assert "failed: InstanceError: field 'target_word': missing" in second


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (lambda r: r["rounds"].pop(), "the record ended, the engine still asks guesser"),
        (lambda r: r["rounds"].append(r["rounds"][-1]), "the engine ended (success"),
        (lambda r: r["episode_scores"].clear(), "no scores"),
    ],
)
def test_what_differs_is_said(program, tmp_path, tamper, why):
    tampered = record()
    tamper(tampered)
    ran = program("replay", write_records(tmp_path / "wordle.jsonl", tampered), "--show=1")
    assert ran.status == 1 and ": different: " in ran.err and why in ran.err
    assert json.loads(ran.out.splitlines()[0])["different"] == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b'{"game": 1\n', "a.jsonl: line 1: JSONDecodeError"),
        ("a.jsonl", b"[]\n", "a.jsonl: line 1: TypeError"),
        ("a.jsonl", b'\n{"game": "wordle"}\n', "a.jsonl: line 2: KeyError"),
        ("a.jsonl", b'{"suite": "a", "experiment": "b", "settings": {"x": 1}}\n', "a.jsonl: episode 1: field 'game'"),
        ("a.jsonl", b"\xff\xfe\n", "a.jsonl: 'utf-8' codec can't decode"),
        ("a.jsonl", b"", "a.jsonl: neither recorded episodes nor a clembench results tree"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz: Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(b'{"game": "x"}\n' * 99)[:-9], "a.jsonl.gz: "),
        ("r/g/e/instance_00000/interactions.json", b"{", "interactions.json: not JSON"),
        ("r/g/e/instance_00000/interactions.json", b"{}", "instance.json: missing"),
        ("notes.txt", b"hello", "neither recorded episodes nor a clembench results tree"),
    ],
)
def test_broken_records_are_named(program, tmp_path, name, content, problem):
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    ran = program("replay", tmp_path / "in" if path.suffix not in (".jsonl", ".gz") else path)
    assert_one_line(ran, problem)
    assert ran.out == ""
    assert_one_line(program("replay", tmp_path / "nowhere"), "nowhere: neither recorded episodes")


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes")
def test_published_episodes_replay_equal(program):
    ran = program("replay", SHARED / "replay" / "wordle.jsonl.gz", SHARED / "replay" / "taboo.jsonl.gz")
    assert ran.status == 0
    assert {json.loads(line)["game"] for line in ran.out.splitlines()} == {"taboo", "wordle", "total"}


# ---------------------------------------------------------------------------------------------- play


def word(seed: int) -> str:
    """The secret of `play wordle --seed=seed`."""
    return games.make("wordle").instances("test", 1, seed, "easy")[0]["target_word"]


def test_wordle_played_by_hand_to_a_win(program):
    typed = f"explanation: a start\nguess: crane\n\nexplanation: sure\nguess: {word(3)}\n\n"
    ran = program("play", "wordle", "--seed=3", typed=typed)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("wordle, level easy, seed 3: you are the guesser.\nEnd a reply with an empty line")
    assert "c<red> r<yellow> a<red> n<red> e<green>" in ran.out
    *_, status, score = ran.out.splitlines()
    assert status.startswith("success") and score == f"score 100 of 100, 2 replies, the word: {word(3)}"


def test_the_end_of_the_input_sends_what_was_typed_then_leaves(program):
    ran = program("play", "wordle", "--seed=3", typed=f"\n\nexplanation: sure\nguess: {word(3)}")
    assert ran.status == 0 and "score 100 of 100, 1 replies" in ran.out
    ran = program("play", "wordle", "--seed=3", typed="explanation: a\nguess: crane\n\n")
    assert ran.status == 0 and ran.out.endswith("\nleft the game\n")


def test_an_abort_has_no_score(program):
    ran = program("play", "wordle", "--seed=3", "--form=short", typed="what?\n\n")
    assert ran.status == 0
    *_, status, score = ran.out.splitlines()
    assert status.startswith("aborted: ") and score == f"no score, 1 replies, the word: {word(3)}"


def test_the_other_seats_are_scripted_and_stay_hidden(program):
    ran = program("play", "taboo", "--seed=3", "--form=short", typed="GUESS: zebra\n\n")
    secret = games.make("taboo").instances("test", 1, 3, "high")[0]
    assert "you are the guesser" in ran.out and "CLUE:" in ran.out
    assert secret["target_word"] not in ran.out, "the describer's message is not mine to see"
    ran = program("play", "taboo", "--seat=describer", "--players=guesser=random", "--seed=3", typed="CLUE: thing\n\n")
    assert secret["target_word"] in ran.out and "GUESS:" in ran.out
    again = program("play", "taboo", "--seat=describer", "--players=guesser=random", "--seed=3", typed="CLUE: thing\n\n")
    assert again == ran


def test_a_model_takes_a_seat(program, toy_folder):
    argv = ("play", "taboo", f"--players=describer={toy_folder}", "--seed=3", "--form=short")
    ran = program(*argv)
    assert ran.status == 0 and "aborted" in ran.out, "the toy cannot speak the format"
    assert program(*argv) == ran


def test_nothing_in_a_message_bends_the_terminal(capsys):
    show = runpy.run_module("playpen_jax.play")["show"]
    show("a\x1b[2Jb\x07\ud800\u202e\nsecond ▢ line")
    assert capsys.readouterr().out == "a⟨1B⟩[2Jb⟨07⟩⟨D800⟩⟨202E⟩\nsecond ▢ line\n\n"


def test_any_bytes_may_be_typed():
    """100,000 odd characters and what is no text at all, through a real standard input."""
    odd = "GUESS: " + "é\x00\u202e▁\x1b[2J" * 14_000 + "\n\n"
    typed = odd.encode() + b"GUESS: \xff\xfe\n\n" + odd.encode()
    argv = [sys.executable, "-m", "playpen_jax.play", "taboo", "--seed=3", "--form=short"]
    ran = subprocess.run(argv, input=typed, capture_output=True, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (0, b"")
    *_, status, score = ran.stdout.decode().splitlines()
    assert status.startswith(("aborted", "lose")) and "replies, the word: " in score


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["wordel"], "unknown game 'wordel': did you mean 'wordle'"),
        (["zzzzzz"], "unknown game 'zzzzzz': one of "),
        (["taboo", "--seat=giver"], "taboo has no seat 'giver': one of describer, guesser"),
        (["taboo", "--players=describer=scritped"], "taboo.describer has no player 'scritped': did you mean 'scripted'"),
        (["taboo", "--players=describer=scripted:2"], "the strength is a number from 0 to 1"),
        (["taboo", "--players=giver=scripted"], "taboo has no seat 'giver'"),
        (["taboo", "--players=describer"], "--players: 'describer' is not of the form seat=player"),
        (["taboo", "--players=describer=games"], "games/config.json: cannot be read"),
        (["taboo", "--level=hard"], "taboo has no level 'hard': one of high, medium, low"),
        (["taboo", "--form=long"], "argument --form: invalid choice: 'long'"),
        (["taboo", "--seed=one"], "argument --seed: invalid int value: 'one'"),
        (["taboo", "--sead=1"], "unrecognized arguments: --sead=1"),
        ([], "the following arguments are required: GAME"),
    ],
)
def test_a_game_that_cannot_be_played_is_refused(program, monkeypatch, argv, problem):
    monkeypatch.chdir(ROOT)
    ran = program("play", *argv)
    assert_one_line(ran, problem)
    assert ran.out == ""


# ---------------------------------------------------------------------------------------------- evaluate


def evaluate(program, checkpoint: Path, out: Path, *more: object) -> Ran:
    """Two games, three instances each, with the toy's shapes; later arguments win."""
    few = ("--episodes=3", f"--rows={ROWS}", f"--context={CONTEXT}", "--max-tokens=12", "--form=short")
    return program("evaluate", f"--checkpoint={checkpoint}", "--suite=wordle,taboo", f"--out={out}", *few, *more)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, toy_folder) -> Path:
    """The folder of one evaluation, shared by the tests that only read it."""
    from playpen_jax import evaluate as evaluation

    out = tmp_path_factory.mktemp("evaluated") / "new" / "folder"
    few = ["--episodes=3", f"--rows={ROWS}", f"--context={CONTEXT}", "--max-tokens=12", "--form=short", "--temperature=1"]
    argv = [f"--checkpoint={toy_folder}", "--suite=wordle,taboo", f"--out={out}", "--players=taboo.describer=scripted", *few]
    assert evaluation.main(argv) == 0
    return out


def test_an_evaluation_writes_tables_transcripts_and_tree(evaluated, toy_folder):
    files = {"results.csv", "results.html", "summary.json", "episodes.jsonl", "setup.json", "cost.json", "policy"}
    assert {path.name for path in evaluated.iterdir()} == files
    episodes = lines(evaluated / "episodes.jsonl")
    assert [episode["game"] for episode in episodes] == ["wordle"] * 3 + ["taboo"] * 3
    assert {turn["player"] for episode in episodes for turn in episode["turns"]} == {"learner", "scripted"}
    (spent,) = lines(evaluated / "cost.json")
    assert spent["seconds"] > 0 and 0 < spent["tokens_said"] <= 12 * sum(len(e["turns"]) for e in episodes)
    assert spent["tokens_read"] > 10 * len(episodes)
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["model"] == str(toy_folder) and summary["episodes"] == 6
    played = [100 * sum(e["outcome"]["status"] != "aborted" for e in part) / 3 for part in (episodes[:3], episodes[3:])]
    assert [summary["games"][name]["played"] for name in ("wordle", "taboo")] == pytest.approx(played, abs=0.01)
    header, row = csv.reader((evaluated / "results.csv").read_text().splitlines())
    table = dict(zip(header, row))
    assert table[""] == str(toy_folder) and float(table["all, Average % Played"]) == summary["played"]
    page = (evaluated / "results.html").read_text()
    assert "<table>" in page and "taboo, % Played" in page


def test_the_tree_of_an_evaluation_replays_equal(program, evaluated):
    for path in (evaluated, evaluated / "policy"):
        ran = program("replay", path)
        assert ran.status == 0
        assert [json.loads(line) for line in ran.out.splitlines()] == [
            {"game": "taboo"} | counts(3, 3, 0, 0),
            {"game": "wordle"} | counts(3, 3, 0, 0),
            {"game": "total"} | counts(6, 6, 0, 0),
        ]
    files = sorted(path.name for path in (evaluated / "policy" / "taboo").rglob("*.json"))
    assert files.count("interactions.json") == files.count("scores.json") == files.count("instance.json") == 3


def test_an_evaluation_is_repeatable_in_other_rows(program, evaluated, toy_folder, tmp_path):
    ran = evaluate(program, toy_folder, tmp_path, "--players=taboo.describer=scripted", "--temperature=1", "--suite=taboo")
    assert ran.status == 0 and "taboo" in ran.out and "clemscore" in ran.out
    assert lines(tmp_path / "episodes.jsonl") == lines(evaluated / "episodes.jsonl")[3:]
    again = evaluate(program, toy_folder, tmp_path, "--players=taboo.describer=scripted", "--temperature=1", "--suite=taboo")
    assert again.status == 0 and lines(tmp_path / "episodes.jsonl") == lines(evaluated / "episodes.jsonl")[3:]


def test_a_trained_policy_is_evaluated_as_it_was_trained(program, toy_run, tmp_path):
    ran = program(
        "evaluate", f"--checkpoint={toy_run}", "--suite=taboo", f"--out={tmp_path}", "--episodes=1", f"--rows={ROWS}",
        f"--context={CONTEXT}", "--max-tokens=12", "--temperature=1",
    )  # fmt: skip
    assert ran.status == 0 and "short prompts" in ran.out and "against taboo.describer=random" in ran.out
    (episode,) = lines(tmp_path / "episodes.jsonl")
    assert episode["turns"][0]["player"] == "random"


def test_episodes_that_a_limit_cut_count_as_aborted(program, toy_folder, tmp_path):
    ran = evaluate(program, toy_folder, tmp_path, "--suite=taboo", "--players=taboo.describer=scripted", "--max-turns=1")
    assert ran.status == 0
    assert [(e["stop"], e["outcome"]["status"]) for e in lines(tmp_path / "episodes.jsonl")] == [("turns", "aborted")] * 3
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["games"]["taboo"]["played"] == 0 and summary["games"]["taboo"]["quality"] is None
    replayed = program("replay", tmp_path, "--show=1")
    assert replayed.status == 1 and "the engine still asks guesser" in replayed.err, "the rules saw no end, and that is said"


def official(path: Path, change: Callable[[dict], object] = lambda experiment: None) -> Path:
    """An instance file of Wordle in the official format, with a change of its one experiment."""
    game = games.make("wordle")
    instances = game.instances("test", 2, level="easy")
    experiment = game.settings("easy", "short") | {"name": "mine", "game_instances": instances}
    change(experiment)
    path.write_text(json.dumps({"experiments": [experiment]}, indent=1))
    return path


def test_official_instance_files_are_played(program, toy_folder, tmp_path):
    file = official(tmp_path / "instances.json")
    ran = evaluate(program, toy_folder, tmp_path / "out", "--suite=wordle", f"--instances={file}")
    assert ran.status == 0 and str(file) in ran.out
    episodes = lines(tmp_path / "out" / "episodes.jsonl")
    assert [e["instance"] for e in episodes] == json.loads(file.read_text())["experiments"][0]["game_instances"]
    assert (tmp_path / "out" / "policy" / "wordle" / "mine" / "instance_00001" / "interactions.json").is_file()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda e: e["game_instances"][1].pop("target_word"), "game_instances[1]: field 'target_word': missing"),
        (lambda e: e["game_instances"][0].update(target_word=5), "field 'target_word': int given, str wanted"),
        (lambda e: e.update(common_config=3), "field 'common_config': int given"),
        (lambda e: e.update(game_instances=3), "field 'experiments[0].game_instances': a list is wanted"),
        (lambda e: e["game_instances"].insert(0, 3), "field 'game_instances': an object is wanted"),
    ],
)
def test_a_malformed_instance_file_is_named_by_line_and_field(program, toy_folder, tmp_path, change, problem):
    file = official(tmp_path / "instances.json", change)
    ran = evaluate(program, toy_folder, tmp_path / "out", "--suite=wordle", f"--instances={file}")
    assert_one_line(ran, f"{file}: line ", problem)
    line = int(ran.err.split(": line ")[1].split(":")[0])
    wanted = file.read_text().splitlines()[line - 1].strip()
    assert wanted.startswith("{"), "where the object begins"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"experiments": [\n{"name" 3}]}', "instances.json: line 2: not JSON"),
        ('{"experience": []}', "instances.json: line 1: field 'experiments': a list of experiments is wanted"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_holds_no_instances(program, toy_folder, tmp_path, text, problem):
    file = tmp_path / "instances.json"
    if text:
        file.write_text(text)
    ran = evaluate(program, toy_folder, tmp_path / "out", "--suite=wordle", f"--instances={file}")
    assert_one_line(ran, str(file), problem)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--suite=wordel"], "unknown game 'wordel': did you mean 'wordle'"),
        (["--suite=wordle,"], "unknown game ''"),
        (["--players=taboo.describer=scritped"], "did you mean 'scripted'"),
        (["--players=taboo.giver=scripted"], "taboo has no seat 'giver'"),
        (["--players=tabo.guesser=scripted"], "unknown game 'tabo': did you mean 'taboo'"),
        (["--players=describer=scripted"], "players: 'describer=scripted' is not of the form game.seat=player"),
        (["--instances=x.json"], "--instances wants --suite to name one game"),
        (["--temperature=-1"], "sampling wants temperature >= 0"),
        (["--rows=1"], "--rows=1: an episode needs 2, one for each seat of the policy"),
        (["--rows=0"], "--rows=0 is less than 1"),
        (["--max-tokens=0"], "--max-tokens=0 is less than 1"),
        (["--episodes=many"], "argument --episodes: invalid int value: 'many'"),
        (["--split=dev"], "argument --split: invalid choice: 'dev'"),
        (["--checkpoint=nowhere"], "nowhere: no such folder; a policy is a Hugging Face folder, a checkpoint, or 'tiny'"),
        (["--out=FILE"], "Not a directory"),
        (["--out=FILE/sub/folder"], "Not a directory"),
    ],
)
def test_an_evaluation_that_cannot_be_made_is_refused_before_it_begins(program, toy_folder, tmp_path, more, problem):
    file = tmp_path / "file"
    file.write_text("kept")
    more = [word.replace("FILE", str(file)) for word in more]
    if more[0].endswith(str(file)):
        problem = "File exists"
    ran = evaluate(program, toy_folder, tmp_path / "out", *more)
    assert_one_line(ran, problem)
    assert ran.out == "" and not (tmp_path / "out").exists() and file.read_text() == "kept"


# ---------------------------------------------------------------------------------------------- convert


def test_checkpoint_to_folder_and_back_keeps_every_bit(program, toy_run, tmp_path, toy):
    ran = program("convert", toy_run, tmp_path / "a")
    assert ran.status == 0
    assert ran.out == f"{tmp_path / 'a'}: {model.param_count(toy[0]):,} weights, as folder\n"
    assert program("convert", tmp_path / "a", tmp_path / "b").status == 0
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    one, two = pp.load(toy_run), pp.load(tmp_path / "b")
    assert one.config == two.config and one.trained() == two.trained()
    asked = [[{"role": "user", "content": "find the word"}]]
    assert one.generate(asked, 8) == two.generate(asked, 8)
    np.testing.assert_array_equal(one.params["embed"], two.params["embed"])
    assert program("convert", toy_run / "checkpoints" / "1", tmp_path / "older").status == 0
    assert not np.array_equal(pp.load(tmp_path / "older").params["embed"], one.params["embed"])


def test_a_folder_may_be_written_in_half_precision(program, toy_folder, tmp_path):
    assert program("convert", toy_folder, tmp_path / "half", "--dtype=bfloat16").status == 0
    whole, half = pp.load(toy_folder), pp.load(tmp_path / "half")
    np.testing.assert_allclose(half.params["embed"], whole.params["embed"], rtol=2**-8)
    sizes = [(path / "model.safetensors").stat().st_size for path in (toy_folder, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]


def test_what_cannot_be_converted_is_refused(program, toy_folder, tmp_path):
    (tmp_path / "file").write_text("kept")
    assert_one_line(program("convert", tmp_path / "none", tmp_path / "out"), "none: no such folder")
    assert_one_line(program("convert", tmp_path / "file", tmp_path / "out"), "file")
    assert_one_line(program("convert", toy_folder, tmp_path / "file" / "out"), "Not a directory")
    assert_one_line(program("convert", toy_folder, tmp_path / "out", "--dtype=int8"), "invalid choice: 'int8'")
    broken = tmp_path / "broken"
    shutil.copytree(toy_folder, broken)
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert_one_line(program("convert", broken, tmp_path / "out"), str(broken), "model.safetensors cannot be read")
    (broken / "model.safetensors").write_bytes(data)
    (broken / "tokenizer.model").write_bytes(b"none")
    assert_one_line(program("convert", broken, tmp_path / "out"), "tokenizer.model: not a sentencepiece model")
    assert not (tmp_path / "out").exists() and (tmp_path / "file").read_text() == "kept"


def test_a_corrupt_checkpoint_is_one_line_in_a_process_of_its_own(toy_run, tmp_path):
    """Nothing else of Orbax reaches the terminal, and the other checkpoint is still there."""
    shutil.copytree(toy_run, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints" / "2" / "params").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:100])
    argv = [sys.executable, "-m", "playpen_jax.convert", str(tmp_path / "run"), str(tmp_path / "out")]
    ran = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    assert_one_line(Ran(ran.returncode, ran.stdout, ran.stderr), "checkpoints/2: not a readable checkpoint")
    assert not (tmp_path / "out").exists() and (tmp_path / "run" / "checkpoints" / "1" / "params").is_dir()


# ---------------------------------------------------------------------------------------------- train, as far as it refuses


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--config=gropo"], "unknown config 'gropo': did you mean 'grpo.py'?"),
        (["--config=grpo.py", "--config.rolout.rows=3"], "unknown setting 'rolout.rows': did you mean 'rollout'?"),
        (["--config=grpo.py", "--config.rollout.row=3"], "unknown setting 'rollout.row': did you mean 'rows'?"),
        (["--config=grpo.py", "--config.steps=ten"], "'steps' wants int, not 'ten'"),
        (["--config=grpo.py", "--config.steps"], "'steps' is given without a value"),
        (["--config=grpo.py", "--config.games=wordel"], "unknown game 'wordel': did you mean 'wordle'"),
        (["--config=grpo.py", "--config.players=taboo.giver=scripted"], "taboo has no seat 'giver'"),
        (["--config=grpo.py", "--config.players=taboo.guesser=scritped"], "did you mean 'scripted'"),
        (["--config=grpo.py", "--workdir=FILE/run"], "FILE/run cannot be written: Not a directory"),
        (["--config=grpo.py", "--workdir=FILE"], "FILE cannot be written: File exists"),
        (["--config=grpo.py", "--workdir=gs://bucket/run"], "--workdir=gs://bucket/run: a folder is wanted"),
        (["--config=FILE"], "FILE: SyntaxError"),
        (["--konfig=grpo.py"], "required: --config"),
    ],
)
def test_a_training_that_cannot_begin_is_refused(program, tmp_path, monkeypatch, argv, problem):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "file"
    file.write_text("to be kept")
    short = ("--config.steps=1", "--config.grpo.instances=1", "--config.grpo.plays=2", "--config.eval.episodes=0")
    ran = program("train", *short, *(word.replace("FILE", str(file)) for word in argv))
    assert_one_line(ran, problem.replace("FILE", str(file)))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == [file] and file.read_text() == "to be kept"


# ---------------------------------------------------------------------------------------------- help


# runs the module `name` as `python -m` does and adds a line: whether JAX was imported on the way
WITHOUT = """
import runpy, sys
name, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(name, run_name="__main__", alter_sys=True)
finally:
    print("with" if {"jax", "jaxlib", "flax"} & set(sys.modules) else "without")
"""


def alone(name: str, *argv: str) -> Ran:
    """Run a program in a process of its own; the last word of `out` is "with" if that imported JAX, else "without"."""
    argv = [sys.executable, "-c", WITHOUT, f"playpen_jax.{name}", *argv]
    ran = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_tells_what_a_program_does_and_waits_for_no_jax(name):
    ran = alone(name, "--help")
    assert ran.status == 0 and ran.err == "" and ran.out.endswith("\nwithout\n")
    assert f"python -m playpen_jax.{name}" in ran.out and "--help" in ran.out


@pytest.mark.parametrize(
    ("name", "argv", "problem"),
    [
        ("train", ["--config=gropo"], "unknown config 'gropo'"),
        ("train", ["--config=grpo.py", "--config.rolout.rows=3"], "unknown setting 'rolout.rows'"),
        ("train", ["--config=grpo.py", "--config.steps=ten"], "'steps' wants int"),
        ("train", ["--config=grpo.py", "--config.games=wordel"], "unknown game 'wordel'"),
        ("collect", ["--config=collect.py", "--config.collect.plays=x"], "'collect.plays' wants int"),
        ("evaluate", ["--checkpoint=tiny", "--suite=wordel", "--out=out"], "unknown game 'wordel'"),
        ("compare", ["nowhere", "--out=out"], "nowhere: no such folder"),
        ("serve", ["--checkpoint=tiny", "--rows=0"], "--rows"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_without_jax(name, argv, problem):
    ran = alone(name, *argv)
    assert ran.out == "without\n"
    assert_one_line(ran, problem)


def test_what_needs_jax_is_seen_to_need_it(toy_folder, tmp_path):
    assert alone("convert", str(toy_folder), str(tmp_path / "out")).out.endswith("\nwith\n")


def test_odd_replies_stay_readable(evaluated):
    """What the toy said is no text of ours, and yet every file is UTF-8 and says the same."""
    kept = lines(evaluated / "episodes.jsonl")
    tree = [json.loads(path.read_text("utf-8")) for path in sorted((evaluated / "policy").rglob("interactions.json"))]
    said = {event["action"]["content"] for log in tree for turn in log["turns"] for event in turn}
    for episode in kept:
        for turn in episode["turns"]:
            assert clean(turn["reply"]) in said
    assert not any(math.isnan(e["outcome"]["score"] or 0) for e in kept)
