"""The notebooks run from their first cell to their last, with few steps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.common import ROOT

NOTEBOOKS = sorted((ROOT / "colabs").glob("*.ipynb"))
FEW = {"STEPS": "1", "SFT_STEPS": "2", "EPISODES": "2"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begins_with_its_installation_and_has_outputs(path: Path):
    nbformat = pytest.importorskip("nbformat")
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert "%pip install" in code[0].source
    assert any(cell.outputs for cell in code), "run it once, and store what it shows"
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path, monkeypatch):
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name, value in FEW.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, 4)
    client.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip())
