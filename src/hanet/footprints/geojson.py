"""Footprints as the GeoJSON objects that Python's map libraries pass to each other
(``__geo_interface__``), as RFC 7946 wants them: WGS84, and cut at the date line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import translate

from hanet.errors import InputError
from hanet.imagery.grid import in_another_crs
from hanet.imagery.vectors import json_geometry
from hanet.types import Json

Columns: TypeAlias = Mapping[str, Sequence[Any] | npt.NDArray[Any]]
"""Attribute name to one value a footprint."""

MOST_FEATURES = 100_000
"""More make an object of some hundred megabytes, for which a file serves better."""

DIGITS = 7
"""Of longitudes and latitudes: a centimetre."""


def feature_collection(
    shapes: npt.NDArray[np.object_],
    columns: Columns,
    crs: str | None,
) -> Json:
    """Polygons with attributes as a FeatureCollection.

    Args:
        shapes: Polygons.
        columns: Attribute name to one value a polygon; NaN becomes None.
        crs: Of the polygons; coordinates without one are left as they are.

    Raises:
        InputError: There are too many.
        GridError: They have no place in WGS84.
    """
    if len(shapes) > MOST_FEATURES:
        raise InputError(
            f"{len(shapes):,} footprints are too many for one GeoJSON object of at most "
            f"{MOST_FEATURES:,}",
            hint="read the file of the footprints, or call .footprints() for a GeoDataFrame",
        )
    world = shapes if crs is None or not len(shapes) else _in_wgs84(shapes, crs)
    features = [
        {
            "type": "Feature",
            "properties": {name: _plain(values[index]) for name, values in columns.items()},
            "geometry": json_geometry(shape),
        }
        for index, shape in enumerate(world)
    ]
    return {"type": "FeatureCollection", "features": features}


def _in_wgs84(shapes: npt.NDArray[np.object_], crs: str) -> npt.NDArray[np.object_]:
    moved = in_another_crs(shapes, crs, "EPSG:4326")
    bounds = shapely.bounds(moved)
    outside = (bounds[:, 0] < -180) | (bounds[:, 2] > 180) | (bounds[:, 2] - bounds[:, 0] > 180)
    for index in np.flatnonzero(outside).tolist():
        moved[index] = _cut_at_date_line(moved[index])
    return np.asarray(shapely.orient_polygons(shapely.transform(moved, _rounded)))


def _rounded(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.round(points, DIGITS)


def _cut_at_date_line(shape: shapely.Geometry) -> shapely.Geometry:
    """A polygon in degrees whose longitudes go on beyond 180, or jump there to -180, as parts
    within -180 to 180."""
    left, _, right, _ = shape.bounds
    if right - left > 180:  # nothing that changed is half as wide as the earth
        shape = shapely.transform(shape, lambda xy: xy + np.where(xy[:, :1] < 0, (360, 0), 0))
        left, _, right, _ = shape.bounds
    shape = translate(shape, xoff=-360 * math.floor((left + 180) / 360))
    west = shapely.intersection(shape, shapely.box(-180, -90, 180, 90))
    beyond = shapely.intersection(shape, shapely.box(180, -90, 540, 90))
    parts = [west, translate(beyond, xoff=-360)]
    polygons = [
        part
        for piece in parts
        for part in shapely.get_parts(piece)
        if part.geom_type == "Polygon" and part.area > 0
    ]
    return shapely.multipolygons(polygons)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
