"""A weights file: found by name, read with its metadata, run, and exported.

The weights that travel with the package are in ``shipped/``.

:mod:`hanet.weights.catalogue` resolves a name, :mod:`hanet.weights.weights_file` reads and writes
safetensors, :mod:`hanet.weights.runtime` makes a function from two images to probability.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"load_weights": "weights_file", "open_runtime": "runtime", "save_weights": "weights_file"}


def __getattr__(name: str) -> Any:
    """Public names, loaded on first use."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
