"""The ground that a grid covers, as GeoJSON and STAC say it: longitudes and latitudes of WGS84."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from shapely.affinity import translate

from hanet.imagery.grid import Grid, to_wgs84
from hanet.imagery.vectors import json_geometry
from hanet.types import Json

PIECES = 16
"""Each side of the grid is drawn in so many: straight lines of a CRS are none in degrees."""

DECIMALS = 7
"""Of degrees: a centimetre."""

TOLERANCE_DEGREES = 1e-6
"""Points that lie so near to the line between others are left out: a tenth of a metre."""


class Ground(NamedTuple):
    """Where a grid lies.

    Args:
        geometry: GeoJSON Polygon; a MultiPolygon of two where it reaches across the date line.
        bbox: West, south, east, north; west is larger than east across the date line (RFC 7946).
    """

    geometry: Json
    bbox: list[float]


def ground_of(grid: Grid) -> Ground | None:
    """The ground of a grid; None without a CRS, and where its edge leaves the CRS's domain.

    Raises:
        GridError: The CRS is not tied to the earth.
    """
    if grid.crs is None:
        return None
    left, bottom, right, top = grid.bounds
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    line = shapely.segmentize(shapely.LineString(corners), max(right - left, top - bottom) / PIECES)
    x, y = line.xy
    longitudes, latitudes = (np.array(values) for values in to_wgs84(grid.crs, list(x), list(y)))
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None
    # one after another along the edge: a jump of a whole turn is the date line, not the ground
    longitudes = np.unwrap(longitudes, period=360.0)
    edge = np.stack([longitudes, latitudes], axis=1)
    shape = shapely.Polygon(np.round(edge, DECIMALS)).simplify(TOLERANCE_DEGREES)
    west, south, east, north = shape.bounds
    turn = 360.0 * ((west + 180.0) // 360.0)
    shape, west, east = translate(shape, -turn), west - turn, east - turn
    if east <= 180.0:
        return Ground(json_geometry(_counterclockwise(shape)), [west, south, east, north])
    parts = [
        shapely.intersection(translate(shape, shift), shapely.box(-180.0, -90.0, 180.0, 90.0))
        for shift in (0.0, -360.0)
    ]
    both = shapely.MultiPolygon([_counterclockwise(part) for part in parts])
    return Ground(json_geometry(both), [west, south, round(east - 360.0, DECIMALS), north])


def _counterclockwise(shape: shapely.Polygon) -> shapely.Polygon:
    return shapely.Polygon(shapely.geometry.polygon.orient(shape).exterior)
