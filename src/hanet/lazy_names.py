"""Public names of a package that are loaded on first use.

``import hanet`` and the command line's help must cost nothing: torch, GDAL and pytorch-lightning
are loaded by whoever needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    A type checker does not see through it: the package imports the same names under
    ``TYPE_CHECKING``.

    Args:
        package: Its ``__name__``; it lists its public names in ``__all__``.
        homes: Public name to the module that defines it, by a name relative to the package.

    Returns:
        Both functions, to be bound to these names in the package.
    """

    def get(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted(sys.modules[package].__all__)

    return get, names
