"""A policy under lm-evaluation-harness: the scores of the harness' own Hugging Face model on the same weights."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest

from playpen_jax import chat as chats
from playpen_jax import harness, hf
from playpen_jax.bridges import lm_eval as adapter
from playpen_jax.policy import Policy
from playpen_jax.sampler.sample import Sampling
from tests import toys
from tests.test_sharding import fakes

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # other people's packages
    pytest.mark.skipif(not __import__("importlib.util").util.find_spec("lm_eval"), reason="lm_eval is not installed"),
]
CONTEXT = 160
PAIRS = [
    ("The sea is", " deep and wide."),
    ("The sea is ", "deep"),
    ("", "Once upon a time"),
    ("x" * 300, " cut on the left " * 3),
    ("Question: one or two?\nAnswer:", " two"),
    ("é", "ü 字"),
]


def policy() -> Policy:
    chat = chats.Chat(chats.ByteTokenizer())
    c = toys.config(chat.tokenizer.size)
    return Policy(c, toys.weights(c, chat.end), chat)


@pytest.fixture(scope="module")
def learner() -> Policy:
    return policy()


@pytest.fixture(scope="module")
def theirs(learner, tmp_path_factory):
    """The harness' own model of the same weights, under torch, with the same ids for texts."""
    pytest.importorskip("torch")
    import tokenizers
    import transformers
    from lm_eval.models.huggingface import HFLM
    from tokenizers import decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("toy")
    hf.save(folder, learner.config, learner.params)
    signs = _signs()
    vocabulary = {signs[byte]: byte for byte in range(256)} | {"<pad>": 256, "<bos>": 257, "<eos>": 258}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    specials = dict(bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **specials)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return HFLM(pretrained=network, tokenizer=tokenizer, max_length=CONTEXT, batch_size=4, device="cpu")


def _signs() -> dict[int, str]:
    """byte -> the sign that stands for it in a byte-level vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def requests(kind: str, arguments: list[tuple]) -> list:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, one, i) for i, one in enumerate(arguments)]


@pytest.fixture(scope="module")
def ours(learner):
    return adapter.harness_model(learner, rows=4, context=CONTEXT)


def test_log_likelihoods_are_those_of_torch(ours, theirs):
    found = ours.loglikelihood(requests("loglikelihood", PAIRS), disable_tqdm=True)
    wanted = theirs.loglikelihood(requests("loglikelihood", PAIRS), disable_tqdm=True)
    np.testing.assert_allclose([total for total, _ in found], [total for total, _ in wanted], rtol=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]


def test_the_likeliest_continuation_is_greedy(learner, ours):
    ids = learner.chat.tokenizer.encode("The sea")
    for _ in range(3):
        ids.append(int(learner.logits(np.asarray([ids]))[0, -1].argmax()))
    logps = np.asarray(jax.nn.log_softmax(learner.logits(np.asarray([ids]))[0]))
    asked = [(None, ids[:7], ids[7:]), (None, ids[:7], [*ids[7:9], (ids[9] + 1) % 256])]
    (total, greedy), (_, other) = ours._loglikelihood_tokens(asked, disable_tqdm=True)
    assert total == pytest.approx(sum(logps[place - 1, ids[place]] for place in (7, 8, 9)), rel=1e-5)
    assert greedy is True and other is False


def test_rolling_log_likelihoods_are_those_of_torch(ours, theirs):
    texts = [("short",), ("a long text that needs three windows and more " * 9,), ("é" * 90,)]
    found = ours.loglikelihood_rolling(requests("loglikelihood_rolling", texts), disable_tqdm=True)
    wanted = theirs.loglikelihood_rolling(requests("loglikelihood_rolling", texts), disable_tqdm=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_greedy_replies_are_those_of_torch(ours, theirs):
    asked = [
        ("The sea is", {"until": ["\n"], "max_gen_toks": 40, "do_sample": False}),
        ("x" * 300, {"until": [], "max_gen_toks": 70, "do_sample": False, "temperature": 0.0}),
        ("A", {"until": ["e", "a"], "max_gen_toks": 100, "do_sample": False}),
    ]
    found = ours.generate_until(requests("generate_until", asked), disable_tqdm=True)
    wanted = theirs.generate_until(requests("generate_until", asked), disable_tqdm=True)
    assert found == wanted and all("e" not in found[2] and "a" not in found[2] for _ in found)


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({}, (Sampling(0.0), (), adapter.REPLY)),
        ({"until": "Q:", "max_gen_toks": 3}, (Sampling(0.0), ("Q:",), 3)),
        ({"do_sample": True, "temperature": 0.5, "top_p": 0.9, "top_k": 4}, (Sampling(0.5, 4, 0.9), (), adapter.REPLY)),
        ({"do_sample": False, "temperature": 0.7}, (Sampling(0.0), (), adapter.REPLY)),
        ({"temperature": 0.7}, (Sampling(0.7), (), adapter.REPLY)),
    ],
)
def test_settings_of_replies(settings, wanted):
    assert adapter.generation(settings, 1000) == wanted


def test_what_does_not_fit_is_said(learner):
    with pytest.raises(ValueError, match="max_gen_toks=200"):
        adapter.generation({"max_gen_toks": 200}, 200)
    with pytest.raises(ValueError, match="no tokenizer"):
        adapter.harness_model(dataclasses.replace(learner, chat=None))


def test_a_reply_ends_at_the_first_of_its_texts():
    assert adapter.ended("one two three", ["three", "two"]) == "one "
    assert adapter.ended("one", ["two", ""]) is None and adapter.ended("", ["a"]) is None


def spread() -> list:
    """Log-likelihoods on a mesh of eight devices; for a process with fake ones."""
    from playpen_jax import config, sharding

    mesh = sharding.make_mesh(config.Mesh(fsdp=2, tensor=2))
    model = adapter.harness_model(policy(), rows=4, context=CONTEXT, mesh=mesh)
    return model.loglikelihood(requests("loglikelihood", PAIRS), disable_tqdm=True) + model.generate_until(
        requests("generate_until", [("The sea is", {"max_gen_toks": 20})]), disable_tqdm=True
    )


@pytest.mark.slow
def test_a_sharded_model_gives_the_same(ours):
    printed = fakes("import json\nfrom tests import test_lm_eval\nprint(json.dumps(test_lm_eval.spread()))")
    *pairs, said = json.loads(printed.splitlines()[-1])
    wanted = ours.loglikelihood(requests("loglikelihood", PAIRS), disable_tqdm=True)
    np.testing.assert_allclose([pair[0] for pair in pairs], [pair[0] for pair in wanted], rtol=1e-4)
    assert [said] == ours.generate_until(requests("generate_until", [("The sea is", {"max_gen_toks": 20})]), disable_tqdm=True)


TASK = """task: bigger
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Which is bigger, {{{{a}}}} or {{{{b}}}}?"
doc_to_choice: ["{{{{a}}}}", "{{{{b}}}}"]
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""


def task_folder(folder):
    rows = [{"a": a, "b": b, "answer": int(b > a)} for a in range(1, 9) for b in range(1, 9) if a != b]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "bigger.yaml").write_text(TASK.format(file=folder / "rows.jsonl"))
    return folder


@pytest.mark.slow
def test_a_task_file_gives_the_accuracy_of_the_harness_own_model(ours, theirs, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=str(task_folder(tmp_path)))
    found, wanted = (
        lm_eval.simple_evaluate(one, tasks=["bigger"], task_manager=tasks, bootstrap_iters=0)["results"]["bigger"]
        for one in (ours, theirs)
    )
    assert found["acc,none"] == wanted["acc,none"] and found["acc_norm,none"] == wanted["acc_norm,none"]
    assert 0 < found["acc,none"] < 1


@pytest.mark.slow
def test_the_program(toy_run, tmp_path, capsys):
    arguments = [f"--checkpoint={toy_run}", "--tasks=bigger", f"--include={task_folder(tmp_path)}", f"--out={tmp_path / 'out'}"]
    assert harness.main([*arguments, "--context=128", "--rows=4", "--limit=10"]) == 0
    assert "|bigger|" in capsys.readouterr().out.replace(" ", "")
    assert 0 <= json.loads((tmp_path / "out" / "results.json").read_text())["results"]["bigger"]["acc,none"] <= 1
    with pytest.raises(SystemExit) as error:
        harness.main([f"--checkpoint={toy_run}", "--tasks=biggest"])
    assert error.value.code == 2 and "'biggest'" in capsys.readouterr().err
