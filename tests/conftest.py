"""What all tests share: where the real imagery lies, a command that is refused, compiled modules,
and one thread for torch so that two test processes do not fight."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from checkout import SHARED_DATA
from command_server import CommandServer

hypothesis.settings.register_profile(
    "untimed", deadline=None
)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("untimed")

# where Python is told to keep no compiled modules, each process that a test starts would compile
# the package again: half a second, some hundred times
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# more died in the parent right after vfork than after fork (tests/support/dying_workers.py);
# CPython keeps this switch for systems whose vfork is not sound, and fork costs milliseconds more
setattr(subprocess, "_USE_VFORK", False)  # noqa: B010 - typeshed does not know it

pytest_plugins = ["dying_workers"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real imagery beside the repository; skips where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real imagery (../shared/data) is not here")
    return SHARED_DATA


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[CommandServer]:
    """Runs ``hanet`` in processes of their own; what they write goes to the module's own fixture
    ``folder``."""
    with CommandServer(folder) as server:
        yield server


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Types ``hanet WORDS``, which must end with exit code 2 and say an error and a hint, each on a
    line; gives both."""

    def typed(*words: object) -> tuple[str, str]:
        from hanet.cli import main

        capfd.readouterr()  # what was said before is not the command's
        monkeypatch.setattr(sys, "argv", ["hanet", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        lines = [
            line
            for line in capfd.readouterr().err.splitlines()
            if not line.startswith(("note:", "warning:"))
        ]
        assert [line.partition(": ")[0] for line in lines] == ["error", "hint"]
        error, hint = (line.partition(": ")[2] for line in lines)
        return error, hint

    return typed


@pytest.fixture(autouse=True, scope="session")
def _one_thread_for_torch() -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
