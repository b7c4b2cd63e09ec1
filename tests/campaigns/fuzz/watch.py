"""What a reader must not do, watched while it reads."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hanet.errors import HanetError

MOST_SECONDS = 2.0
"""Of the processor, for inputs of some kilobytes that take milliseconds."""

MOST_GROWTH = 512 * 2**20
"""Bytes by which one input may raise the largest memory of the process."""

RUNS_CODE = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.connect",
    "socket.getaddrinfo", "pickle.find_class", "ctypes.dlopen", "os.remove", "os.rename", "os.rmdir",
    "shutil.rmtree", "os.kill", "os.chmod",
)  # fmt: skip
"""Audit events of Python that no reader may cause."""


class ForbiddenError(BaseException):
    """A reader did something that only programs may; no ``except Exception`` takes it away."""


@dataclass(frozen=True)
class Target:
    """A reader of bytes.

    Args:
        read: Gives bytes to the reader, and may check what comes of them; files that it needs it
            writes into the folder. AssertionErrors are faults.
        seeds: Sound inputs, and such as were faults once.
        errors: What may leave it, beside our own errors.
    """

    read: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    errors: tuple[type[Exception], ...] = ()


@dataclass(frozen=True)
class Fault:
    """What was wrong with one input.

    Args:
        key: The same for faults of the same cause.
        text: In full.
    """

    key: str
    text: str


class Watch:
    """Reads inputs one after another, each with an empty folder.

    Args:
        target: The reader.
        folder: For its files; on a file system in memory, if there is one.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self._target, self._folder = target, folder / "reading"
        self._refusals: tuple[type[Exception], ...] = (HanetError, *target.errors)
        _listen()

    def fault_of(self, content: bytes) -> Fault | None:
        """Reads one input; None where all is well."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        memory, seconds = _largest_memory(), time.process_time()
        fault = self._read(content)
        if fault is not None:
            return fault
        seconds, grown = time.process_time() - seconds, _largest_memory() - memory
        if seconds > MOST_SECONDS:
            return Fault("slow", f"it took {seconds:.1f} s")
        if grown > MOST_GROWTH:
            return Fault("memory", f"it took {grown // 2**20} MB")
        return None

    def _read(self, content: bytes) -> Fault | None:
        _reading.append(self._folder)
        try:
            self._target.read(content, self._folder)
        except self._refusals:
            return None
        except (Exception, ForbiddenError) as error:
            trace = traceback.extract_tb(error.__traceback__)
            frames = [frame for frame in trace if frame.name != "_audit"]
            ours = [f for f in frames if f"{os.sep}hanet{os.sep}" in f.filename] or frames
            place = f"{Path(ours[-1].filename).name}:{ours[-1].name}"
            text = "".join(traceback.format_exception(error))
            return Fault(f"{type(error).__name__} in {place}", text)
        finally:
            _reading.clear()
        return None


_reading: list[Path] = []
"""The folder of the reader that is at work."""


@cache
def _listen() -> None:
    """Hears Python's audit events from now on: once, since nothing takes a hook away again."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _reading or event not in RUNS_CODE:
        return
    is_inside = arguments and str(arguments[0]).startswith(str(_reading[0]))
    if not (is_inside and event in ("os.remove", "os.rename")):
        raise ForbiddenError(f"{event} {arguments!r}"[:300])


def _largest_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
