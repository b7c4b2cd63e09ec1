"""hanet: change detection in very-high-resolution bitemporal remote-sensing images.

The names below are loaded on first use, so that ``import hanet`` costs nothing and needs neither
torch nor GDAL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Raster": "imagery.in_memory",
        "create": "models",
        "detect": "detection.job",
        "evaluate": "evaluation.scoring",
        "find_footprints": "footprints.finding",
        "load": "detection.arrays",
        "open_pair": "imagery.pair",
        "open_result": "detection.result",
    },
)
