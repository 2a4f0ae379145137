"""Rows in: every kind of file, bad rows named with file and line, nothing lost silently, recorded episodes as they were."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import games
from games import results_tree
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.data.read import Dialogue, Pair, Reader
from playpen_jax.data.rows import Counts, ends, samples
from tests.common import SHARED

USER, SAID = {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}
GOOD = {"messages": [USER, SAID], "meta": {"game": "taboo", "outcome": "lose", "score": 0}}
BAD = {
    "not JSON": b"{'messages': []}",
    "not UTF-8": b'{"messages": [{"role": "user", "content": "\xff"}]}',
    "no field 'messages'": b'{"text": "hello"}',
    "an object is wanted": b"[1, 2]",
    "field 'messages': a list of messages is wanted": b'{"messages": "hello"}',
    "field 'messages[0].content': a text is wanted": b'{"messages": [{"role": "user", "content": null}]}',
    "field 'messages[0].role': one of": b'{"messages": [{"role": "GM", "content": ""}]}',
    "field 'messages[0].weight': 0 or 1": json.dumps({"messages": [USER | {"weight": 2}, SAID]}).encode(),
    "prompt, chosen or rejected has messages aside": json.dumps(
        {"prompt": [USER | {"aside": True}], "chosen": "b", "rejected": "c"}
    ).encode(),
    "no learner turn: the assistant says nothing to be learned": json.dumps(
        {"messages": [USER, SAID | {"weight": 0}]}
    ).encode(),
    "roles out of order: message 0": json.dumps({"messages": [SAID, USER]}).encode(),
    "roles out of order: message 2": json.dumps({"messages": [USER, SAID, SAID]}).encode(),
    "no learner turn": json.dumps({"messages": [USER]}).encode(),
    "message too long": json.dumps({"messages": [{"role": "user", "content": "x" * 10_000_000}, SAID]}).encode(),
    "field 'meta.outcome'": json.dumps(GOOD | {"meta": {"outcome": ["success"]}}).encode(),
    "field 'meta'": json.dumps(GOOD | {"meta": 3}).encode(),
    "field 'rejected': missing": b'{"prompt": "a", "chosen": "b"}',
    "chosen and rejected are the same": b'{"prompt": "a", "chosen": "b", "rejected": "b"}',
    "not an episode": b'{"game": "taboo", "rounds": [[{}]], "players": {"Player 1": "x"}}',
    "maximum recursion": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("why", BAD)
def test_a_bad_row_is_refused_with_file_and_line(why, tmp_path):
    path = write(tmp_path / "rows.jsonl", [json.dumps(GOOD).encode(), b"", BAD[why]])
    with pytest.raises(ValueError) as refused:
        list(Reader().rows([path]))
    message = str(refused.value)
    assert message.startswith(f"{path}: line 3: ") and why in message and len(message) < 400 and "\n" not in message


def test_bad_rows_are_skipped_named_and_counted_and_the_good_ones_stay(tmp_path, capsys):
    lines = [line for bad in BAD.values() for line in (bad, json.dumps(GOOD).encode())]
    path, reader = write(tmp_path / "rows.jsonl", lines), Reader(skip=True)
    rows = list(reader.rows([path]))
    assert [row.where for row in rows] == [f"{path}: line {n}" for n in range(2, 2 * len(BAD) + 1, 2)]
    account = reader.account()
    assert (account["read"], account["bad"]) == (len(BAD), len(BAD)) == (len(rows), sum(account["bad_because"].values()))
    assert [row.split(": ")[1] for row in account["bad_rows"]] == [f"line {n}" for n in range(1, 2 * len(BAD), 2)]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6 and said[0].startswith(f"warning: {path}: line 1: not JSON") and "more bad rows" in said[-1]


def test_files_that_hold_nothing_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, why in ((tmp_path / "none", "no such file"), (tmp_path / "empty", "holds no dialogues")):
        with pytest.raises(ValueError, match=f"{path}: {why}"):
            list(Reader().rows([path]))
    whole = gzip.compress(json.dumps(GOOD).encode() * 100)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-9])
    with pytest.raises(ValueError, match="cut.jsonl.gz: not a whole gzip file"):
        list(Reader(skip=True).rows([tmp_path / "cut.jsonl.gz"]))


def test_a_prompt_logged_in_two_messages_is_joined():
    reader = Reader()
    (row,) = reader.made("here", lambda: {"messages": [{"role": "system", "content": "s"}, USER, USER, SAID, USER]})
    assert [m["role"] for m in row.messages] == ["system", "user", "assistant", "user"]
    assert row.messages[1]["content"] == "hello\n\nhello"


def test_preferences_in_all_their_forms(tmp_path):
    other = {"role": "assistant", "content": "no"}
    forms = [
        {"prompt": "hello", "chosen": "hi", "rejected": "no"},
        {"prompt": [USER], "chosen": [SAID], "rejected": [other]},
        {"chosen": [USER, SAID], "rejected": [USER, other]},  # the prompt is what they share
        {"prompt": [USER], "chosen": [USER, SAID], "rejected": [USER, other]},
    ]
    path = write(tmp_path / "pairs.jsonl", [json.dumps(form).encode() for form in forms])
    found = list(Reader().rows([path]))
    assert all(isinstance(row, Pair) for row in found)
    assert {(row.prompt, row.chosen, row.rejected) == ((USER,), (SAID,), (other,)) for row in found} == {True}


def test_a_transcript_of_ours_and_a_results_tree_give_the_same_dialogues(tmp_path):
    game = games.make("taboo")
    cast = {seat: (players["scripted"], 0.8) for seat, players in game.players.items()}
    plays = [games.play_out(game.start(instance), cast, seed) for seed, instance in enumerate(game.instances("train", 3))]
    results_tree.write(tmp_path / "tree", "mine", plays)
    lines = [
        {
            "game": "taboo",
            "level": play.instance["level"],
            "game_id": play.instance["game_id"],
            "outcome": {"status": play.outcome.status, "score": play.outcome.official()["Main Score"]},
            "turns": [{"seat": a.seat, "player": "mine", "message": a.text, "reply": r} for a, r in play.history],
        }
        for play in plays
    ]
    path = write(tmp_path / "episodes.jsonl", [json.dumps(line).encode() for line in lines])
    tree, ours = list(Reader().rows([tmp_path / "tree"])), list(Reader().rows([path]))
    key = lambda row: (row.meta["task_id"], row.meta["game_role"])
    tree, ours = sorted(tree, key=key), sorted(ours, key=key)
    assert [row.messages for row in tree] == [row.messages for row in ours] and len(tree) == 6
    for a, b in zip(tree, ours, strict=True):
        assert {**a.meta, "experiment": "", "score": 0} == {**b.meta, "experiment": "", "score": 0}
        assert a.meta["outcome"] in ("success", "failure", "aborted")
    (tmp_path / "tree" / "mine" / "taboo").rename(tmp_path / "tree" / "mine" / "kept")
    next((tmp_path / "tree").rglob("interactions.json")).write_text("{")
    with pytest.raises(ValueError, match="interactions.json: .*not JSON"):
        list(Reader().rows([tmp_path / "tree"]))


@pytest.mark.skipif(SHARED is None, reason="no recorded episodes here")
def test_on_recorded_episodes_the_loss_is_on_what_the_player_said_and_on_nothing_else():
    """Of every game the first episode: what was said comes from the record, and the mask decodes to just that."""
    chat, seen = Chat(ByteTokenizer()), set()
    for path in sorted((SHARED / "replay").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            record = json.loads(next(file))
        reader = Reader().rows([path])
        rows = [next(reader)]
        for row in reader:
            if row.where != rows[0].where:
                break
            rows.append(row)
        for row in rows:
            assert isinstance(row, Dialogue)
            (sample,) = samples(chat, row.messages, "all", 10**9, "drop", Counts())
            stops = ends(sample.mask)
            starts = [int(sample.mask[:end].nonzero()[0][-1]) for end in stops]  # the last id of each reply
            assert [int(sample.ids[i]) for i in starts] == [chat.end] * len(stops)
            said = [m["content"] for m in row.messages if m["role"] == "assistant" and m.get("weight", 1)]
            assert chat.tokenizer.decode(sample.ids[sample.mask]) == "".join(said)
            logged = [
                event["content"]
                for turn in record["rounds"]
                for event in turn
                if event["from"] == row.meta["player_name"] and event["type"] == "get message"
            ]
            if row.meta["game"] != "privateshared":  # asides are kept apart there, and a pseudo reply is logged
                assert said == logged
            seen.add(row.meta["game"])
    assert len(seen) == 34
