"""Outlines that do not overlap: ground that two neighbours cover stays with the first, in whatever
batches they come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

SMALLEST_PX = 1.0
"""Parts below one square pixel that a cut leaves beside a larger one are dropped."""


REACH_PX = 64.0
"""How far beyond its pixels an outline may reach. Simplified ones stay within a pixel; squared ones
turn long walls, in 18 fields of random blobs by up to 10 pixels (2026-11)."""


class Overlaps:
    """Cuts outlines that come in batches, each at those that came before it, in its batch or an
    earlier one: the edge of the earlier one becomes the edge of both.

    Outlines are simplified and squared one by one, so those of buildings that touch or nearly touch
    can overlap by some pixels. What is remembered are outlines that a later one can still reach.
    """

    def __init__(self) -> None:
        self._shapes = self._cut = np.empty(0, dtype=object)

    @property
    def remembered(self) -> int:
        """How many outlines are remembered."""
        return len(self._shapes)

    def cut(self, shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
        """The polygons without what earlier ones cover.

        Args:
            shapes: Polygons and MultiPolygons, in pixels.

        Returns:
            As many, in the same order; one that others cover whole is empty.
        """
        known = len(self._shapes)
        shapes = np.concatenate([self._shapes, shapes])
        result = np.concatenate([self._cut, shapes[known:]])
        new = np.arange(known, len(shapes))
        later, earlier = shapely.STRtree(shapes).query(shapes[new], predicate="intersects")
        later = new[later]
        pairs = earlier < later
        later, earlier = later[pairs], earlier[pairs]
        common = shapely.area(shapely.intersection(shapes[later], shapes[earlier])) > 0
        for index in np.unique(later[common]).tolist():
            others = result[earlier[common & (later == index)]]
            rest = shapely.difference(result[index], shapely.union_all(others))
            result[index] = polygons_of(rest)
        self._shapes, self._cut = shapes, result
        return result[known:]

    def forget(self, row: int, unfinished: npt.NDArray[np.object_]) -> None:
        """Drops outlines that no later one can reach, so that memory stays the same however many
        come.

        Args:
            row: Pixels of outlines that are still to come lie below the upper edge of this row, or
                in what is unfinished.
            unfinished: Polygons, in pixels.
        """
        kept = shapely.bounds(self._shapes)[:, 3] >= row - REACH_PX
        if len(unfinished):
            tree = shapely.STRtree(unfinished)
            near, _ = tree.query(self._shapes, predicate="dwithin", distance=REACH_PX)
            kept[near] = True
        self._shapes, self._cut = self._shapes[kept], self._cut[kept]


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
