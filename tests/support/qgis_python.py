"""Where QGIS's own Python is."""

from __future__ import annotations

import os
import subprocess

import pytest

PYTHONS = (os.environ.get("HANET_QGIS_PYTHON", ""), "/usr/bin/python3")
"""Where QGIS's Python may be; it is never that of a virtual environment."""


def qgis_python() -> str:
    """A Python that has QGIS; skips where there is none."""
    for python in PYTHONS:
        if (
            python
            and subprocess.run(
                [python, "-c", "import qgis.core"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return python
    pytest.skip(
        "no QGIS is installed (Debian: apt-get install python3-qgis; elsewhere HANET_QGIS_PYTHON)"
    )
