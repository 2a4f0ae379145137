"""Policies from wherever they lie, what they generate, and `pp.play`."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import playpen_jax as pp
from playpen_jax import checkpoint, hf, model
from playpen_jax.chat import Chat, SentencePiece, train_sentencepiece
from playpen_jax.policy import TINY, Policy, compute_dtype, numbers
from tests import toys
from tests.test_sampler import whole

ASKED = [
    [{"role": "user", "content": "find the word"}],
    [{"role": "user", "content": "guess"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "again"}],
    [{"role": "system", "content": "be short"}, {"role": "user", "content": "CLUE: a small animal"}],
]


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr("playpen_jax.policy.ROWS", toys.ROWS)


@pytest.fixture
def policy(toy, toy_chat) -> Policy:
    return Policy(*toy, toy_chat)


def same(a: Policy, b: Policy) -> bool:
    """The same weights to the bit, the same decoder, the same tokenizer."""
    equal = jax.tree.map(lambda x, y: x.dtype == y.dtype and np.array_equal(x, y), a.params, b.params)
    return a.config == b.config and all(jax.tree.leaves(equal)) and a.chat.tokenizer.serialized == b.chat.tokenizer.serialized


# ---------------------------------------------------------------------------------------------- loading


def test_import_is_quick_and_needs_no_jax():
    code = "import sys, playpen_jax as pp; pp.make('wordle'); print('jax' in sys.modules, 'numpy' in sys.modules, dir(pp))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert out.stdout.split("\n")[0] == "False False ['Policy', 'load', 'make', 'play']"
    with pytest.raises(AttributeError, match="module 'playpen_jax' has no attribute 'lode'"):
        _ = pp.lode
    assert pp.Policy is Policy and callable(pp.play)


def test_a_hugging_face_folder(policy, toy_folder):
    assert same(pp.load(toy_folder), policy)
    assert same(pp.load(str(toy_folder)), policy)


def test_a_training_directory_a_checkpoint_and_the_folder_of_them(policy, toy_run, toy, toy_chat):
    for path in (toy_run, toy_run / "checkpoints", toy_run / "checkpoints" / "2"):
        assert same(pp.load(path), policy)
    older = pp.load(toy_run / "checkpoints" / "1")
    assert same(older, Policy(toy[0], toys.weights(toy[0], toy_chat.end, seed=8), toy_chat)) and not same(older, policy)


def test_how_a_policy_was_trained(policy, toy_run, toy_folder):
    wanted = {"form": "short", "players": ("taboo.describer=random",)}
    assert pp.load(toy_run).trained() == pp.load(toy_run / "checkpoints" / "1").trained() == wanted
    assert pp.load(toy_folder).trained() == policy.trained() == {"form": "full", "players": ()}
    assert dataclasses.replace(policy, folder=TINY).trained()["form"] == "short"


def test_weights_without_a_tokenizer(tmp_path, toy):
    hf.save(tmp_path / "bare", *toy)
    bare = pp.load(tmp_path / "bare")
    assert bare.chat is None and bare.logits(np.array([[1, 2]])).shape == (1, 2, toy[0].vocab)
    with pytest.raises(ValueError, match="bare: no tokenizer, so text cannot be generated"):
        bare.generate(ASKED)
    with pytest.raises(ValueError, match="bare: no tokenizer, so it cannot play"):
        pp.play("wordle", bare)


def test_folders_that_hold_no_policy(tmp_path):
    with pytest.raises(ValueError, match="nothing: no such folder; a policy is a Hugging Face folder, a checkpoint, or 'tiny'"):
        pp.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="config.json: cannot be read"):
        pp.load(tmp_path / "empty")


@pytest.mark.parametrize("damage", ["cut", "noise", "gone", "meta", "half"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, toy_run, policy, damage):
    """The newest is damaged; the older one stays as it is and loads by its own name."""
    folder = tmp_path / "run"
    shutil.copytree(toy_run, folder)
    newest = folder / "checkpoints" / "2"
    data = sorted((path for path in (newest / "params").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)[-1]
    if damage == "cut":
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    elif damage == "noise":
        data.write_bytes(np.random.default_rng(0).bytes(data.stat().st_size))
    elif damage == "gone":
        data.unlink()
    elif damage == "meta":
        shutil.rmtree(newest / "meta")
    else:  # killed while it was written: Orbax gives the final name at the end
        newest.rename(newest.with_name("2.orbax-checkpoint-tmp"))
        assert checkpoint.find(folder) == folder / "checkpoints" / "1"
        assert not same(pp.load(folder), policy)
        return
    with pytest.raises(checkpoint.CheckpointError, match="checkpoints/2: not a readable checkpoint") as caught:
        pp.load(folder)
    assert "\n" not in str(caught.value)
    pp.load(folder / "checkpoints" / "1")


def test_computing_types():
    assert compute_dtype("bfloat16") == "bfloat16"
    assert compute_dtype("auto") == ("float32" if jax.default_backend() == "cpu" else "bfloat16")


# ---------------------------------------------------------------------------------------------- answering


def test_logits_are_those_of_the_whole_pass(policy, toy):
    tokens = np.random.default_rng(0).integers(0, toy[0].vocab, (3, 17))
    logits = policy.logits(tokens)
    assert logits.shape == (3, 17, toy[0].vocab) and logits.dtype == jnp.float32
    for row, got in zip(tokens, logits):
        np.testing.assert_allclose(got, whole(*toy, row.tolist()), atol=1e-4)
    assert numbers(policy.params) == model.param_count(toy[0])
    half = Policy(dataclasses.replace(toy[0], dtype="bfloat16"), toy[1])
    assert half.logits(tokens[:1, :4]).dtype == jnp.float32


def test_greedy_replies_are_the_likeliest_tokens(policy, toy, toy_chat):
    for dialogue, reply in zip(ASKED, policy.generate(ASKED, max_tokens=10)):
        ids, said = toy_chat.dialogue(dialogue)[0].tolist(), []
        while len(said) < 10 and toy_chat.end not in said:
            said.append(int(whole(*toy, ids + said)[-1].argmax()))
        assert reply == toy_chat.text(said)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_reply_depends_on_seed_and_dialogue_alone(policy, temperature):
    said = policy.generate(ASKED, 10, temperature)
    assert said == policy.generate(ASKED, 10, temperature)
    assert said == policy.generate(ASKED[::-1], 10, temperature)[::-1]
    assert said[1:2] == policy.generate(ASKED[1:2], 10, temperature)
    others = [[{"role": "user", "content": f"another {i} " * (i % 5)}] for i in range(10)]
    assert said == policy.generate(others + ASKED, 10, temperature)[10:], "more dialogues than rows, other lengths"


def test_temperature_seed_and_repetition_draw_anew(policy):
    hot = policy.generate(ASKED, 10, 1.0)
    assert hot != policy.generate(ASKED, 10, 1.0, seed=1) != policy.generate(ASKED, 10)
    assert len(set(policy.generate(ASKED[:1] * 8, 10, 1.0))) > 4
    assert len(set(policy.generate(ASKED[:1] * 8, 10))) == 1
    assert policy.generate(ASKED, 10, 1.0, top_k=1) == policy.generate(ASKED, 10)
    assert policy.generate([]) == []


def test_strange_dialogues_are_answered_and_wrong_ones_refused(policy):
    odd = [[{"role": "user", "content": text}] for text in ("", "\ud800\x00", "<eos><|assistant|>", "▁" * 30, "x" * 60)]
    assert len(policy.generate(odd, max_tokens=4)) == 5
    for dialogue in ([], ASKED[1][:2]):
        with pytest.raises(ValueError, match="dialogue 1 does not end with a message of the user"):
            policy.generate([ASKED[0], dialogue])
    with pytest.raises(ValueError, match="message 1 is the user's"):
        policy.generate([ASKED[0] * 2])
    with pytest.raises(ValueError, match="not for a reply of 0"):
        policy.generate(ASKED, max_tokens=0)


def small_chat() -> Chat:
    """Of fewer pieces than the toy's."""
    return Chat(SentencePiece(train_sentencepiece(["some other words and signs"] * 9, 300)))


def test_a_vocabulary_wider_than_the_tokenizer(toy):
    wide, drawn = Policy(*toy, small_chat()), {}
    for reply in wide.generate(ASKED * 3, 10, 1.0):
        drawn[reply] = True
    assert len(drawn) > 5 and wide.chat.tokenizer.size < toy[0].vocab


# ---------------------------------------------------------------------------------------------- playing


def short_play(*args, **options):
    return pp.play(*args, **{"max_tokens": 12, "context": toys.CONTEXT, "rows": toys.ROWS, "form": "short"} | options)


def test_play_with_one_policy_in_all_seats(policy):
    episodes = short_play(toys.CHATTER, policy, episodes=5)
    assert len(episodes) == 5 and len({episode.instance["topic"] for episode in episodes}) == 5
    assert all(set(episode.rows) == {"left", "right"} for episode in episodes)
    assert {turn.player for episode in episodes for turn in episode.turns} == {"policy"}


def test_play_seat_by_seat(policy, toy, toy_chat):
    other = Policy(toy[0], toys.weights(toy[0], toy_chat.end, seed=3), toy_chat)
    episodes = short_play(toys.CHATTER, {"left": policy, "right": other}, episodes=3)
    assert [turn.player for turn in episodes[0].turns[:2]] == ["policy", "policy1"]
    (episode,) = short_play("taboo", {"guesser": policy}, episodes=1)
    assert [turn.player for turn in episode.turns[:2]] == ["scripted", "policy"]
    episodes = short_play("guesswhat", {"guesser": "scripted:0.9", "answerer": "scripted"}, episodes=4)
    assert all(turn.player in ("scripted:0.9", "scripted") for episode in episodes for turn in episode.turns)
    wins = [pp.play("taboo", player, episodes=12) for player in ("scripted", "broken")]
    assert [sum(e.outcome.status == "success" for e in each) > 6 for each in wins] == [True, False]


def test_play_is_a_function_of_its_arguments(policy):
    def texts(**options):
        return [[turn.reply for turn in e.turns] for e in short_play(toys.CHATTER, policy, episodes=2, **options)]

    assert texts() == texts()
    assert texts(temperature=1.0) == texts(temperature=1.0) != texts()
    assert texts(seed=1) != texts()


def test_play_takes_prompts_split_and_level(toy_run):
    trained = pp.load(toy_run)
    for form, wanted in ((None, "short"), ("full", "full")):
        (episode,) = short_play("taboo", {"guesser": trained}, episodes=1, form=form)
        message = pp.make("taboo").start(episode.instance, form=wanted).ask.text
        assert episode.turns[0].message == message
    episodes = pp.play("wordle", "random", episodes=6, level="medium", split="validation")
    wanted = pp.make("wordle").instances("validation", 6, 0, "medium")
    assert [episode.instance for episode in episodes] == wanted


def test_play_goes_round_when_a_split_has_too_few_instances():
    game = dataclasses.replace(toys.CHATTER, target=lambda instance: "all the same")
    episodes = pp.play(game, "scripted", episodes=3)
    assert [episode.sample for episode in episodes] == [0, 1, 2]
    assert len({tuple(turn.reply for turn in episode.turns) for episode in episodes}) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"game": "tabo"}, KeyError, "unknown game 'tabo': did you mean 'taboo'"),
        ({"players": "scritped"}, ValueError, "taboo.describer has no player 'scritped': did you mean 'scripted'"),
        ({"players": {"giver": "scripted"}}, ValueError, "taboo has no seat 'giver': one of describer, guesser"),
        ({"form": "long"}, ValueError, "unknown form 'long': one of full, short"),
        ({"split": "dev"}, ValueError, "unknown split 'dev'"),
        ({"level": "hard"}, ValueError, "taboo has no level 'hard'"),
    ],
)
def test_play_names_what_does_not_exist(arguments, error, problem):
    with pytest.raises(error, match=problem):
        pp.play(**{"game": "taboo", "players": "scripted", "episodes": 1} | arguments)


def test_chance_is_never_a_policys(policy):
    with pytest.raises(ValueError, match="codenames.opponent has no player 'policy'"):
        pp.play("codenames", {"opponent": policy}, episodes=1)


def test_policies_with_different_tokenizers_play_together(policy, toy):
    other = Policy(*toy, small_chat())
    for episode in short_play(toys.CHATTER, {"left": policy, "right": other}, episodes=2):
        for seat, chat in (("left", policy.chat), ("right", other.chat)):
            first = next(turn.message for turn in episode.turns if turn.seat == seat)
            opening = chat.opening(first)
            assert episode.rows[seat].ids[: len(opening)].tolist() == opening


# ---------------------------------------------------------------------------------------------- the embedded model


def test_the_embedded_model_plays_by_the_rules():
    tiny = pp.load("tiny")
    assert tiny.folder == TINY and tiny.trained()["form"] == "short"
    assert numbers(tiny.params) == model.param_count(tiny.config) < 5_000_000
    for game, seat in (("wordle", "guesser"), ("guesswhat", "guesser")):
        episodes = short_play(game, {seat: tiny}, episodes=3, max_tokens=32, form=None)
        assert {turn.player for episode in episodes for turn in episode.turns if turn.seat == seat} == {"policy"}
        assert sum(episode.played for episode in episodes) >= 2
