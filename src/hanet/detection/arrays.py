"""Weights in a notebook: arrays in, probability out, by the detector's own tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hanet.detection.streaming import fitted_tile, own_tile, stream, tile_and_overlap
from hanet.detection.tiling import TilePlan
from hanet.errors import InputError, SettingsError, ShapeError
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairBlock, reflected_beyond
from hanet.metadata import Metadata
from hanet.types import ByteArray, FloatArray, Mask, Window
from hanet.weights import catalogue
from hanet.weights.engine import (
    DEFAULT_PRECISION,
    DEFAULT_RUNTIME,
    Engine,
    RuntimeName,
    RuntimePrecision,
)
from hanet.weights.runtime import Runtime, directed, open_runtime


class Detector:
    """Weights ready to run on arrays; made by :func:`load`.

    Attributes:
        metadata: What travels with the weights.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.metadata: Metadata = runtime.metadata

    def predict(
        self,
        before: ByteArray | FloatArray,
        after: ByteArray | FloatArray,
        *,
        tile_px: int | None = None,
        overlap_px: int | None = None,
    ) -> FloatArray:  # (C, H, W) twice -> (H, W)
        """Probability of change, tile by tile as ``hanet detect`` does it.

        Args:
            before: Image of the first date, values in 0-255 whatever the type; bands as
                ``metadata.bands`` says.
            after: The same place later, same shape, pixel on pixel.
            tile_px: Side of a tile; the weights' own if None, or a smaller one that holds all of
                small images. No larger one is taken than the images need.
            overlap_px: Overlap of neighbouring tiles; the weights' own if None.

        Raises:
            ShapeError: The arrays are not two images of one shape with the network's bands.
            InputError: Values are not in 0-255: reflectance in 0-1, 16 bit, NaN.
            SettingsError: The network does not take such a tile, or the overlap does not fit it.
        """
        return self._streamed(before, after, tile_px, overlap_px, with_built=False)[0]

    @property
    def tells_kinds(self) -> bool:
        """Whether the weights tell built from demolished (:meth:`predict_kinds`)."""
        return directed(self._runtime) is not None

    def predict_kinds(
        self,
        before: ByteArray | FloatArray,
        after: ByteArray | FloatArray,
        *,
        tile_px: int | None = None,
        overlap_px: int | None = None,
    ) -> tuple[FloatArray, FloatArray]:  # (C, H, W) twice -> (H, W) twice
        """What :meth:`predict` gives, and the probability that what has changed is a new building
        rather than a demolished one.

        The second is NaN where the probability of change is below 0.1.

        Args:
            before: As for :meth:`predict`.
            after: As for :meth:`predict`.
            tile_px: As for :meth:`predict`.
            overlap_px: As for :meth:`predict`.

        Raises:
            SettingsError: The weights do not tell (:attr:`tells_kinds`), or as for :meth:`predict`.
            ShapeError: As for :meth:`predict`.
            InputError: As for :meth:`predict`.

        Example:
            >>> probability, built = load().predict_kinds(before, after)
            >>> demolished = (probability >= 0.5) & (built < 0.3)
        """
        if not self.tells_kinds:
            raise SettingsError(
                f"the weights {self.metadata.name} do not tell built from demolished",
                hint="hanet_lite does",
            )
        probability, built = self._streamed(before, after, tile_px, overlap_px, with_built=True)
        return probability, built

    def _streamed(
        self,
        before: ByteArray | FloatArray,
        after: ByteArray | FloatArray,
        tile_px: int | None,
        overlap_px: int | None,
        *,
        with_built: bool,
    ) -> list[FloatArray]:
        bands = len(self.metadata.bands)
        if before.shape != after.shape or before.ndim != 3 or before.shape[0] != bands:
            raise ShapeError(
                f"before {before.shape} and after {after.shape} must be two arrays ({bands}, H, "
                "W) of one shape",
                hint="where bands come last: image.transpose(2, 0, 1)",
            )
        check_range(before, after)
        pair = _ArrayPair(before.astype(np.float32), after.astype(np.float32))
        height, width = before.shape[1:]
        if tile_px is None:
            _, most = tile_and_overlap(self.metadata, None, overlap_px)
            tile_px = own_tile(self.metadata, most, height=height, width=width)
        asked = tile_and_overlap(self.metadata, tile_px, overlap_px)
        tile, overlap = fitted_tile(self.metadata, *asked, height=height, width=width)
        probability = np.zeros(before.shape[1:], dtype=np.float32)
        built = np.full_like(probability, np.nan) if with_built else None

        def write(window: Window, part: FloatArray, valid: Mask) -> None:  # noqa: ARG001 - all pixels of an array are valid
            probability[window.slices] = part

        def write_built(window: Window, part: FloatArray, asked: Mask) -> None:
            assert built is not None
            built[window.slices] = np.where(asked, part, np.float32(np.nan))

        stream(
            pair,
            self._runtime,
            TilePlan(height, width, tile, overlap, chunk_tiles=2),
            write=write,
            write_built=write_built if with_built else None,
        )
        return [probability] if built is None else [probability, built]


def check_range(before: ByteArray | FloatArray, after: ByteArray | FloatArray) -> None:
    """Does nothing for images in 0-255; a pair of floats that never exceeds 1 counts as 0-1, since
    such darkness is no image.

    Raises:
        InputError: A value lies outside, is NaN, or all of them lie in 0-1.
    """
    if before.dtype == np.uint8 and after.dtype == np.uint8:
        return
    low, high = (
        float(find([find(image, initial=0.0) for image in (before, after)]))
        for find in (np.min, np.max)
    )
    if not (low >= 0.0 and high <= 255.0):
        raise InputError(
            f"the values of the arrays reach from {low:g} to {high:g}; images in 0-255 are needed",
            hint="stretch both dates by the same rule to 0-255, and fill what is NaN",
        )
    if 0.0 < high <= 1.0 and "f" in before.dtype.kind + after.dtype.kind:
        raise InputError(
            f"the arrays are floats up to {high:g}; images in 0-255 are needed, these look like "
            "0-1",
            hint="multiply both by 255",
        )


class _ArrayPair:
    def __init__(self, before: FloatArray, after: FloatArray) -> None:
        self._before, self._after = before, after
        height, width = before.shape[1:]
        self.grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)

    def read(self, window: Window) -> PairBlock:
        inside = window.intersection(Window(0, 0, self.grid.height, self.grid.width))
        rows, columns = inside.slices
        valid = np.ones(inside.shape, dtype=np.bool_)
        block = PairBlock(self._before[:, rows, columns], self._after[:, rows, columns], valid)
        return block if inside == window else reflected_beyond(block, inside, window)


def load(
    weights: str | Path = catalogue.DEFAULT,
    *,
    runtime: RuntimeName = DEFAULT_RUNTIME,
    threads: int | None = None,
    precision: RuntimePrecision = DEFAULT_PRECISION,
    flips: bool = False,
) -> Detector:
    """Weights by name or file, ready for arrays.

    Args:
        weights: A name that ``hanet models`` lists, or a file.
        runtime: Engine.
        threads: Threads of the engine; as many as this process may use if None.
        precision: ``"bf16"`` is about twice as fast with OpenVINO, on processors that have it.
        flips: Average over the four flips of every tile: a better result for four times the work.

    Raises:
        SettingsError: The engine or this processor does not compute in that precision.
        WeightsError: There are no weights of this name, or the file cannot be loaded.

    Example:
        >>> load().predict(before, after).shape
        (1024, 1024)
    """
    engine = Engine(runtime, threads, precision, flips)
    return Detector(open_runtime(catalogue.resolve(weights, suffixes=engine.suffixes), engine))
