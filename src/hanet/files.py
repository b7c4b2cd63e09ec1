"""Files as wholes: written so that nobody sees half of one, named so that a file system takes
them, and known by their hash."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hanet.errors import OutputError, SettingsError

PLACES_THAT_CANNOT_BE_WRITTEN = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
"""Where room on the disk would not help."""

LONGEST_NAME_BYTES = 240
"""Of a single file or folder: ext4, XFS, APFS and NTFS take 255 with the suffix that we add."""

LONGEST_PATH_BYTES = 4000
"""Of a whole path; Linux takes 4096 with what we add to it."""

DEEPEST = 200
"""Folders within each other: Python makes and removes them by recursion, one call or more for
each."""


_ADDRESS = re.compile(
    r"(?:https?|ftps?|s3|gs|az|abfss?|wasbs?|oss|hdfs|swift|zip):/|/vsi[a-z0-9_]+(?:/|$)",
    re.IGNORECASE,
)
"""What GDAL takes for a place elsewhere though ``Path`` makes a folder of it; a ``Path`` has lost
one of the slashes."""


_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10)),
}
"""Names that are no files on Windows, with any ending."""


def check_name(path: str | Path, what: str) -> None:
    """Does nothing for a name that files and folders can have.

    Args:
        path: A path that is to be written.
        what: The option or argument that gave it, for the message.

    Raises:
        SettingsError: It is too long or too deep, not UTF-8, holds control characters, or is an
            address.
    """
    text = str(path)
    if _ADDRESS.match(text):
        raise SettingsError(
            f"{what} is an address; results are written to folders of this machine",
            hint="write to a folder, and copy it there afterwards",
        )
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SettingsError(
            f"the name given as {what} is not UTF-8", hint="choose a name in UTF-8"
        ) from error
    if any(unicodedata.category(c) == "Cc" for c in text):
        raise SettingsError(
            f"the name given as {what} holds control characters",
            hint="choose a name of letters, digits and spaces",
        )
    longest = max((len(part.encode()) for part in Path(text).parts), default=0)
    if longest > LONGEST_NAME_BYTES or len(encoded) > LONGEST_PATH_BYTES:
        raise SettingsError(
            f"the name given as {what} is too long: {text[:40]}...",
            hint=f"a folder or file takes {LONGEST_NAME_BYTES} bytes, a whole path "
            f"{LONGEST_PATH_BYTES}",
        )
    if len(Path(text).parts) > DEEPEST:
        raise SettingsError(
            f"the name given as {what} has {len(Path(text).parts)} folders within each other",
            hint=f"at most {DEEPEST} are allowed",
        )


def one_folder(name: str) -> str:
    """The same text for names that are one folder on some system: Windows and macOS take no notice
    of case, macOS of how accents are written, and Windows of dots and spaces at the end.

    Example:
        >>> one_folder("East.") == one_folder("east")
        True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).rstrip(". ")


def is_windows_name(name: str) -> bool:
    """Whether Windows takes the name of a folder: no device, no sign with a meaning of its own, and
    neither a dot nor a space at the end.

    Source: Microsoft, "Naming Files, Paths, and Namespaces".
    """
    stem = name.split(".")[0].rstrip(" ").upper()
    return not (stem in _DEVICES or set(name) & set('<>:"/\\|?*') or name.endswith((".", " ")))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; what stands there is moved into place at the end, so that
    a reader never sees half of it.

    Raises:
        OutputError: The disk does not take it; what was there before stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()  # left by a killed process of this number, or a link that leads away
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
    make_folder(path.parent)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(
    path: Path, *, engine_errors: tuple[type[Exception], ...] = (), hint: str | None = None
) -> Iterator[None]:
    """Turns what the disk says within it into an OutputError that names the file.

    Args:
        path: The file or folder that is being written.
        engine_errors: What the library that writes raises beside ``OSError``, for example GDAL's
            own errors.
        hint: What to do about it; chosen by the kind of error if None.

    Raises:
        OutputError: The disk is full, or the place cannot be written.
    """
    errors: tuple[type[Exception], ...] = (OSError, *engine_errors)
    try:
        yield
    except errors as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        place = isinstance(error, OSError) and error.errno in PLACES_THAT_CANNOT_BE_WRITTEN
        advice = (
            "choose a folder that you may write to"
            if place
            else "make room on the disk, then continue with --resume"
        )
        raise OutputError(f"{path} cannot be written: {reason}", hint=hint or advice) from error


def make_folder(path: Path) -> None:
    """Makes a folder with its parents; it may be there already.

    Raises:
        OutputError: No folder can be there.
    """
    try:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
    except (ValueError, RecursionError) as error:  # a NUL, lone surrogates; thousands of parents
        raise OutputError(
            f"{path} cannot be written: no folder can have this name", hint="choose another"
        ) from error


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False also for a name that no file system takes (too long, a NUL),
    where ``Path.is_dir`` raises."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether anything is there, links followed; False also for a name that no file system takes,
    where ``Path.exists`` raises."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def table_cell(text: str) -> str:
    """Text for a cell of a CSV file: what a spreadsheet would run as a formula gets an apostrophe
    before it, as OWASP advises (CSV injection).

    Example:
        >>> table_cell("=1+1"), table_cell("scene_1")
        ("'=1+1", 'scene_1')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def keep_aside(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Renames files of one stem to ``STEM-kept-N.SUFFIX``, with the first N that all can have.

    Returns:
        Where they are now.

    Raises:
        OutputError: One cannot be renamed.
    """
    number = 1
    while True:
        free = [path.with_name(f"{path.stem}-kept-{number}{path.suffix}") for path in paths]
        if not any(path.exists() or path.is_symlink() for path in free):
            break
        number += 1
    for path, kept in zip(paths, free, strict=True):
        with writing(kept):
            path.rename(kept)
    return tuple(free)


def check_not_open(path: Path) -> None:
    """Does nothing for a database that no other program has open: the log of an open one would be
    applied to a new file in its place, and break it.

    Raises:
        OutputError: A log lies beside it.
    """
    if path.with_name(f"{path.name}-wal").exists():
        raise OutputError(
            f"{path} is open in another program",
            hint="close it there (QGIS: remove the layer), then try again",
        )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
