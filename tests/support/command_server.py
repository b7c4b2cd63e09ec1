"""Runs ``hanet`` in processes of their own without paying its imports each time.

One process imports everything and then forks a child for each command. A child is a real process
with its own arguments and environment: it can be stopped, killed and waited for. This file is both
the process (``python command_server.py``) and the class that talks to it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkout import ROOT

LOOKS = 30
"""At a condition between two questions whether the process has ended, which take longer than a
look."""


class EndedError(AssertionError):
    """A process ended before the moment at which it was meant to be stopped."""


class Command:
    """A running ``hanet``; what it writes goes to a file."""

    def __init__(self, server: CommandServer, pid: int, output: Path) -> None:
        self._server, self.pid, self._output = server, pid, output

    @property
    def output(self) -> str:
        """What it has written so far, stdout and stderr; "" before its file is there."""
        try:
            return self._output.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code; minus the signal that killed it."""
        return int(self._server.ask(wait=self.pid))

    def kill_when(self, condition: Callable[[], bool]) -> None:
        """SIGKILL at a moment when the condition holds, seen while the process stands still.

        Raises:
            EndedError: The process ended before.
        """
        self.stop_when(condition)
        self.send(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def stop_when(self, condition: Callable[[], bool]) -> None:
        """Lets it stand still (SIGSTOP) at a moment when the condition holds.

        Raises:
            EndedError: The process ended before.
        """
        while not self._server.ask(ended=self.pid):
            for _ in range(LOOKS):
                if condition():
                    self.send(signal.SIGSTOP)
                    if condition():
                        return
                    self.send(signal.SIGCONT)
                time.sleep(0.0002)
        raise EndedError(f"it ended before it could be caught: {self.output}")


class CommandServer:
    """The process that forks, as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def __enter__(self) -> CommandServer:
        source = str(ROOT / "src")
        paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(self, *arguments: object, **environment: object) -> Command:
        """Starts ``hanet`` with arguments, and with variables added to its environment."""
        self._count += 1
        output = self._folder / f"output-{self._count}.txt"
        variables = {name: str(value) for name, value in environment.items()}
        pid = self.ask(
            arguments=[str(argument) for argument in arguments],
            environment=variables,
            output=str(output),
        )
        return Command(self, int(pid), output)

    def ask(self, **question: Any) -> Any:
        """One question, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def train_arguments(folder: Path, run: Path, *more: str) -> list[object]:
    """``hanet train`` with the experiment and the data of a folder, by one thread of the CPU."""
    experiment = folder / "tiny.toml"
    return [
        "train",
        experiment,
        "--data",
        folder,
        "--out",
        run,
        "--accelerator",
        "cpu",
        "--threads",
        1,
        *more,
    ]


def free_port() -> int:
    """A port on this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _serve() -> None:
    import hanet.training
    from hanet.cli import main

    assert hanet.training
    codes: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question or "ended" in question:
            pid = question.get("wait", question.get("ended"))
            if pid not in codes:
                ended, status = os.waitpid(pid, 0 if "wait" in question else os.WNOHANG)
                if ended:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            answer: object = codes[pid] if "wait" in question else pid in codes
        else:
            answer = os.fork()
            if answer == 0:
                _run(question, main)
        print(json.dumps(answer), flush=True)


def _run(question: dict[str, Any], main: Callable[[], None]) -> None:
    file = os.open(question["output"], os.O_WRONLY | os.O_CREAT)
    for target in (1, 2):
        os.dup2(file, target)
    os.environ.update(question["environment"])
    sys.argv = ["hanet", *question["arguments"]]
    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
