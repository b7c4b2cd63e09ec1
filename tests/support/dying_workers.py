"""A plugin of pytest for test processes that die through no fault of the test: the test is run once
more, and the rest of the run goes on.

On virtual machines of CI a test process died by SIGSEGV about once in three runs, always in the
parent and right after a child had been started (si_code SI_KERNEL; a core showed nothing but that).
"""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

_DIED: set[str] = set()

_HOW: dict[str, str] = {}
"""Test to how the process ended in which it ran last."""

_ENDS_WITHIN_S = 10.0
"""How long a process may take to end after its pipe has closed."""


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: object) -> None:
    """A test whose process died is run again by the next one (pytest-xdist does that by itself); it
    is named as skipped the first time, and fails the second."""
    del sched
    if crashitem not in _DIED:
        _DIED.add(crashitem)
        report.outcome = "skipped"
        said = f"the test process died in this test ({_HOW[crashitem]}); it is run again"
        report.longrepr = (crashitem, 0, said)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Any:
    """Whole files to a process, without the files that a dead process had finished."""
    return _LoadFile(config, log) if config.getvalue("dist") == "loadfile" else None


class _LoadFile(LoadFileScheduling):
    """A process keeps its last test until it has the next one or hears that there is none, and
    pytest-xdist 3.8 thinks of a process only when it has finished a test. Where one has died, this
    can leave the others waiting for good."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Gives the others what a dead process had not finished: no file with no test in it, and no
        test that died before."""
        work = self.assigned_work.pop(node)
        running = [(file, test) for file in work for test, done in work[file].items() if not done]
        if not running:
            return None
        file, died = running[0]
        _HOW[died] = _end_of(node)
        if died in _DIED:
            work[file][died] = True
        self.workqueue.update(
            {file: tests for file, tests in work.items() if not all(tests.values())}
        )
        for other in self.nodes:
            self._reschedule(other)
        return died

    def schedule(self) -> None:
        """Gives a process that takes the place of a dead one two tests at least, or the end."""
        super().schedule()
        for node in self.nodes:
            while (
                node in self.registered_collections
                and not node.shutting_down
                and self._pending_of(self.assigned_work[node]) < 2
            ):
                self._reschedule(node)

    def _reschedule(self, node: WorkerController) -> None:
        """Nothing for one that still collects: it would be noted as having a file that pytest-xdist
        3.8 cannot send it yet, and the end of the run would call that file's test a crash."""
        if node in self.registered_collections:
            super()._reschedule(node)


def _end_of(node: WorkerController) -> str:
    """How the process of a worker ended: the name of a signal, or its exit code."""
    process: subprocess.Popen[bytes] = node.gateway._io.popen
    try:
        code = process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        return "it has closed its pipe, and runs on"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
