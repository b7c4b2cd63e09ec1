"""Which grid a pair is read on: whose CRS and pixels, which part, which resolution; and why, in
words."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from hanet.errors import GridError, SettingsError
from hanet.imagery.grid import Bounds, Grid, bounds_in, crs_name, intersection, to_wgs84
from hanet.imagery.raster_source import RasterSource

RESAMPLE_BEYOND = 1.25
"""A grid whose ground sample distance is off the weights' by more than this factor is resampled."""

OBLONG_BEYOND = 1.5
"""A grid whose pixels are longer than wide (or wider) by more than this factor, as those of degrees
far from the equator, is made square: hanet_lite loses 2.6 points of F1 at 2, 0.3 at 1.5 (five
scenes of scenes-1024/val, 2026-11)."""

AS_FINE_WITHIN = 1.05
"""Two grids that differ by no more than this factor are as fine as each other: then metres are
taken before degrees, whose pixels are oblong."""

NEAR_DATE_LINE = 1.0
"""Degrees."""

FINEST = 32
"""A grid is at most so many times finer than the pair, and its pixels at most so many times longer
than it: more is a slip of the keyboard, and a finer raster fills the disk."""


@dataclass(frozen=True, slots=True)
class GridChoice:
    """A grid and the decisions behind it."""

    grid: Grid
    notes: tuple[str, ...]


def choose_grid(
    before: RasterSource,
    after: RasterSource,
    *,
    grid: Literal["finer", "before", "after"] = "finer",
    gsd_m: float | Literal["native"] | None = None,
    target_gsd_m: float | None = None,
    bbox: Bounds | None = None,
) -> GridChoice:
    """The common grid of two rasters; the arguments are those of
    :func:`hanet.imagery.pair.open_pair`.

    The CRS is that of the raster with the finer pixels; of two that are as fine
    (:data:`AS_FINE_WITHIN`) that of the one in metres, where the other is in degrees.
    """
    if grid not in ("finer", "before", "after"):
        raise SettingsError(f"grid is {grid!r}", hint="finer, before or after")
    if before.has_crs != after.has_crs:
        without, other = (before, after) if not before.has_crs else (after, before)
        lacks = "has a CRS but no geotransform" if _is_unplaced(without) else "has no CRS"
        cure = (
            f"its pixels have no place; set it, for example with {_PLACE_IT}"
            if _is_unplaced(without)
            else "georeference it, for example with `gdal_edit.py -a_srs EPSG:CODE` if its "
            "geotransform is right"
        )
        raise GridError(
            f"{without.name} {lacks}, {other.name} has its place; they cannot be brought to one "
            "grid",
            hint=_unwarped(without) or cure,
        )
    if not before.has_crs:
        return _pixel_grid(before, after, gsd_m=gsd_m, target_gsd_m=target_gsd_m, bbox=bbox)
    chosen = _finer(before, after) if grid == "finer" else grid
    base, other = (before, after) if chosen == "before" else (after, before)
    notes: list[str] = []
    if _name(before) != _name(after):
        instead = "after" if chosen == "before" else "before"
        notes.append(
            f"the dates differ in CRS ({_name(before)}, {_name(after)}); both are read in that "
            f"of {_short(base)}"
            + (f" (--grid {instead} takes the other)" if grid == "finer" else "")
        )
    overlap = _overlap(base, other)
    if bbox is not None:
        if not (bbox[0] < bbox[2] and bbox[1] < bbox[3]):
            raise SettingsError(
                f"the bbox {bbox} is not left, bottom, right, top",
                hint=f"in the coordinates of {_name(base)}",
            )
        cut = intersection(overlap, bbox)
        if cut is None:
            raise GridError(
                f"the bbox {_shown(bbox)} does not meet the overlap {_shown(overlap)}",
                hint=f"it is in {_name(base)}",
            )
        overlap = cut
    window = base.grid.window_of(overlap)
    if window.is_empty:
        raise GridError(f"the overlap of {before.name} and {after.name} is less than a pixel")
    common = base.grid.part(window)
    return GridChoice(*_at_resolution(common, notes, gsd_m=gsd_m, target_gsd_m=target_gsd_m))


def _finer(before: RasterSource, after: RasterSource) -> Literal["before", "after"]:
    """The date of the finer pixels; of two that are as fine the one in metres, else the first."""
    fine = before.gsd_m or 0.0, after.gsd_m or 0.0
    in_degrees = before.grid.is_in_degrees, after.grid.is_in_degrees
    if in_degrees[0] != in_degrees[1] and max(fine) <= AS_FINE_WITHIN * min(fine):
        return "after" if in_degrees[0] else "before"
    # one grid exactly like the other counts for before; a hair's difference in metres must not
    # decide
    return "before" if fine[0] <= fine[1] * 1.001 else "after"


def _overlap(base: RasterSource, other: RasterSource) -> Bounds:
    assert base.grid.crs is not None
    assert other.grid.crs is not None
    theirs = other.grid.bounds
    if other.grid.crs != base.grid.crs:
        left, bottom, right, top = bounds_in(theirs, other.grid.crs, base.grid.crs)
        is_across = left > right and base.grid.is_in_degrees  # the date line lies between them
        theirs = left, bottom, right + 360.0 * is_across, top
    turn = base.grid.turn_of(theirs[0], theirs[2])
    theirs = theirs[0] + turn, theirs[1], theirs[2] + turn, theirs[3]
    common = intersection(base.grid.bounds, theirs)
    if common is None:
        raise GridError(
            f"{base.name} and {other.name} do not overlap: {_shown(base.grid.bounds)} and "
            f"{_shown(theirs)} in {_name(base)}",
            hint=_why_apart(base.grid),
        )
    return common


def _why_apart(grid: Grid) -> str:
    """What to do about rasters that do not overlap on a grid."""
    column, row = grid.width / 2, grid.height / 2
    assert grid.crs is not None
    with suppress(GridError):
        longitude = to_wgs84(grid.crs, *([value] for value in grid.affine @ (column, row)))[0][0]
        if (
            abs(math.remainder(longitude, 360.0)) > 180.0 - NEAR_DATE_LINE
            and not grid.is_in_degrees
        ):
            return (
                "if they meet on the date line, bring both to UTM, for example with "
                "`gdalwarp -t_srs EPSG:32601`"
            )
    return "check that both show the same place, and that their CRS are right"


def _at_resolution(
    common: Grid, notes: list[str], *, gsd_m: float | str | None, target_gsd_m: float | None
) -> tuple[Grid, tuple[str, ...]]:
    native, axes = common.gsd_m, common.gsd_axes_m
    assert native is not None
    assert axes is not None
    if isinstance(gsd_m, str):
        if gsd_m != "native":
            raise SettingsError(f"gsd is {gsd_m!r}", hint="metres a pixel, or native")
        return common, tuple(notes)
    wanted = gsd_m
    if wanted is None and target_gsd_m is not None:
        ratio = native / target_gsd_m
        if ratio > FINEST:
            raise GridError(
                f"the pair has {native:.3g} m a pixel, {ratio:,.0f} times the weights' "
                f"{target_gsd_m:.3g} m: no house can be seen",
                hint="use imagery of 1 m or finer; --gsd native detects in the pixels as they are",
            )
        if ratio > RESAMPLE_BEYOND or ratio < 1 / RESAMPLE_BEYOND:
            wanted = target_gsd_m
            notes.append(
                f"the pair has {native:.3g} m a pixel, the weights were trained at "
                f"{target_gsd_m:.3g} m: it is resampled to that (--gsd native keeps the pair's own)"
            )
        elif is_oblong(axes):
            wanted = target_gsd_m
            notes.append(
                f"a pixel is {axes[0]:.3g} m wide and {axes[1]:.3g} m high, the weights expect "
                f"square ones: the pair is resampled to {target_gsd_m:.3g} m (--gsd native keeps "
                "its own)"
            )
    if wanted is None:
        return common, tuple(notes)
    if not 0 < wanted < math.inf:
        raise SettingsError(
            f"gsd is {wanted}; it must be above 0 metres",
            hint="for example --gsd 0.5, or --gsd native",
        )
    if wanted * FINEST < native:
        raise SettingsError(
            f"gsd is {wanted:g} m, more than {FINEST} times finer than the pair's {native:.3g} m",
            hint="a finer grid than the pair's own adds no detail: --gsd native",
        )
    longest = native * max(common.height, common.width)
    if wanted > longest * FINEST:
        raise SettingsError(
            f"gsd is {wanted:g} m, and the whole pair is {longest:.3g} m long",
            hint="for example --gsd 0.5, or --gsd native",
        )
    return common.resampled(gsd_m=wanted), tuple(notes)


def is_oblong(axes_m: tuple[float, float]) -> bool:
    """Whether a pixel of these sides is so far from square that the pair is resampled."""
    return max(axes_m) > OBLONG_BEYOND * min(axes_m)


def _pixel_grid(
    before: RasterSource,
    after: RasterSource,
    *,
    gsd_m: float | str | None,
    target_gsd_m: float | None,
    bbox: Bounds | None,
) -> GridChoice:
    """The pixels as they lie; where the user says how many metres one has, resampled to the
    weights' resolution as a pair on the map is."""
    turned = _about_orientation(before, after)
    sizes = [(source.dataset.height, source.dataset.width) for source in (before, after)]
    if sizes[0] != sizes[1]:
        raise GridError(
            f"neither raster has a CRS and their sizes differ: {sizes[0][0]}x{sizes[0][1]} and "
            f"{sizes[1][0]}x{sizes[1][1]}",
            hint="georeference them, or cut both to the same pixels",
        )
    if bbox is not None:
        raise SettingsError("a pair without CRS has no map: --bbox cannot be used")
    grid, cut = before.grid, ", areas in pixels"
    if gsd_m is not None and gsd_m != "native":
        grid, cut = replace(grid, unit_m=_stated(gsd_m)), f", at {gsd_m} m a pixel as --gsd says"
    notes = [f"neither raster has a CRS: results are in pixel coordinates{cut}"]
    if any(_is_unplaced(source) for source in (before, after)):
        names = ", ".join(_short(source) for source in (before, after) if _is_unplaced(source))
        notes = [
            f"no geotransform in {names}: the CRS alone gives no place, so results are in pixel "
            f"coordinates{cut} (set it, for example with {_PLACE_IT})"
        ]
    notes += turned + _about_transforms(before, after)
    unwarped = [text for source in (before, after) if (text := _unwarped(source))]
    notes += unwarped[:1]
    if not grid.has_metres:
        return GridChoice(grid, tuple(notes))
    return GridChoice(*_at_resolution(grid, notes, gsd_m=None, target_gsd_m=target_gsd_m))


def _stated(gsd_m: float | str) -> float:
    """Metres a pixel as the user says.

    Raises:
        SettingsError: They are not valid.
    """
    if isinstance(gsd_m, str) or not 0 < gsd_m < math.inf:
        raise SettingsError(
            f"gsd is {gsd_m}; it must be above 0 metres",
            hint="for example --gsd 0.2: what one pixel of the images measures",
        )
    return gsd_m


def _about_orientation(before: RasterSource, after: RasterSource) -> list[str]:
    """What cameras say of how their pictures are to be turned.

    Raises:
        GridError: Both dates are to be turned differently, so that their stored pixels do not lie
            on each other.
    """
    stated = before.orientation, after.orientation
    if stated == (1, 1):
        return []
    if stated[0] != stated[1]:
        source = before if stated[0] != 1 else after
        raise GridError(
            f"the EXIF orientations differ, {stated[0]} before and {stated[1]} after: the stored "
            "pixels do not align",
            hint=f"turn the pixels themselves, for example `magick {_short(source)} -auto-orient "
            "turned.png`",
        )
    return [
        f"both pictures have EXIF orientation {stated[0]}, which is not applied: results align "
        "with the pixels as stored"
    ]


_PLACE_IT = "`gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM`"


def _is_unplaced(source: RasterSource) -> bool:
    """Whether a CRS stands in the file and nothing says where in it the pixels lie."""
    return source.dataset.crs is not None and not source.has_geotransform


def _about_transforms(before: RasterSource, after: RasterSource) -> list[str]:
    """What geotransforms without a CRS tell: that pixels of one row and column show one place, or
    that they do not.

    Raises:
        GridError: They do not.
    """
    placed = [source for source in (before, after) if source.has_geotransform]
    if not placed:
        return []
    cure = "`gdal_edit.py -a_srs EPSG:CODE` on both"
    if len(placed) == 2:
        first, second = before.dataset.transform, after.dataset.transform
        height, width = before.dataset.height, before.dataset.width
        side = min(math.hypot(first.a, first.d), math.hypot(first.b, first.e))
        corners = [(x, y) for x in (0, width) for y in (0, height)]
        apart = max(math.dist(first @ corner, second @ corner) for corner in corners)
        if not apart <= side / 2:
            raise GridError(
                "both rasters have a geotransform and no CRS, and by their geotransforms the "
                f"pixels do not align: {_shown(tuple(first[:6]))} and {_shown(tuple(second[:6]))}",
                hint=f"name their CRS by {cure}; then they are brought to one grid",
            )
    names = " and ".join(_short(source) for source in placed)
    return [f"{names}: a geotransform without a CRS; to have results on the map: {cure}"]


def _unwarped(source: RasterSource) -> str:
    """What to do about a raster that knows its place by points or by a sensor's model alone; "" for
    any other."""
    if not source.is_unwarped:
        return ""
    return (
        f"{_short(source)} has a place by ground control points or RPCs alone; to use it: "
        f"`gdalwarp {_short(source)} warped.tif`"
    )


def _name(source: RasterSource) -> str:
    assert source.grid.crs is not None
    return crs_name(source.grid.crs)


def _short(source: RasterSource) -> str:
    return source.name.rsplit("/", 1)[-1]


def _shown(bounds: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in bounds) + ")"
