"""What is measured of a footprint: area, perimeter, compactness, centroid, in its grid's units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import shapely

from hanet.imagery.geodesy import line_lengths_m, signed_ring_areas_m2
from hanet.imagery.grid import Grid, to_wgs84
from hanet.types import Json


def on_the_map(shapes: npt.NDArray[np.object_], grid: Grid) -> npt.NDArray[np.object_]:
    """Polygons in pixel coordinates in the CRS of their grid: valid, outer rings against the
    clock, as :func:`measures` wants them."""
    a, _, c, _, e, f = grid.transform
    moved = shapely.transform(shapes, lambda xy: xy * (a, e) + (c, f))
    return np.asarray(shapely.orient_polygons(_made_valid(moved)))


def _made_valid(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """With those put right that are no longer valid on the map: a ring that touches itself in a
    pixel's corner may cross itself when its coordinates are rounded to those of the map."""
    broken = np.flatnonzero(~shapely.is_valid(geometries))
    for index in broken.tolist():
        geometries[index] = shapely.make_valid(
            geometries[index], method="structure", keep_collapsed=False
        )
    return geometries


def measures(geometries: npt.NDArray[np.object_], grid: Grid) -> list[Json]:
    """Area, perimeter, compactness and centroid of polygons in the grid's CRS, outer rings against
    the clock."""
    if grid.crs is None:
        # in pixels of the grid, or in metres where a unit of its coordinates is known
        unit = grid.unit_m or 1 / math.sqrt(abs(grid.transform[0] * grid.transform[4]))
        areas, lengths = shapely.area(geometries) * unit**2, shapely.length(geometries) * unit
        centres = shapely.get_coordinates(shapely.centroid(geometries)) * (1, -1)
        digits = 2
    else:
        parts, of_parts = shapely.get_parts(geometries, return_index=True)
        rings, of_rings = shapely.get_rings(parts, return_index=True)
        owners = of_parts[of_rings]
        points, of_points = shapely.get_coordinates(rings, return_index=True)
        starts = np.flatnonzero(np.diff(of_points, prepend=-1))
        world = _wgs84(grid.crs, points)
        # rings of holes run against their outer ring, so that their areas are taken off; where the
        # axes of the CRS point south or west (Krovak), all rings run the other way round
        areas = np.abs(np.bincount(owners, signed_ring_areas_m2(world, starts), len(geometries)))
        lengths = np.bincount(owners, line_lengths_m(world, starts), len(geometries))
        centres = _wgs84(grid.crs, shapely.get_coordinates(shapely.centroid(geometries)))
        # rasters in degrees may reach beyond the date line
        centres[:, 0] -= 360 * np.round(centres[:, 0] / 360)
        digits = 7
    area_name, length_name, _, *place = _measured(grid)
    names = (area_name, length_name, *place)
    found = []
    for area, length, (x, y) in zip(
        areas.tolist(), lengths.tolist(), centres.tolist(), strict=True
    ):
        # 1 for a circle, 0.785 for a square
        compactness = round(4 * math.pi * area / length**2, 4) if length else 0.0
        values = (round(area, 2), round(length, 2), round(x, digits), round(y, digits))
        found.append({**dict(zip(names, values, strict=True)), "compactness": compactness})
    return found


def _wgs84(crs: str, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    longitudes, latitudes = to_wgs84(crs, points[:, 0].tolist(), points[:, 1].tolist())
    return np.array([longitudes, latitudes]).T


def field_types(grid: Grid, *, has_kinds: bool = False) -> dict[str, type]:
    """Attributes in the order of the files' fields, with their types."""
    reals = (*_measured(grid), "probability_mean", "probability_max")
    kinds = {"kind": str, "built_probability": float} if has_kinds else {}
    dates = {"before_date": str, "after_date": str}
    return {"id": int, **dict.fromkeys(reals, float), **kinds, **dates}


def _measured(grid: Grid) -> tuple[str, str, str, str, str]:
    """Names of area, perimeter, compactness and centroid, with the units that a grid gives."""
    sizes = ("area_m2", "perimeter_m") if grid.has_metres else ("area_px", "perimeter_px")
    place = (
        ("centroid_longitude", "centroid_latitude")
        if grid.crs is not None
        else ("centroid_column", "centroid_row")
    )
    return (*sizes, "compactness", *place)
