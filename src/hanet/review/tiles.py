"""Pictures of both dates and of the probability, cut into tiles of the display.

Pixels come from the original rasters through the same readers, bands, scaling, shift and histogram
match as in the detection, so that a person sees what the weights saw. What is zoomed out comes from
overviews, or from a small picture that was made once (:mod:`hanet.review.pictures`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from hanet.imagery.gdal import gdal_session
from hanet.imagery.images import encode_jpeg, encode_png
from hanet.imagery.qgis import PROBABILITY_RAMP
from hanet.imagery.raster_output import PROBABILITY_STEPS, ProbabilityRaster
from hanet.review.dates import OPENING, Rules, ShownDate
from hanet.review.display import TILE_PX, Display, reduced
from hanet.review.inputs import Input
from hanet.review.pictures import make_pictures
from hanet.types import ByteArray, Progress, Window

CACHE_BYTES = 64 * 2**20
"""Bound of the tiles that are kept encoded: some 3000 of them."""

READERS = 2
"""Open copies of each raster: an open raster reads for one thread at a time."""

EMPTY = 127
"""Grey of what no picture shows: invalid pixels, and what lies beyond the edge."""

FAINTEST = 0.02
"""Lower probabilities are not drawn."""

LayerName: TypeAlias = Literal["before", "after", "probability"]
"""What tiles are made of."""

LAYERS: tuple[LayerName, ...] = ("before", "after", "probability")


class Tile(NamedTuple):
    """A tile as it is sent."""

    content: bytes
    media_type: str


class Tiles:
    """Tiles of a result; closed by ``with``. Any number of threads may ask.

    Args:
        display: What they are tiles of.
        inputs: The images of both dates.
        rules: How their values become a picture.
        probability: ``probability.tif`` of the run.
        pictures: Folder for small pictures of large images without overviews.
        progress: Called while such pictures are made, which takes as long as reading the images
            once.

    Raises:
        RasterError: An image cannot be read.
        OutputError: The disk does not take a picture.
    """

    def __init__(
        self,
        display: Display,
        inputs: tuple[Input, Input],
        rules: Rules,
        probability: Path,
        *,
        pictures: Path,
        progress: Progress,
    ) -> None:
        self.display = display
        self._kept = ByteCache(CACHE_BYTES)
        self._open = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(gdal_session())
            small = make_pictures(display, inputs, rules, folder=pictures, progress=progress)
            self._dates = {
                one.date: stack.enter_context(
                    Pool(partial(ShownDate, display, one, rules, picture=small[one.date]))
                )
                for one in inputs
            }
            self._probability = stack.enter_context(Pool(partial(ProbabilityRaster, probability)))
            self._open = stack.pop_all()

    def __enter__(self) -> Tiles:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the rasters."""
        self._open.close()

    def tile(self, layer: LayerName, z: int, x: int, y: int) -> Tile | None:
        """A tile of :data:`hanet.review.display.TILE_PX` pixels a side; None beyond the display.

        Args:
            layer: A JPEG of a date, or a PNG of the probability, transparent where that is low.
            z: Zoom level from 0.
            x: Column of tiles.
            y: Row of tiles.

        Raises:
            RasterError: The raster cannot be read there.
        """
        window = self.display.window(z, x, y)
        if window is None:
            return None
        key = (layer, z, x, y)
        content = self._kept.get(key)
        if content is None:
            content = self._made(layer, window, self.display.scale(z))
            self._kept.put(key, content)
        return Tile(content, "image/png" if layer == "probability" else "image/jpeg")

    def _made(self, layer: LayerName, window: Window, scale: int) -> bytes:
        if layer == "probability":
            with self._probability.borrow() as raster:
                values = self._probability_in(raster, window, scale)
            return encode_png(values, palette=RAMP)
        with self._dates[layer].borrow() as date:
            pixels, valid = date.read(window, scale)
        tile = np.full((3, TILE_PX, TILE_PX), EMPTY, dtype=np.uint8)
        pixels[:, ~valid] = EMPTY
        tile[:, : pixels.shape[1], : pixels.shape[2]] = pixels  # one band shows as three alike
        return encode_jpeg(tile)

    def _probability_in(
        self, raster: ProbabilityRaster, window: Window, scale: int
    ) -> ByteArray:  # (TILE_PX, TILE_PX): numbers of colours
        shape, grid = reduced(window, scale), self.display.grid
        sx, sy = self.display.stretch
        row, column = int(window.row / sy), int(window.column / sx)
        place = Window(
            row,
            column,
            max(1, min(grid.height, round(window.row_end / sy)) - row),
            max(1, min(grid.width, round(window.column_end / sx)) - column),
        )
        probability = raster.read(place, shape=shape)
        tile = np.zeros((TILE_PX, TILE_PX), dtype=np.uint8)
        stored = np.rint(np.nan_to_num(probability, nan=0.0) * PROBABILITY_STEPS)
        tile[: shape[0], : shape[1]] = stored.astype(np.uint8)
        return tile


def _ramp() -> ByteArray:  # (256, 4)
    """Red, green, blue and opacity of each stored value of probability."""
    stops = [share * PROBABILITY_STEPS for share, _, _ in PROBABILITY_RAMP]
    colours = np.array(
        [[*bytes.fromhex(colour[1:]), opacity] for _, colour, opacity in PROBABILITY_RAMP]
    )
    values = np.arange(256)
    ramp = np.stack([np.interp(values, stops, channel) for channel in colours.T], axis=1)
    ramp[values < FAINTEST * PROBABILITY_STEPS, 3] = 0
    colours_of: ByteArray = np.rint(ramp).astype(np.uint8)
    return colours_of


RAMP = _ramp()
"""Colours (256, 4) of stored values of probability: those of the style for QGIS."""


class ByteCache:
    """Contents by key, the last used ones up to a number of bytes; any number of threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self.bytes = max_bytes, 0
        self._kept: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> bytes | None:
        """The content; None if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: object, content: bytes) -> None:
        """Keeps it, and lets go of what was not used for the longest time."""
        with self._lock:
            self.bytes += len(content) - len(self._kept.pop(key, b""))
            self._kept[key] = content
            while self.bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self.bytes -= len(oldest)


class Closable(Protocol):
    """What a pool holds."""

    def close(self) -> None:
        """Gives back what it holds."""


Held = TypeVar("Held", bound=Closable)


class Pool(Generic[Held]):
    """Up to :data:`READERS` of one kind, made when they are first needed, each lent to one thread
    at a time; closed by ``with``.

    One thread makes and closes all of them: GDAL's settings belong to the thread that made them,
    and ended by another one they would end that one's.
    """

    def __init__(self, make: Callable[[], Held]) -> None:
        self._make = make
        self._maker = ThreadPoolExecutor(max_workers=1)
        try:
            self._free = [self._maker.submit(make).result()]
        except BaseException:
            self._maker.shutdown()
            raise
        self._all = list(self._free)
        self._places = threading.Semaphore(READERS)
        self._lock = threading.Lock()

    def __enter__(self) -> Pool[Held]:
        return self

    def __exit__(self, *exception: object) -> None:
        for _ in range(READERS):  # those at work come back first
            self._places.acquire()
        with self._maker as maker:
            for held in reversed(self._all):  # the settings end in the order of a stack
                maker.submit(held.close).result()

    @contextmanager
    def borrow(self) -> Iterator[Held]:
        """One of them, for the time of a ``with``; waits until one is free."""
        with self._places:
            with self._lock:
                held = self._free.pop() if self._free else None
            if held is None:
                with OPENING:
                    held = self._maker.submit(self._make).result()
                with self._lock:
                    self._all.append(held)
            try:
                yield held
            finally:
                with self._lock:
                    self._free.append(held)
