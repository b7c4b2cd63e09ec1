"""Image files of a data set (PNG, JPEG, small TIFF) as arrays. The only user of Pillow.

Rasters with a map grid, and images too large for memory, are read by ``hanet.imagery.pair``
instead.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hanet.errors import DataSetError
from hanet.files import replacing
from hanet.imagery.gdal_images import gdal_image, gdal_label, gdal_size, needs_gdal
from hanet.types import IGNORED, ByteArray, Mask

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
"""Suffixes, in lower case, of files that count as images; other files in a folder are left
alone."""

JPEG_THRESHOLD = 128
"""A grey value from which on a pixel of a JPEG label is changed: compression smears 0 and 255, the
middle parts them."""

CHANGED_GREY, UNCHANGED_GREY = 255, 0
"""Grey values of a label, beside :data:`IGNORED_GREY`."""

IGNORED_GREY = 128
"""Grey value, beside 0 and 255, of the pixels of a label of which nobody knows whether they
changed: half way, as a viewer shows it."""

ORIENTATION = 0x0112
"""EXIF's tag of how a picture is to be turned."""

SMEARED_BYTES = 32
"""How far from 0 or 255 a grey value of a JPEG label may lie and still be taken for compression
noise."""


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label as it lies on disk.

    Args:
        encoding: ``"1-bit"``, ``"0/1"``, ``"0/255"``, ``"0/128/255"``, ``"grey JPEG"``; or,
            unusable, ``"grey values"``, ``"colour"``, ``"palette with colours"``, ``"16-bit"``.
        carrier: How it is stored, in Pillow's words: ``"PNG 1"``, ``"PNG P"``, ``"JPEG L"``, ``"PNG
            RGB"`` ...
        change: Changed pixels (H, W); None where the encoding cannot be used.
        values: The grey values that occur, ascending; empty for colours.
        ignored: Pixels (H, W) that are marked as unknown; None where the label has none.
    """

    encoding: str
    carrier: str
    change: Mask | None
    values: tuple[int, ...]
    ignored: Mask | None = None


def read_image(path: str | Path) -> ByteArray:  # (3, H, W)
    """The RGB image in a file.

    Grey images get three equal bands, palettes their colours; an alpha band is dropped.

    Args:
        path: A file that Pillow can decode, 8 bits a band; or a TIFF of any type and number of
            bands whose values are whole numbers from 0 to 255.

    Raises:
        DataSetError: The file is missing, unreadable, cut short, or has other values.
    """
    if needs_gdal(path):
        return gdal_image(path)
    with _opened(path) as image:
        if image.mode in {"RGB", "RGBA", "RGBX"}:
            pixels = np.asarray(image)[..., :3]
        elif image.mode in {"1", "L", "LA", "P", "PA"}:
            pixels = np.asarray(image.convert("RGB"))
        else:
            raise DataSetError(
                f"{path} is an image of mode {image.mode}, we need 8-bit RGB or grey",
                hint="convert it to 8-bit RGB PNG",
            )
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def read_label(path: str | Path) -> Mask:  # (H, W)
    """The changed pixels of a label file in which every pixel is known.

    Taken as they are: 1-bit, 0/1 and 0/255, also where three equal bands or a palette carry them. A
    JPEG label is cut at 128 if its values lie near 0 and 255. Everything else is an error: we do
    not guess.

    Raises:
        DataSetError: The file is unreadable, has another encoding, or ignored pixels.
    """
    label = _usable(path)
    if label.ignored is not None:
        raise DataSetError(
            f"{path} has pixels marked as unknown ({IGNORED_GREY}); here every pixel must be known",
            hint="training and hanet evaluate accept such labels",
        )
    assert label.change is not None
    return label.change


def read_change(path: str | Path) -> ByteArray:  # (H, W)
    """The pixels of a label file: 0 unchanged, 1 changed, :data:`hanet.types.IGNORED` where nobody
    knows.

    Read as by :func:`read_label`; beside 0 and 255 the value 128 is an ignored pixel.

    Raises:
        DataSetError: The file is unreadable, or it has another encoding.
    """
    label = _usable(path)
    assert label.change is not None
    change = label.change.astype(np.uint8)
    if label.ignored is not None:
        change[label.ignored] = IGNORED
    return change


def _usable(path: str | Path) -> LabelFile:
    """The label in a file, with its changed pixels."""
    label = examine_label(path)
    if label.change is None:
        raise DataSetError(
            f"{path} is no label we can read: {label.encoding} "
            f"({label.carrier}{_shown(label.values)})",
            hint="rewrite it as PNG with 0 = unchanged, 255 = changed and, if need be, 128 = "
            "unknown",
        )
    return label


def examine_label(path: str | Path) -> LabelFile:
    """The label in a file with its encoding; one that cannot be used has ``change`` = None.

    Raises:
        DataSetError: The file is missing or cannot be decoded.
    """
    if needs_gdal(path):
        pixels, carrier = gdal_label(path)
        if pixels is None:
            return LabelFile("values beyond 0-255", carrier, None, ())
        return _by_values(pixels, carrier)
    with _opened(path) as image:
        carrier = f"{image.format} {image.mode}"
        if image.mode == "1":
            bits = np.array(image, dtype=bool)
            return LabelFile("1-bit", carrier, bits, tuple(int(value) for value in np.unique(bits)))
        if image.mode not in {"L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"}:
            return LabelFile(
                "16-bit" if image.mode.startswith("I") else "colour", carrier, None, ()
            )
        if image.mode in {"LA", "PA", "RGBA"} and (mask := _in_alpha(image)) is not None:
            grey = mask
            carrier += " (alpha)"
        elif image.mode in {"L", "LA"}:
            grey = np.array(image.convert("L"))
        else:
            colours = np.asarray(image.convert("RGB"))
            if (colours != colours[..., :1]).any():
                return LabelFile(
                    "palette with colours" if image.mode.startswith("P") else "colour",
                    carrier,
                    None,
                    (),
                )
            grey = np.ascontiguousarray(colours[..., 0])
        is_jpeg = image.format == "JPEG"
    return _by_values(grey, carrier, is_jpeg=is_jpeg)


def _by_values(grey: ByteArray, carrier: str, *, is_jpeg: bool = False) -> LabelFile:
    """The label that grey values (H, W) are."""
    values = np.flatnonzero(np.bincount(grey.ravel(), minlength=256))
    shown = tuple(int(value) for value in values)
    if set(shown) <= {0, 1}:
        return LabelFile("0/1", carrier, grey > 0, shown)
    if set(shown) <= {0, 255}:
        return LabelFile("0/255", carrier, grey > 0, shown)
    if set(shown) <= {0, IGNORED_GREY, 255} and not is_jpeg:
        return LabelFile(f"0/{IGNORED_GREY}/255", carrier, grey == 255, shown, grey == IGNORED_GREY)
    # A sharp edge rings: most pixels must sit near the ends, a few may lie anywhere between.
    if is_jpeg and np.mean((grey <= SMEARED_BYTES) | (grey >= 255 - SMEARED_BYTES)) >= 0.9:
        return LabelFile("grey JPEG", carrier, grey >= JPEG_THRESHOLD, shown)
    return LabelFile("grey values", carrier, None, shown)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of an image, read from its header only."""
    if needs_gdal(path):
        return gdal_size(path)
    with _opened(path, decode=False) as image:
        size = image.height, image.width
        return size[::-1] if _orientation(image) >= 5 else size


def write_png(path: str | Path, pixels: ByteArray | Mask) -> None:
    """Writes a PNG; the file appears under its name only when it is whole.

    Args:
        path: Destination; an existing file is replaced.
        pixels: uint8 (3, H, W) for RGB, uint8 (H, W) for grey, or bool (H, W), written as grey 0
            and 255.

    Raises:
        DataSetError: It is another kind of array.
        OutputError: The disk does not take it; what was there before stays.
    """
    if pixels.dtype == np.bool_ and pixels.ndim == 2:
        image = Image.fromarray(pixels.astype(np.uint8) * np.uint8(255))
    elif pixels.dtype == np.uint8 and (
        pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[0] == 3)
    ):
        image = Image.fromarray(
            pixels if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
        )
    else:
        raise DataSetError(
            f"cannot write an array {pixels.dtype} {pixels.shape} as PNG, we need uint8 (3, H, "
            "W) or (H, W), or bool (H, W)"
        )
    with replacing(Path(path)) as partial:
        image.save(partial, format="PNG")


@contextmanager
def _opened(path: str | Path, *, decode: bool = True) -> Iterator[Image.Image]:
    """The image of a file, decoded as a whole; every way in which Pillow fails becomes a
    DataSetError."""
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(path)
    except FileNotFoundError:
        raise DataSetError(f"{path} does not exist") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataSetError(
            f"{path} is too large to be read as one image: {error}",
            hint="cut it into tiles first, for example with `gdal_retile.py`",
        ) from None
    except Exception as error:
        raise DataSetError(
            f"{path} cannot be read as an image: {error}", hint=_COPY_AGAIN
        ) from error
    with image:
        if decode:
            try:
                image.load()
                image = _upright(image)
            # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ...
            except Exception as error:
                raise DataSetError(
                    f"{path} is damaged or cut short: {error}", hint=_COPY_AGAIN
                ) from error
        yield image


def _in_alpha(image: Image.Image) -> ByteArray | None:
    """The transparency (H, W) of a label whose colours say nothing, being the same everywhere; None
    where the transparency is."""
    alpha = np.array(image.getchannel("A"))
    colours = np.asarray(image.convert("RGB"))
    same = (colours == colours[:1, :1]).all()
    return alpha if same and (alpha != alpha[:1, :1]).any() else None


def _orientation(image: Image.Image) -> int:
    """How the camera says that the picture is to be turned, by EXIF: 1 as it is, from 5 on with
    rows and columns exchanged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; the same where it says nothing."""
    if _orientation(image) == 1:
        return image
    kind = image.format
    turned = ImageOps.exif_transpose(image)
    turned.format = kind
    return turned


_COPY_AGAIN = "copy or download the file again"

_FILTERS = threading.Lock()
"""The filters of warnings are the whole process's: two threads that set and restore them would
leave them as either had set them."""


def _shown(values: tuple[int, ...]) -> str:
    if not values:
        return ""
    head = ", ".join(str(value) for value in values[:6])
    return f", values {head}" + (
        f" ... {values[-1]} ({len(values)} of them)" if len(values) > 6 else ""
    )


def encode_jpeg(image: ByteArray, *, quality: int = 85) -> bytes:
    """An image (3, H, W) as the bytes of a JPEG file."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(
        buffer, "JPEG", quality=quality
    )
    return buffer.getvalue()


def encode_png(indices: ByteArray, *, palette: ByteArray) -> bytes:
    """Numbers of colours (H, W) as the bytes of a PNG file with transparency.

    Args:
        indices: Which colour of the palette each pixel has.
        palette: Red, green, blue and opacity (256, 4), each in 0-255.
    """
    image = Image.fromarray(indices)
    image.putpalette(np.ascontiguousarray(palette[:, :3]).tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG", transparency=palette[:, 3].tobytes(), compress_level=1)
    return buffer.getvalue()


def decode_jpeg(content: bytes) -> ByteArray:  # (3, H, W)
    """The image in the bytes of a JPEG file.

    Raises:
        DataSetError: It is not an image, is damaged, or so large that Pillow refuses it.
    """
    try:
        with Image.open(BytesIO(content), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ...
    except Exception as error:
        raise DataSetError(f"a JPEG picture cannot be decoded: {error}") from error
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def resampled(
    image: ByteArray, box: tuple[float, float, float, float], *, height: int, width: int
) -> ByteArray:  # (3, height, width)
    """A part of an image (3, H, W) in another size; the same pixels where the size is the same.

    Args:
        image: The image.
        box: (left, top, right, bottom) in its pixels.
        height: Rows of the result.
        width: Columns of the result.
    """
    rows, columns = image.shape[1:]
    left, top, right, bottom = box
    # rounding must not lead out of the image, which Pillow refuses
    left, top = max(0.0, left), max(0.0, top)
    right, bottom = min(float(columns), right), min(float(rows), bottom)
    # no more than the filter reaches is handed over: images are large and parts small
    reach = math.ceil(max(1.0, (right - left) / width, (bottom - top) / height)) + 1
    first_row, first_column = (max(0, math.floor(value) - reach) for value in (top, left))
    part = image[
        :, first_row : math.ceil(bottom) + reach, first_column : math.ceil(right) + reach
    ].transpose(1, 2, 0)
    place = (left - first_column, top - first_row, right - first_column, bottom - first_row)
    found = Image.fromarray(np.ascontiguousarray(part)).resize(
        (width, height), Image.Resampling.BILINEAR, box=place
    )
    return np.array(found).transpose(2, 0, 1)
