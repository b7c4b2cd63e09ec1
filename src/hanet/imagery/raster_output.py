"""Rasters that a run writes: probability as it grows, and the finished cloud-optimised GeoTIFFs.

While a run continues, probability lies in a flat file of one byte a pixel: rows can be written in
any order and again, a kill leaves nothing that must be repaired, and memory does not grow.
GDAL reads that file through a small VRT beside it when the GeoTIFF is made.
"""

from __future__ import annotations

import math
import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterioWindow

from hanet.destination import check_room
from hanet.errors import RasterError, SettingsError
from hanet.files import writing
from hanet.imagery.dates import check_date
from hanet.imagery.gdal import gdal_session, reading
from hanet.imagery.grid import GDAL_ERRORS, Grid
from hanet.imagery.raster_source import LARGEST_TAG, RasterSource
from hanet.types import ByteArray, FloatArray, Mask, Window

PROBABILITY_STEPS = 250
"""Stored value of probability 1.0: 0.4 % a step, with a half and every tenth exact."""

UNIT_TAG = "PIXEL_UNIT_M"
"""Tag of a probability raster without a CRS: metres of one unit of its coordinates."""

PIXELS = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Transform of bare pixels, which a file does not state."""

NODATA = 255
"""Stored value of an invalid pixel, in probability and mask."""


def encode_probability(probability: FloatArray, valid: Mask) -> ByteArray:  # (H, W) -> (H, W)
    """Probability in 0-1 as it is stored: ``round(250 p)``, 255 where invalid."""
    stored = np.rint(np.clip(probability, 0.0, 1.0) * PROBABILITY_STEPS).astype(np.uint8)
    stored[~valid] = NODATA
    return stored


def decode_probability(stored: ByteArray) -> FloatArray:  # (H, W) -> (H, W)
    """Probability in 0-1 from what is stored, NaN where invalid."""
    probability: FloatArray = stored.astype(np.float32) / np.float32(PROBABILITY_STEPS)
    probability[stored == NODATA] = np.nan
    return probability


def stored_threshold(threshold: float) -> int:
    """The smallest stored value that counts as change at a probability threshold."""
    return int(np.ceil(round(threshold * PROBABILITY_STEPS, 6)))


class FlatRaster:
    """One byte a pixel in a file, row after row; opened for the time of a ``with``.

    Args:
        path: The file; made (filled with nodata) if it is missing or of another size.
        grid: What it covers.

    Attributes:
        is_new: Whether the file was made: nothing has been written to it before.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path, self.grid = path, grid
        size = grid.height * grid.width
        self.is_new = not path.exists() or path.stat().st_size != size
        if self.is_new:
            _fill(path, size)
        # unbuffered: what write() took is the system's, so that one fsync covers all of it
        self._file = path.open("r+b", buffering=0)

    def __enter__(self) -> FlatRaster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, window: Window, stored: ByteArray) -> None:
        """Writes a window of stored values."""
        with writing(self.path):
            for number, row in enumerate(np.ascontiguousarray(stored)):
                self._file.seek((window.row + number) * self.grid.width + window.column)
                self._file.write(row)

    def flush(self) -> None:
        """Returns when the disk has everything that was written."""
        with writing(self.path):
            os.fsync(self._file.fileno())


def write_probability(
    flat: Path,
    grid: Grid,
    destination: Path,
    *,
    tags: dict[str, str],
    description: str = "probability of change",
) -> None:
    """The finished probability raster from a flat file: COG, uint8 with scale 0.004, nodata 255,
    averaged overviews."""
    if grid.unit_m is not None:
        tags = tags | {UNIT_TAG: repr(grid.unit_m)}
    # a raw band of a VRT states in bytes where it begins and how far pixels and lines lie apart;
    # GDAL maps the file, it does not load it
    dataset, band = _vrt(grid, description, subClass="VRTRawRasterBand")
    _add(band, "Scale", str(1 / PROBABILITY_STEPS))
    _add(band, "Offset", "0")
    _add(band, "SourceFilename", flat.name, relativetoVRT="1")
    _add(band, "ImageOffset", "0")
    _add(band, "PixelOffset", "1")
    _add(band, "LineOffset", str(grid.width))
    text = tostring(dataset, encoding="unicode")
    _write_cog(text, flat.with_suffix(".vrt"), destination, resampling="average", tags=tags)


def write_mask(
    probability: Path, destination: Path, *, threshold: float, tags: dict[str, str]
) -> None:
    """The mask of a probability raster: COG, 1 from the threshold on, 0 below, nodata 255."""
    low = stored_threshold(threshold)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", NotGeoreferencedWarning
        )  # a pair of pictures has no georeference, which a note has said
        with rasterio.open(probability) as dataset:
            height, width = dataset.shape
            crs = dataset.crs.to_wkt() if dataset.crs else None
            a, b, c, d, e, f = dataset.transform[:6]
            is_bare = crs is None and dataset.transform == Affine.identity()
            grid = Grid(crs, PIXELS if is_bare else (a, b, c, d, e, f), height, width)
    # GDAL interpolates between the entries of a table: two neighbours make a step
    steps = (
        f"0:0,{low - 1}:0,{low}:1,{PROBABILITY_STEPS}:1"
        if low > 0
        else f"0:1,{PROBABILITY_STEPS}:1"
    )
    vrt, band = _vrt(grid, "change")
    source = _add(band, "ComplexSource")
    _add(source, "SourceFilename", str(probability.resolve()), relativeToVRT="0")
    _add(source, "SourceBand", "1")
    _add(source, "NODATA", str(NODATA))
    _add(source, "LUT", steps)
    description = tostring(vrt, encoding="unicode")
    view = destination.with_name(f".{destination.name}.vrt")
    _write_cog(description, view, destination, resampling="mode", tags=tags)


class ProbabilityRaster:
    """A finished probability raster, read by windows; closed by ``with``.

    Args:
        path: ``probability.tif`` of a run, or any single-band raster of probability in 0-1; whole
            numbers by the scale and offset that it states.

    Raises:
        RasterError: It is missing, unreadable, or its values are no probabilities.
    """

    def __init__(self, path: str | Path) -> None:
        with ExitStack() as stack:
            stack.enter_context(gdal_session())
            self.source = stack.enter_context(RasterSource(path))
            dataset = self.source.dataset
            kind, self._scale, self._offset = (
                dataset.dtypes[0],
                dataset.scales[0],
                dataset.offsets[0],
            )
            is_ours = kind == "uint8" and self._offset == 0 and dataset.nodata == NODATA
            self.is_stored = is_ours and math.isclose(self._scale, 1 / PROBABILITY_STEPS)
            # half a step beyond 0-1 is rounding, of the writer's or of the scale in the file
            self._slack = 1e-5 if kind.startswith("float") else abs(self._scale) / 2
            self._check(dataset)
            self.grid = self._grid()
            self._open = stack.pop_all()

    def _grid(self) -> Grid:
        """The raster's own; of our rasters without a CRS with the metres that a run was told."""
        grid, dataset = self.source.grid, self.source.dataset
        text = dataset.tags().get(UNIT_TAG)
        if grid.crs is not None or text is None:
            return grid
        try:
            unit_m = float(text)
        except ValueError:
            return grid
        a, b, c, d, e, f = dataset.transform[:6]
        if not 0 < unit_m < math.inf or b or d:
            return grid
        if self.source.has_geotransform and a > 0 and e < 0:
            grid = replace(grid, transform=(a, b, c, d, e, f))
        return replace(grid, unit_m=unit_m)

    def _check(self, dataset: Any) -> None:
        name = self.source.name
        if dataset.count != 1:
            raise RasterError(
                f"{name} is no probability raster: {dataset.count} bands of {dataset.dtypes[0]}",
                hint="give the probability.tif of a run, or one band of values in 0-1",
            )
        if not dataset.dtypes[0].startswith("float") and (self._scale, self._offset) == (1, 0):
            beside = Path(name).with_name("probability.tif")
            found = (
                str(beside)
                if beside.name != Path(name).name and beside.exists()
                else "the probability.tif of a run"
            )
            raise RasterError(
                f"{name} holds whole numbers without the scale of a probability raster (a mask, or "
                "a picture?)",
                hint=f"give {found}; a lost scale comes back by `gdal_edit.py -scale "
                f"{1 / PROBABILITY_STEPS:g} -a_nodata {NODATA}`, that of probabilities in 0-255 by "
                f"`gdal_edit.py -scale {1 / 255:.9g}`",
            )
        tags = abs(self._scale), abs(self._offset)
        if not (1 / LARGEST_TAG <= tags[0] <= LARGEST_TAG and tags[1] <= LARGEST_TAG):
            raise RasterError(
                f"{name} states a scale of {self._scale:g} and an offset of {self._offset:g}, "
                "which make no probabilities",
                hint=f"set its own, for example `gdal_edit.py -scale {1 / PROBABILITY_STEPS:g} "
                f"-offset 0 {name}`",
            )
        a, b, _, d, e, _ = dataset.transform[:6]
        if self.source.has_crs and (b or d or a < 0 or e > 0):
            raise RasterError(
                f"{name} is rotated or south up; footprints are made of rasters whose rows run "
                "east and follow each other south",
                hint=f"turn it with `gdalwarp -r near {name} turned.tif`",
            )

    def date(self, which: Literal["before", "after"]) -> str | None:
        """The image date stored by the run that wrote this raster; None where there is none that
        can be read."""
        text: str | None = self.source.dataset.tags().get(f"{which.upper()}_DATE")
        try:
            check_date(text, "the date")
        except SettingsError:
            return None
        return text

    @property
    def threshold(self) -> float | None:
        """The threshold of the run that wrote this raster; None where there is none in 0-1."""
        text = self.source.dataset.tags().get("THRESHOLD")
        try:
            value = float(text) if text is not None else math.nan
        except ValueError:
            return None
        return value if 0 <= value <= 1 else None

    def __enter__(self) -> ProbabilityRaster:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._open.close()

    def read(self, window: Window, *, shape: tuple[int, int] | None = None) -> FloatArray:  # (h, w)
        """Probability in 0-1 of a window, NaN where invalid.

        Args:
            window: In pixels of the raster.
            shape: (h, w) of the result, each value the mean of what lies under it, from an overview
                where there is one; the window's own if None.
        """
        dataset, size = self.source.dataset, shape or window.shape
        with reading(self.source.name):
            place = RasterioWindow(window.column, window.row, window.width, window.height)
            values = dataset.read(1, window=place, out_shape=size, resampling=Resampling.average)
            if self.is_stored:
                return decode_probability(values)
            valid = dataset.dataset_mask(window=place, out_shape=size) > 0
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            probability: FloatArray = np.where(valid, values, 0).astype(np.float32)
            if (self._scale, self._offset) != (1, 0):
                probability = probability * np.float32(self._scale) + np.float32(self._offset)
        probability[~valid] = np.nan
        highest, lowest = np.nanmax(probability, initial=0.0), np.nanmin(probability, initial=0.0)
        if highest > 1.0 + self._slack or lowest < -self._slack:
            raise RasterError(
                f"{self.source.name} holds values outside 0-1; they are no probabilities",
                hint=f"the values reach from {lowest:.4g} to {highest:.4g}: is its nodata value "
                "set, and its scale?",
            )
        return np.clip(probability, 0.0, 1.0)


def _write_cog(
    description: str,
    view: Path,
    destination: Path,
    *,
    resampling: Literal["average", "mode"],
    tags: dict[str, str],
) -> None:
    """The raster that a VRT describes as a COG; the VRT lies at ``view`` meanwhile. A failure
    leaves nothing behind."""
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        with (
            writing(destination, engine_errors=GDAL_ERRORS),
            warnings.catch_warnings(),
            gdal_session(),
        ):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            for path in (view, partial):  # left by a killed run, or links that lead away
                path.unlink(missing_ok=True)
            view.write_text(description, encoding="utf-8")
            with rasterio.open(view, "r+") as dataset:  # here: tags added to a COG break its order
                dataset.update_tags(**tags)
            rasterio.shutil.copy(
                view,
                partial,
                driver="COG",
                compress="deflate",
                predictor="standard",
                blocksize=512,
                overview_resampling=resampling,
                bigtiff="if_safer",
            )
            partial.replace(destination)  # last, so that the name never stands for half a raster
    finally:
        view.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _vrt(grid: Grid, description: str, **band: str) -> tuple[Element, Element]:
    """A virtual raster of one byte band on a grid, and that band."""
    dataset = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        _add(dataset, "SRS", grid.crs)
    if grid.crs is not None or grid.transform != PIXELS:
        a, b, c, d, e, f = (repr(float(value)) for value in grid.transform)
        _add(dataset, "GeoTransform", f"{c}, {a}, {b}, {f}, {d}, {e}")
    found = SubElement(dataset, "VRTRasterBand", {"dataType": "Byte", "band": "1", **band})
    _add(found, "Description", description)
    _add(found, "NoDataValue", str(NODATA))
    return dataset, found


def _add(parent: Element, name: str, text: str | None = None, **attributes: str) -> Element:
    element = SubElement(parent, name, attributes)
    element.text = text
    return element


def _fill(path: Path, size: int) -> None:
    check_room(path, size)  # by now others may have filled the disk
    chunk = bytes([NODATA]) * (1 << 20)
    with writing(path), path.open("wb") as file:
        for start in range(0, size, len(chunk)):
            file.write(chunk[: min(len(chunk), size - start)])
