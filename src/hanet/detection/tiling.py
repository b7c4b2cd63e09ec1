"""Where the tiles of a raster lie and how much each counts at every pixel: integer geometry, no
pixels.

A raster is covered by square tiles of one size. Along each axis the tiles are spread evenly from
edge to edge, so that neighbours overlap by at least ``overlap_px``. In the middle of each overlap a
ramp of ``overlap_px`` pixels hands over from one tile to the next. With S_i the rising ramp of tile
i (0 before it, 1 behind it), the weight of tile i is S_i - S_(i+1); the sum over all tiles
telescopes to S_0 - S_n = 1, whatever the sizes. In two dimensions a weight is the product of its
row weight and its column weight, so the sum is 1 there too and no sum of weights need be kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from hanet.errors import SettingsError
from hanet.types import FloatArray, Window


@dataclass(frozen=True)
class AxisPlan:
    """The tiles along one axis.

    Args:
        size: Pixels of the raster along the axis, at least 1.
        tile_px: Pixels of a tile. A raster smaller than that has one tile, which reaches beyond it.
        overlap_px: Pixels over which one tile hands over to the next; neighbours overlap by at
            least as many.

    Raises:
        SettingsError: The numbers do not fit together.

    Example:
        >>> AxisPlan(size=10, tile_px=6, overlap_px=2).starts
        (0, 4)
    """

    size: int
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingsError(f"a raster of {self.size} pixels has nothing to tile")
        if self.tile_px < 1:
            raise SettingsError(f"the tile is {self.tile_px} pixels; it must be at least 1")
        if not 0 <= self.overlap_px < self.tile_px:
            raise SettingsError(
                f"the overlap of {self.overlap_px} pixels does not fit a tile of {self.tile_px}",
                hint=f"give an overlap from 0 to {self.tile_px - 1}, for example "
                f"{self.tile_px // 8}",
            )

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First pixel of each tile, rising."""
        reach = self.size - self.tile_px
        if reach <= 0:
            return (0,)
        steps = -(-reach // (self.tile_px - self.overlap_px))
        return tuple((2 * index * reach + steps) // (2 * steps) for index in range(steps + 1))

    @cached_property
    def first(self) -> tuple[int, ...]:
        """First pixel of each tile at which it counts; then ``size`` as a guard."""
        starts = self.starts
        seams = (
            (low + high + self.tile_px - self.overlap_px) // 2 for low, high in pairwise(starts)
        )
        return (0, *seams, self.size)

    @cached_property
    def end(self) -> tuple[int, ...]:
        """Pixel behind the last one at which each tile counts."""
        return (*(first + self.overlap_px for first in self.first[1:-1]), self.size)

    def __len__(self) -> int:
        return len(self.starts)

    def weights(self, index: int) -> FloatArray:  # (end - first,)
        """Weight of tile ``index`` at the pixels from ``first[index]`` to ``end[index]``, in
        0-1."""
        pixels = np.arange(self.first[index], self.end[index])
        return (self._rise(index, pixels) - self._rise(index + 1, pixels)).astype(np.float32)

    def _rise(
        self, index: int, pixels: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """S_index: a squared sine from 0 to 1 over the ramp of that tile; all 1 for the first, all
        0 behind the last."""
        if index == 0:
            return np.ones(len(pixels))
        if index == len(self):
            return np.zeros(len(pixels))
        if self.overlap_px == 0:
            return (pixels >= self.first[index]).astype(np.float64)
        position = (pixels - self.first[index] + 0.5) / self.overlap_px
        return np.sin(np.clip(position, 0.0, 1.0) * (np.pi / 2)) ** 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring tiles of one row of tiles that are read together.

    Args:
        row: Index of the row of tiles.
        index: Index of the chunk in its row.
        columns: Indices of its tiles' columns.
        window: Pixels that cover all its tiles; may reach beyond a raster smaller than a tile, and
            beyond a part.
        settled: Pixels that no later chunk of the plan changes; together the chunks' cover the
            raster once.
        final: Those of them that are wanted: all of them but for a part of a raster.
    """

    row: int
    index: int
    columns: range
    window: Window
    settled: Window
    final: Window


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of a plan's chunks: what one stream hands out.

    Args:
        rows: Rows of tiles.
        chunks: Indices of the chunks in each of these rows.
    """

    rows: range
    chunks: range

    def __contains__(self, chunk: Chunk) -> bool:
        return chunk.row in self.rows and chunk.index in self.chunks


@dataclass(frozen=True)
class TilePlan:
    """All tiles of a raster, in the order in which they are computed: row by row, in chunks of
    neighbours.

    Of a part of the raster the tiles are those of the whole one, so that each pixel comes out as it
    would there; windows count from its corner.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        tile_px: Side of a tile.
        overlap_px: See :class:`AxisPlan`.
        chunk_tiles: Tiles of a chunk at most. Reading several at once reads their overlaps once.
        within: The part of the raster that is wanted; all of it if None.

    Example:
        >>> plan = TilePlan(height=1024, width=2048, tile_px=512, overlap_px=64)
        >>> plan.tiles, len(plan.rows)
        (15, 3)
    """

    height: int
    width: int
    tile_px: int
    overlap_px: int
    chunk_tiles: int = 4
    within: Window | None = None

    @cached_property
    def rows(self) -> AxisPlan:
        """The tiles down the raster."""
        return AxisPlan(self.height, self.tile_px, self.overlap_px)

    @cached_property
    def columns(self) -> AxisPlan:
        """The tiles across the raster."""
        return AxisPlan(self.width, self.tile_px, self.overlap_px)

    @property
    def tiles(self) -> int:
        """Number of tiles, of a part those in whose chunks its pixels become final."""
        rows, chunks = self.whole.rows, self.whole.chunks
        last = self._columns_of(chunks.stop - 1).stop
        return len(rows) * (last - self._columns_of(chunks.start).start)

    def tile(self, row: int, column: int) -> Window:
        """Pixels of one tile; they reach beyond a raster smaller than a tile."""
        start = self.rows.starts[row], self.columns.starts[column]
        return Window(*start, self.tile_px, self.tile_px).relative_to(self._wanted)

    @property
    def chunks_a_row(self) -> int:
        """Number of chunks in a row of tiles."""
        return -(-len(self.columns) // self.chunk_tiles)

    @cached_property
    def whole(self) -> Part:
        """All chunks; of a part of the raster those whose final pixels meet it."""
        wanted = self._wanted
        edges = [self.columns.first[self._columns_of(n).start] for n in range(self.chunks_a_row)]
        return Part(
            _meeting(self.rows.first[:-1], wanted.row, wanted.row_end),
            _meeting(edges, wanted.column, wanted.column_end),
        )

    def from_row(self, row: int) -> Part:
        """All chunks from this row of tiles on."""
        rows, chunks = self.whole.rows, self.whole.chunks
        return Part(range(max(row, rows.start), rows.stop), chunks)

    def chunk(self, row: int, index: int) -> Chunk:
        """One chunk of a row of tiles."""
        columns = self._columns_of(index)
        left, right = self.tile(row, columns[0]), self.tile(row, columns[-1])
        own = Part(range(row, row + 1), range(index, index + 1))
        return Chunk(
            row=row,
            index=index,
            columns=columns,
            window=Window(left.row, left.column, self.tile_px, right.column_end - left.column),
            settled=self._settled(own).relative_to(self._wanted),
            final=self.window(own),
        )

    def chunks(self, row: int) -> Iterator[Chunk]:
        """The chunks of one row of tiles, from left to right."""
        for index in range(self.chunks_a_row):
            yield self.chunk(row, index)

    def window(self, part: Part) -> Window:
        """The pixels that the chunks of a part hand out: their final ones."""
        return self._settled(part).intersection(self._wanted).relative_to(self._wanted)

    @cached_property
    def _wanted(self) -> Window:
        return self.within or Window(0, 0, self.height, self.width)

    def _settled(self, part: Part) -> Window:
        """In pixels of the whole raster."""
        first_row, row_end = (self.rows.first[row] for row in (part.rows.start, part.rows.stop))
        first_column = self.columns.first[self._columns_of(part.chunks.start).start]
        column_end = self.columns.first[self._columns_of(part.chunks.stop - 1).stop]
        return Window(first_row, first_column, row_end - first_row, column_end - first_column)

    def needed(self, part: Part) -> Part:
        """What must be computed so that the final pixels of a part come out whole: the part, and
        the chunks above and left of it whose tiles reach into it. Those below and right reach
        into no final pixel of it."""
        row, chunk = self.first_row_for(part.rows.start), self.first_chunk_for(part.chunks.start)
        return Part(range(row, part.rows.stop), range(chunk, part.chunks.stop))

    def first_row_for(self, row: int) -> int:
        """The first row of tiles that must be computed so that the final pixels of ``row`` come out
        whole."""
        first = max(self.rows.first[row], self._wanted.row)
        index = row
        while index > 0 and self.rows.end[index - 1] > first:
            index -= 1
        return index

    def first_chunk_for(self, chunk: int) -> int:
        """The same along a row of tiles: the first chunk for the final pixels of ``chunk``."""
        first = max(self.columns.first[self._columns_of(chunk).start], self._wanted.column)
        index = chunk
        while index > 0 and self.columns.end[self._columns_of(index - 1)[-1]] > first:
            index -= 1
        return index

    def _columns_of(self, chunk: int) -> range:
        low = chunk * self.chunk_tiles
        return range(low, min(low + self.chunk_tiles, len(self.columns)))


def _meeting(firsts: Sequence[int], low: int, high: int) -> range:
    """Which of the ranges that begin at these pixels, each up to the next, meet that from ``low``
    to ``high``."""
    return range(bisect_right(firsts, low) - 1, bisect_left(firsts, high))
