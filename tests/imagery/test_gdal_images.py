"""TIFF files that Pillow cannot decode, read by GDAL."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from hanet.errors import DataSetError
from hanet.imagery.images import examine_label, image_size, read_image, read_label

IMAGE = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)
CHANGE = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.uint8)


def _write(path: Path, values: npt.NDArray[np.generic], **profile: str) -> Path:
    count, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=values.dtype,
            **profile,
        ) as file:
            file.write(values)
    return path


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint16", "int16"])
@pytest.mark.parametrize("changed", [1, 255])
def test_a_label_of_any_type_is_read(tmp_path: Path, dtype: str, changed: int) -> None:
    path = _write(tmp_path / "a.tif", (CHANGE * changed)[None].astype(dtype))
    assert (read_label(path) == (CHANGE == 1)).all()
    assert examine_label(path).encoding == f"0/{changed}"
    assert image_size(path) == (3, 4)


@pytest.mark.parametrize(
    ("values", "profile"),
    [
        (IMAGE, {}),
        (IMAGE[:3].astype(np.uint16), {}),
        (IMAGE[:3], {"photometric": "MINISBLACK"}),
    ],
    ids=["five bands", "uint16", "not declared as colours"],
)
def test_an_image_with_values_of_a_byte_is_read(
    tmp_path: Path, values: npt.NDArray[np.generic], profile: dict[str, str]
) -> None:
    path = _write(tmp_path / "a.tif", values, **profile)
    assert read_image(path).dtype == np.uint8
    assert (read_image(path) == IMAGE[:3]).all()


def test_values_beyond_a_byte_are_refused_with_what_they_are(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", IMAGE[:3].astype(np.uint16) + 250)
    with pytest.raises(DataSetError, match="3 bands of uint16") as caught:
        read_image(path)
    assert "gdal_translate" in str(caught.value.hint)
    for wrong in (0.5, np.nan, -1.0, 256.0):
        label = CHANGE[None].astype(np.float32)
        label[0, 0, 0] = wrong
        with pytest.raises(DataSetError, match="1 band of float32"):
            read_label(_write(tmp_path / "b.tif", label))


def test_a_damaged_file_is_called_damaged(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", IMAGE.repeat(40, axis=1).repeat(40, axis=2))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataSetError, match=r"damaged|cannot be read"):
        read_image(path)
    with pytest.raises(DataSetError, match="does not exist"):
        read_image(tmp_path / "none.tif")
