"""Footprints: the changed buildings of a probability raster as polygons with attributes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from hanet.components import Component, ComponentFinder
from hanet.errors import SettingsError
from hanet.geodesy import line_length_m, ring_area_m2
from hanet.grid import Grid, to_wgs84
from hanet.outlines import Outline, outline_of
from hanet.raster_output import PROBABILITY_STEPS, ProbabilityRaster, stored_threshold
from hanet.types import Json, Window
from hanet.vectors import FORMATS, write_features

STRIP_PIXELS = 16_000_000
"""Pixels that are read at once: memory stays the same for any raster."""

LAYER = "footprints"
"""Name of the layer."""


@dataclass(frozen=True, slots=True)
class FootprintSettings:
    """How footprints are made.

    Args:
        threshold: Probability from which on a pixel counts as change, between 0 and 1.
        connectivity: 8 joins pixels that touch at a corner into one footprint, 4 does not.
        min_area_m2: Smaller footprints are left out (square pixels where the raster has no CRS).
        outline: See :mod:`hanet.outlines`.
        before_date: Date of the before image, put into every footprint.
        after_date: Date of the after image.
    """

    threshold: float = 0.5
    connectivity: Literal[4, 8] = 8
    min_area_m2: float = 10.0
    outline: Outline = "square"
    before_date: str | None = None
    after_date: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise SettingsError(
                f"the threshold is {self.threshold}; it must lie between 0 and 1", hint="for example --threshold 0.5"
            )
        if self.connectivity not in (4, 8):
            raise SettingsError(f"the connectivity is {self.connectivity}; it must be 4 or 8")
        if self.outline not in ("pixels", "simple", "square"):
            raise SettingsError(f"the outline is {self.outline!r}", hint="pixels, simple or square")
        if not self.min_area_m2 >= 0:
            raise SettingsError(f"the smallest area is {self.min_area_m2}; it must be 0 or more")

    def to_json(self) -> Json:
        """For manifests."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FootprintSummary:
    """What came out.

    Args:
        count: Footprints.
        area_m2: Their area together; in square pixels where the raster has no CRS.
        has_metres: Whether it is in square metres.
        files: What was written.
    """

    count: int
    area_m2: float
    has_metres: bool
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Footprint:
    """One changed building (or row of buildings that touch).

    Args:
        geometry: In the raster's CRS.
        pixel_geometry: The same in pixels.
        attributes: Name to value.
    """

    geometry: Polygon | MultiPolygon
    pixel_geometry: Polygon | MultiPolygon
    attributes: Json


def extract_footprints(
    probability: str | Path,
    out: Path,
    *,
    settings: FootprintSettings,
    formats: Sequence[str] = ("gpkg",),
    stem: str = "footprints",
    report: Callable[[float], None] | None = None,
) -> FootprintSummary:
    """Writes the footprints of a probability raster.

    Args:
        probability: A raster that :class:`hanet.raster_output.ProbabilityRaster` reads.
        out: Folder for the files.
        settings: How.
        formats: Keys of :data:`hanet.vectors.FORMATS`.
        stem: Name of the files without suffix.
        report: Called with the share of the raster that is done, in 0-1.

    Raises:
        RasterError: The raster cannot be read.
        SettingsError: A format has no such name.
        OutputError: A file cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise SettingsError(f"there is no format {name!r}", hint=f"the formats are: {', '.join(FORMATS)}")
    with ProbabilityRaster(probability) as raster:
        grid = raster.grid
        footprints = find_footprints(raster, settings, report=report)
    columns = _columns(footprints, has_metres=grid.crs is not None)
    geometries = [footprint.geometry for footprint in footprints]
    files = []
    for name in formats:
        path = out / f"{stem}{FORMATS[name]}"
        write_features(path, geometries, columns, file_format=name, crs=grid.crs, layer=LAYER, style=True)
        files.append(path)
    key = "area_m2" if grid.crs is not None else "area_px"
    area = float(columns[key].sum())
    return FootprintSummary(len(footprints), area, grid.crs is not None, tuple(files))


def find_footprints(
    raster: ProbabilityRaster,
    settings: FootprintSettings,
    *,
    strip_rows: int | None = None,
    report: Callable[[float], None] | None = None,
) -> list[Footprint]:
    """The footprints of a raster, in the order of their first pixel; ids count from 1 in that order.

    The raster is read in strips; what is kept grows with the footprints, not with the pixels.
    """
    grid = raster.grid
    found: list[tuple[tuple[int, int], Footprint]] = []
    metres = grid.gsd_axes_m
    for component in _components(raster, settings, strip_rows, report):
        footprint = _footprint(component, grid, metres, settings)
        if footprint is not None:
            found.append((component.first_pixel, footprint))
    found.sort(key=lambda item: item[0])
    for number, (_, footprint) in enumerate(found, start=1):
        footprint.attributes["id"] = number
    return [footprint for _, footprint in found]


def _components(
    raster: ProbabilityRaster,
    settings: FootprintSettings,
    strip_rows: int | None,
    report: Callable[[float], None] | None,
) -> Iterator[Component]:
    grid = raster.grid
    finder = ComponentFinder(settings.connectivity)
    rows = strip_rows or max(64, STRIP_PIXELS // grid.width)
    # stored values are compared as the mask raster compares them, so that both agree in every pixel
    threshold = stored_threshold(settings.threshold) / PROBABILITY_STEPS if raster.is_stored else settings.threshold
    for row in range(0, grid.height, rows):
        strip = raster.read(Window(row, 0, min(rows, grid.height - row), grid.width))
        with np.errstate(invalid="ignore"):
            mask = strip >= np.float32(threshold) - (1e-6 if raster.is_stored else 0.0)
        yield from finder.add(mask, strip)
        if report is not None:
            report(min(1.0, (row + rows) / grid.height))
    yield from finder.finish()


def _footprint(
    component: Component, grid: Grid, metres: tuple[float, float] | None, settings: FootprintSettings
) -> Footprint | None:
    """The footprint of a component; None where it is smaller than asked for."""
    pixel_area = abs(grid.transform[0] * grid.transform[4])
    if metres is not None and component.pixels * metres[0] * metres[1] < 0.5 * settings.min_area_m2:
        return None  # cheap refusal of specks; the exact area decides below
    shape = component.polygon()
    parts = [_outline(part, settings.outline, metres) for part in shapely.get_parts(shape)]
    pixels: Polygon | MultiPolygon = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    a, _, c, _, e, f = grid.transform
    geometry = shapely.orient_polygons(shapely.transform(pixels, lambda xy: xy * (a, e) + (c, f)))
    attributes = _measures(geometry, grid, pixel_area)
    if attributes["area_m2" if grid.crs is not None else "area_px"] < settings.min_area_m2:
        return None
    attributes |= {
        "probability_mean": round(component.probability_sum / component.pixels, 4),
        "probability_max": round(component.probability_max, 4),
        "before_date": settings.before_date,
        "after_date": settings.after_date,
    }
    return Footprint(geometry, pixels, {"id": 0, **attributes})


def _measures(geometry: Polygon | MultiPolygon, grid: Grid, pixel_area: float) -> Json:
    if grid.crs is None:
        area, perimeter = geometry.area / pixel_area, geometry.length
        centre = geometry.centroid
        return {
            "area_px": round(area, 2),
            "perimeter_px": round(perimeter, 2),
            "compactness": _compactness(area, perimeter),
            "centroid_column": round(centre.x, 2),
            "centroid_row": round(-centre.y, 2),
        }
    area = perimeter = 0.0
    for part in shapely.get_parts(geometry):
        for ring, sign in [(part.exterior, 1), *((hole, -1) for hole in part.interiors)]:
            points = _wgs84(grid.crs, np.asarray(ring.coords))
            area += sign * ring_area_m2(points)
            perimeter += line_length_m(points)
    centre = geometry.centroid
    ((longitude, latitude),) = _wgs84(grid.crs, np.array([[centre.x, centre.y]])).tolist()
    return {
        "area_m2": round(area, 2),
        "perimeter_m": round(perimeter, 2),
        "compactness": _compactness(area, perimeter),
        "centroid_longitude": round(longitude, 7),
        "centroid_latitude": round(latitude, 7),
    }


def _compactness(area: float, perimeter: float) -> float:
    """4 pi area / perimeter^2: 1 for a circle, 0.785 for a square."""
    return round(4 * math.pi * area / perimeter**2, 4) if perimeter else 0.0


def _wgs84(crs: str, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    longitudes, latitudes = to_wgs84(crs, points[:, 0].tolist(), points[:, 1].tolist())
    return np.array([longitudes, latitudes]).T


def _outline(polygon: Polygon, outline: Outline, metres: tuple[float, float] | None) -> Polygon:
    """The outline made where a pixel is as long as it is wide: a right angle on the ground is none in pixels of degrees."""
    if metres is None or math.isclose(*metres, rel_tol=1e-3):
        return outline_of(polygon, outline)
    stretch = np.array(metres) / max(metres)  # tolerances count in the longer side, which made the stairs
    stretched = outline_of(shapely.transform(polygon, lambda xy: xy * stretch), outline)
    return shapely.transform(stretched, lambda xy: xy / stretch)


def _columns(footprints: list[Footprint], *, has_metres: bool) -> dict[str, npt.NDArray[Any]]:
    """Attributes as one array a field, typed also when there is no footprint."""
    unit = "m" if has_metres else "px"
    types: dict[str, Any] = {
        "id": np.int64,
        f"area_{unit}{'2' if has_metres else ''}": np.float64,
        f"perimeter_{unit}": np.float64,
    }
    centroid = ("longitude", "latitude") if has_metres else ("column", "row")
    types |= {"compactness": np.float64, **{f"centroid_{axis}": np.float64 for axis in centroid}}
    types |= {
        "probability_mean": np.float64,
        "probability_max": np.float64,
        "before_date": object,
        "after_date": object,
    }
    return {
        name: np.array([footprint.attributes[name] for footprint in footprints], dtype=kind)
        for name, kind in types.items()
    }
