"""What there is to look at in a finished run: its footprints, the places that it may have missed,
and tiles in which it found nothing.

All of it is made from ``probability.tif`` in two passes: footprints by the settings at hand, then
again from :data:`MISSED_FROM` on. Of the second, those that touch no footprint are the missed
places: between :data:`MISSED_FROM` and the threshold, or above it but too small to count there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from hanet.footprints.extraction import find_footprints, outlined
from hanet.footprints.footprint import Footprint
from hanet.footprints.measures import measures, on_the_map
from hanet.footprints.outlines import Outline as FootprintOutline
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.grid import Grid
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.items import Item, Outline, Source
from hanet.types import FloatArray, Progress

MISSED_FROM = 0.2
"""Probability from which on a place may be a missed change; a blank tile has none."""

BLANK_TILE_M = 64.0
"""Side of a blank tile on the ground, to the nearest pixel."""

BLANK_TILE_PX = 128
"""The same where the result has no CRS."""

FINDING = "finding what to review"
"""Name of the stage, for progress."""


@dataclass(frozen=True, slots=True)
class BlankTiles:
    """Tiles that hold no pixel of at least :data:`MISSED_FROM` (or of the threshold, if that is
    lower) and no invalid one.

    Tiles are counted row by row from the upper left corner, whole ones only: what a last row or
    column has less than a tile is in none. A tile's number, and so its id, is that of its place.

    Args:
        tile_px: (height, width) of a tile in pixels.
        columns: Tiles in a row.
        numbers: (N,) numbers of the blank ones from 0, rising.
    """

    tile_px: tuple[int, int]
    columns: int
    numbers: npt.NDArray[np.int64]

    def items(self) -> list[Item]:
        """All of them, in the order of their numbers."""
        return [self._item(number) for number in self.numbers.tolist()]

    def drawn(self, count: int, *, seed: int) -> list[Item]:
        """So many of them at random, in the order of the draw; all where there are no more."""
        order = np.random.default_rng(seed).permutation(self.numbers)
        return [self._item(number) for number in order[:count].tolist()]

    def get(self, identity: str) -> Item | None:
        """The blank tile of an id; None where it is none."""
        if not identity.startswith("b"):
            return None
        number = int(identity[1:]) - 1
        place = int(np.searchsorted(self.numbers, number))
        is_one = place < len(self.numbers) and int(self.numbers[place]) == number
        return self._item(number) if is_one else None

    def _item(self, number: int) -> Item:
        height, width = self.tile_px
        row, column = divmod(number, self.columns)
        box = shapely.box(column * width, row * height, (column + 1) * width, (row + 1) * height)
        return Item(f"b{number + 1}", "blank", box)


@dataclass(frozen=True, slots=True)
class Findings:
    """What there is to look at.

    Args:
        found: The footprints, in the order of their ids.
        missed: Places that may have been missed, in the order of their ids.
        blank: Tiles in which nothing was found.
    """

    found: tuple[Item, ...]
    missed: tuple[Item, ...]
    blank: BlankTiles

    def of_generation(self, generation: int) -> Findings:
        """The same with the ids of a generation: ``f12`` and ``m4`` of the first one (0), ``2-12``
        and ``2-m4`` after the second remake."""
        prefix = f"{generation}-" if generation else ""
        return Findings(
            _numbered(self.found, prefix or "f"), _numbered(self.missed, f"{prefix}m"), self.blank
        )

    def digest(self) -> str:
        """SHA-256 of the outlines in order, in hexadecimal: other findings may have the same ids,
        for example those of another version of hanet."""
        digest = hashlib.sha256()
        for items in (self.found, self.missed):
            digest.update(f"{len(items)}:".encode())
            for item in items:
                digest.update(shapely.to_wkb(item.geometry))
        return digest.hexdigest()


def find(
    probability: Path,
    settings: FootprintSettings,
    *,
    progress: Progress | None = None,
) -> Findings:
    """Everything that there is to look at, as a first generation.

    Args:
        probability: ``probability.tif`` of the run.
        settings: How footprints are made; its threshold must be given.
        progress: Called with :data:`FINDING` and the share that is done.

    Raises:
        RasterError: The raster cannot be read.
    """
    threshold = settings.threshold
    assert threshold is not None, "a run states its threshold"
    floor = min(MISSED_FROM, threshold)

    def half(number: int) -> Progress:
        return lambda _, share: progress(FINDING, (number + share) / 2) if progress else None

    with ProbabilityRaster(probability) as raster:
        tiles = _TileWitness(raster.grid, floor)
        footprints = find_footprints(raster, settings, progress=half(0), witness=tiles)
        lower: list[Footprint] = []
        if floor < threshold or settings.footprint_filter is not None:
            # most of them hold a footprint and are dropped: outlines cost as much as all the rest
            # what a filter has left out of the footprints is a place that may have been missed
            wide = replace(
                settings, threshold=floor, separate=False, outline="pixels", footprint_filter=None
            )
            lower = find_footprints(raster, wide, progress=half(1))
        grid = raster.grid
    missed = _with_outlines(_items(_apart(lower, footprints), "missed"), settings.outline, grid)
    findings = Findings(_items(footprints, "found"), missed, tiles.blank())
    return findings.of_generation(0)


def measured(geometries: Sequence[Outline], grid: Grid) -> list[float | None]:
    """Areas in square metres on the ellipsoid of outlines in pixel coordinates, as those of
    footprints are measured; None where the grid has no metres."""
    if not grid.has_metres or not geometries:
        return [None] * len(geometries)
    shapes = np.empty(len(geometries), dtype=object)
    shapes[:] = geometries
    return [values["area_m2"] for values in measures(on_the_map(shapes, grid), grid)]


def tile_px(grid: Grid) -> tuple[int, int]:
    """(height, width) in pixels of a blank tile: :data:`BLANK_TILE_M` on the ground, or
    :data:`BLANK_TILE_PX`; the whole raster where that is smaller."""
    metres = grid.gsd_axes_m
    height = width = BLANK_TILE_PX
    if metres is not None:
        height, width = (max(1, round(BLANK_TILE_M / side)) for side in reversed(metres))
    return min(height, grid.height), min(width, grid.width)


class _TileWitness:
    """Keeps of each tile whether it is blank, while strips of probability go by."""

    def __init__(self, grid: Grid, floor: float) -> None:
        self._tile = tile_px(grid)
        self._rows, self._columns = (
            grid.height // self._tile[0],
            grid.width // self._tile[1],
        )
        self._blank = np.ones((self._rows, self._columns), dtype=bool)
        # what is stored is rounded to a 250th, which half a step tells apart
        self._floor, self._row = np.float32(floor - 1e-6), 0

    def see_strip(self, probability: FloatArray) -> None:
        height, width = self._tile
        low = probability[:, : self._columns * width]
        is_low = np.less(low, self._floor)  # False for NaN
        start = 0
        while start < len(is_low):
            tile, inside = divmod(self._row, height)
            count = min(height - inside, len(is_low) - start)
            if tile < self._rows:
                part = is_low[start : start + count].all(axis=0)
                self._blank[tile] &= part.reshape(self._columns, width).all(axis=1)
            self._row += count
            start += count

    def see(self, footprint: Footprint) -> None:
        pass  # the tiles are known from the strips alone

    def blank(self) -> BlankTiles:
        return BlankTiles(self._tile, self._columns, np.flatnonzero(self._blank))


def _items(footprints: Sequence[Footprint], source: Source) -> tuple[Item, ...]:
    return tuple(
        Item(
            f"{source[0]}0",
            source,
            footprint.pixel_geometry,
            probability=footprint.attributes["probability_mean"],
            area_m2=footprint.attributes.get("area_m2"),
        )
        for footprint in footprints
    )


def _numbered(items: Sequence[Item], prefix: str) -> tuple[Item, ...]:
    return tuple(
        replace(item, id=f"{prefix}{number}") for number, item in enumerate(items, start=1)
    )


def _with_outlines(
    items: Sequence[Item], outline: FootprintOutline, grid: Grid
) -> tuple[Item, ...]:
    """Items along pixel edges with the outlines that footprints have."""
    metres = grid.gsd_axes_m
    shapes: list[Outline] = []
    for item in items:
        parts = [outlined(part, outline, metres) for part in shapely.get_parts(item.geometry)]
        shapes.append(parts[0] if len(parts) == 1 else shapely.union_all(parts))
    areas = measured(shapes, grid)
    return tuple(
        replace(item, geometry=shape, area_m2=area)
        for item, shape, area in zip(items, shapes, areas, strict=True)
    )


def _apart(candidates: Sequence[Footprint], footprints: Sequence[Footprint]) -> list[Footprint]:
    """The candidates that touch no footprint."""
    if not candidates or not footprints:
        return list(candidates)
    tree = shapely.STRtree([footprint.pixel_geometry for footprint in footprints])
    shapes = [candidate.pixel_geometry for candidate in candidates]
    touching = set(tree.query(shapes, predicate="intersects")[0].tolist())
    return [one for index, one in enumerate(candidates) if index not in touching]
