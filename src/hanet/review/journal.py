"""The journal of a review: ``OUT/review/journal.jsonl``, one JSON object a line, which only grows.

A record counts as saved when the disk has it. What a killed process left of a last line is cut off
and kept aside; nothing before it can be lost by that.

| ``do`` | what else the record holds |
|---|---|
| ``begin`` | ``format``, ``hanet``, ``probability_sha256``, ``grid``, ``settings``, ``findings`` |
| ``decide`` | ``items`` (bodies), ``set``, ``was`` (a ``set`` for each), ``kinds`` of the weights |
| ``draw`` | ``item``, ``set`` |
| ``reshape`` | ``id``, ``item`` with its new outline, ``was``: the outline before |
| ``split`` | ``id``, ``item``, ``into``: the parts |
| ``merge`` | ``ids``, ``items``, ``into``: the item that they became |
| ``undo``, ``redo`` | ``undoes``, ``redoes``: number of the record |
| ``remake`` | ``settings``, ``generation``, ``findings``, ``taken``, ``conflicts`` |
| ``sample`` | ``count``, ``seed``, ``threshold``, ``strata``, ``items`` |
| ``suggest`` | ``count``, ``seed``, ``items``: tiles, each with its ``reason`` in words |
| ``taken_back`` | ``file``, ``items`` with what was decided |

``findings`` is the digest of what was found (:meth:`hanet.review.finding.Findings.digest`). Each
record also has ``n`` (its number, from 1), ``at`` (UTC) and ``by`` (the reviewer).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hanet.command_line import typed
from hanet.documents import DocumentError, parse_json, shown
from hanet.errors import InputError, OutputError, one_line
from hanet.files import writing
from hanet.review.state import FORMAT, Conflict, ReviewState
from hanet.types import Json

FOLDER = "review"
"""Folder of the review within a result folder."""

JOURNAL, TORN = "journal.jsonl", "journal.torn"
"""The journal in it, and what was cut off its end."""

LONGEST_LINE = 256 * 2**20
"""Bytes of a record: 100,000 items decided at once have 60 MB."""


def journal_path(out: Path) -> Path:
    """Where the journal of a result folder lies."""
    return out / FOLDER / JOURNAL


def read_journal(out: Path) -> ReviewState:
    """What the journal of a result folder says, without a lock: a record that is being written at
    this moment is left out.

    Args:
        out: The folder of a finished run.

    Raises:
        OutputError: It has no journal, or one that is damaged or of another format.
    """
    path = journal_path(out)
    if not path.exists():
        raise OutputError(
            f"{out} has not been reviewed yet", hint=f"begin with `hanet review {typed(out)}`"
        )
    state = _read(path).state
    if state is None:
        raise OutputError(f"{path} is empty", hint=f"begin with `hanet review {typed(out)}`")
    return state


class Journal:
    """The journal open for writing; only who holds the lock of the folder may open it.

    Args:
        path: The file; made if it is missing.

    Attributes:
        state: What it says; None until the first record is written.

    Raises:
        OutputError: It cannot be written, is damaged, a link, or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_symlink():
            raise OutputError(
                f"{path} is a link; hanet writes through none", hint="put the journal in its place"
            )
        with writing(path, hint=_HINT):
            is_new = not path.exists()
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            flags |= getattr(os, "O_BINARY", 0)  # of Windows
            # unbuffered: what is not told as saved must not be written later
            self._file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
        try:
            if is_new:
                with writing(path, hint=_HINT):
                    for folder in (path.parent, path.parent.parent):
                        _sync_folder(folder)
            found = _read(path)
            self._repair(found)
        except BaseException:
            self._file.close()
            raise
        self.state = found.state
        self._size = found.size
        self._is_broken = False

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def append(self, record: Json) -> frozenset[str]:
        """Takes a record, which must have the next number, and returns when the disk has it.

        Returns:
            Ids of the items that it may have changed.

        Raises:
            InputError: The record is not what may come next; nothing is written.
            OutputError: The disk does not take it; journal and state are as before.
        """
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if len(line) > LONGEST_LINE:
            raise InputError("too much is decided at once", hint="decide about fewer items")
        try:
            record = _record(line)  # what is read back later is what counts now
        except DocumentError as error:
            raise InputError(f"this cannot be saved: {error}") from error
        if self.state is None:
            begun = ReviewState(record)
            self._write(line)
            self.state = begun
            return frozenset()
        count = self.state.prepare(record)
        self._write(line)
        return count()

    def _write(self, line: bytes) -> None:
        """The whole line, or nothing of it."""
        if self._is_broken:
            raise OutputError(
                f"{self.path} could not be put right after a failed write",
                hint="start `hanet review` again; everything that was reported as saved is in it",
            )
        try:
            with writing(self.path, hint=_HINT):
                self._file.seek(self._size)
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
                os.fsync(self._file.fileno())
        except OutputError:
            self._is_broken = True
            with suppress(OSError):
                self._file.truncate(self._size)
                os.fsync(self._file.fileno())
                self._is_broken = False
            raise
        self._size += len(line)

    def _repair(self, found: _Read) -> None:
        """Cuts off the torn end of a last line, and ends one that lacks nothing else."""
        if found.torn:
            torn = self.path.with_name(TORN)
            with writing(torn, hint=_HINT):
                torn.unlink(missing_ok=True)
                with torn.open("xb") as file:
                    file.write(found.torn)
                    file.flush()
                    os.fsync(file.fileno())
                _sync_folder(torn.parent)
        with writing(self.path, hint=_HINT):
            if found.torn:
                self._file.truncate(found.size)
            elif found.lacks_end:
                self._file.seek(found.size - 1)
                self._file.write(b"\n")
            os.fsync(self._file.fileno())


_HINT = "make room on the disk, and check that you may write to the folder"


@dataclass(frozen=True, slots=True)
class _Read:
    """A journal as it was read.

    Args:
        state: What its whole lines say; None where there is none.
        size: Bytes of its whole lines.
        torn: What follows them.
        lacks_end: Whether the last of them has no line break yet.
    """

    state: ReviewState | None
    size: int
    torn: bytes
    lacks_end: bool


def _read(path: Path) -> _Read:
    """Reads all that is whole.

    Raises:
        OutputError: A line that is not the torn end of the last one cannot be used.
    """
    state: ReviewState | None = None
    size = 0
    try:
        with path.open("rb") as file:
            for number, line in _lines(file):
                is_ended = line.endswith(b"\n")
                try:
                    record = _record(line)
                except DocumentError as error:
                    if not is_ended:
                        return _Read(state, size, line, lacks_end=False)
                    raise _damaged(path, number, str(error)) from error
                state = _continued(path, state, record, number)
                size += len(line) + (not is_ended)
                if not is_ended:
                    return _Read(state, size, b"", lacks_end=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="is it a file that you may read?",
        ) from error
    return _Read(state, size, b"", lacks_end=False)


def _record(line: bytes) -> Json:
    # no line has as many values as bytes: its length is the only bound
    record = parse_json(line, max_bytes=LONGEST_LINE, max_values=LONGEST_LINE)
    if not isinstance(record, dict):
        raise DocumentError("it is no object")
    return record


def _continued(path: Path, state: ReviewState | None, record: Json, number: int) -> ReviewState:
    """The state after one more record."""
    is_other = record.get("do") == "begin" and record.get("format") != FORMAT
    if state is None and is_other:
        raise OutputError(
            f"{path} has format {shown(record.get('format'))}; this version reads format {FORMAT}",
            hint=f"use hanet {shown(record.get('hanet'))}, which wrote it",
        )
    try:
        if state is None:
            return ReviewState(record)
        state.apply(record)
    except InputError as error:
        raise _damaged(path, number, error.message) from error
    return state


def _damaged(path: Path, number: int, why: str) -> OutputError:
    return OutputError(
        f"{path} is damaged in line {number}: {one_line(why)}",
        hint=f"restore a copy of it; or move it away and keep only its lines before {number}, "
        "which loses all decisions from there on",
    )


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        yield number, line


def _sync_folder(folder: Path) -> None:
    """Returns when the disk has the names in a folder."""
    if os.name == "nt":  # pragma: no cover - Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["FOLDER", "Conflict", "Journal", "ReviewState", "journal_path", "read_journal"]
