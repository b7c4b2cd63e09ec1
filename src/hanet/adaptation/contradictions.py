"""Two reviews of the same ground that say the opposite of it.

Outlines of two people never agree to the pixel; what lies nearer than two pixels to where either is
unsure or sees a border is no contradiction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import shapely

from hanet.datasets.layout import tile_windows
from hanet.errors import GridError, SettingsError
from hanet.imagery.grid import Grid, bounds_in, in_another_crs, intersection, to_wgs84
from hanet.imagery.images import CHANGED_GREY, UNCHANGED_GREY
from hanet.review.items import Item
from hanet.review.labels import Painter
from hanet.types import Mask

BORDER_PX = 2
"""Pixels along a border that are not compared."""

LOOKED_AT_PX = 512
"""Side of the windows that are compared one after the other."""


@dataclass(frozen=True, slots=True)
class Place:
    """A reviewed result.

    Args:
        name: What it is called.
        grid: Of its outlines.
        items: What was decided; outlines in pixels of the grid.
        dates: Dates of before and after, None where they are not known.
    """

    name: str
    grid: Grid
    items: tuple[Item, ...]
    dates: tuple[str | None, ...]


def refuse_contradictions(places: Sequence[Place]) -> None:
    """Does nothing unless one review says of some ground that it changed and another, of the same
    dates as far as they are known, that it did not.

    Raises:
        SettingsError: Two do; the message says where.
    """
    for first, second in combinations(places, 2):
        if any(a != b for a, b in zip(first.dates, second.dates, strict=True) if a and b):
            continue
        found = _contradiction(first, second)
        if found is not None:
            raise SettingsError(
                f"{first.name} and {second.name} contradict each other at {found}: one says that "
                "it changed, the other that it did not",
                hint="correct one of them with hanet review, or leave it out",
            )


def _contradiction(first: Place, second: Place) -> str | None:
    """Where, in words; on the grid of the first."""
    grid = first.grid
    if (grid.crs is None) != (second.grid.crs is None):
        return None
    if grid.crs is None or second.grid.crs is None:
        return None  # pictures without a place: nobody knows whether they show the same ground
    there = bounds_in(second.grid.bounds, second.grid.crs, grid.crs)
    common = intersection(grid.bounds, there)
    if common is None:
        return None
    try:
        moved = _moved(second, grid)
    except GridError:
        return None
    painters = Painter(first.items), Painter(moved)
    area = grid.window_of(common)
    for tile in tile_windows(area.height, area.width, tile_px=LOOKED_AT_PX, edges="pad"):
        window = replace(
            tile.window, row=tile.window.row + area.row, column=tile.window.column + area.column
        )
        one, other = (painter.label(window) for painter in painters)
        wrong = _inner((one == CHANGED_GREY) & (other == UNCHANGED_GREY))
        wrong |= _inner((one == UNCHANGED_GREY) & (other == CHANGED_GREY))
        if wrong.any():
            row, column = (int(part[0]) for part in np.nonzero(wrong))
            return _said(grid, window.row + row, window.column + column)
    return None


def _moved(place: Place, grid: Grid) -> list[Item]:
    """What was decided, in pixels of another grid."""
    own, target = place.grid, grid
    assert own.crs is not None
    assert target.crs is not None
    a, _, c, _, e, f = own.transform
    shapes = np.empty(len(place.items), dtype=object)
    shapes[:] = [item.geometry for item in place.items]
    on_map = np.asarray(shapely.transform(shapes, lambda xy: xy * (a, e) + (c, f)))
    if own.crs != target.crs:
        on_map = in_another_crs(on_map, own.crs, target.crs)
    a, _, c, _, e, f = target.transform
    pixels = np.asarray(shapely.transform(on_map, lambda xy: (xy - (c, f)) / (a, e)))
    return [replace(item, geometry=shape) for item, shape in zip(place.items, pixels, strict=True)]


def _inner(mask: Mask) -> Mask:
    """Without the pixels near a border of it."""
    for axis in (0, 1):
        grown = mask.copy()
        for step in range(1, BORDER_PX + 1):
            for sign in (-step, step):
                shifted = np.roll(mask, sign, axis=axis)
                edge = [slice(None)] * 2
                edge[axis] = slice(None, step) if sign > 0 else slice(-step, None)
                shifted[tuple(edge)] = False
                grown &= shifted
        mask = grown
    return mask


def _said(grid: Grid, row: int, column: int) -> str:
    a, _, c, _, e, f = grid.transform
    x, y = c + (column + 0.5) * a, f + (row + 0.5) * e
    assert grid.crs is not None
    (longitude,), (latitude,) = to_wgs84(grid.crs, [x], [y])
    return f"latitude {latitude:.6f}, longitude {longitude:.6f}"
