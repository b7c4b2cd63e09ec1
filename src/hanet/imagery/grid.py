"""The pixel grid that both dates are read on: a CRS, a north-up transform and a size. Geometry
only, no pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform as transform_points
from rasterio.warp import transform_bounds

from hanet.errors import GridError
from hanet.imagery.geodesy import line_length_m
from hanet.imagery.silence import silence
from hanet.types import Json, Window

GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError, UnicodeDecodeError)
"""What rasterio raises of its own accord; CPLE are GDAL's and PROJ's, which some of its functions
pass on as they come, and it decodes every text of a file as UTF-8: the names in a CRS, tags."""

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top) in map coordinates."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A north-up grid of pixels.

    Args:
        crs: Coordinate reference system as WKT; None means pixel coordinates (no georeference), y
            up from the lower left corner turned down: x is the column, y minus the row.
        transform: Affine coefficients (a, b, c, d, e, f) from (column, row) to map coordinates; b
            and d are 0, e is negative.
        height: Rows.
        width: Columns.
        unit_m: Metres of one unit of pixel coordinates, where somebody said so; None for a grid
            with a CRS, which knows by itself.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int
    unit_m: float | None = None

    @property
    def affine(self) -> Affine:
        """The transform as rasterio takes it."""
        return Affine(*self.transform)

    @property
    def bounds(self) -> Bounds:
        """(left, bottom, right, top) in map coordinates."""
        a, _, c, _, e, f = self.transform
        return c, f + e * self.height, c + a * self.width, f

    @property
    def gsd_m(self) -> float | None:
        """Ground sample distance in metres at the centre, the geometric mean of both axes; None
        where it is not known."""
        axes = self.gsd_axes_m
        return math.sqrt(axes[0] * axes[1]) if axes else None

    @property
    def gsd_axes_m(self) -> tuple[float, float] | None:
        """Metres a pixel along x and along y at the centre, on the ellipsoid; None where neither a
        CRS nor :attr:`unit_m` tells."""
        if self.crs is None:
            if self.unit_m is None:
                return None
            return self.transform[0] * self.unit_m, -self.transform[4] * self.unit_m
        column, row = self.width / 2, self.height / 2
        points = [self.affine @ (column + dx, row + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))]
        longitudes, latitudes = to_wgs84(self.crs, [p[0] for p in points], [p[1] for p in points])
        across = ground_distance_m(longitudes[0], latitudes[0], longitudes[1], latitudes[1])
        down = ground_distance_m(longitudes[0], latitudes[0], longitudes[2], latitudes[2])
        if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
            raise GridError(
                "the ground sample distance cannot be computed: the grid lies outside the domain "
                "of its CRS"
            )
        return across, down

    @property
    def has_metres(self) -> bool:
        """Whether lengths and areas on the ground are known."""
        return self.crs is not None or self.unit_m is not None

    @property
    def is_in_degrees(self) -> bool:
        """Whether x is a longitude, which comes back after a whole turn."""
        return self.crs is not None and bool(_crs(self.crs).is_geographic)

    def turn_of(self, left: float, right: float) -> float:
        """Degrees, a multiple of 360, that bring what lies between two longitudes nearest to this
        grid; 0 where x is no longitude.

        Beyond the date line one raster may count on from 180, another one from -180.
        """
        if not self.is_in_degrees:
            return 0.0
        ours = self.bounds
        return 360.0 * round((ours[0] + ours[2] - left - right) / 720.0)

    def part(self, window: Window) -> Grid:
        """The grid of a window of this one."""
        a, b, c, d, e, f = self.transform
        moved = (a, b, c + a * window.column, d, e, f + e * window.row)
        return replace(self, transform=moved, height=window.height, width=window.width)

    def resampled(self, *, gsd_m: float) -> Grid:
        """A grid over the same ground whose pixels measure ``gsd_m`` metres along both axes (within
        half a pixel of the edge)."""
        axes = self.gsd_axes_m
        if axes is None:
            raise GridError(
                "a raster without a CRS has no metres to resample to",
                hint="say how many metres a pixel has (--gsd), or georeference the pair",
            )
        factor_x, factor_y = gsd_m / axes[0], gsd_m / axes[1]
        a, b, c, d, e, f = self.transform
        return replace(
            self,
            transform=(a * factor_x, b, c, d, e * factor_y, f),
            height=max(1, round(self.height / factor_y)),
            width=max(1, round(self.width / factor_x)),
        )

    def decimated(self, *, longest_px: int) -> Grid:
        """A grid over the same ground whose longer side has at most ``longest_px`` pixels; this one
        if it is no larger."""
        factor = max(self.height, self.width) / longest_px
        if factor <= 1:
            return self
        return self.resized(
            height=max(1, round(self.height / factor)), width=max(1, round(self.width / factor))
        )

    def resized(self, *, height: int, width: int) -> Grid:
        """A grid over the same ground with other numbers of pixels."""
        a, b, c, d, e, f = self.transform
        moved = (a * self.width / width, b, c, d, e * self.height / height, f)
        return replace(self, transform=moved, height=height, width=width)

    def window_of(self, bounds: Bounds) -> Window:
        """Pixels whose greater part lies inside bounds (of this CRS), cut to the grid; may be
        empty."""
        left, bottom, right, top = bounds
        a, _, c, _, e, f = self.transform
        first_column, end_column = round((left - c) / a), round((right - c) / a)
        first_row, end_row = round((top - f) / e), round((bottom - f) / e)
        wanted = Window(first_row, first_column, end_row - first_row, end_column - first_column)
        return wanted.intersection(Window(0, 0, self.height, self.width))

    def to_json(self) -> Json:
        """For manifests."""
        return {
            "crs": self.crs,
            "transform": list(self.transform),
            "height": self.height,
            "width": self.width,
            **({"unit_m": self.unit_m} if self.unit_m is not None else {}),
        }

    @classmethod
    def from_json(cls, values: Json) -> Grid:
        """Reads what :meth:`to_json` gave, from a file that somebody may have changed.

        Raises:
            KeyError: A value is missing.
            TypeError: One is of another type.
            ValueError: One is out of range, or the CRS is none that PROJ knows.
        """
        crs, unit_m = values["crs"], values.get("unit_m")
        a, b, c, d, e, f = (_finite(value) for value in values["transform"])
        height, width = values["height"], values["width"]
        for size in (height, width):
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"a size is {type(size).__name__}")
            if not 0 < size < 2**31:
                raise ValueError(f"a size is {size:.9g}")
        if a == 0 or e == 0:
            raise ValueError("pixels without extent")
        if crs is not None:
            if not isinstance(crs, str):
                raise TypeError(f"the CRS is {type(crs).__name__}")
            try:
                _crs(crs)
            except GDAL_ERRORS as error:
                raise ValueError("an unknown CRS") from error
        unit = None if unit_m is None else _finite(unit_m)
        return cls(crs, (a, b, c, d, e, f), height, width, unit)


def _finite(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"a number is {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def to_wgs84(crs: str, x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    """Longitudes and latitudes in degrees of points in a CRS."""
    try:
        longitude, latitude = transform_points(_crs(crs), _crs("EPSG:4326"), x, y)[:2]
    except GDAL_ERRORS as error:
        raise GridError(
            f"coordinates in {crs_name(crs)} cannot be brought to longitude and latitude",
            hint="is the CRS right? One that is not tied to the earth (a local or engineering "
            "one) cannot be used: take it away with `gdal_edit.py -a_srs None FILE`, and the "
            "result is in pixels, measured in metres by --gsd",
        ) from error
    return longitude, latitude


@lru_cache(maxsize=16)
def _crs(text: str) -> CRS:
    """Parsed once: every footprint asks for it."""
    silence()
    return CRS.from_string(text)


def crs_name(crs: str) -> str:
    """A CRS as short as it can be said: its code, or its name."""
    known = _crs(crs)
    code = known.to_epsg()
    if code:
        return f"EPSG:{code}"
    text = str(known.to_wkt())
    return text.split('"')[1] if '"' in text else text[:40]


def wkt_of(crs: str) -> str:
    """A CRS, however it is named, as WKT."""
    return str(_crs(crs).to_wkt())


def in_another_crs(
    shapes: npt.NDArray[np.object_], source: str, target: str
) -> npt.NDArray[np.object_]:
    """Geometries of one CRS in another, corner by corner.

    Raises:
        GridError: One has no place there.
    """

    def moved(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = transform_points(_crs(source), _crs(target), *points.T.tolist())[:2]
        return np.array([x, y], dtype=np.float64).T

    try:
        there = shapely.transform(shapes, moved)
    except GDAL_ERRORS as error:
        raise GridError(
            f"outlines in {crs_name(source)} cannot be brought to {crs_name(target)}"
        ) from error
    if not np.isfinite(shapely.get_coordinates(there)).all():
        raise GridError(
            f"outlines in {crs_name(source)} have no place in {crs_name(target)}",
            hint="is their CRS right?",
        )
    return np.asarray(there)


def bounds_in(bounds: Bounds, source: str, target: str) -> Bounds:
    """Bounds of one CRS in another, with the edges densified."""
    try:
        left, bottom, right, top = transform_bounds(
            CRS.from_string(source), CRS.from_string(target), *bounds
        )
    except GDAL_ERRORS as error:
        raise GridError(f"the extents of the two rasters cannot be compared: {error}") from error
    return left, bottom, right, top


def intersection(first: Bounds, second: Bounds) -> Bounds | None:
    """The common part of two bounds; None if they do not overlap."""
    left, bottom = max(first[0], second[0]), max(first[1], second[1])
    right, top = min(first[2], second[2]), min(first[3], second[3])
    return (left, bottom, right, top) if left < right and bottom < top else None


def ground_distance_m(
    longitude: float, latitude: float, other_longitude: float, other_latitude: float
) -> float:
    """Metres between two near points, from the ellipsoid's radii of curvature at their middle;
    exact to 1e-6 below a kilometre."""
    ends = np.array([[longitude, latitude], [other_longitude, other_latitude]])
    return line_length_m(ends)
