"""Runs the notebooks of the documentation and writes them again with their outputs.

Run: python docs/scripts/notebooks.py [NAME ...]

What a notebook holds of this machine (paths, times of cells, versions of the kernel) is left out.
"""

from __future__ import annotations

import base64
import copy
import re
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from pages import DOCS
from PIL import Image

FOLDER = DOCS / "notebooks"

LARGEST_BYTES = 500_000
"""Of a notebook with its outputs."""

SECONDS = 300
"""That a cell may take, on a machine that has other things to do."""

MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|private|var)/[^\s'\"<>)]*")
"""What looks like a path of the machine on which a notebook ran."""


def run(notebook: Any, folder: Path) -> Any:
    """A copy of a notebook with the outputs of its cells, run in a folder of its own.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    done = copy.deepcopy(notebook)
    client = NotebookClient(
        done,
        timeout=SECONDS,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    for cell in done.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.outputs = [
                _bare(output) for output in cell.outputs if output.get("name") != "stderr"
            ]
    done.metadata = notebook.metadata
    return done


def _bare(output: Any) -> Any:
    """An output as it is kept: no text beside pages and pictures, where nobody sees it and where it
    tells of this machine's folders, and pictures as JPEG, a tenth of the size."""
    if "data" in output:
        kinds = output["data"]
        if "text/html" in kinds or "image/png" in kinds:
            kinds.pop("text/plain", None)
        if "image/png" in kinds:
            kinds["image/jpeg"] = _as_jpeg(kinds.pop("image/png"))
        output["metadata"] = {}
    return output


def _as_jpeg(png: str) -> str:
    image = Image.open(BytesIO(base64.b64decode(png))).convert("RGB")
    stored = BytesIO()
    image.save(stored, "JPEG", quality=80)
    return base64.b64encode(stored.getvalue()).decode()


def main() -> None:
    """Runs those that are named, or all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            done = run(notebook, Path(folder))
        text = nbformat.writes(done) + "\n"
        if found := MACHINE.search(text):
            sys.exit(f"{path.name} tells of this machine: {found[0]}")
        if len(text.encode()) > LARGEST_BYTES:
            sys.exit(f"{path.name} has {len(text.encode()):,} bytes; make its pictures smaller")
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
