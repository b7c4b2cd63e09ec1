"""Connected components of a mask from its spans (changed pixels side by side in a row): pure numpy,
no loop over pixels or components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.types import FloatArray, Mask

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelledMask:
    """A mask whose changed pixels have the number of their component.

    Args:
        labels: (H, W), 0 where there is no change; components count from 1 in the order of their
            first pixel, row by row.
        last_pixels: (N,) position (row * width + column) of each component's last pixel.
        pixels: (N,) their number.
        sums: (N,) sum of the values under each component.
        maxima: (N,) largest of them.
    """

    labels: npt.NDArray[np.int32]
    last_pixels: Integers
    pixels: Integers
    sums: npt.NDArray[np.float64]
    maxima: npt.NDArray[np.float64]


def label(mask: Mask, values: FloatArray, *, connectivity: int) -> LabelledMask:
    """Labels a mask (H, W) and measures the values (H, W) under each component.

    Args:
        mask: Changed pixels.
        values: What is summed; only read where the mask is set.
        connectivity: 8 joins pixels that touch at a corner, 4 does not.
    """
    height, width = mask.shape
    starts, ends = _row_spans(mask)
    of_spans, count = _components(*_touching(starts, ends, width, connectivity), len(starts))
    lengths = ends - starts
    labels = np.zeros(height * width, dtype=np.int32)
    changed = mask.ravel()
    under = values.ravel()[changed].astype(np.float64)
    of_pixels = np.repeat(of_spans, lengths)
    labels[changed] = of_pixels + 1
    last, maxima = np.zeros(count, dtype=np.int64), np.full(count, -np.inf)
    np.maximum.at(last, of_spans, ends - 1)
    if count:
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        np.maximum.at(maxima, of_spans, np.maximum.reduceat(under, offsets))
    return LabelledMask(
        labels=labels.reshape(height, width),
        last_pixels=last,
        pixels=np.bincount(of_pixels, minlength=count),
        sums=np.bincount(of_pixels, under, minlength=count).astype(np.float64),
        maxima=maxima,
    )


def sums_of_known(
    labels: npt.NDArray[np.int32], values: FloatArray, count: int
) -> tuple[Integers, npt.NDArray[np.float64]]:
    """Pixels under each component whose value is known, and the sum of their values, (N,) each.

    Args:
        labels: (H, W), components from 1 to ``count``, 0 outside.
        values: (H, W), NaN where unknown.
        count: Components.
    """
    known = (labels > 0) & ~np.isnan(values)
    of_pixels = labels[known] - 1
    under = values[known].astype(np.float64)
    sums = np.bincount(of_pixels, under, minlength=count).astype(np.float64)
    return np.bincount(of_pixels, minlength=count), sums


def _row_spans(mask: Mask) -> tuple[Integers, Integers]:
    """Positions of the first pixel of each span and behind its last one, in the order of rows."""
    height, width = mask.shape
    padded = np.zeros((height, width + 1), dtype=np.int8)
    padded[:, :width] = mask
    steps = np.diff(padded.ravel(), prepend=np.int8(0))  # the padding ends each span in its row
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return starts - starts // (width + 1), ends - ends // (width + 1)


def _touching(
    starts: Integers, ends: Integers, width: int, connectivity: int
) -> tuple[Integers, Integers]:
    """Pairs of spans (above, below) in neighbouring rows that touch."""
    reach = 1 if connectivity == 8 else 0
    rows = starts // width
    stride = width + 2  # rows far enough apart that a search never leaves the row above
    first = rows * stride + starts - rows * width
    behind = first + ends - starts
    low = np.searchsorted(behind, first - stride + 1 - reach)
    high = np.searchsorted(first, behind - stride + reach)
    counts = np.maximum(high - low, 0)
    below = np.repeat(np.arange(len(starts)), counts)
    above = (
        np.arange(counts.sum())
        - np.repeat(np.cumsum(counts) - counts, counts)
        + np.repeat(low, counts)
    )
    return above, below


def _components(above: Integers, below: Integers, count: int) -> tuple[Integers, int]:
    """Number of the component of each span, from 0 by first span, and how many there are: each root
    hooks on to the smallest it touches."""
    parent = np.arange(count)
    while True:
        first, second = parent[above], parent[below]
        low, high = np.minimum(first, second), np.maximum(first, second)
        open_pairs = low != high
        if not open_pairs.any():
            break
        above, below = above[open_pairs], below[open_pairs]
        np.minimum.at(parent, high[open_pairs], low[open_pairs])
        while not np.array_equal(grand := parent[parent], parent):
            parent = grand
    roots = parent == np.arange(count)
    return (np.cumsum(roots) - 1)[parent], int(roots.sum())
