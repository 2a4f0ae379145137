"""Settings: files, overrides, and what is said about wrong ones."""

from __future__ import annotations

import dataclasses
import json

import pytest

from playpen_jax import config as configs
from playpen_jax.config import Config, ConfigError, Evaluation, Grpo, Model, Rollout, Sft
from playpen_jax.programs import arguments, parser


def written(tmp_path, text: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return str(path)


# ---------------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("steps", "7", 7),
        ("rollout.rows", "32", 32),
        ("rollout.temperature", "0.5", 0.5),
        ("rollout.temperature", "1", 1.0),
        ("tensorboard", "False", False),
        ("tensorboard", "1", True),
        ("algorithm", "sft", "sft"),
        ("games", "wordle", ("wordle",)),
        ("games", "wordle,taboo", ("wordle", "taboo")),
        ("games", "('wordle', 'taboo')", ("wordle", "taboo")),
        ("players", "", ()),
        ("sft.strengths", "0.5,1", (0.5, 1.0)),
        ("sft.strengths", "[0.5, 1]", (0.5, 1.0)),
        ("model.path", "None", None),
        ("model.path", "runs/grpo", "runs/grpo"),
        ("grpo.epsilon_high", "none", None),
        ("grpo.epsilon_high", "0.28", 0.28),
        ("optim.learning_rate", "1e-4", 1e-4),
    ],
)
def test_a_value_is_read_by_its_type(key, text, value):
    changed = configs.override(Config(), key, text)
    node = changed
    for part in key.split("."):
        node = getattr(node, part)
    assert node == value and type(node) is type(value)
    assert configs.override(changed, key, text) == changed
    configs.check(changed, "changed")


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("rolout.rows", "3", "unknown setting 'rolout.rows': did you mean 'rollout'?"),
        ("rollout.row", "3", "unknown setting 'rollout.row': did you mean 'rows'?"),
        ("zzz", "3", "unknown setting 'zzz': one of algorithm, "),
        ("steps.more", "3", "unknown setting 'steps.more': 'steps' has no settings of its own"),
        ("rollout", "3", "'rollout' is a section: name one of rows, dialogues, "),
        ("steps", "ten", "'steps' wants int, not 'ten'"),
        ("steps", "1.5", "'steps' wants int, not '1.5'"),
        ("steps", "", "'steps' wants int, not ''"),
        ("rollout.temperature", "hot", "'rollout.temperature' wants float, not 'hot'"),
        ("tensorboard", "yes", "'tensorboard' wants bool, not 'yes'"),
        ("sft.strengths", "0.5,much", "'sft.strengths' wants float, not 'much'"),
        ("grpo.epsilon_high", "high", "'grpo.epsilon_high' wants float, not 'high'"),
        ("algorithm", "ppo", "'algorithm' is one of grpo, sft, dpo, not 'ppo'"),
        ("optim.schedule", "", "'optim.schedule' is one of constant, linear, cosine, not ''"),
    ],
)
def test_a_wrong_override_is_named(key, text, problem):
    with pytest.raises(ConfigError) as caught:
        configs.override(Config(), key, text)
    assert str(caught.value).startswith(problem) and "\n" not in str(caught.value)


def test_overrides_are_taken_out_of_the_arguments():
    rest, found = configs.split_argv(
        ["--config=a.py", "--config.steps=3", "--workdir", "d", "--config.model.path", "x=y", "more"]
    )
    assert rest == ["--config=a.py", "--workdir", "d", "more"]
    assert found == {"steps": "3", "model.path": "x=y"}
    assert configs.split_argv(["--config.players="])[1] == {"players": ""}
    with pytest.raises(ConfigError, match="'steps' is given without a value"):
        configs.split_argv(["--config.steps"])


# ---------------------------------------------------------------------------------------------- files


def test_a_bare_name_is_found_among_the_configs_of_the_package():
    names = sorted(path.stem for path in configs.folder().glob("*.py") if not path.name.startswith("_"))
    assert {"grpo", "tiny_sft"} <= set(names)
    for name in names:
        assert configs.load(name) == configs.load(name + ".py")
        assert configs.load(name, {"steps": "3"}).steps == 3
    with pytest.raises(ConfigError, match="unknown config 'gropo': did you mean 'grpo.py'?"):
        configs.load("gropo")
    with pytest.raises(ConfigError, match="unknown config 'x/y/z.py': one of"):
        configs.load("x/y/z.py")


def test_a_file_of_ones_own(tmp_path):
    path = written(tmp_path, "from playpen_jax.config import Config\ndef config():\n    return Config(steps=3)\n")
    assert configs.load(path) == Config(steps=3)
    assert configs.load(path, {"seed": "5"}) == Config(steps=3, seed=5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def config(: pass", "mine.py: SyntaxError: "),
        ("import nothing_like_it", "mine.py: ModuleNotFoundError: "),
        ("raise RuntimeError('oh')", "mine.py: RuntimeError: oh"),
        ("x = 3", "mine.py: a config file defines `def config() -> Config`"),
        ("config = 3", "mine.py: a config file defines `def config() -> Config`"),
        ("def config(): return 3", "mine.py: config() returned int, not Config"),
        ("def config(): return C(step=3)", "keyword argument 'step': did you mean 'steps'?"),
        ("from playpen_jax.config import Rollout as R\ndef config(): return R(row=3)", "'row': did you mean 'rows'?"),
        ("def config(): return 1 / 0", "ZeroDivisionError: division by zero"),
        ("def config(): return C(steps='ten')", "mine.py: 'steps' wants int, not 'ten'"),
        ("def config(): return C(steps=True)", "mine.py: 'steps' wants int, not True"),
        ("def config(): return C(games=['wordle'])", "mine.py: 'games' wants tuple[str, ...], not ['wordle']"),
        ("def config(): return C(rollout=None)", "mine.py: 'rollout' wants Rollout, not None"),
        ("def config(): return C(algorithm='ppo')", "mine.py: 'algorithm' wants Literal['grpo', 'sft', 'dpo'], not 'ppo'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, problem):
    with pytest.raises(ConfigError) as caught:
        configs.load(written(tmp_path, "from playpen_jax.config import Config as C\n" + text))
    assert problem in str(caught.value)


def test_values_are_checked_in_every_section():
    configs.check(Config(optim=configs.Optim(learning_rate=1)), "a whole number will do for a float")
    for config, problem in [
        (Config(rollout=Rollout(rows=1.5)), "'rollout.rows' wants int, not 1.5"),
        (Config(model=Model(path=3)), "'model.path' wants str | None, not 3"),
        (Config(sft=Sft(strengths=(1.0, "x"))), "'sft.strengths' wants tuple[float, ...], not (1.0, 'x')"),
        (Config(eval=Evaluation(split="train")), "'eval.split' wants Literal['validation', 'test'], not 'train'"),
    ]:
        with pytest.raises(ConfigError) as caught:
            configs.check(config, "f.py")
        assert str(caught.value) == "f.py: " + problem


# ---------------------------------------------------------------------------------------------- as a whole


def test_every_setting_is_documented_and_can_be_set(capsys):
    lines = configs.describe(Config())

    def fields(node, prefix=""):
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            yield from (
                fields(value, f"{prefix}{field.name}.") if dataclasses.is_dataclass(value) else [(prefix + field.name, field)]
            )

    settings = list(fields(Config()))
    assert len(settings) == len(lines) > 50
    for (name, field), line in zip(settings, lines):
        assert (
            line.startswith(f"  --config.{name}=") and line.endswith(field.metadata["doc"]) and len(field.metadata["doc"]) > 10
        )
        text = line.split("=", 1)[1].split("  ")[0].split(" ")[0]
        assert configs.override(Config(), name, text) == Config(), "what --help shows can be given"
    with pytest.raises(SystemExit):
        arguments(parser("train", "What it does."), ["--help"], Config())
    shown = capsys.readouterr().out
    assert "What it does." in shown and lines[0] in shown and lines[-1] in shown


def test_a_config_survives_json():
    config = Config(steps=3, games=("wordle",), grpo=Grpo(epsilon_high=0.3), sft=Sft(strengths=(0.1, 0.9)))
    data = json.loads(json.dumps(dataclasses.asdict(config)))
    assert configs.from_json(data) == config
    with pytest.raises(ConfigError, match="config.json: unknown setting 'stepz': did you mean 'steps'"):
        configs.from_json(data | {"stepz": 3})
    with pytest.raises(ConfigError, match="config.json: unknown setting 'row': did you mean 'rows'"):
        configs.from_json(data | {"rollout": {"row": 3}})
