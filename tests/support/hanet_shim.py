"""A command ``hanet`` as a file, which runs this checkout; for programs that start it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from checkout import ROOT


def write_shim(path: Path, *options: object) -> Path:
    """Writes the command.

    Args:
        path: Of the file.
        options: Put behind what the program gives, for example cheap weights.
    """
    words = " ".join(shlex.quote(str(option)) for option in options)
    return write_script(
        path,
        f"PYTHONPATH={shlex.quote(str(ROOT / 'src'))} OMP_NUM_THREADS=1 "
        f'exec {shlex.quote(sys.executable)} -m hanet "$@" {words}',
    )


def write_script(path: Path, text: str) -> Path:
    """Writes a shell script that can be started."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
