"""Windows of a scene of a released data set: both dates and the changed pixels, from image files or
from rasters of any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from hanet.errors import DataSetError
from hanet.imagery.gdal import gdal_session
from hanet.imagery.images import read_image, read_label
from hanet.imagery.raster_source import RasterSource
from hanet.types import ByteArray, Mask, Window


@dataclass(frozen=True, slots=True)
class SourceScene:
    """Three files that cover the same ground.

    Args:
        name: What the manifest calls it.
        before: Image of the first date.
        after: Image of the second date.
        label: Changed pixels.
        height: Rows of all three.
        width: Columns of all three.
        is_raster: Read by windows as a raster, not as an image as a whole.
        west: Map coordinate of the left edge; None without coordinates.
    """

    name: str
    before: Path
    after: Path
    label: Path
    height: int
    width: int
    is_raster: bool
    west: float | None = None


class Pixels(NamedTuple):
    """A window of a scene."""

    before: ByteArray  # (3, h, w)
    after: ByteArray  # (3, h, w)
    change: Mask  # (h, w)

    def cut(self, row: int, column: int, side: int) -> Pixels:
        """A square of it, copied."""
        rows, columns = slice(row, row + side), slice(column, column + side)
        return Pixels(
            self.before[:, rows, columns].copy(),
            self.after[:, rows, columns].copy(),
            self.change[rows, columns].copy(),
        )


class SceneReader(Protocol):
    """Gives windows of one scene."""

    def read(self, window: Window) -> Pixels:
        """The window's pixels; it lies inside the scene."""


@contextmanager
def open_scene(scene: SourceScene) -> Iterator[SceneReader]:
    """A reader of the scene, closed with the block.

    Raises:
        DataSetError: The files differ in size, or the label's values are no 0 and 1 or 0 and 255.
        RasterError: A raster cannot be read.
    """
    if not scene.is_raster:
        yield _ImageReader(scene)
        return
    with ExitStack() as stack:
        stack.enter_context(gdal_session())
        yield _RasterReader(
            *(
                stack.enter_context(RasterSource(path))
                for path in (scene.before, scene.after, scene.label)
            )
        )


def raster_facts(scene: SourceScene) -> tuple[int, int, float | None]:
    """Height, width and map coordinate of the left edge of a scene of rasters, from their headers.

    Raises:
        DataSetError: The rasters differ in size, or a date is not 8-bit RGB.
        RasterError: A raster cannot be opened.
    """
    with gdal_session(), ExitStack() as stack:
        before, after, label = (
            stack.enter_context(RasterSource(path))
            for path in (scene.before, scene.after, scene.label)
        )
        sizes = {
            raster.name: (raster.dataset.height, raster.dataset.width)
            for raster in (before, after, label)
        }
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
            raise DataSetError(
                f"the rasters of {scene.name!r} differ in size: {shown}",
                hint="both dates and the label must come from the same release",
            )
        for raster in (before, after):
            if raster.band_count < 3 or not raster.is_eight_bit:
                raise DataSetError(
                    f"{raster.name} has {raster.band_count} bands of {raster.dataset.dtypes[0]}, "
                    "we need 8-bit RGB",
                    hint="give the released images; masks of buildings are other files",
                )
        west = float(before.dataset.transform.c) if before.has_crs else None
        return before.dataset.height, before.dataset.width, west


class _ImageReader:
    def __init__(self, scene: SourceScene) -> None:
        images = (read_image(scene.before), read_image(scene.after))
        change = read_label(scene.label)
        sizes = [image.shape[-2:] for image in (*images, change)]
        if len(set(sizes)) > 1:
            shown = ", ".join(
                f"{name} {height}x{width}"
                for name, (height, width) in zip(("A", "B", "label"), sizes, strict=True)
            )
            raise DataSetError(
                f"the files of {scene.name!r} differ in size: {shown}",
                hint="download or copy this scene again",
            )
        self._pixels = Pixels(*images, change)

    def read(self, window: Window) -> Pixels:
        rows, columns = window.slices
        before, after, change = self._pixels
        return Pixels(before[:, rows, columns], after[:, rows, columns], change[rows, columns])


class _RasterReader:
    def __init__(self, before: RasterSource, after: RasterSource, label: RasterSource) -> None:
        self._before, self._after, self._label = before, after, label
        self._values: set[float] = set()

    def read(self, window: Window) -> Pixels:
        before, after = (
            source.read_raw(window, (1, 2, 3)) for source in (self._before, self._after)
        )
        label = self._label.read_raw(window, tuple(range(1, self._label.band_count + 1)))
        if (label[1:] != label[:1]).any():
            raise DataSetError(f"{self._label.name} is coloured", hint=_LABEL_HINT)
        self._values |= set(np.unique(label[0]).tolist())
        if not (self._values <= {0, 1} or self._values <= {0, 255}):
            shown = ", ".join(f"{value:g}" for value in sorted(self._values)[:6])
            raise DataSetError(
                f"{self._label.name} is no label we can read: it holds {shown}", hint=_LABEL_HINT
            )
        return Pixels(before.astype(np.uint8), after.astype(np.uint8), label[0] > 0)


_LABEL_HINT = "the label of change holds 0 and 1, or 0 and 255; give the released one"
