"""What an ONNX file must be to be run here: its inputs and outputs, and what it gives for one small
window.

A file may come from anywhere. What it declares is checked when it is opened; what it does is tried
once on the smallest window that it takes, before any work begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hanet.errors import SettingsError, WeightsError, one_line
from hanet.metadata import Metadata
from hanet.types import FloatArray

PROBABILITY, BUILT = "probability", "built"
"""Names of the outputs: the probability of change, and, in files of weights that tell, the
probability that what has changed is a new building rather than a demolished one."""

EXPORT_AGAIN = "export it again with hanet export"
"""What helps with a file whose graph does not fit."""

RANGE_TOLERANCE = 1e-3
"""How far beyond 0-1 a probability may lie by rounding; what is within is clipped."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Which images a file takes, and what it gives.

    Args:
        file: Its name, for messages.
        batch: Images at once where the file fixes that, else None.
        side_px: Height and width where the file fixes them, else None.
        outputs: Names of what it gives, :data:`PROBABILITY` first.
    """

    file: str
    batch: int | None = None
    side_px: int | None = None
    outputs: tuple[str, ...] = (PROBABILITY,)

    def check(self, shape: Sequence[int]) -> None:
        """Does nothing for images (B, C, H, W) that the file takes.

        Raises:
            SettingsError: It fixes another size.
        """
        if self.side_px is not None and tuple(shape[2:]) != (self.side_px, self.side_px):
            raise SettingsError(
                f"{self.file} takes tiles of {self.side_px} pixels only, not {shape[2]}x{shape[3]}",
                hint=f"take tiles of {self.side_px} pixels, or export it again without --static",
            )

    def fitted(self, metadata: Metadata) -> Metadata:
        """The metadata with the file's own size as the tile, and the smallest one, where it fixes
        one."""
        side = self.side_px
        if side is None:
            return metadata
        overlap = min(metadata.overlap_px, side // 4)
        return replace(metadata, tile_px=side, overlap_px=overlap, smallest_px=side)


def interface_of(
    file: str, inputs: Sequence[Any], outputs: Sequence[Any], metadata: Metadata
) -> Interface:
    """Which images a file takes, by what ONNX Runtime says of its inputs and outputs.

    Args:
        file: Name for messages.
        inputs: Each with ``name``, ``type`` and ``shape``, as ``InferenceSession.get_inputs``.
        outputs: As ``InferenceSession.get_outputs``.
        metadata: What travels with the file.

    Raises:
        WeightsError: Names, element types, ranks or dimensions are others than
            :func:`hanet.weights.export.export_onnx` writes.
    """
    names = [entry.name for entry in inputs], [entry.name for entry in outputs]
    if names[0] != ["before", "after"] or names[1] not in ([PROBABILITY], [PROBABILITY, BUILT]):
        shown = (
            ", ".join(one_line(name, longest=40) for name in each[:4]) or "nothing"
            for each in names
        )
        raise WeightsError(
            "{} has the inputs {} and the outputs {}; before, after and probability are "
            "needed, built may follow".format(file, *shown),
            hint="a file made with --inputs one is for other tools; export it again without",
        )
    for entry in (*inputs, *outputs):
        if entry.type != "tensor(float)":
            raise WeightsError(
                f"{entry.name} of {file} is {one_line(entry.type, longest=40)}; tensor(float) is "
                "needed",
                hint=EXPORT_AGAIN,
            )
    shapes = [_dimensions(file, entry) for entry in inputs]
    if shapes[0] != shapes[1]:
        raise _misshapen(file, "before and after differ in shape")
    batch, bands, height, width = shapes[0]
    if bands not in (None, len(metadata.bands)):
        raise WeightsError(
            f"{file} contradicts itself: its graph takes {bands} bands, its metadata name "
            f"{len(metadata.bands)} ({', '.join(metadata.bands)[:100]})",
            hint=EXPORT_AGAIN,
        )
    if batch not in (None, 1):
        raise _misshapen(file, f"it takes {batch} images at once and no other number")
    if height != width or (height is not None and not _is_a_tile(height, metadata)):
        raise _misshapen(
            file, f"it takes images of {_said(height)}x{_said(width)} pixels and no others"
        )
    return Interface(file, batch, height, tuple(names[1]))


def trial_images(metadata: Metadata, interface: Interface) -> tuple[FloatArray, FloatArray]:
    """Two images (B, C, H, W) in 0 to ``metadata.scale``, the smallest that the file takes; two
    pairs that are not square where it lets one choose, so that a confusion of axes shows."""
    step = metadata.divisor
    height = interface.side_px or -(-max(metadata.min_size_px, step) // step) * step
    width = interface.side_px or height + step
    shape = (interface.batch or 2, len(metadata.bands), height, width)
    generator = np.random.default_rng(0)
    high = np.float32(metadata.scale)
    before, after = (generator.random(shape, dtype=np.float32) * high for _ in range(2))
    return before, after


def checked_probability(
    found: object, images: FloatArray, file: str
) -> FloatArray:  # (B, 1, H, W) -> (B, H, W)
    """What an engine gave for images (B, C, H, W), in 0-1 to the last bit.

    ONNX Runtime's sigmoid of 17.844 is 1.0000001 (1.27, AVX-512, 2026-11).

    Raises:
        WeightsError: It is not a probability for each pixel.
    """
    batch, _, height, width = images.shape
    wanted = (batch, 1, height, width)
    if not isinstance(found, np.ndarray) or found.shape != wanted or found.dtype.kind != "f":
        given = (
            f"{found.dtype} of {found.ndim} dimensions {found.shape}"
            if isinstance(found, np.ndarray)
            else f"a {type(found).__name__}"
        )
        raise WeightsError(
            f"{file} gives {given} where four dimensions {wanted}, a probability for each pixel, "
            "are needed",
            hint=EXPORT_AGAIN,
        )
    probability: FloatArray = np.array(found[:, 0], dtype=np.float32)
    low, high = probability.min(), probability.max()
    if not (low >= -RANGE_TOLERANCE and high <= 1.0 + RANGE_TOLERANCE):  # NaN is not
        said = (
            "numbers that are not finite"
            if not np.isfinite([low, high]).all()
            else f"values from {low:.3g} to {high:.3g}"
        )
        raise WeightsError(
            f"{file} gives {said}; probability in 0-1 is needed",
            hint="the file may be damaged, or another network's; copy or export it again",
        )
    return np.clip(probability, 0.0, 1.0, out=probability)


def _dimensions(file: str, entry: Any) -> list[int | None]:
    """The four dimensions of an input, None where they are free."""
    shape = entry.shape
    if not isinstance(shape, list | tuple) or len(shape) != 4:
        given = len(shape) if isinstance(shape, list | tuple) else "no stated"
        raise _misshapen(
            file,
            f"{entry.name} has {given} dimensions where four are needed, (batch, bands, height, "
            "width)",
        )
    return [size if isinstance(size, int) and size > 0 else None for size in shape]


def _is_a_tile(side: int, metadata: Metadata) -> bool:
    return side % metadata.divisor == 0 and metadata.min_size_px <= side <= 16_384


def _said(size: int | None) -> str:
    return "any" if size is None else str(size)


def _misshapen(file: str, what: str) -> WeightsError:
    return WeightsError(
        f"{file} does not fit: {what}", hint=f"{EXPORT_AGAIN}, with a free batch and size"
    )
