"""An ONNX file in 8-bit integers: quantised by ranges seen on real tiles, judged on tiles that were not used for it.

Static quantisation as ONNX Runtime does it: weights with a scale for each output channel, activations with one scale for each tensor, in
the portable form of quantise-dequantise pairs.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from hanet.datasets.layout import Pair, list_pairs, list_splits
from hanet.errors import DataSetError
from hanet.imagery.images import read_image
from hanet.types import FloatArray

CALIBRATION_TILES = 16
"""Tiles that ranges are taken from."""

JUDGED_TILES = 8
"""Tiles, none of them used for calibration, that the quantised file is compared with torch on."""

MAX_TILE_PX = 512
"""Longest side that calibration reads; larger images are cut to their upper left corner."""


@dataclass(frozen=True, slots=True)
class CalibrationTiles:
    """Pairs of images, raw values, as the network takes them.

    Args:
        calibrate: Those that ranges are taken from, each (1, C, H, W) twice.
        judge: Others, that the result is judged on.
    """

    calibrate: tuple[tuple[FloatArray, FloatArray], ...]
    judge: tuple[tuple[FloatArray, FloatArray], ...]


def read_calibration_tiles(folder: Path, *, divisor: int, scale: float, side_px: int | None = None) -> CalibrationTiles:
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
            f"{folder} has no SPLIT/A and SPLIT/B", hint="calibration needs images as the network will see them"
        )
    pairs = list_pairs(folder, "train" if "train" in splits else splits[0])
    if len(pairs) < 2:
        raise DataSetError(f"{folder} has {len(pairs)} pairs", hint="calibration needs at least 2, better 24")
    wanted = min(len(pairs), CALIBRATION_TILES + JUDGED_TILES)
    spread = [pairs[number * len(pairs) // wanted] for number in range(wanted)]
    tiles = [_tile(pair, divisor, scale, side_px) for pair in spread]
    return CalibrationTiles(tuple(tile for number, tile in enumerate(tiles) if number % 3), tuple(tiles[::3]))


def quantised(content: bytes, tiles: Sequence[tuple[FloatArray, FloatArray]]) -> bytes:
    """The graph with its operators in 8-bit integers where ONNX Runtime has them so; same inputs and outputs.

    Args:
        content: An ONNX file with the inputs ``before`` and ``after``.
        tiles: Pairs to take the ranges of activations from.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter([{"before": before, "after": after} for before, after in tiles])

        def get_next(self) -> dict[str, FloatArray] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory(prefix="hanet-") as name, _quiet():
        source, prepared, target = (Path(name) / f"{part}.onnx" for part in ("source", "prepared", "target"))
        source.write_bytes(content)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 7 bits for weights: AVX2 adds two products in 16 bits, which 8 would overflow
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # hanet_lite, 24 tiles of LEVIR-CD, one core with AVX2, 2026-11-24: a mean difference of probability of 0.0039, as with
            # 99.99 % of the range (0.0040), whose histograms fail on a tensor that is nearly constant. Convolutions alone: 0.0151.
            calibrate_method=CalibrationMethod.MinMax,
        )
        return bytes(onnx.load(str(target)).SerializeToString(deterministic=True))


def _tile(pair: Pair, divisor: int, scale: float, side_px: int | None) -> tuple[FloatArray, FloatArray]:
    before, after = (read_image(path) for path in (pair.before, pair.after))
    height, width = (min(size, side_px or MAX_TILE_PX) // divisor * divisor for size in before.shape[1:])
    if before.shape != after.shape or min(height, width) < max(divisor, side_px or 0):
        raise DataSetError(
            f"{pair.name} is {before.shape[1]}x{before.shape[2]} pixels before and {after.shape[1]}x{after.shape[2]} after",
            hint=f"calibration needs two dates of one size, at least {side_px or divisor} pixels",
        )
    factor = np.float32(scale / 255.0)
    first, second = (image[None, :, :height, :width].astype(np.float32) * factor for image in (before, after))
    return first, second


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser tells its progress on stdout and by the root logger; stdout is for data."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        root.setLevel(level)
