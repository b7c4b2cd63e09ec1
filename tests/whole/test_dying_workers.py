"""One test whose process dies must cost the others nothing (tests/support/dying_workers.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import dying_workers
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


class _Node:
    """A test process, as its scheduler sees it."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.gateway = SimpleNamespace(id="gw")
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_what_a_dead_process_leaves_is_not_lost_to_one_that_still_collects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was noted as given to that one, which was never sent it: pytest-xdist ended in an
    internal error, once in hundreds of runs."""
    monkeypatch.setattr(dying_workers, "_end_of", lambda _: "SIGSEGV")
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["2*popen"], option=SimpleNamespace(loadscopereorder=True)
    )
    scheduler = dying_workers._LoadFile(config)
    tests = [f"test_{file}.py::test_{number}" for file in range(6) for number in range(3)]
    nodes: list[Any] = [_Node() for _ in range(4)]
    for node in nodes[:2]:
        scheduler.add_node(node)
        scheduler.add_node_collection(node, tests)
    scheduler.schedule()
    scheduler.remove_node(nodes[0])
    scheduler.add_node(nodes[2])  # collects when the other one dies
    scheduler.remove_node(nodes[1])
    scheduler.add_node(nodes[3])
    for node in nodes[2:]:
        scheduler.add_node_collection(node, tests)
        scheduler.schedule()
    for _ in tests:
        for node in nodes[2:]:
            for index in [index for index in node.sent if index >= 0]:
                node.sent[node.sent.index(index)] = -1 - index
                scheduler.mark_test_complete(node, index)
    done = sorted(-1 - index for node in nodes[2:] for index in node.sent)
    assert done == list(range(len(tests)))
    assert [scheduler.remove_node(node) for node in nodes[2:]] == [None, None]


@pytest.mark.slow
def test_a_test_whose_process_dies_twice_fails(tmp_path: Path) -> None:
    code, said = _run(tmp_path, "if True")
    assert code == 1, said
    assert "1 failed" in said
    assert "test_30.py::test_dies" in said
