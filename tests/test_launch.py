"""The launch scripts: sound shell, valid manifests, and a run of several processes that survives the death of one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from playpen_jax import metrics, processes
from tests.common import ROOT

LAUNCH = ROOT / "launch"
SMALL = (
    "--config=grpo.py",
    "--config.games=textmapworld_specificroom",
    "--config.grpo.instances=4",
    "--config.grpo.plays=4",
    "--config.rollout.rows=8",
    "--config.batch.micro=4",
    "--config.eval.episodes=2",
    "--config.eval.plays=1",
    "--config.checkpoints.every=1",
    "--config.checkpoints.keep=9",
    "--config.steps=3",
)


def environment(devices: int) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}


def start(count: int, workdir: Path, *more: str, devices: int = 1) -> subprocess.Popen:
    """`count` processes with so many devices each."""
    argv = ["bash", str(LAUNCH / "local.sh"), str(count), f"--workdir={workdir}", *more]
    own = environment(devices)
    return subprocess.Popen(argv, cwd=ROOT, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_scripts_pass_shellcheck():
    scripts = [*sorted(LAUNCH.glob("*.sh")), LAUNCH / "slurm.sbatch"]
    found = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_manifests_fit_their_schemas():
    validate = pytest.importorskip("kubernetes_validate").validate
    yaml = pytest.importorskip("yaml")
    kinds = []
    for document in yaml.safe_load_all((LAUNCH / "gke.yaml").read_text("utf-8")):
        validate(document, "1.34", strict=True)
        kinds.append(document["kind"])
    assert kinds == ["Service", "Job"]


@pytest.mark.parametrize("script", ["local.sh", "tpu.sh", "xpk.sh"])
def test_a_script_without_arguments_says_how_it_is_used(script):
    found = subprocess.run(["bash", str(LAUNCH / script)], capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.startswith("usage: ") and len(found.stderr.splitlines()) == 1


def test_a_mistake_in_the_settings_is_not_tried_again(tmp_path):
    found = start(1, tmp_path / "run", "--config=grpo.py", "--config.stepz=3")
    out, err = found.communicate(timeout=120)
    assert found.returncode == 2 and "start again" not in err
    assert "did you mean 'steps'" in out


def test_shares_cover_everything_evenly(monkeypatch):
    for count in (1, 2, 3, 8):
        monkeypatch.setattr(processes.jax, "process_count", lambda count=count: count)
        parts = []
        for number in range(count):
            monkeypatch.setattr(processes.jax, "process_index", lambda number=number: number)
            parts.append(processes.share(22))
        assert [x for part in parts for x in part] == list(range(22))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_processes_that_cannot_meet_say_so_in_one_line(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    with pytest.raises(ValueError, match="--distributed: the processes cannot meet .*JAX_NUM_PROCESSES=two"):
        processes.join()


def played(workdir: Path) -> list[list[tuple]]:
    """What was said in each step, and how it ended."""
    found = []
    for file in sorted((workdir / "episodes").glob("step_*.jsonl")):
        found.append([(e["instance"], [t["reply"] for t in e["turns"]], e["outcome"]) for e in metrics.read(file)])
    return found


def weights(workdir: Path) -> list[np.ndarray]:
    import jax

    from playpen_jax import checkpoint

    return jax.tree.leaves(checkpoint.load_params(checkpoint.find(workdir))[1])


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_a_pod_that_loses_a_process_ends_like_the_undisturbed_one(count, tmp_path):
    """Processes over loopback; one is killed after the first step, the script starts all again."""
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    calm = start(count, whole, *SMALL)
    calm.communicate(timeout=900)
    assert calm.returncode == 0
    run = start(count, torn, *SMALL)
    while not (torn / "checkpoints" / "1" / "digests.json").exists():
        assert run.poll() is None, run.communicate()
        time.sleep(0.2)
    victims = subprocess.run(["pgrep", "-f", f"playpen_jax.train.*{torn}"], capture_output=True, text=True).stdout.split()
    os.kill(int(victims[-1]), signal.SIGKILL)
    _, err = run.communicate(timeout=900)
    assert run.returncode == 0 and "all start again (1)" in err
    assert played(torn) == played(whole)
    for a, b in zip(weights(torn), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    single = tmp_path / "single"
    alone = start(1, single, *SMALL)
    alone.communicate(timeout=900)
    assert alone.returncode == 0
    assert played(single)[0] == played(whole)[0]
    for a, b in zip(weights(single), weights(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_processes_of_several_devices_share_weights_that_are_cut_over_all_of_them(tmp_path):
    """As the hosts of a TPU slice: each plays with a copy over its own devices, and says what one process would."""
    cut = ("--config.mesh.fsdp=2", "--config.mesh.tensor=2", "--config.steps=2")
    found = {}
    for count, devices in ((2, 2), (1, 4)):
        workdir = tmp_path / f"{count} of {devices}"
        run = start(count, workdir, *SMALL, *cut, devices=devices)
        _, err = run.communicate(timeout=900)
        assert run.returncode == 0, err
        found[count] = played(workdir), weights(workdir)
    assert found[1][0][0] == found[2][0][0] and len(found[2][0]) == 2
    for a, b in zip(found[1][1], found[2][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
