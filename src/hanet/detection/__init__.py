"""From a pair of rasters to a result folder.

The job reads from top to bottom in :mod:`hanet.detection.job`: open the pair, stream its tiles
through the weights, blend them into ``probability.tif``, and make mask, footprints and report of
it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "DetectionResult": "result",
    "check_settings": "job",
    "detect": "job",
    "load": "arrays",
    "open_result": "result",
}


def __getattr__(name: str) -> Any:
    """Public names, loaded on first use."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
