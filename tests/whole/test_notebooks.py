"""The notebooks of the documentation run as they stand, hold their outputs, and say nothing of the
machine on which they ran."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from checkout import ROOT

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "docs" / "scripts")
    import notebooks

    return notebooks


def _kinds(cell: Any) -> set[str]:
    """What a cell shows."""
    return {
        kind for output in cell.outputs for kind in output.get("data", {output.output_type: ""})
    }


def test_there_is_one_for_each_kind_of_reader() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["analysts", "researchers"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_small_and_bare(path: Path, runner: Any) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < runner.LARGEST_BYTES
    assert runner.MACHINE.search(text) is None
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    links = re.findall(r"\]\(([^)#]+)\)", "\n".join(texts))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.slow
# the client's sockets and loops are closed when Python gets to it
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_shows_here(
    path: Path, runner: Any, tmp_path: Path
) -> None:
    notebook = nbformat.read(path, as_version=4)
    done = runner.run(notebook, tmp_path)
    for kept, made in zip(notebook.cells, done.cells, strict=True):
        assert kept.source == made.source
        if kept.cell_type == "code":
            assert _kinds(made) == _kinds(kept), kept.source
