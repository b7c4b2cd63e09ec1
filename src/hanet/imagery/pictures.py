"""A small copy of a large raster to look at: 8 bit, JPEG inside a GeoTIFF, with overviews and a
mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from hanet.files import writing
from hanet.imagery.gdal import gdal_session
from hanet.imagery.grid import GDAL_ERRORS
from hanet.types import ByteArray, Mask, Window

BLOCK_PX = 256
"""Side of the blocks in which a picture is stored."""

STRIP_PX = 512
"""Side of the windows in which it is filled: whole blocks, so that none is compressed twice."""

QUALITY = 90
"""Of the JPEG compression."""


def write_picture(
    path: Path,
    size: tuple[int, int],
    *,
    bands: int,
    read: Callable[[Window], tuple[ByteArray, Mask]],
    progress: Callable[[float], None],
) -> None:
    """Fills a picture window by window, then makes its overviews down to one block.

    It has no place on the ground: its pixels are counted from the upper left one.

    Args:
        path: Written as it is filled; lay it in a work folder.
        size: (height, width).
        bands: 1 or 3.
        read: Gives the pixels (bands, h, w) of a window of the picture, and which are valid (h, w).
        progress: Called with the share done, in 0-1.

    Raises:
        OutputError: The disk does not take it.
    """
    height, width = size
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "jpeg",
        "jpeg_quality": QUALITY,
        "bigtiff": "if_safer",
        # without one rasterio warns, and warnings cannot be silenced in one thread alone
        "transform": rasterio.Affine(1, 0, 0, 0, -1, height),
    }
    if bands == 3:
        profile |= {"photometric": "ycbcr", "interleave": "pixel"}
    windows = [
        Window(row, column, min(STRIP_PX, height - row), min(STRIP_PX, width - column))
        for row in range(0, height, STRIP_PX)
        for column in range(0, width, STRIP_PX)
    ]
    levels: list[int] = []
    while max(size) > BLOCK_PX << len(levels):
        levels.append(2 << len(levels))
    with _written(path):
        with rasterio.open(path, "w", **profile) as dataset:
            for number, window in enumerate(windows):
                pixels, valid = read(window)
                place = RasterioWindow(window.column, window.row, window.width, window.height)
                dataset.write(pixels, window=place)
                dataset.write_mask(valid.astype(np.uint8) * np.uint8(255), window=place)
                progress(0.9 * (number + 1) / len(windows))
        if levels:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(levels, Resampling.average)
    progress(1.0)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    with (
        writing(path, engine_errors=GDAL_ERRORS, hint="make room on the disk"),
        gdal_session(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
    ):
        yield
