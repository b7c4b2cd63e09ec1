"""Images that are no files: arrays with their place, open rasterio datasets, DataArrays.

What lies in memory becomes a GeoTIFF in a temporary folder. So everything behind
:class:`hanet.imagery.raster_source.RasterSource` knows files alone, and a run is the same however
its images came.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.dtypes import in_dtype_range
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import BufferedDatasetWriter, DatasetReader, DatasetWriter
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from hanet.errors import InputError, RasterError, ShapeError
from hanet.files import writing
from hanet.imagery.addresses import is_gdal_name, lies_here
from hanet.imagery.dates import check_date, day_in_tags
from hanet.imagery.grid import GDAL_ERRORS
from hanet.imagery.raster_source import USABLE_TYPES, RasterSource
from hanet.imagery.xarrays import day_of, is_data_array, placed
from hanet.types import Mask

if TYPE_CHECKING:
    from hanet.imagery.xarrays import DataArray

STRIP_PIXELS = 4_000_000
"""Pixels that are copied at once, so that what is read lazily stays so."""

_MEMORY = re.compile(r"/vsi(mem|py|rio)", re.IGNORECASE)
"""Beginning of the names that rasterio gives to what lies in memory or in a Python file."""


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """An array with its place on the map, wherever a path of a raster is taken.

    Args:
        values: (C, H, W), or (H, W) for one band; of a masked array, pixels whose bands are all
            masked are invalid.
        crs: Its CRS: an EPSG number, a name like ``"EPSG:32614"``, WKT, or what rasterio or pyproj
            call one. None for pixels without a place.
        transform: Affine transform from (column, row) to the CRS, as rasterio has it, or its first
            six coefficients (a, b, c, d, e, f).
        nodata: Value of pixels without data.
        date: Day of acquisition, YYYY-MM-DD.

    Raises:
        ShapeError: The array is not an image, or its bands come last.
        RasterError: Its type cannot be used, or the CRS is not known.
        InputError: There is a CRS without a transform, or the type does not hold ``nodata``.
        SettingsError: The date is not valid.

    Example:
        >>> with rasterio.open("before.tif") as source:
        ...     before = hanet.Raster(source.read(), source.crs, source.transform)
    """

    values: npt.NDArray[Any]
    crs: Any = None
    transform: Affine | Sequence[float] | None = None
    nodata: float | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.values.shape)
        if len(shape) not in (2, 3) or 0 in shape:
            raise ShapeError(f"an array {shape} is no image: (C, H, W) or (H, W) is needed")
        if len(shape) == 3 and shape[2] <= 4 < 16 < shape[0]:
            raise ShapeError(
                f"the array {shape} has its bands last: (C, H, W) is needed",
                hint="image.transpose(2, 0, 1)",
            )
        _check_type(self.values.dtype)
        if self.crs is not None and self.transform is None:
            raise InputError(
                "a CRS alone does not say where an array lies: its transform is missing",
                hint="give transform= as the raster has it, or leave crs= out, too",
            )
        if self.transform is not None and len(tuple(self.transform)) not in (6, 9):
            raise InputError(
                f"the transform {tuple(self.transform)} is no affine one",
                hint="rasterio.transform.from_origin(left, top, pixel, pixel) makes one",
            )
        if self.nodata is not None and not in_dtype_range(self.nodata, str(self.values.dtype)):
            raise InputError(
                f"nodata is {self.nodata:g}, which {self.values.dtype} does not hold",
                hint="give one of its values, or a masked array",
            )
        check_date(self.date, "the date of the array")
        known_crs(self.crs)

    @property
    def affine(self) -> Affine | None:
        """The transform as rasterio takes it."""
        return None if self.transform is None else Affine(*tuple(self.transform)[:6])


RasterInput: TypeAlias = Union[str, os.PathLike[str], Raster, DatasetReader, WarpedVRT, "DataArray"]
"""What stands for a raster: a path or whatever GDAL opens, a :class:`Raster`, an open rasterio
dataset (also of a ``MemoryFile``, or a ``WarpedVRT``), a DataArray with CRS and transform."""


def known_crs(crs: Any) -> CRS | None:
    """A CRS as rasterio has it, from whatever names one.

    Raises:
        RasterError: It is not a known CRS.
    """
    if crs is None:
        return None
    try:
        return CRS.from_user_input(crs)
    except GDAL_ERRORS as error:
        raise RasterError(
            f"the CRS {str(crs)[:60]!r} is not known", hint='for example crs="EPSG:32614"'
        ) from error


def open_input(given: RasterInput, *, what: str, stack: ExitStack) -> RasterSource:
    """A raster, open until the stack closes, as is what had to be written for it.

    Args:
        given: Whatever stands for one.
        what: How messages call what has no name, for example ``"before"``.
        stack: Closes it.

    Raises:
        InputError: It cannot be used as a raster.
        RasterError: It is missing, unreadable, closed, or of an unusable type.
        OutputError: The temporary folder does not take it.
    """
    path = path_of(given)
    if path is not None:
        return stack.enter_context(RasterSource(path))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hanet-")))
    place = folder / f"{what}.tif"
    write_input(given, place)
    return stack.enter_context(RasterSource(place, shown=f"{what} (from memory)"))


def path_of(given: RasterInput) -> str | None:
    """By what name GDAL opens it; None for what lies in memory.

    Raises:
        InputError: It cannot be used as a raster.
        RasterError: The dataset is closed, or open for writing.
    """
    if isinstance(given, str | os.PathLike):
        return os.fspath(given)
    if isinstance(given, DatasetWriter | BufferedDatasetWriter):
        raise RasterError(
            f"the dataset {given.name} is open for writing: its pixels may not be there yet",
            hint="close it, and give its path",
        )
    if isinstance(given, DatasetReader | WarpedVRT):
        if given.closed:
            raise RasterError(
                f"the dataset {given.name} is closed", hint="give its path, or keep it open"
            )
        return given.name if _is_its_file(given) else None
    if isinstance(given, Raster) or is_data_array(given):
        return None
    if isinstance(given, np.ndarray):
        raise InputError(
            f"an array {given.shape} alone does not say where it lies",
            hint="give hanet.Raster(array, crs=..., transform=...), or without a place "
            "hanet.Raster(array); for probability alone hanet.load().predict(before, after)",
        )
    raise InputError(
        f"{type(given).__name__} cannot be used as a raster",
        hint="give a path, an open rasterio dataset, a DataArray, or hanet.Raster",
    )


def _is_its_file(dataset: Any) -> bool:
    """Whether opening a dataset's name gives the same pixels: those of a file, at full size."""
    name = str(dataset.name)
    if isinstance(dataset, WarpedVRT) or _MEMORY.match(name):
        return False
    if not (lies_here(name) or is_gdal_name(name)):
        return False
    try:
        with warnings.catch_warnings(), rasterio.open(name) as again:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return _facts(again) == _facts(dataset)
    except GDAL_ERRORS:
        return False


def _facts(dataset: Any) -> tuple[Any, ...]:
    return (dataset.shape, dataset.count, dataset.dtypes, dataset.crs, dataset.transform)


def _check_type(dtype: npt.DTypeLike) -> None:
    name = np.dtype(dtype).name
    if name not in (*USABLE_TYPES, "float16"):
        raise RasterError(
            f"the array holds values of type {name}; images are whole or real numbers of at most "
            "32 bits, or float64",
            hint='for example values.astype("uint8") where they are 0-255',
        )


def write_input(given: Any, place: Path, *, tags: Mapping[str, str] | None = None) -> None:
    """What lies in memory as a GeoTIFF.

    Args:
        given: A dataset, a :class:`Raster` or a DataArray.
        place: The file.
        tags: Further tags of it; a dataset keeps its own alone.

    Raises:
        RasterError: A DataArray is no raster.
        OutputError: The disk does not take it.
    """
    with (
        writing(place, engine_errors=GDAL_ERRORS),
        warnings.catch_warnings(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if isinstance(given, DatasetReader | WarpedVRT):
            _copy(given, place)
        elif isinstance(given, Raster):
            _write_raster(given, place, stored=None, tags=tags or {})
        else:
            array, crs, transform = placed(given)
            _check_type(array.dtype)
            nodata = array.rio.nodata
            stored = _stored_type(array)
            # sliced where it is written, so that what is read lazily stays so
            values: Any = array
            raster = Raster(values, crs, transform, nodata, day_of(given))
            _write_raster(raster, place, stored=stored, tags=tags or {})


def _copy(dataset: Any, place: Path) -> None:
    """All that a dataset holds; a view loses the tags of its file, and their own domain is lost
    anyway."""
    rasterio.shutil.copy(dataset, place, driver="GTiff", bigtiff="if_safer")
    stating = dataset.src_dataset if isinstance(dataset, WarpedVRT) else dataset
    day = day_in_tags({**stating.tags(), **stating.tags(ns="IMAGERY")})
    if day is not None:
        with rasterio.open(place, "r+") as copied:
            copied.update_tags(ACQUISITIONDATE=day)


def _stored_type(array: DataArray) -> np.dtype[Any] | None:
    """The whole-number type of the file behind a DataArray in which invalid pixels were made NaN;
    None where it holds what it shows.

    8-bit images are read as 0-255; the same numbers as floats would be stretched.
    """
    kind, encoding = np.dtype(array.dtype).kind, array.encoding
    name = encoding.get("rasterio_dtype", encoding.get("dtype"))
    if kind != "f" or name is None or np.dtype(name).kind not in "iu":
        return None
    stored: np.dtype[Any] = np.dtype(name)
    limits = np.iinfo(stored)
    for _, strip in _strips(array):
        known = strip[~np.isnan(strip)]
        if (known != np.rint(known)).any() or (known < limits.min).any():
            return None
        if (known > limits.max).any():
            return None
    return stored


def _strips(values: Any) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(C, h, W) from the top to the bottom, each with its first row."""
    height, width = values.shape[-2:]
    rows = max(1, STRIP_PIXELS // width)
    for row in range(0, height, rows):
        part = values[..., row : row + rows, :]
        strip = np.ma.asarray(part) if np.ma.isMaskedArray(part) else np.asarray(part)
        yield row, strip if strip.ndim == 3 else strip[None]


def _write_raster(
    raster: Raster, place: Path, *, stored: np.dtype[Any] | None, tags: Mapping[str, str]
) -> None:
    """An array, strip by strip; ``stored`` takes NaN as invalid and the rest as this type."""
    values = raster.values
    height, width = values.shape[-2:]
    kind = np.dtype(stored or values.dtype)
    kind = np.dtype(np.float32) if kind == np.float16 else kind
    is_masked = stored is not None or np.ma.isMaskedArray(values)
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": values.shape[0] if values.ndim == 3 else 1,
        "dtype": kind,
        "crs": known_crs(raster.crs),
        "nodata": None if is_masked else raster.nodata,
        "bigtiff": "if_safer",
    }
    if raster.affine is not None:
        profile["transform"] = raster.affine
    with rasterio.open(place, "w", **profile) as file:
        date = {} if raster.date is None else {"ACQUISITIONDATE": raster.date}
        file.update_tags(**date, **tags)
        for row, strip in _strips(values):
            window = RasterioWindow(0, row, width, strip.shape[1])
            if not is_masked:
                file.write(strip.astype(kind, copy=False), window=window)
                continue
            known = _known(strip, raster.nodata)
            file.write(np.where(known, np.ma.getdata(strip), 0).astype(kind), window=window)
            file.write_mask(known.any(axis=0), window=window)


def _known(strip: npt.NDArray[Any], nodata: float | None) -> Mask:  # (C, h, W)
    """Values that are there: neither masked, nor NaN, nor nodata."""
    plain = np.ma.getdata(strip)
    known: Mask = ~np.ma.getmaskarray(strip)
    if plain.dtype.kind == "f":
        known &= ~np.isnan(plain)
    return known if nodata is None else known & (plain != nodata)
