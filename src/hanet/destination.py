"""Where results go, looked at before the work: what would keep a result from being written is found
before anything is read, and nothing is written to find it.

Every verb asks here. What is written in which format is known to :mod:`hanet.imagery.libraries`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hanet.errors import MissingExtraError, OutputError
from hanet.files import check_name, is_folder, is_there

LEAST_FREE_BYTES = 4 * 2**20
"""With less on the disk even a small result with its report does not end."""


def check_folder(folder: str | Path, what: str, *, needed_bytes: int = 0) -> None:
    """Does nothing for a folder that results can be written to, made if it is missing.

    Args:
        folder: Where files will be written.
        what: The option or argument that names it, for the message.
        needed_bytes: What they will take, as far as that is known.

    Raises:
        SettingsError: Its name is one that no folder can have.
        OutputError: It is a file, may not be written to, or lies on a disk that is full.
    """
    path = Path(folder)
    check_name(path, what)
    ground = _nearest_there(path)
    why = why_not_writable(ground) if is_folder(ground) else f"{ground} is a file"
    if why is not None:
        raise OutputError(
            f"{path} cannot be written: {why}", hint="choose a folder that you may write to"
        )
    check_room(path, needed_bytes)


def check_file(file: str | Path, what: str, *, needed_bytes: int = 0) -> None:
    """Does nothing for a file that can be written, or replaced if it is there.

    Args:
        file: Its name.
        what: The option or argument that gives it, for the message.
        needed_bytes: Its size, as far as that is known.

    Raises:
        SettingsError: Its name is one that no file can have.
        OutputError: It is a folder, or :func:`check_folder` refuses the folder that it lies in.
    """
    path = Path(file)
    check_name(path, what)
    if is_folder(path):
        raise OutputError(f"{path} is a folder", hint="give the name of a file in it")
    check_folder(path.parent, what, needed_bytes=needed_bytes)


def check_room(path: Path, needed_bytes: int, *, hint: str | None = None) -> None:
    """Does nothing where the disk has room.

    Args:
        path: What will be written: a file or a folder, there or not.
        needed_bytes: What it will take at least; :data:`LEAST_FREE_BYTES` are needed anyway.
        hint: What to do where there is none.

    Raises:
        OutputError: There is none.
    """
    needed, free = max(needed_bytes, LEAST_FREE_BYTES), free_bytes(_nearest_there(path))
    if free < needed:
        raise OutputError(
            f"{path} needs {_size(needed)}, the disk has {_size(free)} left",
            hint=hint or "make room, or choose a place on another disk",
        )


def check_packages(packages: Sequence[str], *, extra: str, purpose: str) -> None:
    """Does nothing where all of these optional packages are installed; none is imported.

    Args:
        packages: Names by which they are imported.
        extra: The extra of hanet that brings them.
        purpose: What needs them, for the message.

    Raises:
        MissingExtraError: One is not installed.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingExtraError(package, extra=extra, purpose=purpose)


def is_installed(package: str) -> bool:
    """Whether a package of this name can be imported; it is not."""
    return find_spec(package) is not None


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that is there; without bound where the system does not know it,
    as of some stores that are mounted as folders."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else sys.maxsize


def why_not_writable(folder: Path) -> str | None:
    """Why no file can be made in a folder that is there, in words of the system; None where one
    can. It is tried, since rights alone do not say it: of root, of servers, of full disks."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _nearest_there(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = path.absolute()
    while not is_there(path) and path != path.parent:
        path = path.parent
    return path


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
