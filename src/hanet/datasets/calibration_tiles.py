"""Tiles of a data set that an export in 8-bit integers takes its ranges from, and others to judge
it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hanet.datasets.layout import Pair, list_pairs, list_splits
from hanet.errors import DataSetError
from hanet.imagery.images import read_image
from hanet.types import FloatArray
from hanet.weights.quantisation import CalibrationTiles
from hanet.weights.runtime import on_scale

CALIBRATION_TILES = 16
"""Tiles that ranges are taken from."""

JUDGED_TILES = 8
"""Tiles, none of them used for calibration, that the quantised file is compared with torch on."""

MAX_TILE_PX = 512
"""Longest side that calibration reads; larger images are cut to their upper left corner."""


def read_calibration_tiles(
    folder: Path, *, divisor: int, scale: float, side_px: int | None = None
) -> CalibrationTiles:
    """Tiles of a data set, spread evenly over a split: ``train`` if it has one, else its first.

    Args:
        folder: ``SPLIT/{A,B,label}``; labels are not read.
        divisor: Height and width are cut to multiples of it.
        scale: Value that stands for white.
        side_px: Side that every tile is cut to; None leaves it to the images.

    Raises:
        DataSetError: The folder has no split, or too few images of a usable size.
    """
    splits = list_splits(folder)
    if not splits:
        raise DataSetError(
            f"{folder} has no SPLIT/A and SPLIT/B",
            hint="calibration needs images as the network will see them",
        )
    pairs = list_pairs(folder, "train" if "train" in splits else splits[0])
    if len(pairs) < 2:
        raise DataSetError(
            f"{folder} has {len(pairs)} pairs", hint="calibration needs at least 2, better 24"
        )
    wanted = min(len(pairs), CALIBRATION_TILES + JUDGED_TILES)
    spread = [pairs[number * len(pairs) // wanted] for number in range(wanted)]
    tiles = [_tile(pair, divisor, scale, side_px) for pair in spread]
    return CalibrationTiles(
        tuple(tile for number, tile in enumerate(tiles) if number % 3), tuple(tiles[::3])
    )


def _tile(
    pair: Pair, divisor: int, scale: float, side_px: int | None
) -> tuple[FloatArray, FloatArray]:
    before, after = (read_image(path) for path in (pair.before, pair.after))
    height, width = (
        min(size, side_px or MAX_TILE_PX) // divisor * divisor for size in before.shape[1:]
    )
    if before.shape != after.shape or min(height, width) < max(divisor, side_px or 0):
        raise DataSetError(
            f"{pair.name} is {before.shape[1]}x{before.shape[2]} pixels before and "
            f"{after.shape[1]}x{after.shape[2]} after",
            hint=f"calibration needs two dates of one size, at least {side_px or divisor} pixels",
        )
    first, second = (
        on_scale(image[None, :, :height, :width].astype(np.float32), scale)
        for image in (before, after)
    )
    return first, second
