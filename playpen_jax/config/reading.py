"""Configs from Python files, with settings overridden by text; every mistake is one line that names the nearest word known."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.resources
import re
import runpy
import types
import typing
from pathlib import Path
from typing import Any, Literal

from playpen_jax.config.settings import Config


class ConfigError(ValueError):
    """A config file, a setting's name or its value is wrong; the message is one line for the user."""


def folder() -> Path:
    """The folder of the configs that come with the package."""
    return Path(str(importlib.resources.files("playpen_jax.configs")))


def find(name: str) -> Path:
    """The file of a config: a path, or a bare name in `configs/`."""
    if Path(name).is_file():
        return Path(name)
    file = name if name.endswith(".py") else name + ".py"
    if (folder() / file).is_file():
        return folder() / file
    known = sorted(path.name for path in folder().glob("*.py") if not path.name.startswith("_"))
    raise ConfigError(f"unknown config {name!r}" + _near(file, known))


def load(name: str, overrides: dict[str, str] | None = None) -> Config:
    """The config of a file, with `overrides` (dotted key -> text) applied."""
    path = find(name)
    try:
        make = runpy.run_path(str(path)).get("config")
        config = make() if callable(make) else None
    except Exception as error:  # the file is the user's own program: whatever it raises is its fault, said in one line
        raise ConfigError(f"{path}: {type(error).__name__}: {error}" + _near_argument(str(error))) from error
    if config is None:
        raise ConfigError(f"{path}: a config file defines `def config() -> Config`")
    if not isinstance(config, Config):
        raise ConfigError(f"{path}: config() returned {type(config).__name__}, not Config")
    check(config, str(path))
    for key, text in (overrides or {}).items():
        config = override(config, key, text)
    return config


def check(node: Any, where: str, prefix: str = "") -> None:
    """Raise `ConfigError` for a value that is not of its setting's type, as a config file can give it."""
    for name, kind in typing.get_type_hints(type(node)).items():
        value = getattr(node, name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, kind):
            check(value, where, f"{prefix}{name}.")
        elif not fits(value, kind):
            raise ConfigError(f"{where}: '{prefix}{name}' wants {_kind(kind)}, not {value!r}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a setting's type; a whole number will do for a float."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, k) for k in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(part, inner[0]) for part in value)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _kind(kind: Any) -> str:
    """How a type is called in a message."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def override(config: Any, key: str, text: str) -> Any:
    """A copy of `config` in which the setting at the dotted `key` is the value written in `text`."""
    return _set(config, key.split("."), text, key)


def _set(node: Any, parts: list[str], text: str, key: str) -> Any:
    hints = typing.get_type_hints(type(node))
    if parts[0] not in hints:
        raise ConfigError(f"unknown setting '{key}'" + _near(parts[0], sorted(hints)))
    inner = getattr(node, parts[0])
    if dataclasses.is_dataclass(inner):
        if len(parts) == 1:
            raise ConfigError(f"'{key}' is a section: name one of {', '.join(f.name for f in dataclasses.fields(inner))}")
        return dataclasses.replace(node, **{parts[0]: _set(inner, parts[1:], text, key)})
    if len(parts) > 1:
        raise ConfigError(f"unknown setting '{key}': '{parts[0]}' has no settings of its own")
    return dataclasses.replace(node, **{parts[0]: read(text, hints[parts[0]], key)})


def read(text: str, kind: Any, key: str) -> Any:
    """The value written in `text`, of the type `kind`."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in inner:
            return None
        return read(text, next(k for k in inner if k is not type(None)), key)
    if origin is Literal:
        if text not in inner:
            raise ConfigError(f"'{key}' is one of {', '.join(inner)}, not {text!r}")
        return text
    if origin is tuple:
        return tuple(read(part, inner[0], key) for part in _parts(text))
    if kind is bool and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if kind is str:
        return text
    try:
        if kind in (int, float):
            return kind(text)
    except ValueError:
        pass  # said below, in our words
    raise ConfigError(f"'{key}' wants {_kind(kind)}, not {text!r}")


def _parts(text: str) -> list[str]:
    """The members of a tuple written as a,b,c or as a Python literal."""
    if text[:1] in ("(", "["):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text.strip("([])").split(",")
        return [str(part) for part in (value if isinstance(value, (tuple, list)) else [value])]
    return [part for part in text.split(",") if part]


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f": did you mean '{close[0]}'?" if close else f": one of {', '.join(known)}"


def _near_argument(message: str) -> str:
    """The setting that a config file may have meant, if Python refused an argument by this message."""
    found = re.search(r"got an unexpected keyword argument '(\w+)'", message)
    if not found or "Did you mean" in message:  # newer versions of Python say it themselves
        return ""
    sections = (kind for kind in typing.get_type_hints(Config).values() if dataclasses.is_dataclass(kind))
    return _near(found[1], sorted({field.name for kind in (Config, *sections) for field in dataclasses.fields(kind)}))


def from_json(data: dict, kind: type = Config) -> Any:
    """The config written by `dataclasses.asdict`; settings that no longer exist are an error."""
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in data.items():
        if key not in hints:
            raise ConfigError(f"config.json: unknown setting '{key}'" + _near(key, sorted(hints)))
        if dataclasses.is_dataclass(hints[key]):
            value = from_json(value, hints[key])
        values[key] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def describe(node: Any, prefix: str = "") -> list[str]:
    """One line a setting: name, value, meaning."""
    lines = []
    for field in dataclasses.fields(node):
        value, name = getattr(node, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            lines += describe(value, name + ".")
        else:
            lines.append(f"  --config.{name}={_show(value)}".ljust(50) + " " + field.metadata["doc"])
    return lines


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def split_argv(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--config.KEY=VALUE` (or `--config.KEY VALUE`) out of the arguments."""
    rest, overrides = [], {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--config."):
            rest.append(word)
            continue
        key, equals, text = word.removeprefix("--config.").partition("=")
        if not equals:
            text = next(words, "")
            if not text:
                raise ConfigError(f"'{key}' is given without a value")
        overrides[key] = text
    return rest, overrides
