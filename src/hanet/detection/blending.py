"""Adds up weighted tiles and hands out each pixel once, as soon as no later tile can change it.

How much a tile counts at a pixel is :meth:`hanet.detection.tiling.AxisPlan.weights`; this is the
sum. Only what open tiles touch is kept: the right rim of the last chunk and, for each chunk of a
row, the rim below it. At an overlap of 64 that is 256 bytes for a column of the raster.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hanet.detection.tiling import Chunk, TilePlan
from hanet.types import FloatArray, Window


class Blender:
    """Blends the tiles of a plan; feed it the chunks of a rectangle in the order of the plan.

    What is added to what, in which order, does not depend on the rectangle: so each pixel whose
    tiles all lie in it gets the same bytes as from the whole plan.

    Args:
        plan: Where the tiles lie.
        first_chunk: Index of the first chunk of each row.

    Example:
        >>> plan = TilePlan(height=3, width=3, tile_px=4, overlap_px=1)
        >>> tiles = {0: np.ones((4, 4), np.float32)}
        >>> window, probability = Blender(plan).add(next(plan.chunks(0)), tiles)
        >>> window.shape, float(probability.min())
        ((3, 3), 1.0)
    """

    def __init__(self, plan: TilePlan, *, first_chunk: int = 0) -> None:
        self._plan, self._first_chunk = plan, first_chunk
        self._right: FloatArray | None = None
        self._below: dict[int, FloatArray] = {}
        self._column_weights = [plan.columns.weights(index) for index in range(len(plan.columns))]

    def add(
        self, chunk: Chunk, probabilities: Mapping[int, FloatArray]
    ) -> tuple[Window, FloatArray]:
        """Blends one chunk and gives the pixels that are final now.

        Args:
            chunk: The next chunk of the plan.
            probabilities: Probability (tile_px, tile_px) of the chunk's tiles by their column; a
                tile that is left out counts as 0 everywhere (its window has no valid pixel, and
                those are stored as nodata whatever their probability).

        Returns:
            ``chunk.final`` and its probability (h, w).
        """
        strip = self._blend_columns(chunk, probabilities)
        rows = self._plan.rows
        first, end = rows.first[chunk.row], rows.end[chunk.row]
        top = first - rows.starts[chunk.row]
        weighted = strip[top : top + end - first] * rows.weights(chunk.row)[:, np.newaxis]
        # chunks of every row are cut at the same columns, so the rim above has the same index; it
        # is added before the cut: what is not final yet goes down with it into the next rim
        above = self._below.get(chunk.index)
        if above is not None:
            weighted[: len(above)] += above
        height = chunk.settled.height
        self._below[chunk.index] = weighted[height:].copy()
        return chunk.final, weighted[:height][chunk.final.relative_to(chunk.settled).slices]

    @property
    def kept_bytes(self) -> int:
        """Memory of the rims that wait for their neighbours."""
        return sum(rim.nbytes for rim in self._below.values()) + (
            self._right.nbytes if self._right is not None else 0
        )

    def _blend_columns(self, chunk: Chunk, probabilities: Mapping[int, FloatArray]) -> FloatArray:
        """The chunk's tiles weighted along the columns and added: its settled columns, all rows of
        the tile."""
        columns = self._plan.columns
        origin = columns.first[chunk.columns.start]
        strip = np.zeros(
            (self._plan.tile_px, columns.end[chunk.columns[-1]] - origin), dtype=np.float32
        )
        for column, probability in probabilities.items():
            first, end = columns.first[column], columns.end[column]
            inside = first - columns.starts[column]
            part = probability[:, inside : inside + end - first] * self._column_weights[column]
            strip[:, first - origin : end - origin] += part
        # at the first chunk of a row the rim is the end of the row above
        if chunk.index > self._first_chunk and self._right is not None:
            strip[:, : self._right.shape[1]] += self._right
        self._right = strip[:, chunk.settled.width :].copy()
        return strip[:, : chunk.settled.width]
