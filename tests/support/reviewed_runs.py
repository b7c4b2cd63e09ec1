"""Finished runs without a detection: the files that ``hanet detect`` leaves, made from an array of
probability."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS

from hanet.footprints.extraction import extract_footprints
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.grid import Grid
from hanet.imagery.raster_output import (
    FlatRaster,
    encode_probability,
    write_mask,
    write_probability,
)
from hanet.types import Json, Window

BUILDINGS = {
    "barn": (slice(10, 30), slice(10, 40), 0.9),
    "shed": (slice(10, 20), slice(60, 75), 0.7),
    "doubt": (slice(50, 64), slice(20, 36), 0.55),
    "faint": (slice(50, 64), slice(60, 80), 0.35),
}
"""Rows, columns and probability of what stands in :func:`village`; the last one is missed at a
threshold of 0.5."""


def village(size: int = 512) -> np.ndarray[Any, Any]:
    """Probability (size, size) with :data:`BUILDINGS` in its upper left corner, 0.01 around them.

    Its last rows hold nothing at all; the ground below row 400 right of column 400 is invalid.
    """
    probability = np.full((size, size), 0.01, dtype=np.float32)
    for rows, columns, value in BUILDINGS.values():
        probability[rows, columns] = value
    probability[400:, 400:] = np.nan
    return probability


def finished_run(
    out: Path,
    probability: np.ndarray[Any, Any],
    *,
    crs: str | None = "EPSG:32614",
    gsd: float = 0.5,
    **changes: Any,
) -> Path:
    """The folder of a finished run.

    Args:
        out: Where; made.
        probability: (H, W) in 0-1, NaN where invalid.
        crs: None for pictures.
        gsd: Size of a pixel in the CRS.
        changes: Fields of the footprints' settings; the threshold is 0.5 unless given.
    """
    out.mkdir(parents=True, exist_ok=True)
    height, width = probability.shape
    transform = (gsd, 0.0, 620000.0, 0.0, -gsd, 3350000.0)
    if crs is None:
        transform = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    grid = Grid(CRS.from_user_input(crs).to_wkt() if crs else None, transform, height, width)
    settings = FootprintSettings(**{"threshold": 0.5, **changes})
    valid = ~np.isnan(probability)
    flat = out / "probability.raw"
    with FlatRaster(flat, grid) as raster:
        stored = encode_probability(np.nan_to_num(probability).astype(np.float32), valid)
        raster.write(Window(0, 0, height, width), stored)
    tags = {"HANET_WEIGHTS": "test", "THRESHOLD": str(settings.threshold)}
    write_probability(flat, grid, out / "probability.tif", tags=tags)
    flat.unlink()
    threshold = settings.threshold or 0.5
    write_mask(out / "probability.tif", out / "mask.tif", threshold=threshold, tags=tags)
    summary = extract_footprints(out / "probability.tif", out, settings=settings)
    manifest: Json = {
        "hanet": "1.0",
        "started": "2026-11-28T12:00:00+00:00",
        "identity": {"weights": "00", "grid": grid.to_json()},
        "weights": {"name": "test", "file": "test.onnx", "sha256": "00", "licence": "MIT"},
        "pair": {
            "before": {"path": "before.tif"},
            "after": {"path": "after.tif"},
            "grid": grid.to_json(),
            "gsd_m": grid.gsd_m,
        },
        "threshold": threshold,
        "footprints": {
            **settings.to_json(),
            "count": summary.count,
            "area": round(summary.area_m2, 2),
            "unit": "m2" if summary.has_metres else "px",
            "files": [path.name for path in summary.files],
        },
    }
    (out / "run.json").write_text(json.dumps(manifest))
    return out
