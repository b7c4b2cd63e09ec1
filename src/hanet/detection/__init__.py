"""From a pair of rasters to a result folder.

The job reads from top to bottom in :mod:`hanet.detection.job`: open the pair, stream its tiles
through the weights, blend them into ``probability.tif``, and make mask, footprints and report of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names

if TYPE_CHECKING:
    from hanet.detection.arrays import load
    from hanet.detection.job import check_settings, detect
    from hanet.detection.result import DetectionResult, open_result

__all__ = ["DetectionResult", "check_settings", "detect", "load", "open_result"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DetectionResult": "result",
        "check_settings": "job",
        "detect": "job",
        "load": "arrays",
        "open_result": "result",
    },
)
