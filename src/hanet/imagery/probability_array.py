"""A probability raster, or a part of it, as an array with its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affine import Affine

from hanet.errors import SettingsError
from hanet.imagery.grid import Grid
from hanet.imagery.pixel_windows import PixelWindow, window_of
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.imagery.xarrays import data_array
from hanet.types import FloatArray, Window

if TYPE_CHECKING:
    from hanet.imagery.xarrays import DataArray

LARGEST_BYTES = 2 << 30
"""Of an array that is read at once: 23,000 pixels a side."""


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityArray:
    """Probability of change with its place.

    Args:
        values: (H, W) in 0-1, NaN where invalid.
        grid: Its pixels on the map.
        threshold: From which probability on the run counted a pixel as change; None where that is
            not known.
        before_date: Date of the before image, where it is known.
        after_date: Date of the after image.
    """

    values: FloatArray  # (H, W)
    grid: Grid
    threshold: float | None = None
    before_date: str | None = None
    after_date: str | None = None

    @property
    def crs(self) -> str | None:
        """Its CRS as WKT; None for pixel coordinates."""
        return self.grid.crs

    @property
    def transform(self) -> Affine:
        """From (column, row) to the CRS, as rasterio has it."""
        return self.grid.affine

    def to_xarray(self) -> DataArray:
        """The same as a DataArray (y, x) with CRS and transform in its ``rio`` accessor.

        Raises:
            MissingExtraError: rioxarray is not installed.
        """
        facts = {
            "threshold": self.threshold,
            "before_date": self.before_date,
            "after_date": self.after_date,
        }
        attributes: dict[str, Any] = {
            "long_name": "probability of change",
            **{name: value for name, value in facts.items() if value is not None},
        }
        return data_array(self.values, self.grid, name="probability", attributes=attributes)


def read_probability(path: str | Path, window: PixelWindow | None = None) -> ProbabilityArray:
    """A probability raster as an array.

    Args:
        path: A raster that :class:`hanet.imagery.raster_output.ProbabilityRaster` reads.
        window: Which part of it, inside it; all if None.

    Raises:
        RasterError: It cannot be read.
        SettingsError: The window does not lie inside, or the part is too large to be held.
    """
    with ProbabilityRaster(path) as raster:
        grid = raster.grid
        whole = Window(0, 0, grid.height, grid.width)
        part = whole
        if window is not None:
            part = window_of(window, height=grid.height, width=grid.width)
        if part.intersection(whole) != part:
            raise SettingsError(
                f"the window {window} reaches beyond the {grid.height} x {grid.width} pixels of "
                f"{Path(path).name}"
            )
        needed = 4 * part.height * part.width
        if needed > LARGEST_BYTES:
            raise SettingsError(
                f"probability of {part.height} x {part.width} pixels takes {needed / 1e9:,.1f} GB "
                "at once",
                hint="read a part: window=numpy.s_[0:4096, 0:4096]",
            )
        return ProbabilityArray(
            raster.read(part),
            grid.part(part),
            raster.threshold,
            raster.date("before"),
            raster.date("after"),
        )
