"""A weights file: found by name, read with its metadata, run, and exported.

The weights that travel with the package are in ``shipped/``.

:mod:`hanet.weights.catalogue` resolves a name, :mod:`hanet.weights.weights_file` reads and writes
safetensors, :mod:`hanet.weights.runtime` makes a function from two images to probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names

if TYPE_CHECKING:
    from hanet.weights.runtime import open_runtime
    from hanet.weights.weights_file import load_weights, save_weights

__all__ = ["load_weights", "open_runtime", "save_weights"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"load_weights": "weights_file", "open_runtime": "runtime", "save_weights": "weights_file"},
)
