"""One raster as it comes: opened, checked, and its errors put into words."""

from __future__ import annotations

import math
import warnings
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterioWindow

from hanet.errors import GridError, RasterError
from hanet.imagery.addresses import (
    bare_name,
    is_gdal_name,
    lies_here,
    place_from,
    without_credentials,
)
from hanet.imagery.dates import date_in, day_in_tags
from hanet.imagery.gdal import SERVICES, reading, reason_of, remarks
from hanet.imagery.grid import GDAL_ERRORS, Grid
from hanet.imagery.item_names import is_item_name, parse_item_name
from hanet.imagery.raster_checks import (
    a_service,
    check_degrees,
    check_local,
    check_no_service,
    check_transform,
)
from hanet.imagery.silence import silence
from hanet.imagery.stac_item import ItemImage, read_item_image
from hanet.types import Json, Mask, Window

FROM_MEMORY = "from memory"
"""What a manifest says in place of a path of an image that was no file."""

EIGHT_BIT = ("uint8",)
USABLE_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

ALPHA_PROBES = 4
"""Windows along each axis in which a band called alpha is looked at."""

PROBE_PX = 32
"""Side of such a window, and of one in which an overview is compared with its pixels."""


LARGEST_TAG = 1e15
"""Scales between this and its reciprocal, and offsets up to it, turn stored values into measured
ones; beyond, single precision holds neither."""

EXIF_ORIENTATIONS = tuple("12345678")
"""What EXIF_Orientation may say. That text is one digit is not asked of it: ² is one for Python,
too, and makes no number."""


class LinearTags(NamedTuple):
    """What a file states of how its stored values become measured ones: times the scale, plus the
    offset, band by band."""

    scales: tuple[float, ...]
    offsets: tuple[float, ...]


class RasterSource:
    """An open raster; closed by ``with``.

    Args:
        path: A local path, anything that GDAL opens, or the name of a STAC item
            (:mod:`hanet.imagery.item_names`).
        overview_level: Open this overview of it, from 0; the full resolution if None, and that
            without its overviews if -1.
        shown: What to call it where its path says nothing, being that of a temporary file.

    Attributes:
        path: What is opened; it may hold a signature or a password.
        image: The STAC item that leads there; None without one.
        name: The same to be shown, without them.
        is_temporary: Whether the path is gone after the run.
        has_stale_overviews: What :func:`hanet.imagery.overviews.are_stale` found; None where nobody
            asked.
        remarks: What GDAL said while it opened the raster, in lines fit to be printed.

    Raises:
        RasterError: It is missing, unreadable, of an unusable type, or has no pixels.
        StacError: The item cannot be read, or has no image.
    """

    def __init__(
        self, path: str | Path, *, overview_level: int | None = None, shown: str | None = None
    ) -> None:
        self._given = self.path = str(path)
        self.image: ItemImage | None = None
        if is_item_name(self.path) and shown is None:
            self.image = read_item_image(self.path)
            self.path = self.image.asset.href
        self._plain_view: Any = None
        self.has_stale_overviews: bool | None = None
        self.is_temporary = shown is not None
        self.name = shown or bare_name(self.path)
        self.is_local = lies_here(self.path) or not is_gdal_name(self.path)
        if self.is_local:
            check_local(Path(self.path))
        else:
            check_no_service(self.path)
        silence()
        with warnings.catch_warnings(), remarks() as self.remarks:
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
                    f"{self.name} is not a raster that can be opened: "
                    f"{reason_of(error, self.name)}",
                    hint="give a GeoTIFF or another raster that GDAL reads"
                    if self.is_local
                    else "the address may be wrong, or the server down, slow, or without ranges; "
                    "download the file, and give that",
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
        if self._plain_view is not None:
            self._plain_view.close()
        self.dataset.close()

    def _check(self) -> None:
        dataset = self.dataset
        if dataset.driver in SERVICES:  # described by a file
            raise a_service(self.name)
        if dataset.count == 0:
            hint = (
                f"it holds several: {without_credentials(dataset.subdatasets[0])} ..."
                if dataset.subdatasets
                else None
            )
            raise RasterError(f"{self.name} has no bands", hint=hint)
        if dataset.width < 1 or dataset.height < 1:
            raise RasterError(f"{self.name} has no pixels: {dataset.height} x {dataset.width}")
        types = set(dataset.dtypes)
        if not types <= set(USABLE_TYPES):
            raise RasterError(
                f"{self.name} holds values of type {', '.join(sorted(types))}; images are whole "
                "or real numbers",
                hint="convert it, for example with `gdal_translate -ot Float32`",
            )
        if dataset.crs is not None:
            check_transform(self.name, dataset.transform[:6])
        if ColorInterp.palette in self.colours:
            raise RasterError(
                f"{self.name} is a palette image: its values are numbers of colours, not "
                "brightness",
                hint="expand it with `gdal_translate -expand rgb`",
            )

    @property
    def short_name(self) -> str:
        """The last part of the name."""
        return self.name.rsplit("/", 1)[-1]

    @cached_property
    def has_crs(self) -> bool:
        """Whether the raster says where it lies: by a CRS and a geotransform."""
        return self.dataset.crs is not None and self.has_geotransform

    @cached_property
    def has_geotransform(self) -> bool:
        """Whether the raster states a geotransform; without one GDAL gives the identity."""
        return bool(self.dataset.transform != rasterio.Affine.identity())

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
        """Number of the band that is transparency; None where there is none, and where the band
        that the file calls alpha holds values as an image does (near infrared)."""
        return self.band_called_alpha if self._is_transparency else None

    @cached_property
    def colours(self) -> tuple[ColorInterp, ...]:
        """What the file calls each band; asked once, when it is opened, since the question raises
        whatever GDAL has said before it, of damaged overviews for example."""
        with reading(self.name):
            return tuple(self.dataset.colorinterp)

    @cached_property
    def band_called_alpha(self) -> int | None:
        """Number of the band that the file calls alpha; None where it calls none so."""
        kinds = self.colours
        return kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else None

    @cached_property
    def _is_transparency(self) -> bool:
        """Transparency is 0 or full nearly everywhere; an image's band is neither."""
        if self.band_called_alpha is None:
            return False
        values = np.concatenate(
            [
                self.read_raw(window, (self.band_called_alpha,)).ravel()
                for window in self.probes(ALPHA_PROBES, PROBE_PX)
            ]
        )
        between = values[(values > 0) & (values < values.max())]
        return between.size <= values.size / 2 or np.unique(between).size < 8

    def probes(self, count: int, side_px: int, *, within: Window | None = None) -> list[Window]:
        """Windows of a side spread evenly over the raster, or over a window of it, ``count`` along
        each axis at most."""
        place = within or Window(0, 0, self.dataset.height, self.dataset.width)
        height, width = min(side_px, place.height), min(side_px, place.width)
        rows = np.unique(np.linspace(place.row, place.row_end - height, count).astype(int))
        columns = np.unique(np.linspace(place.column, place.column_end - width, count).astype(int))
        return [Window(r, c, height, width) for r in rows.tolist() for c in columns.tolist()]

    def for_warping(self) -> Any:
        """The dataset as GDAL shall warp it: where a band is called alpha but is not, a view of
        the file in which it has no such name, since GDAL weighs every pixel by its alpha."""
        if self.band_called_alpha is None or self.alpha_band is not None:
            return self.dataset
        if self._plain_view is None:
            with MemoryFile(ext=".vrt") as file:
                rasterio.shutil.copy(self.dataset, file.name, driver="VRT")
                text = file.read().decode("utf-8")
            self._plain_view = rasterio.open(text.replace(">Alpha</Color", ">Undefined</Color"))
        return self._plain_view

    @cached_property
    def nodata_beside_alpha(self) -> float | None:
        """The nodata value of a raster that has alpha too; GDAL warps by its alpha alone."""
        value: float | None = self.dataset.nodata
        return value if self.alpha_band is not None else None

    @cached_property
    def band_count(self) -> int:
        """Bands that are no transparency."""
        return int(self.dataset.count) - (self.alpha_band is not None)

    @cached_property
    def stated_colours(self) -> tuple[int, int, int] | None:
        """Numbers of the bands that the file calls red, green and blue; None unless it calls
        exactly one each so."""
        kinds = self.colours
        wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        if any(kinds.count(kind) != 1 for kind in wanted):
            return None
        red, green, blue = (kinds.index(kind) + 1 for kind in wanted)
        return red, green, blue

    def image_bands(self, count: int) -> tuple[int, ...]:
        """The bands to read where the user names none: red, green and blue as the file states them
        where three are wanted, else the first ones that are no transparency; fewer where the file
        has fewer."""
        if count == 3 and self.stated_colours is not None:
            return self.stated_colours
        opaque = [n for n in range(1, self.dataset.count + 1) if n != self.alpha_band]
        return tuple(opaque[:count])

    def linear_tags(self, bands: tuple[int, ...]) -> LinearTags | None:
        """Scale and offset of these bands; None where no measure has such: a scale that is not
        above 0, a number that is not finite or beyond :data:`LARGEST_TAG`."""
        scales = tuple(float(self.dataset.scales[band - 1]) for band in bands)
        offsets = tuple(float(self.dataset.offsets[band - 1]) for band in bands)
        # not a number fails these, too
        usable = all(1 / LARGEST_TAG <= scale <= LARGEST_TAG for scale in scales)
        usable &= all(abs(offset) <= LARGEST_TAG for offset in offsets)
        return LinearTags(scales, offsets) if usable else None

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
        band = 2 if self.band_called_alpha == 1 and self.dataset.count > 1 else 1
        flags = self.dataset.mask_flag_enums[band - 1]
        return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags

    @cached_property
    def grid(self) -> Grid:
        """The raster's own grid; a rotated or south-up one gets the north-up grid that covers it at
        the same resolution.

        Raises:
            GridError: The CRS cannot be used.
        """
        dataset = self.dataset
        a, b, c, d, e, f = dataset.transform[:6]
        if not self.has_crs:
            return Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), dataset.height, dataset.width)
        if dataset.crs.is_geographic:
            check_degrees(self.name, _outer_bounds(dataset))
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

    @cached_property
    def overview_factors(self) -> tuple[int, ...]:
        """How many times as coarse each overview is, from the finest; none where the file holds
        overviews that have no pixels."""
        try:
            factors = tuple(int(factor) for factor in self.dataset.overviews(1))
        except ZeroDivisionError:
            return ()
        return factors if all(factor > 0 for factor in factors) else ()

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
        longitudes continue there.

        Raises:
            GridError: There is none.
        """
        left, _, right, _ = self.grid.bounds
        if (
            not self.grid.is_in_degrees
            or self.grid.crs == grid.crs
            or (left >= -180 and right <= 180)
        ):
            return self.dataset.crs if self.has_crs else self.pixel_crs
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

    def marked_valid(self, window: Window, *, shape: tuple[int, int] | None = None) -> Mask:
        """Pixels (h, w) of a window inside the raster that neither its mask nor its nodata value
        calls invalid.

        A pixel is nodata where all bands are: one alone may have that value in deep shadow. Alpha,
        and nodata beside it, are not asked.

        Args:
            window: In the raster's own pixels.
            shape: (h, w) of the result, each value that of one pixel under it; the window's own if
                None.
        """
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        has_nodata = self.dataset.nodata is not None and self.alpha_band is None
        size = shape or window.shape
        every = {"window": place, "out_shape": (self.dataset.count, *size)}
        with reading(self.name):
            if has_nodata and not self._has_mask:
                return np.asarray(self.dataset.read_masks(**every).any(axis=0))
            valid = np.ones(size, dtype=np.bool_)
            if self._has_mask:
                valid &= self.dataset.read_masks(1, window=place, out_shape=size) > 0
            if has_nodata:  # beside a mask GDAL does not speak of it
                values = self.dataset.read(**every)
                marks = np.array(self.dataset.nodatavals, dtype=np.float64)[:, None, None]
                valid &= ((values != marks) & ~(np.isnan(values) & np.isnan(marks))).any(axis=0)
        return valid

    @cached_property
    def date(self) -> str | None:
        """The day of acquisition that the STAC item or else the file states, YYYY-MM-DD; None where
        neither does. Of an item of a longer time the month or the year."""
        if self.image is not None and self.image.item.date is not None:
            return self.image.item.date
        return day_in_tags({**self.dataset.tags(), **self.dataset.tags(ns="IMAGERY")})

    @cached_property
    def written(self) -> str | None:
        """The day on which the file was written, by its TIFFTAG_DATETIME: editors and mosaicking
        programs put the time of processing there, so it is no date of the image."""
        return date_in(str(self.dataset.tags().get("TIFFTAG_DATETIME", "")))

    @cached_property
    def orientation(self) -> int:
        """How the camera says that the picture is to be turned, by EXIF, 1-8; 1 as it is, and where
        the tag says nothing that EXIF knows. GDAL reads the pixels as they are stored."""
        text = str(self.dataset.tags().get("EXIF_Orientation", "1"))
        return int(text) if text in EXIF_ORIENTATIONS else 1

    def manifest(self) -> Json:
        """What was opened."""
        dataset = self.dataset
        facts: Json = {
            "path": self._recorded_name,
            "height": dataset.height,
            "width": dataset.width,
            "bands": dataset.count,
            "type": dataset.dtypes[0],
            "crs": dataset.crs.to_string() if self.has_crs else None,
            "gsd_m": self.gsd_m,
            "validity": self.validity,
            "date": self.date,
            **({"written": self.written} if self.written is not None else {}),
            **({"stac": self.image.facts()} if self.image is not None else {}),
        }
        if self.is_local and not self.is_temporary:
            facts["bytes"] = Path(self.path).stat().st_size
        return facts

    def place_from(self, folder: Path) -> str | None:
        """Where it lies, as a folder of results keeps it (see
        :func:`hanet.imagery.addresses.place_from`); None for what lay in memory."""
        return None if self.is_temporary else place_from(self._given, folder)

    @property
    def item_file(self) -> Path | None:
        """The local file of the STAC item; None where there is none."""
        place = Path(parse_item_name(self._given).place)
        return place.resolve() if self.image is not None and lies_here(place) else None

    @property
    def _recorded_name(self) -> str:
        if self.is_temporary:
            return FROM_MEMORY
        return Path(self.path).name if self.is_local else self.name


def _outer_bounds(dataset: Any) -> tuple[float, float, float, float]:
    corners = [dataset.transform @ (x, y) for x in (0, dataset.width) for y in (0, dataset.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
