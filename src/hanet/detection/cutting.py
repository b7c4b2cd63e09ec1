"""Cuts the tiles of a raster into rectangles of like cost, one for each shard: integer geometry.

A shard computes its rectangle and, above and left of it, the tiles that reach into it (a halo).
Whole rows of tiles would make the halo as large as the shard where there are as many shards as
rows; rectangles near to squares keep it small, read few ranges of a tiled file, and still follow
each other in bands, so that a merge goes down the raster.
"""

from __future__ import annotations

import math
from itertools import pairwise

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
    rows, chunks = len(plan.rows), plan.chunks_a_row
    count = min(count, rows * chunks)
    cuts = [_in_bands(plan, count, bands) for bands in _numbers_of_bands(rows, chunks, count)]
    fitting = [parts for parts in cuts if parts]
    return min(fitting, key=lambda parts: _cost(plan, parts))


def _numbers_of_bands(rows: int, chunks: int, count: int) -> list[int]:
    """Numbers of bands worth comparing: around the one that makes squares of tiles, and both
    ends."""
    most = min(count, rows)
    middle = math.sqrt(count * rows / chunks)
    spread = 2.0  # a factor to either side
    steps = [spread ** (2 * step / (CANDIDATES - 1) - 1) for step in range(CANDIDATES)]
    near = {min(most, max(1, round(middle * step))) for step in steps}
    return sorted({1, most, *near})


def _in_bands(plan: TilePlan, count: int, bands: int) -> tuple[Part, ...]:
    """The rectangles of so many bands; none where they do not fit."""
    rows, chunks = len(plan.rows), plan.chunks_a_row
    shards = [count // bands + (band < count % bands) for band in range(bands)]
    if max(shards) > chunks:
        return ()
    ends = [sum(shards[:band]) for band in range(bands + 1)]
    # rows as many as a band has shards, so that all shards are of like size
    edges = [round(rows * end / count) for end in ends]
    if any(low == high for low, high in pairwise(edges)):
        edges = [rows * band // bands for band in range(bands + 1)]
    return tuple(
        Part(range(top, bottom), range(chunks * number // inside, chunks * (number + 1) // inside))
        for (top, bottom), inside in zip(pairwise(edges), shards, strict=True)
        for number in range(inside)
    )


def _cost(plan: TilePlan, parts: tuple[Part, ...]) -> tuple[int, int]:
    """Chunks that the largest shard computes, and all of them together."""
    needed = [plan.needed(part) for part in parts]
    computed = [len(part.rows) * len(part.chunks) for part in needed]
    return max(computed), sum(computed)
