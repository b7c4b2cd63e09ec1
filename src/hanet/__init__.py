"""hanet: change detection in very-high-resolution bitemporal remote-sensing images.

The names below are loaded on first use, so that ``import hanet`` costs nothing and needs neither
torch nor GDAL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hanet.version import __version__

if TYPE_CHECKING:
    from hanet.detection.arrays import load
    from hanet.detection.job import detect
    from hanet.detection.result import open_result
    from hanet.evaluation.scoring import evaluate
    from hanet.footprints.finding import find_footprints
    from hanet.imagery.in_memory import Raster
    from hanet.imagery.pair import open_pair
    from hanet.models import create

_HOMES = {
    "Raster": "hanet.imagery.in_memory",
    "create": "hanet.models",
    "detect": "hanet.detection.job",
    "evaluate": "hanet.evaluation.scoring",
    "find_footprints": "hanet.footprints.finding",
    "load": "hanet.detection.arrays",
    "open_pair": "hanet.imagery.pair",
    "open_result": "hanet.detection.result",
}

__all__ = [
    "Raster",
    "__version__",
    "create",
    "detect",
    "evaluate",
    "find_footprints",
    "load",
    "open_pair",
    "open_result",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hanet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
