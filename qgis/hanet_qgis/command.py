# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``hanet`` command: found, started, listened to, stopped.

It speaks by the contract of ``hanet ... --progress json``: one JSON object a line on stderr.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from qgis.core import QgsProcessingException, QgsProcessingFeedback, QgsSettings
from qgis.PyQt.QtCore import QProcess, QProcessEnvironment

SETTING = "HANET_COMMAND"
"""Name of the setting that holds the path of the command."""

CONTRACT = 1
"""The version of the lines that this plugin understands."""

NEEDED = "0.4.0"
"""The first version of hanet that speaks it."""

INSTALL = "pipx install hanet      (or: uv tool install hanet)"
UPGRADE = "pipx upgrade hanet      (or: uv tool upgrade hanet)"
WHERE = "Settings > Options > Processing > Providers > hanet"

OF_QGIS = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PROJ_LIB",
    "PROJ_DATA",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
)
"""Variables with which QGIS leads its own Python and GDAL to their files; those of the command are
others."""

POLL_MS = 100
"""How often is looked whether the user wants to stop."""

GRACE_S = 5.0
"""How long the command may take to clear up before it is killed."""

KEPT_LINES = 20
"""Last lines of text that explain a command that broke off."""


class CommandError(QgsProcessingException):
    """The command is missing, too old, refused, or broke off: what, and what to do about it."""


class StoppedError(Exception):
    """The user stopped the algorithm, and the command has ended."""


def found_command() -> str:
    """The path of the command: that of the settings, else the one on PATH, else the one where pipx
    and uv put it.

    Raises:
        CommandError: There is none.
    """
    chosen = str(QgsSettings().value(f"Processing/Configuration/{SETTING}", "") or "").strip()
    if chosen:
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise CommandError(f"There is no file {path}.\nChange it in {WHERE}.")
        return str(path)
    home = Path.home() / ".local" / "bin"  # programs with windows often lack it in their PATH
    found = shutil.which("hanet") or shutil.which("hanet", path=str(home))
    if found is None:
        raise CommandError(
            "The hanet command is not installed, or not on PATH.\n"
            f"Install it in a terminal:\n    {INSTALL}\n"
            f"If it is installed elsewhere, give its path in {WHERE}."
        )
    return found


def run(words, feedback: QgsProcessingFeedback, *, is_shown: bool = False) -> list:
    """Runs ``hanet WORDS`` to its end; what it says goes to the log as it comes.

    Args:
        words: Verb, arguments and options.
        feedback: Of the algorithm: log, bar, and whether to stop.
        is_shown: Whether the log gets what the command prints for people, too.

    Returns:
        The ``result`` objects of the contract.

    Raises:
        CommandError: It did not do its work; the message ends with its hint.
        StoppedError: The user stopped it; no process is left.
    """
    command = found_command()
    feedback.pushCommandInfo(" ".join([command, *map(_quoted, words)]))
    process = _started(command, [*words, "--progress", "json"])
    listener = _Listener(command, feedback)
    try:
        running = True
        while running:
            running = process.state() != QProcess.ProcessState.NotRunning
            if running:
                process.waitForReadyRead(POLL_MS)
            listener.hear(bytes(process.readAllStandardError()))
            printed = bytes(process.readAllStandardOutput()).decode("utf-8", "replace").rstrip()
            if is_shown and printed:
                feedback.pushConsoleInfo(printed)
            if feedback.isCanceled():
                raise StoppedError
    finally:
        _stop(process)
    return listener.results(process)


def version_of(command: str) -> str:
    """The first line of ``hanet --version``, ``hanet X``; others may follow.

    Raises:
        CommandError: It cannot be started, or is no hanet.
    """
    process = _started(command, ["--version"])
    process.waitForFinished(60_000)
    said = bytes(process.readAllStandardOutput()).decode("utf-8", "replace").strip()
    if not said.startswith("hanet "):
        heard = bytes(process.readAllStandardError()).decode("utf-8", "replace").strip()
        process.kill()
        process.waitForFinished(1000)
        raise CommandError(
            f"{command} is not the hanet command; asked for its version it said: "
            f"{(said or heard or 'nothing')[-500:]}\nChange it in {WHERE}."
        )
    return said.splitlines()[0]


class _Listener:
    """Understands the lines, and passes them on to the log."""

    def __init__(self, command: str, feedback: QgsProcessingFeedback) -> None:
        self._command, self._feedback = command, feedback
        self._rest, self._stage = b"", ""
        self._results, self._error, self._has_start, self._has_end = [], None, False, False
        self._text = deque(maxlen=KEPT_LINES)

    def hear(self, data: bytes) -> None:
        """Takes what came; an unfinished line waits for its end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace").rstrip())

    def results(self, process: QProcess) -> list:
        """What came out, once the process has ended.

        Raises:
            CommandError: It did not end well.
        """
        if self._rest:
            self.hear(b"\n")
        if self._error is not None:
            raise CommandError(_with_hint(self._error))
        if self._has_start and self._has_end and process.exitCode() == 0:
            return self._results
        if not self._has_start:
            version = version_of(self._command)
            raise CommandError(
                f"{version} ({self._command}) is too old for this plugin, which needs hanet "
                f"{NEEDED} or later.\nUpdate it in a terminal:\n    {UPGRADE}"
            )
        said = "\n".join(self._text)
        raise CommandError(
            f"{self._command} broke off (exit code {process.exitCode()}); perhaps the memory was "
            f"too small, or another program ended it.\n{said}"
        )

    def _line(self, line: str) -> None:
        event = _event(line)
        if event is None:
            if line:
                self._text.append(line)
                self._feedback.pushConsoleInfo(line)
            return
        kind = event["event"]
        if kind == "start":
            self._has_start = True
            if event.get("contract") != CONTRACT:
                raise CommandError(
                    f"{self._command} (hanet {event.get('version')}) is newer than this plugin.\n"
                    "Update the plugin: Plugins > Manage and Install Plugins."
                )
        elif kind == "end":
            self._has_end = True
        elif kind == "progress":
            self._progress(event)
        elif kind == "note":
            self._feedback.pushInfo(_with_hint(event))
        elif kind == "warning":
            self._feedback.pushWarning(_with_hint(event))
        elif kind == "error":
            self._error = event
        elif kind == "result":
            self._feedback.pushInfo(str(event.get("message", "")))
            self._results.append(event)

    def _progress(self, event) -> None:
        stage = str(event.get("stage", ""))
        if stage != self._stage:
            self._stage = stage
            self._feedback.setProgressText(stage)
        share = event.get("overall")
        share = event.get("share") if share is None else share
        if isinstance(share, (int, float)):
            self._feedback.setProgress(100.0 * share)


def _event(line: str):
    """The object of a line; None where it is text of a library."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _with_hint(event) -> str:
    message, hint = str(event.get("message", "")), event.get("hint")
    return f"{message}\nHint: {hint}" if hint else message


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word or not word else word


def _started(command: str, words) -> QProcess:
    environment = QProcessEnvironment.systemEnvironment()
    for name in OF_QGIS:
        environment.remove(name)
    for name, value in (("PYTHONUTF8", "1"), ("NO_COLOR", "1"), ("COLUMNS", "100")):
        environment.insert(name, value)
    process = QProcess()
    process.setProcessEnvironment(environment)
    process.setStandardInputFile(QProcess.nullDevice())
    process.start(command, list(words))
    if not process.waitForStarted(30_000):
        raise CommandError(
            f"{command} cannot be started: {process.errorString()}.\nChange it in {WHERE}."
        )
    process.setReadChannel(QProcess.ProcessChannel.StandardError)
    return process


def _stop(process: QProcess) -> None:
    """Ends the process, unless it has ended, with all that it has started: asked first, then
    killed."""
    root = int(process.processId())
    if not root:
        return
    if os.name == "nt":
        hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        words = ["taskkill", "/T", "/F", "/PID", str(root)]
        subprocess.run(words, check=False, capture_output=True, creationflags=hidden)
    else:
        tree = [root, *_below(root)]
        _send(tree, signal.SIGINT)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and any(map(_is_alive, tree)):
            process.waitForFinished(POLL_MS)
        _send(dict.fromkeys([*tree, *_below(root)]), signal.SIGKILL)
    process.kill()
    process.waitForFinished(30_000)


def _below(root: int) -> list:
    """The processes that a process has started, and theirs."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], check=False, capture_output=True, text=True
    )
    parents = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [root]
    for parent in found:  # grows while it is walked
        found += [pid for pid, its_parent in parents if its_parent == parent]
    return found[1:]


def _send(processes, number: int) -> None:
    for pid in processes:
        with suppress(OSError):  # it has ended
            os.kill(pid, number)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
