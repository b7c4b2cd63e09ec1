"""A raster's overviews: the one to read at a coarser resolution, if it shows what the pixels do.

Overviews that were built before a mosaic was filled, or before its pixels were changed, stay in the
file as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from hanet.imagery.grid import Grid, bounds_in
from hanet.imagery.raster_source import RasterSource
from hanet.types import Window

PROBES = 4
"""Windows along each axis in which an overview is compared with the pixels."""

PROBE_PX = 16
"""Side of such a window in pixels of the overview."""

MOST_TIMES = 32
"""The coarsest overview compared is so many times as coarse; the pixels under its windows are read
whole."""

FAR_SIGMAS = 0.6
"""Means of a window that differ by more than this many standard deviations of the raster's pixels
disagree: 256 pixels drawn from a window hit its mean within 0.1."""


@contextmanager
def read_for(source: RasterSource, grid: Grid) -> Iterator[RasterSource]:
    """The raster for reading on a coarser grid: its coarsest overview that is at least as fine and
    shows there what the pixels do, or itself."""
    wanted = (grid.gsd_m or 1.0) / (source.gsd_m or 1.0)
    levels = [level for level, factor in enumerate(source.overview_factors) if factor <= wanted]
    if not source.has_crs or not levels or are_stale(source, grid):
        yield source
        return
    with RasterSource(source.path, overview_level=levels[-1]) as overview:
        yield overview


def are_stale(source: RasterSource, grid: Grid) -> bool:
    """Whether the raster's overviews show something else than its pixels do, in two of sixteen
    windows of the grid or more; compared once a raster."""
    if source.has_stale_overviews is None:
        source.has_stale_overviews = _disagrees(source, grid)
    return source.has_stale_overviews


def _disagrees(source: RasterSource, grid: Grid) -> bool:
    bands = source.image_bands(3)
    factors = source.overview_factors
    level = max((n for n, factor in enumerate(factors) if factor <= MOST_TIMES), default=0)
    side_px = max(2, min(PROBE_PX, MOST_TIMES * PROBE_PX // factors[level]))
    fine_means, coarse_means, spreads = [], [], []
    with RasterSource(source.path, overview_level=level) as overview:
        down = source.dataset.height / overview.dataset.height
        across = source.dataset.width / overview.dataset.width
        for window in overview.probes(PROBES, side_px, within=_place(overview, grid)):
            coarse = overview.read_raw(window, bands).astype(np.float64)
            fine = _beneath(source, window, bands, down, across)
            seen = np.isfinite(fine).all(axis=0), np.isfinite(coarse).all(axis=0)
            if not (seen[0].any() and seen[1].any()):
                continue
            fine_means.append(fine[:, seen[0]].mean(axis=1))
            coarse_means.append(coarse[:, seen[1]].mean(axis=1))
            spreads.append(fine[:, seen[0]].var(axis=1))
    if not spreads:
        return False
    means = np.array(fine_means)
    spread = np.sqrt(np.mean(spreads, axis=0) + means.var(axis=0))
    far = np.abs(means - np.array(coarse_means)) > FAR_SIGMAS * spread + 1e-6
    return int(far.any(axis=1).sum()) >= min(2, len(spreads))


def _place(overview: RasterSource, grid: Grid) -> Window | None:
    """The grid's pixels in an overview; None (all of it) where the overview is rotated."""
    own = overview.grid
    if own.crs is None or grid.crs is None or own.transform != overview.dataset.transform[:6]:
        return None
    theirs = grid.bounds if grid.crs == own.crs else bounds_in(grid.bounds, grid.crs, own.crs)
    window = own.window_of(theirs)
    return None if window.is_empty else window


def _beneath(
    source: RasterSource, window: Window, bands: tuple[int, ...], down: float, across: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The raster's own pixels under a window of an overview."""
    height, width = source.dataset.height, source.dataset.width
    row, column = int(window.row * down), int(window.column * across)
    end_row = min(height, max(row + 1, round(window.row_end * down)))
    end_column = min(width, max(column + 1, round(window.column_end * across)))
    place = Window(row, column, end_row - row, end_column - column)
    return source.read_raw(place, bands).astype(np.float64)
