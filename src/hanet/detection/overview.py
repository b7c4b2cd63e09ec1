"""Both dates of the whole overlap, small enough to look at, made of the windows that a run reads
anyway.

Reading a raster again to make a picture of it costs as much as reading it first: without overviews
every block must be unpacked. So each window gives its part as it goes by, and a run that is resumed
finds the parts of before in the file.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
import numpy.typing as npt

from hanet.files import writing
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairBlock
from hanet.imagery.raster_output import NODATA
from hanet.types import ByteArray, FloatArray, Window

MOST_PIXELS = 6_000_000
"""Of the picture of a date: pairs up to this size are shown as they are."""

LONGEST_PX = 16_384
"""Longest side of the picture: a JPEG file takes 65,500, not every browser does."""

SAMPLES = 3
"""Samples along each side of the picture's pixel: nine of them look as smooth as all, at a fifth of
the time (2026-11)."""


def overview_grid(grid: Grid) -> Grid:
    """The grid of the picture: that of the pair, or of every second, third ... pixel, so that all
    pixels of the picture stand for equally many."""
    pixels, longest = grid.height * grid.width, max(grid.height, grid.width)
    step = max(math.ceil(math.sqrt(pixels / MOST_PIXELS)), math.ceil(longest / LONGEST_PX))
    return grid.resized(height=math.ceil(grid.height / step), width=math.ceil(grid.width / step))


def shown_bands(bands: int) -> int:
    """How many of the bands of a pair the picture shows: the first three, or the first alone."""
    return 3 if bands >= 3 else 1


def overview_window(grid: Grid, own: Window) -> Window:
    """The pixels of the picture that begin in a window of the grid; may be empty."""
    coarse = overview_grid(grid)
    row, rows = _samples(grid.height, coarse.height, (own.row, own.row_end), (0, grid.height))
    ends = own.column, own.column_end
    column, columns = _samples(grid.width, coarse.width, ends, (0, grid.width))
    return Window(row, column, len(rows), len(columns))


def part_of_overview(
    block: PairBlock, grid: Grid, *, window: Window, own: Window, bands: int
) -> tuple[Window, ByteArray]:  # (h, 2 bands, w)
    """The pixels of the picture that begin in ``own``, and which they are.

    Args:
        block: The pair's pixels in ``window``.
        grid: The pair's.
        window: Where the block lies on it.
        own: Part of the window.
        bands: Bands that the picture shows, see :func:`shown_bands`.
    """
    coarse = overview_grid(grid)
    row, rows = _samples(
        grid.height, coarse.height, (own.row, own.row_end), (window.row, window.row_end)
    )
    column, columns = _samples(
        grid.width, coarse.width, (own.column, own.column_end), (window.column, window.column_end)
    )
    place = Window(row, column, len(rows), len(columns))
    if place.is_empty:
        return place, np.empty((place.height, 2 * bands, place.width), dtype=np.uint8)
    images = block.blanked()[:2]
    parts = [_means(image[:bands], rows, columns) for image in images]
    return place, np.concatenate(parts).swapaxes(0, 1)


class Overview:
    """The picture of a pair while it grows, at most 36 megabytes; opened for the time of a
    ``with``.

    One thread may add while another one flushes.

    Args:
        path: Where it is kept; made if it is missing or of another size.
        grid: The pair's grid.
        bands: Bands of the pair; the first three are shown, or the first alone.

    Attributes:
        is_new: Whether the file was made: nothing has been added to it before.
    """

    def __init__(self, path: Path, grid: Grid, *, bands: int) -> None:
        self.path, self._grid, self._bands = path, grid, shown_bands(bands)
        coarse = overview_grid(grid)
        shape = (
            coarse.height,
            2 * self._bands,
            coarse.width,
        )  # the bands of a row beside each other: rows are flushed
        with writing(path):
            self.is_new = not path.exists() or path.stat().st_size != math.prod(shape)
            if self.is_new:
                path.write_bytes(np.full(shape, NODATA, dtype=np.uint8).tobytes())
            self._pixels: ByteArray = np.fromfile(path, dtype=np.uint8).reshape(shape)
            self._file = path.open("r+b", buffering=0)
        self._unsaved = (coarse.height, 0)
        self._lock = Lock()

    def __enter__(self) -> Overview:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, block: PairBlock, *, window: Window, own: Window) -> None:
        """Takes the pixels of the picture that begin in ``own``; the same again gives the same
        bytes.

        Args:
            block: The pair's pixels in ``window``.
            window: Where it lies on the pair's grid.
            own: Part of the window. Together the windows of a run own every pixel once.
        """
        self.put(*part_of_overview(block, self._grid, window=window, own=own, bands=self._bands))

    def put(self, place: Window, part: ByteArray) -> None:  # (h, 2 bands, w)
        """Takes pixels of the picture that :func:`part_of_overview` made, here or elsewhere."""
        if place.is_empty:
            return
        rows, columns = place.slices
        with self._lock:
            self._pixels[rows, :, columns] = part
            self._unsaved = (min(self._unsaved[0], place.row), max(self._unsaved[1], place.row_end))

    def flush(self) -> None:
        """Returns when the disk has everything that was added."""
        with self._lock:
            first, end = self._unsaved
            rows = self._pixels[first:end].copy()
            self._unsaved = (len(self._pixels), 0)
        if rows.size:
            with writing(self.path):
                self._file.seek(first * rows[0].size)
                self._file.write(rows.data)
                os.fsync(self._file.fileno())

    def pictures(self) -> tuple[ByteArray, ByteArray]:  # (1 or 3, h, w) twice
        """Before and after."""
        images = self._pixels.swapaxes(0, 1)
        return images[: self._bands], images[self._bands :]


def _samples(
    size: int, coarse: int, own: tuple[int, int], window: tuple[int, int]
) -> tuple[int, npt.NDArray[np.int64]]:  # (n, samples)
    """Along an axis: the first pixel of the picture whose first sample lies in ``own``, and the
    places in the window of all samples.

    A window reaches beyond the end of what it owns by the overlap of the tiles: samples are cut
    only where that is small.
    """
    count = min(SAMPLES, math.ceil(size / coarse))
    places = (2 * np.arange(coarse * count) + 1) * size // (2 * coarse * count)
    first, end = (int(pixel) for pixel in np.searchsorted(places[::count], own))
    inside = np.minimum(places[first * count : end * count], window[1] - 1) - window[0]
    return first, inside.reshape(-1, count)


def _means(
    image: FloatArray, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> ByteArray:
    """Means (C, n, m) of an image (C, H, W) over all samples of each pixel."""
    # whole rows first: adding them is far quicker than picking single pixels
    lines = sum((image[:, places] for places in rows.T[1:]), start=image[:, rows[:, 0]])
    total = sum(
        (lines.take(places, axis=2) for places in columns.T[1:]),
        start=lines.take(columns[:, 0], axis=2),
    )
    means: FloatArray = total / np.float32(rows.shape[1] * columns.shape[1])
    return np.rint(np.clip(means, 0, 255)).astype(np.uint8)
