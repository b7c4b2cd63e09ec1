"""How a split is predicted: images cut into tiles that know nothing of each other, or whole images
(0.4-1.0 F1 apart: docs/concepts/sources.md, section 4).

Either way each image comes back whole, so that everything behind (counts, footprints, error maps)
sees images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from hanet.datasets.layout import Pair, tile_windows
from hanet.errors import DataSetError, SettingsError, ShapeError
from hanet.imagery.images import read_change, read_image
from hanet.imagery.reflection import cut
from hanet.metadata import Metadata
from hanet.types import ByteArray, FloatArray, Window
from hanet.weights.engine import Engine, runtime_of
from hanet.weights.runtime import open_runtime

ProtocolName = Literal["tiles", "whole"]
"""What the two ways are called."""

Predictor: TypeAlias = Callable[[ByteArray, ByteArray], FloatArray]
"""before and after (B, C, H, W) in 0-255 give probability (B, H, W); any size."""


MAX_TILE_PX, MAX_BATCH = 16_384, 65_536
"""Largest side of a tile, and most of them at once: beyond them a slip of the keyboard would take
all memory."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How images are cut, and how many pieces are predicted at once.

    Args:
        name: ``"tiles"``: each image is cut into squares without overlap, each predicted by itself,
            as the paper does. The last row and column are filled by reflection where the tile does
            not divide the image; what is filled does not count. ``"whole"``: each image as it is,
            as Open-CD does.
        tile_px: Side of a tile.
        batch: Tiles at once; 8 of 256 pixels if None, fewer of larger ones, since attention needs
            memory with the cube of their side. Whole images go one by one in any case.
    """

    name: ProtocolName = "tiles"
    tile_px: int = 256
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ("tiles", "whole"):
            raise SettingsError(
                f"the protocol is {self.name!r}", hint="the protocols are tiles and whole"
            )
        limits = (("tile", self.tile_px, MAX_TILE_PX), ("batch", self.batch, MAX_BATCH))
        for name, value, most in limits:
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}; it must be at least 1")
            if value is not None and value > most:
                raise SettingsError(f"{name} is too large; it must be at most {most:,}")

    @property
    def label(self) -> str:
        """``tiles-256`` or ``whole``: what stands beside a score."""
        return f"tiles-{self.tile_px}" if self.name == "tiles" else "whole"

    @property
    def at_once(self) -> int:
        """Pieces that are predicted together."""
        if self.name == "whole":
            return 1
        return self.batch or max(1, min(8, 8 * 256**3 // self.tile_px**3))

    def windows(self, height: int, width: int) -> list[Window]:
        """The pieces of an image; they may reach beyond its bottom and its right edge."""
        if self.name == "whole":
            return [Window(0, 0, height, width)]
        return [
            tile.window for tile in tile_windows(height, width, tile_px=self.tile_px, edges="pad")
        ]


def predictor_of(weights: Path, engine: Engine | None = None) -> tuple[Predictor, Metadata]:
    """The predictor of a weights file, and its metadata.

    Args:
        weights: ``.onnx`` or ``.safetensors``.
        engine: What they run on; if None, ONNX Runtime for ONNX files and torch for safetensors.
    """
    runtime = open_runtime(weights, engine or Engine(runtime_of(weights)))
    bands = len(runtime.metadata.bands)
    divisor, smallest = runtime.metadata.divisor, runtime.metadata.min_size_px

    def predict(before: ByteArray, after: ByteArray) -> FloatArray:
        if before.shape != after.shape or before.ndim != 4:
            raise ShapeError(
                f"before {before.shape} and after {after.shape} must be two arrays (B, C, H, W) "
                "of one shape"
            )
        if before.shape[1] != bands:
            raise ShapeError(
                f"{weights.name} takes {bands} bands ({', '.join(runtime.metadata.bands)}), the "
                f"images have {before.shape[1]}"
            )
        height, width = before.shape[-2:]
        rows, columns = (
            -(-max(side, smallest) // divisor) * divisor - side for side in (height, width)
        )
        padding = ((0, 0), (0, 0), (0, rows), (0, columns))
        padded = [
            np.pad(image, padding, mode="reflect").astype(np.float32) for image in (before, after)
        ]
        return runtime.predict(padded[0], padded[1])[:, :height, :width]

    return predict, runtime.metadata


class PredictedImage(NamedTuple):
    """An image of the split with its probability and its label (0, 1 or IGNORED), both (H, W)."""

    pair: Pair
    probability: FloatArray
    change: ByteArray


class _Unfinished:
    """An image whose pieces are still being predicted."""

    def __init__(self, pair: Pair, change: ByteArray, pieces: int) -> None:
        self.result = PredictedImage(pair, np.empty(change.shape, dtype=np.float32), change)
        self.missing = pieces

    def write(self, window: Window, probability: FloatArray) -> None:
        part = self.result.probability[window.slices]
        part[:] = probability[: part.shape[0], : part.shape[1]]
        self.missing -= 1


class _Piece(NamedTuple):
    image: _Unfinished
    window: Window
    before: ByteArray
    after: ByteArray


def predict_split(
    predictor: Predictor, pairs: Sequence[Pair], protocol: Protocol
) -> Iterator[PredictedImage]:
    """Each image of a split in order, predicted by the protocol; pieces of several small images go
    through the predictor together.

    Raises:
        DataSetError: A pair has no label, or its files cannot be read or differ in size.
    """
    images: deque[_Unfinished] = deque()
    pieces: list[_Piece] = []
    for pair in pairs:
        before, after, change = _read(pair)
        windows = protocol.windows(*change.shape)
        images.append(_Unfinished(pair, change, len(windows)))
        for window in windows:
            pieces.append(_Piece(images[-1], window, cut(before, window), cut(after, window)))
            if len(pieces) == protocol.at_once:
                _predict(predictor, pieces)
                pieces = []
        while images and images[0].missing == 0:
            yield images.popleft().result
    if pieces:
        _predict(predictor, pieces)
    for image in images:
        yield image.result


def _predict(predictor: Predictor, pieces: list[_Piece]) -> None:
    before, after = (
        np.stack([piece.before for piece in pieces]),
        np.stack([piece.after for piece in pieces]),
    )
    for piece, probability in zip(pieces, predictor(before, after), strict=True):
        piece.image.write(piece.window, probability)


def _read(pair: Pair) -> tuple[ByteArray, ByteArray, ByteArray]:
    if pair.label is None:
        raise DataSetError(
            f"{pair.name!r} has no label", hint="evaluation needs SPLIT/label beside A and B"
        )
    before, after, change = read_image(pair.before), read_image(pair.after), read_change(pair.label)
    sizes = {"A": before.shape[1:], "B": after.shape[1:], "label": change.shape}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
        raise DataSetError(f"the files of {pair.name!r} differ in size: {shown}")
    return before, after, change
