"""What is saved comes back to the bit, on any mesh; damage of any kind is passed over, and said."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playpen_jax import checkpoint, model, optim, sharding, update
from playpen_jax import config as configs
from playpen_jax.state import TrainState
from tests.common import ROOT
from tests.test_sharding import fakes
from tests.test_update import C, params

ROPED = dataclasses.replace(C, tied=False, biases=("q", "o"), rope_scaling=model.Llama3Rope(8.0, 1.0, 4.0, 64))


def fresh(c: model.ModelConfig = C, shape: tuple[int, int, int] = (-1, 1, 1), step: int = 0, seed: int = 0) -> TrainState:
    """A state in which nothing is zero, the moments neither, on a mesh of this shape."""
    mesh, tx = sharding.make_mesh(configs.Mesh(*shape)), optim.make(configs.Optim(), 10)
    state = update.fresh_state(tx, params(c, seed), update.state_shardings(c, tx, mesh))
    rng = np.random.default_rng([seed, 1])
    noise = lambda x: jax.device_put(rng.normal(size=x.shape).astype(x.dtype) if x.ndim else x + step, x.sharding)
    return TrainState(state.params, jax.tree.map(noise, state.opt_state), jnp.int32(step))


def bits(tree) -> list[tuple]:
    return [(str(x.dtype), x.shape, np.asarray(x).tobytes()) for x in jax.tree.leaves(tree)]


def save(folder: Path, *states: TrainState, c: model.ModelConfig = C, keep: int = 5) -> Path:
    saved = checkpoint.Checkpoints(folder, keep)
    for state in states:
        saved.save(state, c)
    saved.close()
    return folder


def restore(folder: Path, like: TrainState) -> TrainState | None:
    saved = checkpoint.Checkpoints(folder, 5)
    try:
        return saved.restore(like)
    finally:
        saved.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """Checkpoints of the steps 2, 4 and 6, to be copied before they are hurt."""
    return save(tmp_path_factory.mktemp("three") / "checkpoints", *(fresh(step=i, seed=i) for i in (2, 4, 6)))


@pytest.fixture
def folder(three, tmp_path) -> Path:
    return Path(shutil.copytree(three, tmp_path / "checkpoints"))


def test_a_state_comes_back_to_the_bit(folder):
    state = fresh(step=6, seed=6)
    assert bits(restore(folder, fresh())) == bits(state) != bits(fresh())
    assert int(restore(folder, fresh()).step) == 6


def test_there_is_nothing_to_restore_in_an_empty_folder(tmp_path):
    assert restore(tmp_path / "checkpoints", fresh()) is None


def test_the_state_of_the_moment_is_saved_though_training_goes_on(tmp_path):
    state = fresh(step=1)
    wanted = bits(state)
    saved = checkpoint.Checkpoints(tmp_path, 5)
    saved.save(state, C)
    step = jax.jit(lambda s: jax.tree.map(lambda x: x * 0 + 7, s), donate_argnums=0)
    for _ in range(3):
        state = step(state)
    saved.close()
    assert bits(restore(tmp_path, fresh())) == wanted


@pytest.mark.parametrize("keep, kept", [(2, ["3", "4"]), (0, ["4"])])
def test_only_the_newest_are_kept(tmp_path, keep, kept):
    save(tmp_path, *(fresh(step=i) for i in (1, 2, 3, 4)), keep=keep)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_a_step_that_exists_is_left_alone(folder):
    save(folder, fresh(step=6, seed=9))
    assert bits(restore(folder, fresh())) == bits(fresh(step=6, seed=6))


# ---------------------------------------------------------------------------------------------- damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def data_files(step: Path, item: str) -> list[Path]:
    """The files of an item, largest first."""
    return sorted((path for path in (step / item).rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)


DAMAGE = {
    "a bit flipped in the weights": lambda step: flip(data_files(step, "params")[0]),
    "a bit flipped in the optimizer": lambda step: flip(data_files(step, "optimizer")[0]),
    "weights cut short": lambda step: cut(data_files(step, "params")[0]),
    "every file cut short": lambda step: [cut(path) for path in step.rglob("*") if path.is_file()],
    "every file empty": lambda step: [path.write_bytes(b"") for path in step.rglob("*") if path.is_file()],
    "a file missing": lambda step: data_files(step, "optimizer")[1].unlink(),
    "an item missing": lambda step: shutil.rmtree(step / "optimizer"),
    "an empty folder": lambda step: [shutil.rmtree(path) if path.is_dir() else path.unlink() for path in step.iterdir()],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_and_said_so(folder, caplog, kind):
    DAMAGE[kind](folder / "6")
    with caplog.at_level(logging.WARNING):
        state = restore(folder, fresh())
    assert bits(state) == bits(fresh(step=4, seed=4))
    said = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(said) == 1 and f"{folder}/6 cannot be read" in said[0] and "trying the one before" in said[0]


def test_after_a_damaged_checkpoint_the_steps_up_to_it_are_saved_again(folder):
    """Orbax alone would skip them in silence, because a later step exists."""
    DAMAGE["weights cut short"](folder / "6")
    saved = checkpoint.Checkpoints(folder, 5)
    assert int(saved.restore(fresh()).step) == 4
    for step in (5, 6):
        saved.save(fresh(step=step, seed=7), C)
    saved.close()
    assert sorted(path.name for path in folder.iterdir()) == ["2", "4", "5", "6", "damaged-6"]
    assert bits(restore(folder, fresh())) == bits(fresh(step=6, seed=7))


def test_two_damaged_checkpoints_are_passed_over(folder):
    for step in ("4", "6"):
        DAMAGE["weights cut short"](folder / step)
    assert int(restore(folder, fresh()).step) == 2


def test_if_all_are_damaged_one_line_says_so_and_nothing_is_moved(folder):
    for step in (2, 4, 6):
        DAMAGE["weights cut short"](folder / str(step))
    with pytest.raises(checkpoint.CheckpointError) as error:
        restore(folder, fresh())
    assert str(error.value) == f"{folder}: none of the checkpoints [2, 4, 6] can be read"
    assert sorted(path.name for path in folder.iterdir()) == ["2", "4", "6"]


def test_a_half_written_checkpoint_is_no_checkpoint(folder):
    (folder / "6").rename(folder / "6.orbax-checkpoint-tmp")
    assert checkpoint.find(folder) == folder / "4"
    assert bits(restore(folder, fresh())) == bits(fresh(step=4, seed=4))
    save(folder, fresh(step=6, seed=8))
    assert bits(restore(folder, fresh())) == bits(fresh(step=6, seed=8))
    assert sorted(path.name for path in folder.iterdir()) == ["2", "4", "6"]


def test_a_kill_during_a_save_leaves_the_former(folder):
    """The process says when the files of the new one are written but not committed, and is killed there."""
    script = f"""
import sys, time
from pathlib import Path
from playpen_jax import checkpoint
from tests.test_checkpoint import C, fresh
def wait(folder, inner=checkpoint.digests):
    print("now", flush=True)
    time.sleep(60)
checkpoint.digests = wait
saved = checkpoint.Checkpoints(Path({str(folder)!r}), 2)
saved.save(fresh(step=8), C)
saved.close()
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    assert (folder / "8.orbax-checkpoint-tmp" / "params").is_dir() and not (folder / "8").exists()
    assert {"4", "6"} <= {path.name for path in folder.iterdir()}
    assert bits(restore(folder, fresh())) == bits(fresh(step=6, seed=6))


# ---------------------------------------------------------------------------------------------- weights alone, other meshes


def test_weights_load_alone_with_their_config(tmp_path):
    state = fresh(ROPED, step=3)
    save(tmp_path, state, c=ROPED)
    shutil.rmtree(tmp_path / "3" / "optimizer")
    c, weights = checkpoint.load_params(tmp_path / "3")
    assert c == ROPED and bits(weights) == bits(state.params)
    assert jax.tree.structure(weights) == jax.tree.structure(model.abstract(ROPED))


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if "optimizer" not in kind and "missing" not in kind])
def test_damaged_weights_are_refused_in_one_line(folder, kind):
    DAMAGE[kind](folder / "6")
    with pytest.raises(checkpoint.CheckpointError) as error:
        checkpoint.load_params(folder / "6")
    assert str(error.value).startswith(f"{folder / '6'}: not a readable checkpoint: ") and "\n" not in str(error.value)


def test_the_newest_checkpoint_is_found_from_any_folder_above(folder, tmp_path):
    (folder / "damaged-8" / "params").mkdir(parents=True)
    (folder / "10.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
    for path in (tmp_path, folder, folder / "6"):
        assert checkpoint.find(path) == folder / "6"
    assert checkpoint.find(folder / "4") == folder / "4"
    assert checkpoint.find(tmp_path / "nothing") is None


def test_a_checkpoint_moves_between_meshes(folder):
    """Written on one device, read on 2 x 2 x 2 and on 2, written there, read here: the same bits, laid as each mesh wants."""
    script = f"""
import sys
from pathlib import Path
import jax
from playpen_jax import checkpoint
from tests.test_checkpoint import C, bits, fresh, restore, save
folder = Path({str(folder)!r})
there = fresh(shape=(2, 2, 2))
found = restore(folder, there)
assert bits(found) == bits(fresh(step=6, seed=6))
for x, like in zip(jax.tree.leaves(found), jax.tree.leaves(there), strict=True):
    assert x.sharding.is_equivalent_to(like.sharding, x.ndim), (x.sharding, like.sharding)
q = found.params["layers"]["q"]
assert len(q.sharding.device_set) == 8 and q.addressable_shards[0].data.size == q.size // 4
at = jax.tree.map(lambda x: x.sharding, there.params)
assert bits(checkpoint.load_params(folder / "6", at)[1]) == bits(found.params)
save(folder, fresh(shape=(1, 4, 2), step=8, seed=8))
"""
    fakes(script)
    assert bits(restore(folder, fresh())) == bits(fresh(step=8, seed=8))
