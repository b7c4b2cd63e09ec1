"""Polygons as people draw them: whether they can be used, and the ground that they enclose."""

from __future__ import annotations

import numpy as np
import shapely

FARTHEST = 1e15
"""No coordinate of a map is as large."""


def is_usable(shape: shapely.Geometry | None) -> bool:
    """Whether a geometry is made of polygons that have an area and end somewhere."""
    return _ends(shape) and bool(shapely.area(shape) > 0)


def untangled(shape: shapely.Geometry | None) -> tuple[shapely.Geometry | None, str]:
    """The ground that polygons enclose where an outline crosses itself, and where it does; any
    other geometry as it is, and ``""``.

    The lobes of a bow tie are turned against each other: as it stands its area is their difference,
    which is 0 where both are alike.

    Example:
        >>> bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
        >>> bow.area, untangled(bow)[0].area
        (0.0, 2.0)
    """
    if not _ends(shape) or shapely.is_valid(shape):
        return shape, ""
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
    ground = [part for part in parts if part.geom_type == "Polygon"]
    return shapely.MultiPolygon(ground), str(shapely.is_valid_reason(shape))


def _ends(shape: shapely.Geometry | None) -> bool:
    """Whether it is made of polygons within any map."""
    if shape is None or shape.is_empty or shapely.get_dimensions(shape) != 2:
        return False
    return bool((np.abs(shape.bounds) < FARTHEST).all())
