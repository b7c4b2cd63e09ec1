"""One date of a pair, read by windows of the pair's grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from hanet.imagery.gdal import reading
from hanet.imagery.grid import Grid
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.registration import Shift
from hanet.types import FloatArray, Mask, Window


class DateReader:
    """Reads one date on the grid: straight where the grids coincide, else through a warped view."""

    def __init__(
        self,
        source: RasterSource,
        grid: Grid,
        bands: tuple[int, ...],
        shift: Shift | None,
        unstated_nodata: float | None = None,
        *,
        nearest: bool = False,
    ) -> None:
        self._source, self._bands, self._grid = source, list(bands), grid
        self._unstated = unstated_nodata
        self._vrt: Any = None
        self._alpha = source.alpha_band
        self._offset = (0, 0)
        if shift is None and (offset := source.offset_in(grid)) is not None:
            self._offset = offset
            return
        self._vrt = self._warped(source, grid, shift, unstated_nodata, nearest=nearest)
        self._alpha = (
            source.alpha_band or self._vrt.count
        )  # the band that the view adds is its last

    @property
    def is_warped(self) -> bool:
        """Whether what is read goes through a warped view, which takes a few times as long."""
        return self._vrt is not None

    def __enter__(self) -> DateReader:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._vrt is not None:
            self._vrt.close()

    def read(
        self, window: Window, *, shape: tuple[int, int] | None = None
    ) -> tuple[FloatArray, Mask]:
        """Raw values (C, h, w) as float32 and validity (h, w) of a window inside the grid.

        Args:
            window: In pixels of the grid.
            shape: (h, w) of the result, each value the mean of what lies under it, from an overview
                where there is one; the window's own if None.
        """
        row, column = self._offset
        moved = Window(window.row + row, window.column + column, window.height, window.width)
        dataset = self._vrt if self._vrt is not None else self._source.dataset
        # GDAL's own masks know alpha only as the second or fourth band of a byte or 16-bit raster
        bands = self._bands if self._alpha is None else [*self._bands, self._alpha]
        with reading(self._source.name):
            values = dataset.read(
                bands,
                window=RasterioWindow(moved.column, moved.row, moved.width, moved.height),
                out_shape=(len(bands), *(shape or window.shape)),
                resampling=Resampling.average,
            )
        valid = (
            self._source.marked_valid(moved, shape=shape)
            if self._vrt is None
            else np.ones(values.shape[1:], dtype=np.bool_)
        )
        if self._alpha is not None:
            valid &= values[-1] > 0
            values = values[:-1]
        if self._source.nodata_beside_alpha is not None:
            valid &= (values != self._source.nodata_beside_alpha).any(axis=0)
        is_real = values.dtype.kind == "f"
        with np.errstate(over="ignore"):  # beyond single precision is infinite
            values = values.astype(np.float32)
        if self._unstated is not None:
            valid &= (values != np.float32(self._unstated)).any(axis=0)
        if is_real:
            valid &= np.isfinite(values).all(axis=0)
            values = np.where(
                valid, values, np.float32(0)
            )  # infinite, or a nodata value near it, would overflow when it is scaled
        return values, valid

    @staticmethod
    def _warped(
        source: RasterSource,
        grid: Grid,
        shift: Shift | None,
        unstated_nodata: float | None,
        *,
        nearest: bool,
    ) -> WarpedVRT:
        dataset = source.for_warping()
        options: dict[str, Any] = {}
        place = grid.affine
        if shift is not None:
            # what belongs to a pixel lies lower and further right by the shift, in the pixels of
            # the grid: its view begins there
            place = place @ rasterio.Affine.translation(shift.columns_px, shift.rows_px)
        own = source.transform_beside(grid)
        if own != dataset.transform:
            options["src_transform"] = own
        if (
            source.nodata_beside_alpha is not None
        ):  # respected when it is read: GDAL would make another value of it
            options |= {"src_nodata": None, "nodata": None}
        elif unstated_nodata is not None and source.alpha_band is None:
            value = _within(unstated_nodata, dataset.dtypes[0])
            options |= {"src_nodata": value, "nodata": value}
        # pixels a pixel: without a CRS in the raster's own pixels, else on the ground
        ratio = (
            grid.transform[0] if grid.crs is None else (grid.gsd_m or 1.0) / (source.gsd_m or 1.0)
        )
        smooth = Resampling.average if ratio > 1.5 else Resampling.bilinear
        with reading(source.name):
            return WarpedVRT(
                dataset,
                src_crs=source.crs_beside(grid),
                crs=grid.crs or source.pixel_crs,
                transform=place,
                width=grid.width,
                height=grid.height,
                resampling=Resampling.nearest if nearest and ratio > 1 else smooth,
                add_alpha=source.alpha_band
                is None,  # with nodata too: a mask of its own warps in a third of the time
                warp_mem_limit=64,
                **options,
            )


def _within(value: float, kind: str) -> float:
    """A value as a type of whole numbers holds it: rounded to float32 it may lie one beyond."""
    if not np.issubdtype(np.dtype(kind), np.integer):
        return value
    bounds = np.iinfo(kind)
    return float(min(max(value, bounds.min), bounds.max))
