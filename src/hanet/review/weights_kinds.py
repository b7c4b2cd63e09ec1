"""What the weights say about the kind of a change: the first answer of a review, until a person
gives another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from rasterio import Affine
from rasterio.features import rasterize

from hanet.detection.run_folder import BUILT
from hanet.footprints.kinds import kind_of
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.items import Item, Kind
from hanet.types import Window

LARGEST_PX = 4_000_000
"""Items whose bounding box has more pixels are said nothing of, so that memory does not grow with
what a person draws."""


def weights_kinds(out: Path, items: Sequence[Item]) -> list[Kind]:
    """What the weights of a run say of each item: ``built``, ``demolished``, or ``""`` where it is
    unclear, nothing is known, or the run keeps no ``built.tif``.

    Args:
        out: The result folder.
        items: On its grid; tiles have no kind.

    Raises:
        RasterError: ``built.tif`` cannot be read.
    """
    path = out / BUILT
    if not path.exists():
        return [""] * len(items)
    with ProbabilityRaster(path) as built:
        return [_kind(built, item) for item in items]


def _kind(built: ProbabilityRaster, item: Item) -> Kind:
    left, top, right, bottom = (int(value) for value in shapely.bounds(item.geometry))
    whole = Window(0, 0, built.grid.height, built.grid.width)
    window = Window(top, left, bottom - top + 1, right - left + 1).intersection(whole)
    if item.is_tile or window.is_empty or window.height * window.width > LARGEST_PX:
        return ""
    # not at 0, 0: rasterio warns of a grid that lies there, and its silence is of one thread only,
    # while the page asks by several
    moved = shapely.transform(item.geometry, lambda xy: xy - (window.column - 1, window.row - 1))
    place = Affine.translation(1, 1)
    inside = rasterize([moved], out_shape=window.shape, transform=place, dtype=np.uint8) == 1
    values = built.read(window)[inside]
    known = values[~np.isnan(values)]
    kind = kind_of(float(known.mean()) if len(known) else None)
    return "" if kind == "unclear" else kind
