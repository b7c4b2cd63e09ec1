"""Values that stand for no data although the file does not state them: -9999, the lowest float, 0
in collars and in blocks that were never filled. Pure numpy on samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hanet.types import FloatArray, Mask

USUAL = (0.0, -1.0, -99.0, -999.0, -9999.0, -99999.0, -32768.0, 32767.0, 65535.0)
"""Values that programs write for no data; beside them everything that no image reaches."""

NO_IMAGE_BEYOND = 1e9
"""Larger values, of either sign, are no brightness."""

SOLID_PX = 8
"""Side of a block of a sample that holds nothing but the value: pixels of an image reach one value
in all bands here and there, never in a block."""

FILL_BLOCK_PX = 16
"""The same of an 8-bit image, in which shadows and bright roofs are cut to 0 and 255."""

MIN_FILL = 0.005
"""Smallest share of an image that black or white blocks must have to count."""

MOSTLY_SOLID = 1 / 3
"""Share of the pixels with a usual value in any band that must lie in solid blocks of it in all
bands, where other values are near: collars and blocks of 20 pixels reach 0.40 to 0.97, shadows cut
to 0 and roofs cut to 65535 at most 0.15, of one band 0.43 (three rendered pairs of 512 pixels, 3 to
33 % cut off, 2026-11). Taken as no data, 10 % cut off to 0 took F1 from 0.96 to 0.32 to 0.59."""

FAR = 0.5
"""A value that is not a usual one must lie this many ranges of all others away from them."""


def unstated_nodata(sample: FloatArray, valid: Mask) -> float | None:
    """The value of a date that stands for no data although its file does not say so.

    It is the same in all bands, fills a solid block, is the lowest or the highest of all, and lies
    far from all others, or is a usual one and hardly found outside such blocks: where shadows are
    cut to 0 or roofs to 65535, single bands and pixels have it too. None where there is no such
    value.

    Args:
        sample: Raw values (C, H, W).
        valid: Pixels (H, W) that the file calls valid.
    """
    equal = valid & (sample == sample[0]).all(axis=0)
    if not equal.any():
        return None
    values = np.unique(sample[0][equal])
    lowest, highest = sample[:, valid].min(), sample[:, valid].max()
    for value in {float(v) for v in (values[0], values[-1]) if v in (lowest, highest)}:
        there = equal & (sample[0] == np.float32(value))
        blocks = solid(there)
        if not blocks.any():
            continue
        others = sample[:, valid & ~there]
        if not others.size:
            continue
        if abs(value) > NO_IMAGE_BEYOND or _is_far(value, others):
            return value
        anywhere = valid & (sample == np.float32(value)).any(axis=0)
        if value in USUAL and blocks.sum() >= MOSTLY_SOLID * anywhere.sum():
            return value
    return None


class Fill(NamedTuple):
    """Solid blocks of a date's 8-bit image that hold nothing but black, or nothing but white."""

    value: int
    where: Mask  # (H, W)
    share: float
    """Of the valid pixels, in 0-1."""


def filled(image: FloatArray, valid: Mask) -> Fill:
    """The larger of black and white fill in a sample (C, H, W) of values in 0-255.

    Unlike :func:`unstated_nodata` it is no proof: saturated snow and deep shadow look like it, so
    it is reported and nothing more.
    """
    fills = []
    for value in (0, 255):
        where = solid(valid & (image == value).all(axis=0), FILL_BLOCK_PX)
        fills.append(Fill(value, where, float(where.sum() / max(1, valid.sum()))))
    return max(fills, key=lambda fill: fill.share)


def solid(mask: Mask, side: int = SOLID_PX) -> Mask:  # (H, W) -> (H, W)
    """The pixels of a mask that belong to a square block of it, aligned to the blocks' side."""
    height, width = (size // side * side for size in mask.shape)
    blocks = mask[:height, :width].reshape(height // side, side, width // side, side)
    full = blocks.all(axis=(1, 3)).repeat(side, axis=0).repeat(side, axis=1)
    found = np.zeros_like(mask)
    found[:height, :width] = full
    return found


def _is_far(value: float, others: FloatArray) -> bool:
    low, high = (float(v) for v in np.percentile(others, (0.5, 99.5)))
    gap = low - value if value < low else value - high
    return high > low and gap > FAR * (high - low)
