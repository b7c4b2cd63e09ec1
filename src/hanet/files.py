"""Files as wholes: written so that nobody sees half of one, and named by their hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hanet.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; what stands there is moved into place at the end, so that a reader never sees half of it.

    Raises:
        OutputError: The disk does not take it; what was there before stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="make room on the disk, or choose a place that you may write to",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file by :func:`replacing`, and returns when the disk has it; the folder is made.

    Raises:
        OutputError: The disk does not take it; what was there before stays.
    """
    with replacing(path) as partial:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
