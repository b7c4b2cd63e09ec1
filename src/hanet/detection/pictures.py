"""Both dates as they travel in a report: the whole overlap at a bounded size, and sharper cells of
it where footprints are.

A report holds what it shows, so a report that is made again (``hanet footprints``) takes its
pictures from the one before and needs none of the inputs.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanet.detection.overview import overview_grid
from hanet.documents import parse_json
from hanet.errors import HanetError, OutputError
from hanet.imagery.grid import Grid
from hanet.imagery.images import decode_jpeg, encode_jpeg, resampled
from hanet.imagery.pair import RasterPair
from hanet.types import ByteArray, FloatArray, Json, Window

CELL_PX = 256
"""Side of a cell's picture."""

BUDGET_BYTES = 12_000_000
"""All pictures together. Text makes four bytes of three, and table and outlines of some thousand
footprints take two megabytes: the page stays below 20 MB."""

QUALITY = 80
"""Of the JPEG files: with 4:2:0 chroma some 0.2 to 0.4 bytes a pixel."""

COARSER = 2
"""Cells of half the resolution come in where not all footprints can be sharp. Coarser ones are not
made: the raster would be read as a whole once more."""

SOFT_SHARE = 0.7
"""Of the budget goes to cells of half the resolution at most, where they are needed."""

SPREAD = 1.15
"""Cells are larger than the mean of the first ones by this factor at most, mostly."""

LARGEST_PAGE_BYTES = 64 << 20
"""Of a report that is read again."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A window of both dates as JPEG files of equal size.

    Args:
        window: Which pixels of the grid.
        before: JPEG file.
        after: JPEG file.
        step: Pixels of the grid to one of the picture.
    """

    window: Window
    before: bytes
    after: bytes
    step: int = 1

    @property
    def size(self) -> int:
        """Bytes of both."""
        return len(self.before) + len(self.after)


class Pictures:
    """What a report shows of a pair.

    Args:
        whole: Both dates of the whole grid.
        cells: Sharper pictures of parts, those of lower resolution first.
        scale: Pixels of the grid to a pixel of ``whole``, at least 1.
    """

    def __init__(self, whole: Picture, cells: Sequence[Picture] = (), *, scale: float) -> None:
        self.whole, self.cells, self.scale = whole, tuple(cells), scale
        self._decoded: tuple[ByteArray, ByteArray] | None = None
        # corners of cells in units of their side
        self._corners = {
            (cell.step, *(start // (CELL_PX * cell.step) for start in _start(cell.window)))
            for cell in cells
        }

    def read(self, window: Window, *, height: int, width: int) -> tuple[ByteArray, ByteArray]:
        """Before and after of a window, uint8 (3, height, width), as sharp as the pictures are."""
        if self._decoded is None:
            self._decoded = decode_jpeg(self.whole.before), decode_jpeg(self.whole.after)
        found = [_cut(image, self.whole.window, window, height, width) for image in self._decoded]
        for cell in self.cells:
            part = cell.window.intersection(window)
            if part.is_empty:
                continue
            place = part.relative_to(window)
            rows = _scaled(place.row, place.row_end, height / window.height)
            columns = _scaled(place.column, place.column_end, width / window.width)
            size = rows.stop - rows.start, columns.stop - columns.start
            if 0 in size:
                continue
            for image, jpeg in zip(found, (cell.before, cell.after), strict=True):
                image[:, rows, columns] = _cut(decode_jpeg(jpeg), cell.window, part, *size)
        return found[0], found[1]

    def step_at(self, row: float, column: float) -> float:
        """Pixels of the grid to a pixel of the sharpest picture at a place."""
        for step in (1, COARSER):
            side = CELL_PX * step
            if self.scale > step and (step, int(row // side), int(column // side)) in self._corners:
                return float(step)
        return self.scale

    def cells_json(self) -> str:
        """The cells as JSON that may stand in a page as it is: numbers and base64 only."""
        return json.dumps(
            [
                {
                    "window": [c.window.row, c.window.column, c.window.height, c.window.width],
                    "step": c.step,
                    "before": base64.b64encode(c.before).decode(),
                    "after": base64.b64encode(c.after).decode(),
                }
                for c in self.cells
            ],
            separators=(",", ":"),
        )


def _cut(
    image: ByteArray, covered: Window, window: Window, height: int, width: int
) -> ByteArray:  # (3, height, width)
    """A window of a picture that covers another one."""
    rows, columns = image.shape[1] / covered.height, image.shape[2] / covered.width
    place = window.relative_to(covered)
    box = (place.column * columns, place.row * rows)
    end = (place.column_end * columns, place.row_end * rows)
    return resampled(image, (*box, *end), height=height, width=width)


def _start(window: Window) -> tuple[int, int]:
    return window.row, window.column


def _scaled(start: int, end: int, factor: float) -> slice:
    return slice(round(start * factor), round(end * factor))


def take_pictures(
    pair: RasterPair,
    overview: tuple[ByteArray, ByteArray],
    *,
    first: Iterable[Window],
    others: Iterable[Window],
    budget_bytes: int = BUDGET_BYTES,
) -> Pictures:
    """The pictures for a report, within a budget whatever the size of the pair.

    Where the overview is as fine as the pair it is all there is. Else parts of the pair are read
    again: cells of 256 pixels at full resolution around what is asked for. If they are too many,
    cells of half the resolution come first, and full resolution goes as far as the budget does.

    Args:
        pair: The pair on the run's grid, open.
        overview: Before and after of the whole grid, uint8 (3, h, w), or (1, h, w) for grey.
        first: Windows that shall be sharp before all others.
        others: Further ones, the most important first.
        budget_bytes: JPEG files together.

    Raises:
        RasterError: The pair cannot be read.
    """
    grid = pair.grid
    before, after = overview
    everything = Window(0, 0, grid.height, grid.width)
    whole = Picture(everything, _jpeg(before), _jpeg(after))
    scale = max(grid.height / before.shape[1], grid.width / before.shape[2])
    if scale <= 1:
        return Pictures(whole, scale=1.0)
    left = budget_bytes - whole.size
    first, others = list(first), list(others)
    important = _cells(grid, first, 1)
    sharp = _affordable(_taken(pair, important, 1), important, left)
    left -= sum(cell.size for cell in sharp)
    if not sharp:
        return Pictures(whole, scale=scale)
    mean = SPREAD * sum(cell.size for cell in sharp) / len(sharp)
    taken = {cell.window for cell in sharp}
    rest = [window for window in _cells(grid, others, 1) if window not in taken]
    soft: list[Picture] = []
    if len(rest) * mean > left and scale > COARSER:
        share = int(SOFT_SHARE * left)
        wanted = _cells(grid, others, COARSER)[: max(0, int(share / mean))]
        soft = _affordable(_taken(pair, wanted, COARSER), wanted, share)
        left -= sum(cell.size for cell in soft)
    rest = rest[: max(0, int(left / mean))]
    sharp += _affordable(_taken(pair, rest, 1), rest, left)
    return Pictures(whole, (*soft, *sharp), scale=scale)


def _cells(grid: Grid, windows: Iterable[Window], factor: int) -> list[Window]:
    """Cells that meet windows, each once, in the order of the windows."""
    side = CELL_PX * factor
    whole = Window(0, 0, grid.height, grid.width)
    found: dict[Window, None] = {}
    for window in windows:
        inside = window.intersection(whole)
        for row in range(inside.row // side, -(-inside.row_end // side)):
            for column in range(inside.column // side, -(-inside.column_end // side)):
                cell = Window(row * side, column * side, side, side).intersection(whole)
                found[cell] = None
    return list(found)


def _taken(pair: RasterPair, cells: Iterable[Window], factor: int) -> dict[Window, Picture]:
    """Pictures of cells, read row by row: a raster in strips is unpacked once then."""
    found = {}
    for window in sorted(cells):
        block = pair.read(window).blanked()
        size = {name: -(-side // factor) for name, side in _sides(window)}
        box = (0.0, 0.0, float(window.width), float(window.height))
        images = [
            resampled(_shown(image), box, **size) if factor > 1 else _shown(image)
            for image in (block.before, block.after)
        ]
        found[window] = Picture(window, _jpeg(images[0]), _jpeg(images[1]), factor)
    return found


def _sides(window: Window) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("height", window.height), ("width", window.width)


def _affordable(
    pictures: dict[Window, Picture], order: Iterable[Window], budget: int
) -> list[Picture]:
    """The first ones of an order that fit a budget together."""
    found = []
    for window in order:
        budget -= pictures[window].size
        if budget < 0:
            break
        found.append(pictures[window])
    return found


def _shown(image: FloatArray | ByteArray) -> ByteArray:
    """An image (C, H, W) in 0-255 as three bands: the first three, or grey."""
    bands = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    if bands.dtype == np.uint8:
        return bands.astype(np.uint8, copy=False)
    return np.clip(np.rint(bands), 0, 255).astype(np.uint8)


def _jpeg(image: FloatArray | ByteArray) -> bytes:
    return encode_jpeg(_shown(image), quality=QUALITY)


_JPEG = r'src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"'
_WHOLE = {
    date: re.compile(rf'<img id="picture-{date}"[^>]*? {_JPEG}') for date in ("before", "after")
}
_CELLS = re.compile(r'<script type="application/json" id="cells">(\[[^<]*\])</script>')


def read_pictures(report: Path, grid: Grid) -> Pictures:
    """The pictures that a report holds.

    Args:
        report: ``report.html`` of a run.
        grid: The grid of that run.

    Raises:
        OutputError: It is no report of this version with pictures of this grid.
    """
    everything = Window(0, 0, grid.height, grid.width)
    try:
        if report.stat().st_size > LARGEST_PAGE_BYTES:
            raise ValueError("too large")
        page = report.read_text(encoding="utf-8")
        before, after = (_found(_WHOLE[date], page) for date in ("before", "after"))
        whole = Picture(everything, _bytes(before), _bytes(after))
        cells = [_cell(value, everything) for value in parse_json(_found(_CELLS, page))]
        height, width = decode_jpeg(whole.before).shape[1:]
        if decode_jpeg(whole.after).shape[1:] != (height, width):
            raise ValueError("two sizes")
        coarse = overview_grid(grid)
        if (coarse.height, coarse.width) != (height, width):
            raise ValueError("of another grid")
    except (OSError, ValueError, HanetError) as error:
        raise OutputError(
            f"{report} holds no pictures of this run (another version of hanet, or changed since?)",
            hint="move it away: the rest is renewed without it; or run hanet detect --overwrite",
        ) from error
    scale = max(grid.height / height, grid.width / width)
    return Pictures(whole, cells, scale=scale)


def _found(pattern: re.Pattern[str], page: str) -> str:
    match = pattern.search(page)
    if match is None:
        raise ValueError("not there")
    return match[1]


def _cell(value: object, everything: Window) -> Picture:
    known: Json = value if isinstance(value, dict) else {}
    sides = known.get("window")
    if not isinstance(sides, list) or len(sides) != 4:
        raise ValueError("no window")
    if any(isinstance(side, bool) or not isinstance(side, int) for side in sides):
        raise ValueError("no window")
    window = Window(*sides)
    if window.is_empty or window.intersection(everything) != window:
        raise ValueError("beyond the grid")
    step = known.get("step")
    if step not in (1, COARSER) or max(window.shape) > step * CELL_PX:
        raise ValueError("no cell")
    before, after = (_bytes(str(known.get(date, ""))) for date in ("before", "after"))
    shape = tuple(-(-side // step) for side in window.shape)
    if any(decode_jpeg(jpeg).shape[1:] != shape for jpeg in (before, after)):
        raise ValueError("of another shape")
    return Picture(window, before, after, step)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
