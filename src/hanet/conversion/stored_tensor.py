"""Tensors as a checkpoint's pickle describes them: a storage, an offset, a shape and strides, all
to be distrusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hanet.conversion.inert_pickle import DAMAGED, PersistentId, Record
from hanet.conversion.pickle_names import Global
from hanet.errors import UnsafeWeightsError, WeightsError

MAX_DIMENSIONS = 8
"""Most axes of a tensor; torch has no limit, convolutions have four or five."""

MAX_SPREAD = 4
"""How many times as many numbers as it has a view may span."""

_TYPES: dict[str, tuple[str, str]] = {
    "Float": ("float32", "f4"),
    "Double": ("float64", "f8"),
    "Half": ("float16", "f2"),
    "BFloat16": ("bfloat16", "u2"),
    "Long": ("int64", "i8"),
    "Int": ("int32", "i4"),
    "Short": ("int16", "i2"),
    "Char": ("int8", "i1"),
    "Byte": ("uint8", "u1"),
    "Bool": ("bool", "u1"),
}
"""Names of torch's storages -> (type, numpy's code of its bits)."""

CODES = dict(_TYPES.values()) | {"half": "f2", "float": "f4", "double": "f8", "long": "i8"}
"""torch's names of types, short ones too -> numpy's codes of their bits."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers in the file.

    Args:
        key: Its name in the file.
        type: torch's name of the type, for example ``"float32"``.
        count: How many numbers the pickle says that it has.
        start: First of them, where it is a view of another storage.
    """

    key: str
    type: str
    count: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor whose values are still in the file.

    Args:
        storage: Where they are.
        offset: First number in the storage.
        shape: Its shape.
        strides: Steps along each axis, in numbers.
        type: torch's name of the type.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: str

    @property
    def count(self) -> int:
        """How many numbers it has."""
        total = 1
        for size in self.shape:
            total *= size
        return total

    @property
    def span(self) -> int:
        """How many numbers of its storage lie from its first to its last."""
        last = sum(
            stride * (size - 1) for stride, size in zip(self.strides, self.shape, strict=True)
        )
        return last + 1 if self.count else 0


def storage_of(reference: Any, name: str) -> Storage:
    """The storage that a reference of the pickle describes; nothing is compared with the file yet.

    Args:
        reference: Whatever stands there; a storage is a
            :class:`~hanet.conversion.inert_pickle.PersistentId`.
        name: What an error calls the tensor.

    Raises:
        UnsafeWeightsError: It refers to something else outside the file.
        WeightsError: Its type, name, size or view cannot be.
    """
    value = reference.value if isinstance(reference, PersistentId) else None
    if not isinstance(value, tuple) or not 5 <= len(value) <= 6 or value[0] != "storage":
        raise UnsafeWeightsError(
            f"{name} refers to something outside the file that is no storage", hint=DAMAGED
        )
    _, cls, key, _, count, *view = value
    kind = _TYPES.get(cls.name.removesuffix("Storage")) if isinstance(cls, Global) else None
    if isinstance(cls, Global) and cls.module == "torch.storage" and cls.name == "UntypedStorage":
        kind = _TYPES["Byte"]
    if kind is None:
        raise WeightsError(
            f"{name} is of a type that no network here has", hint="ask for a checkpoint in float32"
        )
    if not isinstance(key, str) or not _is_count(count):
        raise WeightsError(f"{name} has a storage without name or size", hint=DAMAGED)
    start = 0
    if view and view[0] is not None:
        parts = view[0]
        if (
            not isinstance(parts, tuple)
            or len(parts) != 3
            or not _is_count(parts[1])
            or not _is_count(parts[2])
        ):
            raise WeightsError(f"{name} has a damaged view of its storage", hint=DAMAGED)
        start, count = parts[1], parts[2]
    return Storage(key, kind[0], count, start)


def tensor_of(value: Any, name: str) -> StoredTensor:
    """The tensor that a value of the pickle describes; :func:`check_view` says whether it can be.

    Raises:
        WeightsError: It is no tensor, or a damaged one.
    """
    if isinstance(value, Record) and value.made_by.name in (
        "_rebuild_parameter",
        "_rebuild_parameter_with_state",
    ):
        value = value.arguments[0] if value.arguments else None
    function = value.made_by if isinstance(value, Record) else None
    if (
        function is None
        or function.module != "torch._utils"
        or not function.name.startswith("_rebuild_tensor")
    ):
        raise WeightsError(
            f"{name} is no tensor",
            hint="a checkpoint holds a module or a dictionary of tensors",
        )
    if len(value.arguments) < 4:
        raise WeightsError(f"{name} is a damaged tensor", hint=DAMAGED)
    reference, offset, shape, strides = value.arguments[:4]
    storage = storage_of(reference, name)
    shape, strides = _sizes(shape), _sizes(strides)
    if shape is None or strides is None or len(shape) != len(strides) or not _is_count(offset):
        raise WeightsError(f"{name} has an impossible shape, stride or offset", hint=DAMAGED)
    kind = storage.type
    if function.name == "_rebuild_tensor_v3":
        dtype = value.arguments[6] if len(value.arguments) > 6 else None
        kind = dtype.name if isinstance(dtype, Global) and dtype.name in CODES else ""
        if (
            storage.type != "uint8" or not kind or storage.start
        ):  # untyped storages are no views in torch's files
            raise WeightsError(
                f"{name} is of a type that no network here has",
                hint="ask for a checkpoint in float32",
            )
        bytes_each = item_bytes(kind)
        storage = Storage(storage.key, kind, storage.count // bytes_each)
    return StoredTensor(storage, offset, shape, strides, kind)


def _sizes(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, Record) and value.made_by == Global("torch", "Size"):
        value = value.arguments[0] if value.arguments else None
    if (
        not isinstance(value, tuple | list)
        or len(value) > MAX_DIMENSIONS
        or not all(map(_is_count, value))
    ):
        return None
    return tuple(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def check_view(tensor: StoredTensor, name: str) -> None:
    """Does nothing for a view that lies in its storage and shows each number once: then a tensor is
    never larger than the file.

    Raises:
        WeightsError: It does not.
    """
    reach = 1
    for stride, size in sorted(zip(tensor.strides, tensor.shape, strict=True)):
        if size > 1 and stride < reach:
            raise WeightsError(f"{name} shows numbers of its storage more than once", hint=DAMAGED)
        reach = max(reach, stride * size if size > 1 else reach)
    if tensor.offset + tensor.span > tensor.storage.count:
        raise WeightsError(
            f"{name} claims the shape {tensor.shape}, its storage has {tensor.storage.count:,} "
            "numbers",
            hint=DAMAGED,
        )
    if tensor.span > MAX_SPREAD * tensor.count:
        raise WeightsError(f"{name} picks its numbers from all over its storage", hint=DAMAGED)


def item_bytes(kind: str) -> int:
    """Bytes of a number of a type by torch's name, a key of :data:`CODES`."""
    return int(np.dtype(CODES[kind]).itemsize)
