"""Images that are no files are read as the files they came from."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

import hanet
import hanet.imagery.pair
from hanet.errors import InputError, RasterError, SettingsError, ShapeError
from hanet.types import Window
from small_rasters import UTM, write

GROUND = np.random.default_rng(0).integers(1, 200, (3, 96, 80)).astype(np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A raster with a hole of nodata and a date."""
    pixels = GROUND.copy()
    pixels[:, 10:20, 30:40] = 0
    path = write(tmp_path / "file.tif", pixels, nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ACQUISITIONDATE="2019-05-17")
    return path


def _read(given: Any) -> tuple[Any, ...]:
    with hanet.open_pair(given, given) as pair:
        block = pair.read()
        return block.before, block.valid, pair.before.date, pair.grid.crs, pair.grid.transform


def _same(given: Any, path: Path) -> None:
    pixels, valid, *facts = _read(given)
    wanted, wanted_valid, *wanted_facts = _read(path)
    assert valid.sum() == 96 * 80 - 100
    assert (pixels == wanted).all()
    assert (valid == wanted_valid).all()
    assert facts == wanted_facts


def test_open_datasets(path: Path) -> None:
    with rasterio.open(path) as dataset:
        _same(dataset, path)
        with WarpedVRT(dataset, crs=UTM) as view:
            _same(view, path)
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        _same(dataset, path)


def test_a_dataset_of_a_file_is_read_from_the_file(path: Path) -> None:
    with rasterio.open(path) as dataset, hanet.open_pair(dataset, path) as pair:
        assert pair.before.path == str(path)
        assert pair.manifest()["before"]["path"] == "file.tif"


def test_a_dataset_opened_at_an_overview_is_read_there(tmp_path: Path) -> None:
    path = write(tmp_path / "pyramid.tif", np.repeat(GROUND, 4, axis=1).repeat(4, axis=2))
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    with (
        rasterio.open(path, overview_level=1) as coarse,
        hanet.open_pair(coarse, coarse) as pair,
    ):
        assert (pair.grid.height, pair.grid.width) == (96, 80)
        assert pair.grid.gsd_m == pytest.approx(2.0, rel=1e-3)
        assert (pair.read().before == GROUND).all()


def test_arrays(path: Path) -> None:
    with rasterio.open(path) as source:
        place = {"crs": source.crs, "transform": source.transform, "date": "2019-05-17"}
        _same(hanet.Raster(source.read(), nodata=0, **place), path)
        _same(hanet.Raster(source.read(masked=True), **place), path)
        floats = source.read().astype(np.float16)
        other = {"crs": 32614, "transform": source.transform[:6]}
        with hanet.open_pair(hanet.Raster(floats, **other), path) as pair:
            assert pair.before.dataset.dtypes[0] == "float32"
            assert pair.before.dataset.crs == source.crs


def test_data_arrays(path: Path) -> None:
    with rioxarray.open_rasterio(path) as plain, rioxarray.open_rasterio(path, masked=True) as nan:
        assert nan.dtype == np.float32
        _same(plain, path)
        _same(nan, path)
        _same(nan.transpose("y", "x", "band"), path)
        assert nan.isel(band=0).ndim == 2
        dated = plain.assign_coords(time=np.datetime64("2021-03-04"))
        assert _read(dated)[2] == "2021-03-04"
        # what was computed is no longer whole numbers of the file
        half = nan / 2
        half.encoding = nan.encoding
        with hanet.open_pair(half, half) as pair:
            assert pair.before.dataset.dtypes[0] == "float32"
    one = plain.isel(band=0, drop=True)
    with hanet.open_pair(one, one, bands=(1, 1, 1)) as pair:
        assert pair.before.dataset.count == 1
        block = pair.read()
        assert (block.before[0] == plain.values[0])[block.valid].all()


def test_a_data_array_without_a_crs_has_no_place() -> None:
    array = xarray.DataArray(GROUND, dims=("band", "y", "x"))
    with hanet.open_pair(array, array) as pair:
        assert pair.grid.crs is None
        assert (pair.read().before == GROUND).all()


def test_what_was_in_memory_has_a_name_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    image = hanet.Raster(GROUND)
    with hanet.open_pair(image, image) as pair:
        assert list(tmp_path.iterdir()) != []
        assert (pair.before.name, pair.after.name) == (
            "before (from memory)",
            "after (from memory)",
        )
        facts = pair.manifest()["before"]
        assert facts["path"] == "from memory"
        assert "bytes" not in facts
        assert pair.before.place_from(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RasterError, match="not known"):
        hanet.open_pair(image, hanet.Raster(GROUND, "EPSG:1", rasterio.Affine.identity()))
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "settings", "error", "message"),
    [
        (GROUND.transpose(1, 2, 0), {}, ShapeError, "bands last"),
        (GROUND[None], {}, ShapeError, "no image"),
        (GROUND.astype(np.int64), {}, RasterError, "int64"),
        (GROUND > 5, {}, RasterError, "bool"),
        (GROUND, {"crs": UTM}, InputError, "transform is missing"),
        (GROUND, {"transform": (1, 2)}, InputError, "no affine"),
        (GROUND, {"nodata": -9999}, InputError, "does not hold"),
        (GROUND, {"date": "tomorrow"}, SettingsError, "no date"),
    ],
)
def test_arrays_that_are_no_images_are_refused(
    values: Any, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hanet.Raster(values, **settings)


def test_what_stands_for_no_raster_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="does not say where it lies"):
        hanet.open_pair(GROUND, path)
    with pytest.raises(InputError, match="NoneType cannot be used"):
        hanet.open_pair(path, None)  # type: ignore[arg-type]
    with rasterio.open(path) as dataset:
        pass
    with pytest.raises(RasterError, match="closed"):
        hanet.open_pair(dataset, path)
    with (
        rasterio.open(path, "r+") as dataset,
        pytest.raises(RasterError, match="open for writing"),
    ):
        hanet.open_pair(path, dataset)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (xarray.DataArray(GROUND, dims=("band", "rows", "columns")), "which are rows"),
        (xarray.DataArray(GROUND[None], dims=("time", "band", "y", "x")), "bands, y and x"),
        (xarray.DataArray(GROUND.astype(np.int64), dims=("band", "y", "x")), "int64"),
    ],
)
def test_data_arrays_that_are_no_rasters_are_refused(array: xarray.DataArray, message: str) -> None:
    with pytest.raises(RasterError, match=message):
        hanet.open_pair(array, array)


def test_uneven_coordinates_are_refused() -> None:
    x = np.r_[np.arange(79.0), 90.0]
    array = xarray.DataArray(
        GROUND, {"y": -np.arange(96.0), "x": x}, ("band", "y", "x")
    ).rio.write_crs(CRS.from_epsg(32614))
    with pytest.raises(RasterError, match="coordinates x"):
        hanet.open_pair(array, array)


def test_a_pair_reads_windows_of_all_kinds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hanet.open_pair(path, path) as pair:
        wanted = pair.read(Window(4, 8, 16, 32)).before
        assert (pair.read(np.s_[4:20, 8:40]).before == wanted).all()
        assert (pair.read(RasterioWindow(8, 4, 32, 16)).before == wanted).all()
        assert pair.read().before.shape == (3, 96, 80)
        monkeypatch.setattr(hanet.imagery.pair, "LARGEST_BLOCK_BYTES", 96 * 80 * 25 - 1)
        with pytest.raises(SettingsError, match="96 x 80"):
            pair.read()
