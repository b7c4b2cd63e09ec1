"""The area of interest of a pair: which pixels of its grid lie inside, and which part of the grid
holds them all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import geometry_mask
from shapely import get_parts, multipolygons
from shapely.affinity import translate
from shapely.geometry import box, shape

from hanet.errors import VectorError
from hanet.imagery.addresses import bare_name
from hanet.imagery.grid import Grid, crs_name
from hanet.imagery.vectors import json_geometry, read_polygons
from hanet.types import Json, Mask, Window

MARGIN_PX = 32
"""Kept around the area on all sides: the right angles of a building that its edge cuts through may
lie outside of it."""


@dataclass(frozen=True)
class Area:
    """Polygons on a grid; :func:`area_of` reads them.

    Args:
        grid: The grid.
        polygons: GeoJSON geometries in its CRS.
        notes: What was passed over in their file, in words.
    """

    grid: Grid
    polygons: tuple[Json, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def _shapes(self) -> npt.NDArray[np.object_]:
        return np.array([shape(polygon) for polygon in self.polygons])

    def meets(self, window: Window) -> bool:
        """Whether it reaches into a window of the grid."""
        extent = box(*self.grid.part(window).bounds)
        return bool(shapely.intersects(self._shapes, extent).any())

    def inside(self, window: Window) -> Mask:  # (h, w)
        """The pixels of a window of the grid whose centres lie inside."""
        found: Mask = geometry_mask(
            self.polygons,
            out_shape=window.shape,
            transform=self.grid.part(window).affine,
            invert=True,
        )
        return found

    def window(self) -> Window:
        """The part of the grid that holds all pixels inside and :data:`MARGIN_PX` around them."""
        a, _, c, _, e, f = self.grid.transform
        parts = get_parts(self._shapes)
        extent = box(*self.grid.bounds)
        # a part of it that lies elsewhere must not stretch the window
        left, bottom, right, top = shapely.total_bounds(parts[shapely.intersects(parts, extent)])
        first_row, end_row = math.floor((top - f) / e), math.ceil((bottom - f) / e)
        first_column, end_column = math.floor((left - c) / a), math.ceil((right - c) / a)
        wanted = Window(
            first_row - MARGIN_PX,
            first_column - MARGIN_PX,
            end_row - first_row + 2 * MARGIN_PX,
            end_column - first_column + 2 * MARGIN_PX,
        )
        return wanted.intersection(Window(0, 0, self.grid.height, self.grid.width))


def area_of(aoi: Path, grid: Grid) -> Area:
    """The area of interest of a file.

    Args:
        aoi: Vector file, see :func:`hanet.imagery.vectors.read_polygons`.
        grid: The pair's.

    Raises:
        VectorError: The file cannot be read, or its polygons lie elsewhere.
    """
    found = read_polygons(aoi, crs=grid.crs)
    area = Area(grid, tuple(_beside(polygon, grid) for polygon in found.shapes), found.notes)
    _check_meets(area.polygons, aoi, grid)
    return area


def _beside(polygon: Json, grid: Grid) -> Json:
    """The polygon, each part with its longitudes counted as the grid's are."""
    parts = [part for part in get_parts(shape(polygon)) if part.geom_type == "Polygon"]
    turns = [grid.turn_of(part.bounds[0], part.bounds[2]) for part in parts]
    if not any(turns):
        return polygon
    moved = [translate(part, xoff=turn) for part, turn in zip(parts, turns, strict=True)]
    return json_geometry(multipolygons(moved))


def _check_meets(polygons: tuple[Json, ...], aoi: Path, grid: Grid) -> None:
    left, bottom, right, top = grid.bounds
    extent = box(left, bottom, right, top)
    # one that only touches its edge holds no pixel of it
    if any(
        extent.intersects(polygon) and not extent.touches(polygon)
        for polygon in map(shape, polygons)
    ):
        return
    where = (
        f"in {crs_name(grid.crs)}"
        if grid.crs is not None
        else "in pixels: x is the column, y minus the row"
    )
    raise VectorError(
        f"the polygons {bare_name(str(aoi))} do not meet the pair, which reaches "
        f"from {left:.10g}, {bottom:.10g} to {right:.10g}, {top:.10g} {where}",
        hint="check their CRS, and that they show the same place",
    )
