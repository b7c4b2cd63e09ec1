"""The files of footprints that a run has written, read again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from hanet.errors import VectorError
from hanet.imagery.vectors import footprint_batches, footprint_crs

READ_FIRST = (".gpkg", ".fgb", ".parquet", ".geojson")
"""Suffixes of files by what they hold of a footprint: the last one is in WGS84, rounded."""


class StoredFootprints(NamedTuple):
    """What a file of footprints holds, one entry a footprint."""

    shapes: npt.NDArray[np.object_]
    """Polygons."""
    columns: dict[str, npt.NDArray[Any]]
    """Attributes by name."""
    crs: str | None
    """Of the polygons; None for pixel coordinates."""


def read_footprints(files: Iterable[Path]) -> StoredFootprints:
    """The footprints that a run has written, from the file that holds most of them.

    Args:
        files: The same footprints in several formats.

    Raises:
        VectorError: None is there, or it cannot be read.
        MissingExtraError: There is GeoParquet alone, and pyarrow is not installed.
    """
    here = [path for path in files if path.suffix in READ_FIRST and path.exists()]
    if not here:
        missing = ", ".join(path.name for path in files) or "none"
        raise VectorError(
            f"the footprints ({missing}) no longer exist",
            hint="without out=, the folder of a run exists only as long as its result object; give "
            "out= to keep it",
        )
    path = min(here, key=lambda path: READ_FIRST.index(path.suffix))
    batches = list(footprint_batches(path))
    shapes = np.concatenate([shapely.from_wkb(wkb) for wkb, _ in batches])
    names = list(batches[0][1])
    columns = {name: np.concatenate([batch[name] for _, batch in batches]) for name in names}
    # of coordinates in pixels GeoJSON would say that they are degrees
    is_in_pixels = "centroid_column" in names
    return StoredFootprints(shapes, columns, None if is_in_pixels else footprint_crs(path))
