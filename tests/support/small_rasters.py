"""GeoTIFFs small enough to check by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS

UTM = CRS.from_epsg(32614)
"""Where they lie unless told otherwise: Texas."""


def write(
    path: Path,
    pixels: np.ndarray[Any, Any],
    *,
    left: float = 620000.0,
    top: float = 3350000.0,
    gsd: float = 0.5,
    **profile: Any,
) -> Path:
    """A GeoTIFF of an array (C, H, W)."""
    bands, height, width = pixels.shape
    profile = {"crs": UTM, "transform": rasterio.Affine(gsd, 0, left, 0, -gsd, top), **profile}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype=pixels.dtype,
        **profile,
    ) as dataset:
        dataset.write(pixels)
    return path
