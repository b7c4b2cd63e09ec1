"""Pin holes in footprints: single pixels of low probability on a roof, which no roof has."""

from __future__ import annotations

import shapely
from shapely import Polygon


def without_small_holes(polygon: Polygon, smallest: float) -> Polygon:
    """The polygon without its holes below an area.

    Args:
        polygon: In pixel coordinates.
        smallest: Area in square pixels from which on a hole stays; 0 keeps them all.

    Example:
        >>> yard = shapely.box(1, 1, 2, 2).exterior
        >>> without_small_holes(Polygon(shapely.box(0, 0, 9, 9).exterior, [yard]), 2.0).area
        81.0
    """
    kept = [hole for hole in polygon.interiors if shapely.area(Polygon(hole)) >= smallest]
    return Polygon(polygon.exterior, kept) if len(kept) < len(polygon.interiors) else polygon
