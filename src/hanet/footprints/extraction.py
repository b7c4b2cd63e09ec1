"""Footprints: the changed buildings of a probability raster as polygons with attributes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon

from hanet.errors import RasterError
from hanet.footprints.components import Component, ComponentFinder
from hanet.footprints.footprint import Footprint, Witness
from hanet.footprints.frame import geo_frame
from hanet.footprints.holes import without_small_holes
from hanet.footprints.kinds import kind_of
from hanet.footprints.measures import field_types, measures, on_the_map
from hanet.footprints.outlines import Outline, outline_of
from hanet.footprints.overlaps import Overlaps, polygons_of
from hanet.footprints.passed_over import PassedOver
from hanet.footprints.review_columns import to_fill_in
from hanet.footprints.settings import DEFAULT_THRESHOLD, FootprintSettings
from hanet.footprints.stored import read_footprints
from hanet.footprints.touching import CORE_AREA_M2, CORE_PIXELS, separate
from hanet.imagery.grid import Grid
from hanet.imagery.qgis import footprint_style
from hanet.imagery.raster_output import PROBABILITY_STEPS, ProbabilityRaster, stored_threshold
from hanet.imagery.vector_formats import FORMATS, check_names
from hanet.imagery.vectors import FeatureWriter
from hanet.types import FloatArray, Json, Mask, Progress, Window

if TYPE_CHECKING:
    from hanet.footprints.frame import GeoDataFrame

STRIP_PIXELS = 4_000_000
"""Pixels that are read at once: memory stays the same for any raster."""

BATCH = 2048
"""Footprints that are measured and written at once."""

LAYER = "footprints"
"""Name of the layer."""

STAGE = "outlining footprints"
"""Name of the stage, for progress."""


class ProbabilitySource(Protocol):
    """What components are found in: a :class:`~hanet.imagery.raster_output.ProbabilityRaster`, or
    probability in memory."""

    grid: Grid
    """Its size and place."""
    is_stored: bool
    """Whether its values lie on the steps of ``probability.tif``."""

    def read(self, window: Window) -> FloatArray:  # (h, w)
        """Probability in 0-1 of a window, NaN where invalid."""


@dataclass(frozen=True, slots=True)
class FootprintSummary:
    """What came out.

    Args:
        count: Footprints.
        area_m2: Their area together; in square pixels where the raster has no CRS.
        has_metres: Whether it is in square metres.
        files: What was written.
        threshold: The probability threshold that was used.
        left_out: Footprints that the filter has left out.
        why_nothing: Where there are none: why, and the option that shows more; "" where there is
            nothing to show.
        folder: What keeps the files there; None where they stay by themselves.
    """

    count: int
    area_m2: float
    has_metres: bool
    files: tuple[Path, ...]
    threshold: float
    left_out: int = 0
    why_nothing: str = ""
    folder: object = field(default=None, repr=False, compare=False)

    def __call__(self) -> GeoDataFrame:
        """The footprints as they stand in the files now, as a GeoDataFrame.

        Raises:
            MissingExtraError: geopandas is not installed.
            VectorError: The files are gone, or cannot be read.
        """
        return geo_frame(*read_footprints(self.files))


def extract_footprints(
    probability: str | Path,
    out: Path,
    *,
    settings: FootprintSettings,
    formats: Sequence[str] = ("gpkg",),
    stem: str = "footprints",
    progress: Progress | None = None,
    witness: Witness | None = None,
    building: Path | None = None,
    built: Path | None = None,
) -> FootprintSummary:
    """Writes the footprints of a probability raster; memory grows neither with its pixels nor with
    their number.

    Args:
        probability: A raster that :class:`hanet.imagery.raster_output.ProbabilityRaster` reads.
        out: Folder for the files.
        settings: How.
        formats: Keys of :data:`hanet.imagery.vector_formats.FORMATS`.
        stem: Name of the files without suffix.
        progress: Called with the stage and the share of the raster that is done.
        witness: Is shown everything that goes by, for the report.
        building: As for :class:`hanet.imagery.vectors.FeatureWriter`.
        built: A raster on the same grid with the probability that a change is a new building,
            invalid where it is not known: each footprint then has the attributes ``kind`` and
            ``built_probability``.

    Raises:
        RasterError: A raster cannot be read, or the two are not on one grid.
        SettingsError: A format has no such name.
        OutputError: A file cannot be written.
    """
    check_names(formats, FORMATS)
    count, area, passed = 0, 0.0, PassedOver()
    with ExitStack() as stack:
        raster = stack.enter_context(ProbabilityRaster(probability))
        kinds = stack.enter_context(ProbabilityRaster(built)) if built is not None else None
        grid, settings = raster.grid, completed(settings, raster)
        types = field_types(grid, has_kinds=kinds is not None)
        area_field = "area_m2" if grid.has_metres else "area_px"
        with FeatureWriter(
            out,
            stem,
            formats,
            crs=grid.crs,
            layer=LAYER,
            fields=types,
            style=footprint_style(has_kinds=kinds is not None),
            to_fill_in=to_fill_in(types),
            building=building,
        ) as writer:
            for batch in batches(
                _iterate(raster, settings, kinds, progress=progress, seen=witness, passed=passed),
                BATCH,
            ):
                columns = {
                    name: [footprint.attributes[name] for footprint in batch] for name in types
                }
                writer.write([footprint.geometry for footprint in batch], columns)
                count += len(batch)
                for value in columns[area_field]:
                    area += value
    return FootprintSummary(
        count,
        area,
        grid.has_metres,
        writer.files,
        _threshold(settings),
        passed.left_out,
        passed.why_nothing(
            settings,
            pixel_area=_pixel_area(grid.gsd_axes_m),
            unit="m²" if grid.has_metres else "square pixels",
        )
        if count == 0
        else "",
    )


def find_components(raster: ProbabilitySource, settings: FootprintSettings) -> list[Component]:
    """What footprints of a raster would be made of: connected sets of changed pixels, touching
    buildings separated, small ones and those that a filter would leave out included.

    Args:
        raster: The probability.
        settings: How; its threshold must be given.
    """
    families = _components(raster, settings, None, _Ahead(), PassedOver(), None, None, None)
    return [component for family in families for component in family]


def find_footprints(
    raster: ProbabilityRaster,
    settings: FootprintSettings,
    *,
    strip_rows: int | None = None,
    progress: Progress | None = None,
    witness: Witness | None = None,
    built: ProbabilityRaster | None = None,
) -> list[Footprint]:
    """The footprints of a raster, all at once; ids count from 1 in the order of their last pixel,
    row by row. ``progress``, ``witness`` and ``built`` are those of :func:`extract_footprints`."""
    settings = completed(settings, raster)
    found = _iterate(
        raster, settings, built, strip_rows=strip_rows, progress=progress, seen=witness
    )
    return list(found)


def completed(settings: FootprintSettings, raster: ProbabilityRaster) -> FootprintSettings:
    """The settings with what the user left to the raster: its threshold and dates."""
    threshold = settings.threshold
    if threshold is None:
        threshold = raster.threshold if raster.threshold is not None else DEFAULT_THRESHOLD
    return replace(
        settings,
        threshold=threshold,
        before_date=settings.before_date or raster.date("before"),
        after_date=settings.after_date or raster.date("after"),
    )


def _iterate(
    raster: ProbabilityRaster,
    settings: FootprintSettings,
    built: ProbabilityRaster | None = None,
    *,
    strip_rows: int | None = None,
    progress: Progress | None = None,
    seen: Witness | None = None,
    passed: PassedOver | None = None,
) -> Iterator[Footprint]:
    """Footprints as they become complete, numbered."""
    if built is not None and built.grid != raster.grid:
        raise RasterError(
            f"{built.source.name} is not on the grid of the probability raster",
            hint="both come from one run; take the two that lie in one folder",
        )
    number, passed = 0, passed or PassedOver()
    metres = raster.grid.gsd_axes_m
    ahead, overlaps = _Ahead(), Overlaps()
    for batch in _whole_batches(
        _components(raster, settings, built, ahead, passed, strip_rows, progress, seen)
    ):
        for footprint in _footprints(
            batch, raster.grid, metres, settings, overlaps, passed, has_kinds=built is not None
        ):
            number += 1
            footprint.attributes["id"] = number
            if seen is not None:
                seen.see(footprint)
            yield footprint
        overlaps.forget(ahead.row, ahead.unfinished)


@dataclass(slots=True)
class _Ahead:
    """Where the pixels of components lie that are still to come, while a strip goes by: from its
    first row on, or in what the strips above it left unfinished."""

    row: int = 0
    unfinished: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))


def _whole_batches(families: Iterable[list[Component]]) -> Iterator[list[Component]]:
    """Components in lists of :data:`BATCH` or a few more: those that were one stay together."""
    batch: list[Component] = []
    for family in families:
        batch += family
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _threshold(settings: FootprintSettings) -> float:
    """Of settings that :func:`completed` has completed."""
    assert settings.threshold is not None
    return settings.threshold


def _components(
    raster: ProbabilitySource,
    settings: FootprintSettings,
    built: ProbabilityRaster | None,
    ahead: _Ahead,
    passed: PassedOver,
    strip_rows: int | None,
    progress: Progress | None,
    seen: Witness | None,
) -> Iterator[list[Component]]:
    """Components as they become complete, each with the parts that it was separated into; keeps
    ``ahead`` up to date."""
    grid = raster.grid
    finder = ComponentFinder(settings.connectivity)
    rows = strip_rows or max(64, STRIP_PIXELS // grid.width)
    # stored values are compared as the mask raster compares them, so that both agree in every
    # pixel; the millionth is less than half a step and more than float32 rounds
    threshold = _threshold(settings)
    if raster.is_stored:
        threshold = stored_threshold(threshold) / PROBABILITY_STEPS

    def read(window: Window) -> tuple[Mask, FloatArray]:
        probability = raster.read(window)
        with np.errstate(invalid="ignore"):
            mask: Mask = probability >= np.float32(threshold) - (1e-6 if raster.is_stored else 0.0)
        return mask, probability

    metres = grid.gsd_axes_m
    core_pixels = (
        CORE_PIXELS if metres is None else math.ceil(CORE_AREA_M2 / (metres[0] * metres[1]))
    )

    def parts(components: Iterable[Component]) -> Iterator[list[Component]]:
        for component in components:
            if settings.separate:
                yield separate(
                    component,
                    read,
                    connectivity=settings.connectivity,
                    core_pixels=core_pixels,
                    read_built=built.read if built is not None else None,
                )
            else:
                yield [component]

    for row in range(0, grid.height, rows):
        ahead.row, ahead.unfinished = row, finder.unfinished
        window = Window(row, 0, min(rows, grid.height - row), grid.width)
        mask, strip = read(window)
        passed.see_strip(strip, _threshold(settings))
        if seen is not None:
            seen.see_strip(strip)
        yield from parts(finder.add(mask, strip, built.read(window) if built else None))
        if progress is not None:
            progress(STAGE, min(1.0, (row + rows) / grid.height))
    yield from parts(finder.finish())


def _footprints(
    components: Sequence[Component],
    grid: Grid,
    metres: tuple[float, float] | None,
    settings: FootprintSettings,
    overlaps: Overlaps,
    passed: PassedOver,
    *,
    has_kinds: bool,
) -> Iterator[Footprint]:
    """The footprints of components; those smaller than asked for, and those that the filter takes
    for false alarms, are left out."""
    pixel_area = _pixel_area(metres)
    if metres is not None:  # cheap refusal of specks; the exact area decides below
        enough = 0.5 * settings.min_area_m2 / pixel_area
        for component in components:
            if component.pixels < enough:
                passed.add_small(component.pixels * pixel_area)
        components = [component for component in components if component.pixels >= enough]
    if settings.footprint_filter is not None:
        kept = settings.footprint_filter.keeps(components, metres)
        passed.left_out += int((~kept).sum())
        components = [one for one, is_kept in zip(components, kept, strict=True) if is_kept]
    if not components:
        return
    smallest_hole = min(settings.min_hole_m2, settings.min_area_m2) / pixel_area
    shapes = np.empty(len(components), dtype=object)
    for index, component in enumerate(components):
        parts = [
            outlined(without_small_holes(part, smallest_hole), settings.outline, metres)
            for part in shapely.get_parts(component.polygon())
        ]
        shapes[index] = _within(parts[0] if len(parts) == 1 else shapely.union_all(parts), grid)
    if settings.separate:
        shapes = overlaps.cut(shapes)
    geometries = on_the_map(shapes, grid)
    for component, shape, geometry, measured in zip(
        components, shapes, geometries, measures(geometries, grid), strict=True
    ):
        area = measured["area_m2" if metres is not None else "area_px"]
        if area < settings.min_area_m2 or geometry.is_empty:
            passed.add_small(area)
            continue
        attributes: Json = {
            "id": 0,
            **measured,
            "probability_mean": round(component.probability_sum / component.pixels, 4),
            "probability_max": round(component.probability_max, 4),
            **(_kind_of(component) if has_kinds else {}),
            "before_date": settings.before_date,
            "after_date": settings.after_date,
        }
        yield Footprint(geometry, shape, attributes)


def _within(shape: shapely.Geometry, grid: Grid) -> shapely.Geometry:
    """The polygons of a shape that lie in the picture: the right angles of a building that its edge
    cuts through may lie outside, where nothing was seen."""
    left, top, right, bottom = shape.bounds
    if left >= 0 and top >= 0 and right <= grid.width and bottom <= grid.height:
        return shape
    return polygons_of(shapely.intersection(shape, shapely.box(0, 0, grid.width, grid.height)))


def _pixel_area(metres: tuple[float, float] | None) -> float:
    """Of a pixel, in square metres; 1 where it has none."""
    return metres[0] * metres[1] if metres is not None else 1.0


def _kind_of(component: Component) -> Json:
    mean = component.built_probability
    share = round(mean, 4) if mean is not None else None
    return {"kind": kind_of(share), "built_probability": share}


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of ``size``, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def outlined(polygon: Polygon, outline: Outline, metres: tuple[float, float] | None) -> Polygon:
    """The outline, made where pixels are square: an angle that is right on the ground is not right
    in pixels of degrees."""
    if metres is None or math.isclose(*metres, rel_tol=1e-3):
        return outline_of(polygon, outline)
    # tolerances count in the longer side, which made the stairs
    stretch = np.array(metres) / max(metres)
    stretched = outline_of(shapely.transform(polygon, lambda xy: xy * stretch), outline)
    return shapely.transform(stretched, lambda xy: xy / stretch)
