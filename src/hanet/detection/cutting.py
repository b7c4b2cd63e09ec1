"""Cuts the tiles of a raster into rectangles of like cost, one for each shard: integer geometry.

A shard computes its rectangle and, above and left of it, the tiles that reach into it (a halo).
Whole rows of tiles would make the halo as large as the shard where there are as many shards as
rows; rectangles near to squares keep it small, read few ranges of a tiled file, and still follow
each other in bands, so that a merge goes down the raster.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import NamedTuple

from hanet.detection.tiling import Part, TilePlan

CANDIDATES = 24
"""Numbers of bands that are compared; more find nothing better (2026-11)."""


def cut(plan: TilePlan, count: int) -> tuple[Part, ...]:
    """Rectangles of chunks that cover a plan once, in bands from top to bottom, each from left to
    right.

    Args:
        plan: The tiles.
        count: How many rectangles; no more are made than there are chunks. At least 1.

    Example:
        >>> plan = TilePlan(height=1024, width=1024, tile_px=512, overlap_px=0, chunk_tiles=1)
        >>> [(part.rows, part.chunks) for part in cut(plan, 2)]
        [(range(0, 1), range(0, 2)), (range(1, 2), range(0, 2))]
    """
    rows, chunks = plan.whole.rows, plan.whole.chunks
    count = min(count, len(rows) * len(chunks))
    numbers = _numbers_of_bands(len(rows), len(chunks), count)
    cuts = [_in_bands(plan, count, bands) for bands in numbers]
    best = min((bands for bands in cuts if bands), key=lambda bands: _cost(plan, bands))
    return tuple(
        Part(band.rows, columns) for band in best for columns in _evenly(chunks, band.shards)
    )


class _Band(NamedTuple):
    """Rows of tiles that some shards share, side by side."""

    rows: range
    shards: int


def _numbers_of_bands(rows: int, chunks: int, count: int) -> list[int]:
    """Numbers of bands worth comparing: around the one that makes squares of tiles, and both
    ends."""
    most = min(count, rows)
    middle = math.sqrt(count * rows / chunks)
    spread = 2.0  # a factor to either side
    steps = [spread ** (2 * step / (CANDIDATES - 1) - 1) for step in range(CANDIDATES)]
    near = {min(most, max(1, round(middle * step))) for step in steps}
    return sorted({1, most, *near})


def _in_bands(plan: TilePlan, count: int, bands: int) -> list[_Band]:
    """So many bands with all shards; none where they do not fit."""
    rows, first = len(plan.whole.rows), plan.whole.rows.start
    shards = [count // bands + (band < count % bands) for band in range(bands)]
    if max(shards) > len(plan.whole.chunks):
        return []
    # rows as many as a band has shards, so that all shards are of like size
    edges = [round(rows * before / count) for before in accumulate(shards, initial=0)]
    if any(low == high for low, high in pairwise(edges)):
        edges = [rows * band // bands for band in range(bands + 1)]
    return [
        _Band(range(first + top, first + bottom), inside)
        for (top, bottom), inside in zip(pairwise(edges), shards, strict=True)
    ]


def _evenly(whole: range, count: int) -> list[range]:
    size = len(whole)
    return [whole[size * part // count : size * (part + 1) // count] for part in range(count)]


def _cost(plan: TilePlan, bands: list[_Band]) -> tuple[int, int]:
    """Chunks that the largest shard computes, and all of them together."""
    widths = {
        shards: [
            columns.stop - plan.first_chunk_for(columns.start)
            for columns in _evenly(plan.whole.chunks, shards)
        ]
        for shards in {band.shards for band in bands}
    }
    heights = [band.rows.stop - plan.first_row_for(band.rows.start) for band in bands]
    computed = [
        (height * max(widths[band.shards]), height * sum(widths[band.shards]))
        for height, band in zip(heights, bands, strict=True)
    ]
    return max(most for most, _ in computed), sum(total for _, total in computed)
