"""One test whose process dies must cost the others nothing (tests/support/dying_workers.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT

DIES = """
import os, pathlib
def test_dies():
    died = pathlib.Path(__file__).with_suffix(".died")
    {condition}:
        died.touch()
        os._exit(3)
"""


def _run(folder: Path, condition: str) -> tuple[int, str]:
    """Sixty files, longest first as pytest-xdist takes them, and one in their middle that dies."""
    folder.joinpath("pytest.ini").touch()
    for number in range(60):
        tests = (f"def test_{test}(): pass\n" for test in range((60 - number) // 4 + 1))
        folder.joinpath(f"test_{number:02}.py").write_text("".join(tests))
    others = "".join(f"def test_{test}(): pass\n" for test in range(6))
    folder.joinpath("test_30.py").write_text(others + DIES.format(condition=condition))
    words = [
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-p",
        "dying_workers",
        "-p",
        "no:cacheprovider",
        "-rs",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")},
        capture_output=True,
        text=True,
        timeout=120,  # it waited for good
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_test_whose_process_died_is_run_again_and_all_others_are_run(tmp_path: Path) -> None:
    code, said = _run(tmp_path, "if not died.exists()")
    tests = sum((60 - number) // 4 + 1 for number in range(60) if number != 30) + 6
    assert code == 0, said
    assert f"{tests + 1} passed, 1 skipped" in said
    assert "the test process died in this test (exit code 3); it is run again" in said


@pytest.mark.slow
def test_a_test_whose_process_dies_twice_fails(tmp_path: Path) -> None:
    code, said = _run(tmp_path, "if True")
    assert code == 1, said
    assert "1 failed" in said
    assert "test_30.py::test_dies" in said
