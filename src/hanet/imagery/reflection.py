"""Windows that reach beyond an image: what lies outside is the inside mirrored at the edge pixels,
as ``numpy.pad`` reflects."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hanet.types import Window

Value = TypeVar("Value", bound=np.generic)


def mirrored(start: int, count: int, size: int) -> npt.NDArray[np.int64]:
    """Positions ``start`` .. ``start + count - 1`` of an axis, those outside folded back into 0 ..
    ``size - 1``.

    Example:
        >>> mirrored(-2, 7, 4).tolist()
        [2, 1, 0, 1, 2, 3, 2]
    """
    if size == 1:
        return np.zeros(count, dtype=np.int64)
    period = 2 * (size - 1)
    positions = np.abs(np.arange(start, start + count, dtype=np.int64)) % period
    folded: npt.NDArray[np.int64] = np.minimum(positions, period - positions)
    return folded


def cut(
    image: npt.NDArray[Value], window: Window
) -> npt.NDArray[Value]:  # (..., H, W) -> (..., h, w)
    """The pixels of a window: a view where it lies inside the image, else an array filled by
    reflection."""
    height, width = image.shape[-2:]
    if window.intersection(Window(0, 0, height, width)) == window:
        return image[(..., *window.slices)]
    rows, columns = (
        mirrored(window.row, window.height, height),
        mirrored(window.column, window.width, width),
    )
    return image[..., rows[:, None], columns]
