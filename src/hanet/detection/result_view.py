"""What a picture of a finished run is drawn from, for notebooks and plots."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from hanet.detection.pictures import Pictures
from hanet.detection.run_folder import read_run_file
from hanet.errors import HanetError
from hanet.footprints.extraction import FootprintSummary
from hanet.footprints.stored import read_footprints
from hanet.imagery.grid import Grid, in_another_crs
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.types import ByteArray, FloatArray, Json, Window


@dataclass(frozen=True, slots=True)
class ResultView:
    """A run at a size to be looked at.

    Args:
        name: What its folder is called.
        grid: The pixels of the run.
        summary: Count and area of its footprints.
        shapes: Its footprints in the grid's CRS, the largest first.
        dates: Date of the before and of the after image, where they are known.
        weights: Name of the weights.
        probability: (h, w) in 0-1, NaN where invalid.
        pictures: Before and after, uint8 (3, h, w); None where the run has no report to take them
            from.
    """

    name: str
    grid: Grid
    summary: FootprintSummary
    shapes: npt.NDArray[np.object_]
    dates: tuple[str | None, str | None]
    weights: str
    probability: FloatArray
    pictures: tuple[ByteArray, ByteArray] | None


def view_of(
    folder: Path,
    summary: FootprintSummary,
    pictures: Pictures | None,
    *,
    name: str,
    longest_px: int,
) -> ResultView:
    """A run to be drawn.

    Args:
        folder: Of the run.
        summary: Its footprints.
        pictures: Of its report.
        name: What to call the folder.
        longest_px: Longest side of what is drawn.

    Raises:
        HanetError: Its files are gone, or cannot be read.
    """
    with ProbabilityRaster(folder / "probability.tif") as raster:
        grid = raster.grid
        small = grid.decimated(longest_px=longest_px)
        size, whole = (small.height, small.width), Window(0, 0, grid.height, grid.width)
        probability = raster.read(whole, shape=size)
    stored, manifest = read_footprints(summary.files), read_run_file(folder / "run.json")
    shapes = stored.shapes
    if stored.crs is not None and grid.crs is not None and len(shapes):
        shapes = in_another_crs(shapes, stored.crs, grid.crs)
    shapes = shapes[np.argsort(-shapely.area(shapes), kind="stable")]
    drawn = _part(manifest, "footprints")
    dates = _text(drawn.get("before_date")), _text(drawn.get("after_date"))
    weights = _text(_part(manifest, "weights").get("name")) or "unknown weights"
    images = None
    if pictures is not None:
        with suppress(HanetError):  # a damaged picture is as good as none
            images = pictures.read(whole, height=size[0], width=size[1])
    return ResultView(name, grid, summary, shapes, dates, weights, probability, images)


def _part(manifest: Json, key: str) -> Json:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
