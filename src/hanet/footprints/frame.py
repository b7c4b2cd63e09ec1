"""Footprints as a GeoDataFrame. The only user of geopandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hanet.errors import importing
from hanet.footprints.geojson import Columns

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

__all__ = ["GeoDataFrame", "geo_frame"]


def geo_frame(
    shapes: npt.NDArray[np.object_],
    columns: Columns,
    crs: str | None,
) -> GeoDataFrame:
    """Polygons with attributes as a GeoDataFrame.

    Args:
        shapes: Polygons.
        columns: Attribute name to one value a polygon.
        crs: Of the polygons; None for pixel coordinates.

    Raises:
        MissingExtraError: geopandas is not installed.
    """
    with importing("geopandas", extra="notebook", purpose="footprints as a GeoDataFrame"):
        import geopandas
    return geopandas.GeoDataFrame(dict(columns), geometry=list(shapes), crs=crs)
