"""Windows as people write them in Python: ours, rasterio's, and slices."""

from __future__ import annotations

from typing import Any, TypeAlias

from rasterio.windows import Window as RasterioWindow

from hanet.errors import SettingsError
from hanet.types import Window

PixelWindow: TypeAlias = Window | RasterioWindow | tuple[slice, slice]
"""A rectangle of pixels: a :class:`hanet.types.Window`, a rasterio window of whole pixels, or
slices of rows and columns, ``numpy.s_[0:512, 256:]``."""

WHOLE_PX = 1e-6
"""A rasterio window is taken for whole pixels within this."""


def window_of(given: PixelWindow, *, height: int, width: int) -> Window:
    """What somebody gave as a window of a raster, as ours.

    Args:
        given: Windows may reach beyond the raster; slices are cut to it, and count from the end
            where they are negative, as in numpy.
        height: Rows of the raster.
        width: Its columns.

    Raises:
        SettingsError: It is no window, not of whole pixels, or holds none.
    """
    if isinstance(given, Window):
        window = given
    elif isinstance(given, RasterioWindow):
        window = _of_rasterio(given)
    elif isinstance(given, tuple) and [type(part) for part in given] == [slice, slice]:
        (row, row_end), (column, column_end) = (
            _ends(part, size) for part, size in zip(given, (height, width), strict=True)
        )
        window = Window(row, column, row_end - row, column_end - column)
    else:
        raise SettingsError(
            f"{given!r} is no window",
            hint="give hanet.types.Window, rasterio.windows.Window, or two slices: "
            "numpy.s_[0:512, 0:512]",
        )
    if window.is_empty:
        raise SettingsError(f"the window {given!r} holds no pixel of {height} x {width}")
    return window


def _of_rasterio(given: Any) -> Window:
    sides = [given.row_off, given.col_off, given.height, given.width]
    whole = [round(side) for side in sides]
    if any(abs(side - near) > WHOLE_PX for side, near in zip(sides, whole, strict=True)):
        raise SettingsError(
            f"{given!r} cuts through pixels",
            hint="window.round_offsets().round_lengths() makes it whole",
        )
    return Window(*whole)


def _ends(part: slice, size: int) -> tuple[int, int]:
    try:
        start, stop, step = part.indices(size)
    except TypeError as error:
        raise SettingsError(
            f"{part} has ends that are no pixels", hint="give whole numbers"
        ) from error
    if step != 1:
        raise SettingsError(
            f"{part} has steps of {step}; windows hold every pixel",
            hint="read the window, then slice the arrays",
        )
    return start, stop
