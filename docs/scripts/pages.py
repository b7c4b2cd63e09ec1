"""Pages that programs make: written, or compared with what is there."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

DOCS = ROOT / "docs"
"""The documentation."""


def write_or_check(texts: Mapping[Path, str], *, command: str) -> None:
    """Writes the files that differ; with ``--check`` on the command line, names them instead and
    ends with exit code 1.

    Args:
        texts: Path of a file to what it should hold.
        command: What a reader of the message should run.
    """
    old = {
        path: text
        for path, text in texts.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv[1:]:
        for path in old:
            print(f"{path.relative_to(ROOT).as_posix()} is not what the code says; run: {command}")
        sys.exit(1 if old else 0)
    for path, text in old.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(path.relative_to(ROOT).as_posix())


def experiment_files() -> list[Path]:
    """The project's experiments: those to run first, then the archive of earlier stages."""
    return sorted((ROOT / "experiments").glob("*.toml")) + sorted(
        (ROOT / "experiments" / "archive").glob("*.toml")
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [
        header,
        ["---"] * len(header),
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def is_older(weights_file: str, sha256: str) -> bool:
    """Whether weights of this file name ship, but others than those of the hash."""
    shipped = [
        path
        for folder in ("src/hanet/weights/shipped", "weights")
        if (path := ROOT / folder / weights_file).is_file()
    ]
    return bool(shipped) and all(
        hashlib.sha256(path.read_bytes()).hexdigest() != sha256 for path in shipped
    )
