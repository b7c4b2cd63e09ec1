"""The vocabulary that all layers share: array shapes and the window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
"""Any float32 array; the shape stands in the docstring of the function."""

ByteArray: TypeAlias = npt.NDArray[np.uint8]
"""Any uint8 array: an image in 0-255."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""A boolean array (H, W): change after a threshold, or validity."""

IGNORED = 255
"""Label of a pixel that is unknown (changed or not): it is ignored."""

Json: TypeAlias = dict[str, Any]
"""What ``json.loads`` gives for an object."""

Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of a stage and the share of it that is done, in 0-1."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of pixels: the half-open ranges of rows and of columns.

    Args:
        row: First row.
        column: First column.
        height: Rows, at least 1 for a window that holds pixels.
        width: Number of columns.

    Example:
        >>> Window(row=2, column=3, height=4, width=5).slices
        (slice(2, 6, None), slice(3, 8, None))
    """

    row: int
    column: int
    height: int
    width: int

    @property
    def row_end(self) -> int:
        """The row below the last one."""
        return self.row + self.height

    @property
    def column_end(self) -> int:
        """The column right of the last one."""
        return self.column + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices (rows, columns) into an array (H, W)."""
        return slice(self.row, self.row_end), slice(self.column, self.column_end)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def is_empty(self) -> bool:
        """Whether the window holds no pixel."""
        return self.height <= 0 or self.width <= 0

    def intersection(self, other: Window) -> Window:
        """The common part of two windows; empty (height or width 0) where they do not overlap."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        return Window(
            row=row,
            column=column,
            height=max(0, min(self.row_end, other.row_end) - row),
            width=max(0, min(self.column_end, other.column_end) - column),
        )

    def relative_to(self, other: Window) -> Window:
        """This window in the coordinates of ``other``'s upper left pixel."""
        return Window(self.row - other.row, self.column - other.column, self.height, self.width)
