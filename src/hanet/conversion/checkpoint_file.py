"""Files that ``torch.save`` wrote, read without torch and without running them: both containers,
tensors as numpy arrays.

The pickle inside is read by ``inert_pickle.py``; here a storage gets its place in the file and a
tensor its view of it. A tensor's values are read only when asked for, after its shape was compared
with what its storage really holds.

Formats: a zip archive of uncompressed entries ``NAME/data.pkl``, ``NAME/data/KEY`` (torch 1.6 and
later); before that, five pickles in a row (a magic number, a version, the machine, the object, the
keys of the storages) and the storages, each behind its length.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hanet.conversion.inert_pickle import (
    DAMAGED,
    MAX_PICKLE_BYTES,
    PersistentId,
    Record,
    read_pickle,
)
from hanet.conversion.pickle_names import Global
from hanet.conversion.stored_tensor import (
    CODES,
    Storage,
    StoredTensor,
    check_view,
    item_bytes,
    storage_of,
    tensor_of,
)
from hanet.errors import UnsafeWeightsError, WeightsError

ZIP_MAGIC = b"PK\x03\x04"
"""How a zip archive starts."""

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of the old container (torch.serialization's constant)."""

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Longest directory of a zip archive: about 60,000 entries, HANet has 200."""

Container: TypeAlias = Literal["zip", "legacy"]


class Place(NamedTuple):
    """Where something stands in the file."""

    position: int
    length: int
    """In bytes, as ``position``."""
    crc: int | None = None
    """Its checksum, where the container has one."""


@dataclass(slots=True)
class Checkpoint:
    """What a file of ``torch.save`` holds; see :func:`open_checkpoint`.

    Args:
        path: The file.
        container: Which of the two formats.
        content: The pickled object: containers, scalars, records of inert classes.
        mentioned: Every name that the pickle mentions, in order; none was looked up.
        places: Where each storage stands.
        big_endian: Whether numbers stand with their high byte first.
    """

    path: Path
    container: Container
    content: Any
    mentioned: list[Global]
    places: dict[str, Place] = field(default_factory=dict)
    big_endian: bool = False
    _checked: set[str] = field(default_factory=set)

    def tensor(self, value: Any, *, name: str) -> StoredTensor:
        """The tensor that a value of ``content`` describes, compared with what the file holds.

        Raises:
            WeightsError: It is not a tensor, claims more than its storage has, or overlaps itself.
        """
        found = tensor_of(value, name)
        check_view(found, name)
        held = self._place(found.storage, name).length // item_bytes(found.storage.type)
        if found.storage.start + found.storage.count > held:
            raise WeightsError(
                f"the storage of {name} claims {found.storage.count:,} numbers, the file holds "
                f"{held:,}",
                hint=DAMAGED,
            )
        return found

    def read(self, tensor: StoredTensor, *, name: str) -> npt.NDArray[Any]:
        """Its values; bfloat16 comes as float32.

        Args:
            tensor: What :meth:`tensor` gave.
            name: What an error calls it.
        """
        place = self._place(tensor.storage, name)
        self._check_sum(tensor.storage.key, place)
        dtype = np.dtype(CODES[tensor.type]).newbyteorder(">" if self.big_endian else "<")
        content = bytearray(tensor.span * dtype.itemsize)
        with self.path.open("rb") as file:
            file.seek(place.position + (tensor.storage.start + tensor.offset) * dtype.itemsize)
            if file.readinto(content) != len(content):
                raise WeightsError(f"{self.path} is cut short in {name}", hint=DAMAGED)
        steps = tuple(stride * dtype.itemsize for stride in tensor.strides)
        view = (
            np.ndarray(tensor.shape, dtype, content, strides=steps)
            if tensor.count
            else np.zeros(tensor.shape, dtype)
        )
        values = np.array(view, dtype=dtype.newbyteorder("="), order="C")
        if tensor.type == "bfloat16":  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.bool_) if tensor.type == "bool" else values

    def _check_sum(self, key: str, place: Place) -> None:
        if place.crc is None or key in self._checked:
            return
        crc, left = 0, place.length
        with self.path.open("rb") as file:
            file.seek(place.position)
            while left > 0 and (part := file.read(min(left, 2**20))):
                crc, left = zlib.crc32(part, crc), left - len(part)
        if left or crc != place.crc:
            raise WeightsError(
                f"{self.path} is damaged: the checksum of storage {key} is wrong", hint=DAMAGED
            )
        self._checked.add(key)

    def _place(self, storage: Storage, name: str) -> Place:
        if storage.key not in self.places:
            raise WeightsError(f"the file does not hold the numbers of {name}", hint=DAMAGED)
        return self.places[storage.key]


def open_checkpoint(path: Path) -> Checkpoint:
    """The object in a file of ``torch.save``, as inert data.

    Args:
        path: For example ``best.pth``; old and new container.

    Raises:
        UnsafeWeightsError: It asks for something that no checkpoint needs.
        WeightsError: It is missing, damaged, or no such file; the message says what it is instead,
            where that can be told.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
            file.seek(0)
            if start.startswith(ZIP_MAGIC):
                return _open_zip(path, file)
            _refuse_others(path, start)
            return _open_legacy(path, file)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or error}", hint="give the checkpoint file"
        ) from error
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path} is a damaged zip archive: {error}", hint=DAMAGED) from error


# -- the zip container


class _Directory(io.RawIOBase):
    """The file as :mod:`zipfile` may see it: no single read of more than a directory may take."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(
            MAX_DIRECTORY_BYTES + 1 if size < 0 else min(size, MAX_DIRECTORY_BYTES + 1)
        )
        if len(content) > MAX_DIRECTORY_BYTES:
            raise WeightsError("the directory of the zip archive is too long", hint=DAMAGED)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _open_zip(path: Path, file: BinaryIO) -> Checkpoint:
    try:
        with zipfile.ZipFile(_Directory(file)) as archive:
            entries = archive.infolist()
    except (NotImplementedError, ValueError, struct.error) as error:
        raise WeightsError(f"{path} is a damaged zip archive: {error}", hint=DAMAGED) from error
    named = {entry.filename: entry for entry in entries}
    if len(named) != len(entries):
        raise WeightsError(f"{path} holds an entry twice", hint=DAMAGED)
    pickles = [name for name in named if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(
            f"{path} is a zip archive but no checkpoint: it has no NAME/data.pkl",
            hint="give a file that torch.save wrote",
        )
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in named:
        raise WeightsError(
            f"{path} is a TorchScript archive, a program instead of a checkpoint",
            hint="ask for the state dict of the model",
        )
    size = path.stat().st_size
    places = {
        name.removeprefix(f"{folder}data/"): _entry_place(path, file, entry, size)
        for name, entry in named.items()
        if name.startswith(f"{folder}data/") and name.removeprefix(f"{folder}data/").isdigit()
    }
    content, mentioned = read_pickle(
        io.BytesIO(_entry(path, file, named[pickles[0]], size, MAX_PICKLE_BYTES))
    )
    order = named.get(f"{folder}byteorder")
    big = order is not None and _entry(path, file, order, size, 16) == b"big"
    return Checkpoint(path, "zip", content, mentioned, places, big)


def _entry(path: Path, file: BinaryIO, entry: zipfile.ZipInfo, file_bytes: int, most: int) -> bytes:
    place = _entry_place(path, file, entry, file_bytes)
    if place.length > most:
        raise WeightsError(
            f"{entry.filename[:60]!a} in {path} is longer than {most:,} bytes", hint=DAMAGED
        )
    file.seek(place.position)
    content = file.read(place.length)
    if zlib.crc32(content) != entry.CRC:
        raise WeightsError(f"{path} is damaged: the checksum of its pickle is wrong", hint=DAMAGED)
    return content


def _entry_place(path: Path, file: BinaryIO, entry: zipfile.ZipInfo, file_bytes: int) -> Place:
    """Where an entry's bytes stand; torch stores them as they are, so that whatever is packed is
    foreign."""
    if (
        entry.compress_type != zipfile.ZIP_STORED
        or entry.flag_bits & 1
        or entry.compress_size != entry.file_size
    ):
        raise WeightsError(
            f"{path} packs {entry.filename[:60]!a}; torch.save stores without compression",
            hint="unpack the archive that the checkpoint came in; its entries are never compressed",
        )
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) != 30 or not header.startswith(ZIP_MAGIC):
        raise WeightsError(f"{path} is a damaged zip archive", hint=DAMAGED)
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    position = entry.header_offset + 30 + name_bytes + extra_bytes
    if position + entry.file_size > file_bytes:
        raise WeightsError(f"{path} is cut short", hint=DAMAGED)
    return Place(position, entry.file_size, entry.CRC)


# -- the old container


def _open_legacy(path: Path, stream: BinaryIO) -> Checkpoint:
    try:
        magic, _ = read_pickle(stream)
    except WeightsError as error:
        if isinstance(error, UnsafeWeightsError):
            raise
        raise WeightsError(
            f"{path} is no checkpoint: {error.message}", hint="give a file that torch.save wrote"
        ) from error
    if magic != LEGACY_MAGIC:
        raise WeightsError(
            f"{path} is a pickle, but not one that torch.save wrote",
            hint="give a file that torch.save wrote",
        )
    version, _ = read_pickle(stream)
    machine, _ = read_pickle(stream)
    if version != 1001 or not isinstance(machine, dict):
        raise WeightsError(
            f"{path} has another version of the old container than 1001", hint=DAMAGED
        )
    content, mentioned = read_pickle(stream)
    keys, _ = read_pickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WeightsError(f"{path} has no list of its storages", hint=DAMAGED)
    big = machine.get("little_endian") is False
    checkpoint = Checkpoint(path, "legacy", content, mentioned, big_endian=big)
    _find_legacy_storages(checkpoint, keys, stream)
    return checkpoint


def _find_legacy_storages(checkpoint: Checkpoint, keys: list[str], stream: BinaryIO) -> None:
    types = {storage.key: storage.type for storage in _storages(checkpoint.content)}
    size, order = checkpoint.path.stat().st_size, ">" if checkpoint.big_endian else "<"
    for key in keys:
        prefix = stream.read(8)
        count = struct.unpack(f"{order}q", prefix)[0] if len(prefix) == 8 else -1
        if key not in types:
            raise WeightsError(
                f"{checkpoint.path} holds a storage that nothing refers to", hint=DAMAGED
            )
        length, position = count * item_bytes(types[key]), stream.tell()
        if count < 0 or position + length > size:
            raise WeightsError(
                f"{checkpoint.path} is cut short, or a storage claims more than it holds",
                hint=DAMAGED,
            )
        checkpoint.places[key] = Place(position, length)
        stream.seek(position + length)


def _storages(content: Any) -> list[Storage]:
    """Every storage that the object refers to; each object is visited once, without recursion."""
    found, seen, waiting = [], set(), [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        if isinstance(value, PersistentId):
            seen.add(id(value))
            found.append(storage_of(value, "a tensor"))
        elif isinstance(value, Record):
            seen.add(id(value))
            waiting += [value.arguments, value.state, value.items]
        elif isinstance(value, dict):
            seen.add(id(value))
            waiting += value.values()
        elif isinstance(value, list | tuple):
            seen.add(id(value))
            waiting += value
    return found


def _refuse_others(path: Path, start: bytes) -> None:
    text = start.lstrip().lower()
    what = None
    if not start:
        what = "is empty"
    elif text.startswith((b"<!doctype", b"<html")):
        what = "is a web page: the download gave a page instead of the file"
    elif text.startswith(b"version https://git-lfs"):
        what = "is a pointer of Git LFS instead of the file (git lfs pull fetches it)"
    elif start[257:262] == b"ustar":
        what = "is a tar archive: unpack it first; the container of torch before 0.2 is not read"
    elif len(start) > 9 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] < 2**40:
        what = "is a safetensors file already"
    elif start[:1] not in (b"\x80", b"\x8a"):
        what = "is no checkpoint: it is neither a zip archive nor a pickle"
    if what is not None:
        raise WeightsError(
            f"{path} {what}", hint="give a file that torch.save wrote, for example best.pth"
        )


def entries(value: Any) -> Mapping[Any, Any] | None:
    """The entries of a dictionary, or of a record of a class that is one; None if it is neither."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Record) and all(
        isinstance(item, tuple) and len(item) == 2 for item in value.items
    ):
        pairs = {key: entry for key, entry in value.items if isinstance(key, str)}
        return pairs or None
    return None
