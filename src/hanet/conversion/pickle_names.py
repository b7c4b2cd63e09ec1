"""What a pickle of a checkpoint may mention: names of torch, numpy and the standard library, and
those of unknown packages.

Nothing here is ever looked up; the tables part an old checkpoint from a hostile file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

HARMLESS: dict[str, frozenset[str]] = {
    "collections": frozenset({"OrderedDict", "defaultdict", "Counter", "deque"}),
    "builtins": frozenset(
        {
            "set",
            "frozenset",
            "list",
            "dict",
            "tuple",
            "int",
            "float",
            "complex",
            "bool",
            "str",
            "bytes",
            "bytearray",
        }
        | {"object", "slice", "range", "getattr"}
    ),
    "copyreg": frozenset({"_reconstructor", "__newobj__"}),
    "_codecs": frozenset({"encode"}),
    "argparse": frozenset({"Namespace"}),
    "pathlib": frozenset({"Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "torch": frozenset({"Size", "device", "dtype", "memory_format"}),
    "torch.serialization": frozenset({"_get_layout"}),
    "torch.nn.parameter": frozenset({"Parameter", "Buffer"}),
    "torch.storage": frozenset({"UntypedStorage", "TypedStorage"}),
    "torch._utils": frozenset(
        {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"}
        | {"_rebuild_parameter_with_state"}
    ),
    "numpy": frozenset(
        {"dtype", "ndarray", "float16", "float32", "float64", "int32", "int64", "uint8", "bool_"}
    ),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
}
"""Names of torch, numpy and the standard library that a checkpoint may mention; none is ever looked
up."""

OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Python 2's names, which pickles up to protocol 2 use."""

_KNOWN_PACKAGES = sys.stdlib_module_names | {"torch", "numpy", "commands", "cPickle", "exceptions"}
"""Packages of which only what is listed as harmless, or is a class of ``torch.nn`` or
``torch.optim``, may be mentioned."""

_CLASS_PACKAGES = ("torch.nn.modules.", "torch.nn.parallel.", "torch.optim.")


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle mentions; nothing was looked up.

    Args:
        module: For example ``"models.HANet"``.
        name: For example ``"HAN"``.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def is_class(self) -> bool:
        """Whether it is spelled as a class (of torch.nn, torch.optim or an unknown package); a
        spelling, not a look-up."""
        last = self.name.lstrip("_")
        return "." not in self.name and last[:1].isupper()


def may_be_mentioned(found: Global) -> bool:
    """Whether a checkpoint may mention a name: a harmless one, a class of torch, or anything of a
    package that we do not know."""
    if found.name in HARMLESS.get(found.module, ()):
        return True
    if is_known(found.module):
        if found.module in (
            "torch",
            "torch.cuda",
        ):  # FloatStorage, float32: looked at by checkpoint_file.py
            return found.name.endswith("Storage") or found.name in _DTYPES
        return found.is_class and found.module.startswith(_CLASS_PACKAGES)
    return bool(found.module) and bool(found.name)


_DTYPES = frozenset(
    [
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "half",
        "float",
        "double",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "long",
        "bool",
    ]
)


def is_known(module: str) -> bool:
    """Whether a module belongs to a package of which only listed names may be mentioned."""
    return module.partition(".")[0] in _KNOWN_PACKAGES


def shown(found: Global) -> str:
    """A name for messages: in ASCII, cut where it is long."""
    text = str(found)
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")[1:-1]
