"""The file of one shard: the bytes of its part of the result, whole or not there at all.

A ZIP archive, so that any tool opens it and each member has a checksum:

| member | what |
|---|---|
| ``planes.raw`` | stored bytes of each row of pixels, its planes one after the other |
| ``overview.raw`` | what the report shows of both dates there; missing in runs without a report |
| ``shard.json`` | which shard of which plan it is, and what was counted and measured |

Several machines may write the same shard at once: each writes under a name of its own, and the last
one that is whole takes the place.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO
from uuid import uuid4

import numpy as np

from hanet.documents import DocumentError, parse_json
from hanet.errors import OutputError, one_line
from hanet.files import make_folder, writing
from hanet.types import ByteArray, Json, Window

PLANES, OVERVIEW, RECEIPT = "planes.raw", "overview.raw", "shard.json"
"""Members of the archive."""

FORMAT = 1
"""Version of this format; another one is refused."""

COMPRESSION = 1
"""Level of deflate: most probability is 0, which the quickest level packs as well."""

ROWS_AT_ONCE = 64
"""Rows of pixels that are read at once."""

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What :mod:`zipfile` raises of a damaged archive, beside what the disk says."""

ADVICE = "make room on the disk, or choose a folder that you may write to; then run the shard again"
"""What to do about a disk that does not take a shard."""


class ShardError(OutputError):
    """The file of a shard is not a whole one of this plan."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a shard says of itself.

    Args:
        plan: Hash of its plan.
        shard: Its number.
        planes: Byte planes of the result: 1 for probability alone.
        tally: What was counted in its own chunks, by name.
        tiles: Tiles inferred and skipped, those of the halo included.
        seconds: How long each thread was busy, and the whole took.
        machine: Kind of machine, see :func:`hanet.provenance.machine`.
        versions: Of what ran.
    """

    plan: str
    shard: int
    planes: int = 1
    tally: dict[str, int] = field(default_factory=dict)
    tiles: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    machine: Json = field(default_factory=dict)
    versions: Json = field(default_factory=dict)


class ShardWriter:
    """Writes the file of a shard; it takes its place when a ``with`` ends without an error, after
    :meth:`finish`.

    Args:
        path: Where it will lie.

    Raises:
        OutputError: The disk does not take it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._is_finished = path, False
        make_folder(path.parent)
        self._partial = path.with_name(f".{path.stem}.{uuid4().hex}.partial")
        with writing(path, hint=ADVICE):
            self._archive = zipfile.ZipFile(
                self._partial, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION
            )
            self._planes: IO[bytes] = self._archive.open(PLANES, "w", force_zip64=True)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._is_finished:
                with writing(self._path, hint=ADVICE):
                    _sync(self._partial)
                    self._partial.replace(self._path)
        finally:
            with suppress(OSError, ValueError):  # a member that is open still
                self._planes.close()
                self._archive.close()
            self._partial.unlink(missing_ok=True)

    def write(self, rows: ByteArray) -> None:  # (n, planes, width)
        """The next rows of pixels."""
        with writing(self._path, hint=ADVICE):
            self._planes.write(np.ascontiguousarray(rows).data)

    def finish(self, receipt: Receipt, overview: ByteArray | None) -> None:
        """All that comes after the pixels.

        Args:
            receipt: What the shard says of itself.
            overview: Its part of the overview, (h, 2 bands, w).
        """
        with writing(self._path, hint=ADVICE):
            self._planes.close()
            if overview is not None:
                self._archive.writestr(OVERVIEW, overview.tobytes())
            text = json.dumps({"format": FORMAT, **asdict(receipt)}, indent=1)
            self._archive.writestr(RECEIPT, text)
            self._archive.close()
        self._is_finished = True


class ShardFile:
    """The whole file of a shard, opened for the time of a ``with``.

    Args:
        path: Where it lies.

    Attributes:
        receipt: What it says of itself.

    Raises:
        ShardError: It is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _checked(path):
            self._archive = zipfile.ZipFile(path)
            try:
                self.receipt = _receipt(self._archive.read(RECEIPT))
            except BaseException:
                self._archive.close()
                raise

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()

    def rows(self, window: Window) -> Iterator[tuple[Window, ByteArray]]:
        """The pixels: windows of the raster from top to bottom, each with its planes
        (planes, h, w).

        Args:
            window: Where the shard lies in the raster.

        Raises:
            ShardError: The pixels are damaged, or not as many as the window holds.
        """
        planes, width = self.receipt.planes, window.width
        with _checked(self._path):
            self._check_size(PLANES, window.height * planes * width)
            with self._archive.open(PLANES) as member:
                for row in range(window.row, window.row_end, ROWS_AT_ONCE):
                    height = min(ROWS_AT_ONCE, window.row_end - row)
                    content = member.read(height * planes * width)
                    lines = np.frombuffer(content, np.uint8).reshape(height, planes, width)
                    yield Window(row, window.column, height, width), lines.swapaxes(0, 1)

    def overview(self, shape: tuple[int, int, int]) -> ByteArray:  # (h, 2 bands, w)
        """Its part of the overview.

        Raises:
            ShardError: It is damaged, missing, or of another size.
        """
        with _checked(self._path):
            self._check_size(OVERVIEW, int(np.prod(shape)))
            return np.frombuffer(self._archive.read(OVERVIEW), np.uint8).reshape(shape)

    def check(self) -> None:
        """Does nothing for a file of which every byte is as it was written.

        Raises:
            ShardError: One is not.
        """
        with _checked(self._path):
            if (name := self._archive.testzip()) is not None:
                raise ShardError(f"{self._path}: {name} is damaged")

    def _check_size(self, name: str, size: int) -> None:
        # before anything is unpacked: a damaged file may claim any size
        found = self._archive.getinfo(name).file_size
        if found != size:
            raise ShardError(f"{self._path}: {name} has {found} bytes, not {size}")


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """Turns what reading a damaged archive raises into one error."""
    try:
        yield
    except (*DAMAGE, OSError) as error:
        raise ShardError(f"{path} is damaged: {one_line(error)}") from error


def _receipt(content: bytes) -> Receipt:
    value = parse_json(content, max_bytes=1 << 20)
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise DocumentError("it is no receipt of this version")
    kinds = {name: type(default) for name, default in asdict(Receipt("", 0)).items()}
    if value.keys() != kinds.keys() or any(
        not isinstance(value[name], kind) or isinstance(value[name], bool)
        for name, kind in kinds.items()
    ):
        raise DocumentError("it is no receipt")
    receipt = Receipt(**value)
    numbers = [*receipt.tally.values(), *receipt.tiles.values(), *receipt.seconds.values()]
    if receipt.planes < 1 or any(
        isinstance(number, bool) or not isinstance(number, int | float) or number < 0
        for number in numbers
    ):
        raise DocumentError("it is no receipt")
    return receipt


def _sync(path: Path) -> None:
    """Returns when the disk has a file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
