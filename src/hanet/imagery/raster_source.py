"""One raster as it comes: opened, checked, and its errors put into words."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterioWindow

from hanet.errors import GridError, RasterError
from hanet.imagery.addresses import bare_name, is_gdal_name, lies_here, without_credentials
from hanet.imagery.dates import date_in
from hanet.imagery.grid import GDAL_ERRORS, Grid
from hanet.types import Json, Mask, Window

EIGHT_BIT = ("uint8",)
USABLE_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

BLOCK_CACHE_BYTES = 64 * 2**20
"""Bound of GDAL's cache of decoded blocks. rasterio counts in bytes; GDAL's own, 5 % of the
machine's memory, would not be flat."""


@contextmanager
def gdal_session() -> Iterator[None]:
    """GDAL set up for windowed reading of local and remote files, with bounded caches; the settings
    end with the block."""
    with rasterio.Env(
        GDAL_CACHEMAX=BLOCK_CACHE_BYTES,
        VSI_CACHE=True,
        GDAL_HTTP_MULTIRANGE="YES",
        GDAL_HTTP_MERGE_CONSECUTIVE_RANGES="YES",
        GDAL_HTTP_MAX_RETRY=3,
        GDAL_HTTP_RETRY_DELAY=1,
    ):
        yield


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what GDAL says while a raster is read into a RasterError with the raster's name."""
    try:
        yield
    except (*GDAL_ERRORS, OSError) as error:
        reason = without_credentials(str(error.__cause__ or error))
        raise RasterError(
            f"{name} cannot be read: {reason}",
            hint="the file may be truncated, damaged, or its disk or connection gone; `gdalinfo "
            "-checksum` tells",
        ) from error


class RasterSource:
    """An open raster; closed by ``with``.

    Args:
        path: A local path, or anything that GDAL opens.
        overview_level: Open this overview of it, from 0; the full resolution if None.

    Attributes:
        path: What is opened; it may hold a signature or a password.
        name: The same to be shown, without them.

    Raises:
        RasterError: It is missing, unreadable, of an unusable type, or has no pixels.
    """

    def __init__(self, path: str | Path, *, overview_level: int | None = None) -> None:
        self.path = str(path)
        self.name = bare_name(self.path)
        self.is_local = lies_here(self.path) or not is_gdal_name(self.path)
        if self.is_local:
            _check_local(Path(self.path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            options = {} if overview_level is None else {"overview_level": overview_level}
            # of what may lie beside a file (.msk, .ovr, .aux.xml, world files) a remote one is not
            # asked, and no folder is listed
            siblings = "TRUE" if self.is_local else "EMPTY_DIR"
            try:
                with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=siblings):
                    self.dataset: Any = rasterio.open(self.path, **options)
            except (*GDAL_ERRORS, OSError) as error:
                raise RasterError(
                    f"{self.name} is not a raster that can be opened: {_first_line(error)}",
                    hint="give a GeoTIFF or another raster that GDAL reads",
                ) from error
        try:
            self._check()
        except BaseException:
            self.dataset.close()
            raise

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dataset.close()

    def _check(self) -> None:
        dataset = self.dataset
        if dataset.count == 0:
            hint = (
                f"it holds several: {without_credentials(dataset.subdatasets[0])} ..."
                if dataset.subdatasets
                else None
            )
            raise RasterError(f"{self.name} has no bands", hint=hint)
        types = set(dataset.dtypes)
        if not types <= set(USABLE_TYPES):
            raise RasterError(
                f"{self.name} holds values of type {', '.join(sorted(types))}; images are whole "
                "or real numbers",
                hint="convert it, for example with `gdal_translate -ot Float32`",
            )
        if ColorInterp.palette in dataset.colorinterp:
            raise RasterError(
                f"{self.name} is a palette image: its values are numbers of colours, not "
                "brightness",
                hint="expand it with `gdal_translate -expand rgb`",
            )

    @cached_property
    def has_crs(self) -> bool:
        """Whether the raster says where it lies."""
        return self.dataset.crs is not None

    @cached_property
    def is_unwarped(self) -> bool:
        """Whether its place is given by ground control points or a sensor's model (RPCs) alone."""
        return not self.has_crs and bool(self.dataset.gcps[0] or self.dataset.rpcs)

    @property
    def pixel_crs(self) -> str:
        """A local CRS in metres that stands for pixel coordinates where GDAL insists on one."""
        return 'LOCAL_CS["pixels",UNIT["pixel",1]]'

    @cached_property
    def alpha_band(self) -> int | None:
        """Number of the band that is transparency; None where there is none."""
        kinds = self.dataset.colorinterp
        return kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else None

    @cached_property
    def nodata_beside_alpha(self) -> float | None:
        """The nodata value of a raster that has alpha too; GDAL warps by its alpha alone."""
        value: float | None = self.dataset.nodata
        return value if self.alpha_band is not None else None

    @cached_property
    def band_count(self) -> int:
        """Bands that are no transparency."""
        return sum(1 for kind in self.dataset.colorinterp if kind != ColorInterp.alpha)

    @cached_property
    def is_eight_bit(self) -> bool:
        """Whether all values are 0-255 by type."""
        return all(kind in EIGHT_BIT for kind in self.dataset.dtypes)

    @cached_property
    def validity(self) -> str:
        """What marks invalid pixels: ``"nodata V"``, ``"alpha"``, ``"mask"``, several of them with
        commas, or ``"none"``."""
        marks = [f"nodata {self.dataset.nodata:g}"] if self.dataset.nodata is not None else []
        if self.alpha_band is not None:
            marks.append("alpha")
        if self._has_mask:
            marks.append("mask")
        return ", ".join(marks) or "none"

    @cached_property
    def _has_mask(self) -> bool:
        """Whether a mask lies in the file or beside it; GDAL calls alpha one too."""
        flags = self.dataset.mask_flag_enums[0]
        return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags

    @cached_property
    def grid(self) -> Grid:
        """The raster's own grid; a rotated or south-up one gets the north-up grid that covers it at
        the same resolution.

        Raises:
            GridError: The geotransform is degenerate, or the CRS cannot be used.
        """
        dataset = self.dataset
        a, b, c, d, e, f = dataset.transform[:6]
        if not self.has_crs:
            return Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), dataset.height, dataset.width)
        if (a == 0 and b == 0) or (d == 0 and e == 0) or a * e == b * d:
            raise GridError(
                f"the geotransform of {self.name} is degenerate: {dataset.transform[:6]}"
            )
        if dataset.crs.is_geographic:
            _check_degrees(self.name, _outer_bounds(dataset))
        wkt = str(dataset.crs.to_wkt())
        if b == 0 and d == 0 and a > 0 and e < 0:
            return Grid(wkt, (a, b, c, d, e, f), dataset.height, dataset.width)
        left, bottom, right, top = _outer_bounds(dataset)
        along_x, along_y = math.hypot(a, d), math.hypot(b, e)
        width, height = (round((right - left) / along_x), round((top - bottom) / along_y))
        return Grid(wkt, (along_x, 0.0, left, 0.0, -along_y, top), max(1, height), max(1, width))

    @cached_property
    def gsd_m(self) -> float | None:
        """Metres a pixel at the centre; None without a CRS."""
        return self.grid.gsd_m

    @contextmanager
    def for_gsd(self, gsd_m: float | None) -> Iterator[RasterSource]:
        """This raster for reading at a coarser resolution: its coarsest overview that is at least
        as fine, or itself."""
        wanted = (gsd_m or 1.0) / (self.gsd_m or 1.0)
        levels = [
            level for level, factor in enumerate(self.dataset.overviews(1)) if factor <= wanted
        ]
        if not self.has_crs or not levels:
            yield self
            return
        with RasterSource(self.path, overview_level=levels[-1]) as overview:
            yield overview

    def transform_beside(self, grid: Grid) -> Any:
        """The raster's affine transform; of one in degrees with its longitudes counted as the
        grid's are."""
        if (
            not self.has_crs
        ):  # the file's own transform counts rows upward, or says what nobody can place
            return self.grid.affine
        own = self.dataset.transform
        left, _, right, _ = self.grid.bounds
        turn = grid.turn_of(left, right) if self.grid.is_in_degrees else 0.0
        return rasterio.Affine.translation(turn, 0.0) @ own if turn else own

    def crs_beside(self, grid: Grid) -> Any:
        """The CRS to warp this raster from; of one that reaches across the date line one whose
        longitudes go on there.

        Raises:
            GridError: There is none.
        """
        left, _, right, _ = self.grid.bounds
        if (
            not self.grid.is_in_degrees
            or self.grid.crs == grid.crs
            or (left >= -180 and right <= 180)
        ):
            return self.dataset.crs or self.pixel_crs
        if self.dataset.crs.to_epsg() != 4326:  # a PROJ string would lose its datum
            raise GridError(
                f"{self.name} reaches across the date line in degrees that are not WGS84",
                hint="bring both rasters to UTM, for example with `gdalwarp -t_srs EPSG:32601`",
            )
        return CRS.from_string(f"+proj=longlat +datum=WGS84 +lon_wrap={(left + right) / 2:.0f}")

    def offset_in(self, grid: Grid) -> tuple[int, int] | None:
        """(row, column) of the grid's upper left pixel in this raster, where both share CRS and
        pixels; else None."""
        if grid.crs != self.grid.crs:
            return None
        own = self.transform_beside(grid)
        theirs = grid.affine
        if (
            own.b
            or own.d
            or abs(own.a - theirs.a) > 1e-9 * abs(own.a)
            or abs(own.e - theirs.e) > 1e-9 * abs(own.e)
        ):
            return None
        column, row = (theirs.c - own.c) / own.a, (theirs.f - own.f) / own.e
        if abs(column - round(column)) > 1e-3 or abs(row - round(row)) > 1e-3:
            return None
        inside = 0 <= round(row) <= self.dataset.height - grid.height
        inside &= 0 <= round(column) <= self.dataset.width - grid.width
        return (round(row), round(column)) if inside else None

    def read_raw(self, window: Window, bands: tuple[int, ...]) -> npt.NDArray[Any]:  # (bands, h, w)
        """Values as they are stored, of a window inside the raster.

        Args:
            window: In the raster's own pixels.
            bands: Numbers from 1.

        Raises:
            RasterError: The file is damaged or gone.
        """
        with reading(self.name):
            place = RasterioWindow(window.column, window.row, window.width, window.height)
            values: npt.NDArray[Any] = self.dataset.read(list(bands), window=place)
        return values

    def marked_valid(self, window: Window) -> Mask:
        """Pixels (h, w) of a window inside the raster that neither its mask nor its nodata value
        calls invalid.

        A pixel is nodata where all bands are: one alone may bear that value in deep shadow. Alpha,
        and nodata beside it, are not asked.
        """
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        has_nodata = self.dataset.nodata is not None and self.alpha_band is None
        with reading(self.name):
            if has_nodata and not self._has_mask:
                return np.asarray(self.dataset.read_masks(window=place).any(axis=0))
            valid = np.ones(window.shape, dtype=np.bool_)
            if self._has_mask:
                valid &= self.dataset.read_masks(1, window=place) > 0
            if has_nodata:  # beside a mask GDAL does not speak of it
                values = self.dataset.read(window=place)
                marks = np.array(self.dataset.nodatavals, dtype=np.float64)[:, None, None]
                valid &= ((values != marks) & ~(np.isnan(values) & np.isnan(marks))).any(axis=0)
        return valid

    @cached_property
    def date(self) -> str | None:
        """The day that the file itself names, YYYY-MM-DD; None where it names none that can be
        read."""
        tags = {**self.dataset.tags(), **self.dataset.tags(ns="IMAGERY")}
        for key in ("ACQUISITIONDATETIME", "ACQUISITIONDATE", "TIFFTAG_DATETIME"):
            if found := date_in(str(tags.get(key, ""))):
                return found
        return None

    def manifest(self) -> Json:
        """What was opened."""
        dataset = self.dataset
        facts: Json = {
            "path": self.name if not self.is_local else Path(self.path).name,
            "height": dataset.height,
            "width": dataset.width,
            "bands": dataset.count,
            "type": dataset.dtypes[0],
            "crs": dataset.crs.to_string() if self.has_crs else None,
            "gsd_m": self.gsd_m,
            "validity": self.validity,
            "date": self.date,
        }
        if self.is_local:
            facts["bytes"] = Path(self.path).stat().st_size
        return facts


def _check_local(path: Path) -> None:
    name = bare_name(str(path))
    if path.is_dir():
        raise RasterError(f"{name} is a folder, not a raster", hint="give the file itself")
    if not path.exists():
        raise RasterError(f"there is no file {name}", hint="check the path")
    if not os.access(path, os.R_OK):
        raise RasterError(
            f"{name} may not be read: permission denied", hint="change its permissions"
        )
    if path.stat().st_size == 0:
        raise RasterError(f"{name} is empty (0 bytes)", hint="copy or download it again")


def _check_degrees(name: str, bounds: tuple[float, float, float, float]) -> None:
    left, bottom, right, top = bounds
    if left < -540 or right > 540 or bottom < -90.1 or top > 90.1:
        raise GridError(
            f"the CRS of {name} counts in degrees, but its upper left corner lies at "
            f"{left:.10g}, {top:.10g}",
            hint="its CRS is wrong; set the right one, for example with `gdal_edit.py -a_srs "
            "EPSG:CODE`",
        )


def _outer_bounds(dataset: Any) -> tuple[float, float, float, float]:
    corners = [dataset.transform @ (x, y) for x in (0, dataset.width) for y in (0, dataset.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _first_line(error: BaseException) -> str:
    lines = without_credentials(str(error)).splitlines()
    return lines[0] if lines else type(error).__name__
