"""The rooms of the house: imports go downward only, games stand on their own, programs on nobody's shoulders."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.common import ROOT

# floor -> rooms: modules of playpen_jax, or its packages as a whole
FLOORS = {
    1: ("config", "hlo", "state", "style", "transcript", "types"),
    2: ("charts", "metrics", "model", "optim", "processes", "sharding", "trackers"),
    3: ("families", "losses", "rewards", "scores", "statistics"),
    4: ("adapters", "chat", "checkpoint", "curves", "endpoint", "hf", "moves", "sampler", "update"),
    5: ("data", "masks", "players", "policy", "report", "report_episodes", "report_folder", "report_runs"),
    6: ("curriculum", "draws", "live", "rollout"),
    7: (
        *("aot", "api", "bench_decode", "bench_rollout", "bench_train", "bridges", "checks", "dryrun", "forks", "harvest"),
        *("leaks", "learn", "programs", "serving", "suites"),
    ),
    8: ("bench", "collect", "compare", "convert", "dataset", "evaluate", "harness", "play", "replay", "serve", "train"),
    9: ("__init__",),
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
PROGRAMS = FLOORS[8]
# distributions that are called otherwise than what is imported of them
IMPORTED_AS = {"orbax-checkpoint": "orbax", "absl-py": "absl", "tensorflow-datasets": "tensorflow_datasets"}


def files(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Dotted names that a file imports; `everywhere`: inside functions too."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    """The module, or the package, that a file of playpen_jax belongs to."""
    return path.relative_to(ROOT / "playpen_jax").parts[0].removesuffix(".py")


def rooms_in(path: Path) -> set[str]:
    """The rooms of playpen_jax that a file imports; its public names (`from playpen_jax import load`) are the roof."""
    found = set()
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package == "playpen_jax":
            room = rest.split(".")[0]
            exists = (ROOT / "playpen_jax" / room).is_dir() or (ROOT / "playpen_jax" / f"{room}.py").is_file()
            found.add(room if room and exists else "__init__")
    return found


def graph() -> dict[str, set[str]]:
    """room -> the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for path in files("playpen_jax"):
        found.setdefault(room_of(path), set()).update(rooms_in(path) - {room_of(path)})
    return found


def test_every_room_has_a_floor():
    assert set(graph()) <= set(FLOOR), "a new module: give it a floor above all that it imports"
    assert len(FLOOR) == sum(map(len, FLOORS.values())), "a room stands on one floor"


def test_imports_go_downward():
    upward = [
        f"{room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]})"
        for room, others in graph().items()
        for other in others
        if FLOOR[other] > FLOOR[room]
    ]
    assert not upward, "; ".join(upward)


def test_rooms_of_one_floor_do_not_go_in_circles():
    TopologicalSorter(graph()).prepare()  # raises CycleError with the circle


def test_nothing_imports_a_program():
    """No program has logic that another one needs; `train` above all."""
    needed = {room: others & set(PROGRAMS) for room, others in graph().items()}
    assert not any(needed.values()), needed
    users = {room for room, others in graph().items() if "programs" in others}
    assert users <= set(PROGRAMS), "what programs share is for programs"


def test_config_files_need_nothing_but_config():
    for path in files("configs"):
        assert set(imported(path)) <= {name for name in imported(path) if name.startswith("playpen_jax.config.")}, path


# what one game needs beside Python: the official scores of IFEval ask for the verdict of this very package
GAME_NEEDS = {"ifeval_language.py": {"langdetect"}}


def test_games_need_python_and_games_alone():
    network = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "asyncio", "socketserver", "xmlrpc"}
    for path in files("games"):
        for name in imported(path):
            package = name.split(".")[0]
            known = package == "games" or package in sys.stdlib_module_names or package in GAME_NEEDS.get(path.name, ())
            assert known, f"{path} imports {name}"
            assert package not in network, f"{path} imports {name}"


def test_games_have_no_random_state_of_their_own():
    """Of the module random only the class Random is used, so that all chance is handed in."""
    for path in files("games"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
                assert node.attr == "Random", f"{path}:{node.lineno}: random.{node.attr}"
        assert not [name for name in imported(path) if name.startswith(("random.", "secrets", "uuid"))], path


def test_the_package_does_not_need_its_tests():
    for package in ("games", "playpen_jax", "configs"):
        for path in files(package):
            assert "tests" not in {name.split(".")[0] for name in imported(path)}, path


def test_what_is_imported_at_once_is_declared():
    """Of other distributions, modules import at their top only what pyproject.toml makes everybody install."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {line.split(">")[0].split("[")[0].strip() for line in declared}
    known = {IMPORTED_AS.get(name, name) for name in names} | {"games", "playpen_jax"} | set(sys.stdlib_module_names)
    for path in files("playpen_jax"):
        extra = {name.split(".")[0] for name in imported(path, everywhere=False)} - known
        assert not extra, f"{path} imports {', '.join(sorted(extra))}"


@pytest.mark.parametrize("heavy", ["jax", "flax", "numpy"])
def test_games_and_light_programs_start_without(heavy):
    """Checked in a fresh process: playing by hand and replaying wait for no accelerator library."""
    code = (
        "import sys, games; [games.make(name) for name in games.names()];"
        "import playpen_jax, playpen_jax.replay, playpen_jax.players, playpen_jax.convert;"
        f"sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_rules_see_what_they_forbid(tmp_path):
    """The readers find imports however they are written."""
    path = tmp_path / "module.py"
    inside = "def f():\n    from playpen_jax.model.decoder import block\n"
    path.write_text("import jax.numpy as jnp\nfrom playpen_jax import train, load\n" + inside)
    assert set(imported(path)) == {"jax.numpy", "playpen_jax.train", "playpen_jax.load", "playpen_jax.model.decoder.block"}
    assert "playpen_jax.model.decoder.block" not in set(imported(path, everywhere=False))
    assert rooms_in(path) == {"train", "__init__", "model"}


def test_the_map_shows_the_floors():
    rows = [line.strip("| ").split(" | ") for line in (ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines()]
    shown = {int(row[0]): tuple(re.findall(r"`(\w+)`", row[1])) for row in rows if len(row) == 2 and row[0].isdigit()}
    assert shown == FLOORS, "docs/architecture.md: `python -m tests.test_layers` prints its table"


if __name__ == "__main__":
    for floor in reversed(FLOORS):
        print(f"| {floor} | {', '.join(f'`{room}`' for room in FLOORS[floor])} |")
