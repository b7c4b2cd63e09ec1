"""TIFF files of a data set that Pillow cannot decode, and GDAL can: more than 8 bits, floating
point, more than four bands, colours not declared as such."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanet.errors import DataSetError
from hanet.types import ByteArray

PILLOW_READS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"})
"""Modes of Pillow that hold 8 bits a band."""

MAX_PIXELS = 2**27
"""Largest image that is read whole, in pixels; Pillow refuses from about the same size."""


def needs_gdal(path: str | Path) -> bool:
    """Whether a file is a TIFF that GDAL opens and Pillow does not, or not as 8 bits a band."""
    from PIL import Image

    if Path(path).suffix.lower() not in {".tif", ".tiff"}:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return image.mode not in PILLOW_READS and _opens(path)
    except FileNotFoundError:
        return False
    except Exception:  # every way in which Pillow does not know a file
        return _opens(path)


def gdal_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of such a file, from its header."""
    with _opened(path) as source:
        return source.height, source.width


def gdal_image(path: str | Path) -> ByteArray:  # (3, H, W)
    """The first three bands of such a file, or its one grey band three times.

    Raises:
        DataSetError: A value is not a whole number from 0 to 255, or the file is damaged.
    """
    pixels = _pixels(path, most=3)
    if len(pixels) == 2:  # grey and alpha
        pixels = pixels[:1]
    whole = _whole_bytes(pixels)
    if whole is None:
        raise DataSetError(
            f"{path} has {described(path)} with values beyond 0-255, we need 8 bits a band",
            hint="scale all images of the data set alike: gdal_translate -ot Byte -scale MIN MAX "
            "0 255 IN OUT",
        )
    return np.repeat(whole, 3, axis=0) if len(whole) == 1 else whole


def gdal_label(path: str | Path) -> tuple[ByteArray | None, str]:
    """The values (H, W) of such a label; None where they are not whole numbers from 0 to 255 or
    the bands differ. With it what the file is, in words."""
    pixels = _pixels(path, most=None)
    whole = _whole_bytes(pixels) if (pixels == pixels[:1]).all() else None
    return (None if whole is None else whole[0]), f"TIFF, {described(path)}"


def described(path: str | Path) -> str:
    """Bands and type, for example ``"3 bands of uint16"``."""
    with _opened(path) as source:
        return f"{source.count} band{'s' * (source.count > 1)} of {source.dtypes[0]}"


def _pixels(path: str | Path, *, most: int | None) -> npt.NDArray[Any]:
    from rasterio.errors import RasterioError

    with _opened(path) as source:
        if source.width * source.height > MAX_PIXELS:
            raise DataSetError(
                f"{path} is too large to be read as one image",
                hint="cut it into tiles first, for example with `gdal_retile.py`",
            )
        try:
            values: npt.NDArray[Any] = source.read(list(source.indexes)[:most])
        except (RasterioError, OSError) as error:
            raise DataSetError(
                f"{path} is damaged or cut short", hint="copy or download the file again"
            ) from error
    return values


def _whole_bytes(pixels: npt.NDArray[Any]) -> ByteArray | None:
    """The same values as bytes; None if one of them is not a whole number from 0 to 255."""
    if np.iscomplexobj(pixels) or not ((pixels >= 0) & (pixels <= 255)).all():  # NaN is neither
        return None
    whole = pixels.astype(np.uint8)
    return whole if bool((whole == pixels).all()) else None


def _opens(path: str | Path) -> bool:
    from rasterio.errors import RasterioError

    try:
        with _opened(path):
            return True
    except (RasterioError, OSError):
        return False


def _opened(path: str | Path) -> Any:
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tile of a data set needs no geotransform
        return rasterio.open(path, driver="GTiff")
