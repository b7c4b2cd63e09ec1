"""What a rendered pair looks like as files: type, bands, nodata, and an after image on a grid of
its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window as RasterioWindow

from hanet.errors import SettingsError
from hanet.imagery.gdal import gdal_session
from hanet.imagery.grid import Grid
from hanet.synthetic.painting import Values
from hanet.types import Mask, Window

WARP_PX = 1024
"""Side of the blocks in which an image is brought to another grid."""

TWELVE_BIT = (150.0, 12.0, 4095.0)
"""Dark level, raw values for one step of 0-255, and largest raw value of a 16-bit image: a sensor
of twelve bits."""

SWATH_SHARE = 0.3
"""How far the empty corner of a date reaches along an edge of the scene."""


@dataclass(frozen=True, slots=True)
class SceneFormat:
    """How the two images are written.

    Args:
        bits: 8, or 16 (values of a twelve-bit sensor).
        bands: 3, or 4 with near infrared.
        nodata: Leave a slanted corner empty, another one at each date, as at the rim of a swath.
        after_crs: CRS of the after image, for example EPSG:4326; that of the before image if None.
        after_gsd_m: Metres a pixel of the after image; as the before image if None.
        after_offset_m: How far the after image begins to the right and below the before image.
    """

    bits: int = 8
    bands: int = 3
    nodata: bool = False
    after_crs: str | None = None
    after_gsd_m: float | None = None
    after_offset_m: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise SettingsError(f"bits is {self.bits}; images have 8 or 16")
        if self.bands not in (3, 4):
            raise SettingsError(f"bands is {self.bands}; 3 or 4 with near infrared")
        if self.after_gsd_m is not None and not self.after_gsd_m > 0:
            raise SettingsError(
                f"the after image's gsd is {self.after_gsd_m}; it must be above 0 metres"
            )
        if min(self.after_offset_m) < 0:
            raise SettingsError(
                f"the offset {self.after_offset_m} must be 0 or more metres",
                hint="right, then down",
            )
        if self.after_crs is not None:
            try:
                with gdal_session():  # else GDAL itself speaks too
                    CRS.from_user_input(self.after_crs)
            except (CRSError, ValueError) as error:
                raise SettingsError(
                    f"{self.after_crs!r} is no CRS", hint="an EPSG code, for example EPSG:4326"
                ) from error

    @property
    def has_own_grid(self) -> bool:
        """Whether the after image must be resampled."""
        return self.after_crs is not None or self.after_gsd_m is not None

    @property
    def has_empty_pixels(self) -> bool:
        """Whether the images need a nodata value: a turned image has empty corners too."""
        return self.nodata or self.after_crs is not None

    def profile(self) -> dict[str, Any]:
        """Type, bands and nodata as rasterio takes them."""
        found: dict[str, Any] = {
            "dtype": "uint8" if self.bits == 8 else "uint16",
            "count": self.bands,
        }
        return {**found, "nodata": 0} if self.has_empty_pixels else found

    def encode(
        self, image: Values, *, empty: Mask
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Values of 0-255 (4, h, w) as they are stored (bands, h, w); 0 where empty."""
        low = 1 if self.has_empty_pixels else 0
        stored: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
        if self.bits == 8:
            stored = np.clip(np.rint(image[: self.bands]), low, 255).astype(np.uint8)
        else:
            dark, gain, top = TWELVE_BIT
            stored = np.clip(np.rint(image[: self.bands] * gain + dark), low, top).astype(np.uint16)
        stored[:, empty] = 0
        return stored

    def empty(self, window: Window, *, size: int, date: int) -> Mask:
        """Pixels (h, w) of a window beyond the rim of a date's swath: the upper left corner before,
        the lower right one after."""
        if not self.nodata:
            return np.zeros(window.shape, dtype=np.bool_)
        rows = np.arange(window.row, window.row_end, dtype=np.float64)[:, None]
        columns = np.arange(window.column, window.column_end, dtype=np.float64)[None, :]
        if date == 1:
            rows, columns = size - 1 - rows, size - 1 - columns
        return np.asarray(rows + (0.4 + 0.2 * date) * columns < SWATH_SHARE * size)


def onto_own_grid(
    native: Path, destination: Path, choice: SceneFormat, profile: dict[str, Any]
) -> None:
    """Brings the after image to the CRS and resolution of its own, block by block."""
    with gdal_session(), rasterio.open(native) as source:
        crs = CRS.from_user_input(choice.after_crs) if choice.after_crs else source.crs
        left, bottom, right, top = transform_bounds(source.crs, crs, *source.bounds)
        pixel = _pixel_size(crs, choice.after_gsd_m or source.res[0], (left, bottom, right, top))
        width, height = (
            max(1, math.ceil(n)) for n in ((right - left) / pixel[0], (top - bottom) / pixel[1])
        )
        where = {"crs": crs, "transform": rasterio.Affine(pixel[0], 0, left, 0, -pixel[1], top)}
        where |= {"width": width, "height": height}
        with (
            WarpedVRT(source, resampling=Resampling.bilinear, warp_mem_limit=64, **where) as view,
            rasterio.open(destination, "w", **{**profile, **where}) as file,
        ):
            for row in range(0, height, WARP_PX):
                for column in range(0, width, WARP_PX):
                    window = RasterioWindow(
                        column, row, min(WARP_PX, width - column), min(WARP_PX, height - row)
                    )
                    file.write(view.read(window=window), window=window)


def _pixel_size(
    crs: CRS, gsd_m: float, bounds: tuple[float, float, float, float]
) -> tuple[float, float]:
    """Size of a pixel in the CRS's units along both axes."""
    left, bottom, right, top = bounds
    probe = 1000
    grid = Grid(
        crs.to_wkt(),
        ((right - left) / probe, 0.0, left, 0.0, (bottom - top) / probe, top),
        probe,
        probe,
    )
    across, down = grid.gsd_axes_m or (1.0, 1.0)
    return (right - left) / probe * gsd_m / across, (top - bottom) / probe * gsd_m / down
