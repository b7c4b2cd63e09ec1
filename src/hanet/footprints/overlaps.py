"""Outlines that do not overlap: ground that two neighbours cover stays with the first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

SMALLEST_PX = 1.0
"""Parts below one square pixel that a cut leaves beside a larger one are dropped."""


def without_overlaps(shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The polygons, each without what an earlier one covers: the edge of the earlier one becomes
    the edge of both.

    Outlines are simplified and squared one by one, so those of buildings that touch can overlap by
    some pixels along their common edge.

    Args:
        shapes: Polygons and MultiPolygons, in pixels.

    Returns:
        As many, in the same order; one that others cover whole is empty.
    """
    result = shapes.copy()
    later, earlier = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = earlier < later
    later, earlier = later[pairs], earlier[pairs]
    common = shapely.area(shapely.intersection(shapes[later], shapes[earlier])) > 0
    for index in np.unique(later[common]).tolist():
        others = result[earlier[common & (later == index)]]
        result[index] = polygons_of(shapely.difference(result[index], shapely.union_all(others)))
    return result


def polygons_of(shape: shapely.Geometry) -> shapely.Geometry:
    """A geometry as a Polygon or MultiPolygon, without its lines, points and slivers."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    parts += [
        part
        for collection in shapely.get_parts(shape)
        if collection.geom_type == "MultiPolygon"
        for part in shapely.get_parts(collection)
    ]
    if len(parts) > 1:
        largest = max(part.area for part in parts)
        parts = [part for part in parts if part.area >= min(SMALLEST_PX, largest)]
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
