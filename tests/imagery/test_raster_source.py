"""What a file states of itself, and what it does not: colours, transparency, place, dates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp, Resampling

from hanet.errors import GridError, RasterError
from hanet.imagery.addresses import without_credentials
from hanet.imagery.pair import open_pair
from hanet.imagery.preflight import examine
from hanet.imagery.raster_source import RasterSource
from hanet.types import Window
from small_rasters import UTM, write

RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue


def coloured(
    path: Path, pixels: np.ndarray, kinds: tuple[ColorInterp, ...], **profile: object
) -> Path:
    """A raster whose bands are called so."""
    write(path, pixels, photometric="MINISBLACK", **profile)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = kinds
    return path


def bands_of(values: tuple[int, ...], side: int = 4) -> np.ndarray:
    """Bands of one value each."""
    return np.stack([np.full((side, side), value, np.uint8) for value in values])


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ((30, 20, 10), (BLUE, GREEN, RED)),
        ((30, 20, 10, 90), (BLUE, GREEN, RED, ColorInterp.undefined)),
        ((255, 10, 20, 30), (ColorInterp.alpha, RED, GREEN, BLUE)),
        ((10, 20, 30), (ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined)),
    ],
)
def test_each_date_is_read_in_the_order_that_its_file_states(
    values: tuple[int, ...], kinds: tuple[ColorInterp, ...], tmp_path: Path
) -> None:
    """All files were read as red, green, blue from their first band on."""
    plain = write(tmp_path / "before.tif", bands_of((10, 20, 30)))
    other = coloured(tmp_path / "after.tif", bands_of(values), kinds)
    for names in ((plain, other), (other, plain)):
        with open_pair(*names) as pair:
            block = pair.read(Window(0, 0, 4, 4))
        for date in (block.before, block.after):
            assert date[:, 0, 0].tolist() == [10, 20, 30]
        assert block.valid.all()
        order = any("states red, green and blue as bands" in note for note in pair.notes)
        assert order == (RED in kinds)


def test_band_numbers_count_all_bands_of_the_file(tmp_path: Path) -> None:
    kinds = (ColorInterp.alpha, RED, GREEN, BLUE)
    raster = coloured(tmp_path / "argb.tif", bands_of((255, 10, 20, 30)), kinds)
    with open_pair(raster, raster, bands=(4, 3, 2)) as pair:
        assert pair.read(Window(0, 0, 4, 4)).before[:, 0, 0].tolist() == [30, 20, 10]
    with pytest.raises(RasterError, match=r"band 1 of .* is its transparency"):
        open_pair(raster, raster, bands=(1, 2, 3))


PLAIN = ColorInterp.undefined


@pytest.mark.parametrize(
    ("kinds", "bands", "said"),
    [
        ((RED, RED, BLUE), None, "a.tif states bands 1,2,3 as red, red, blue; they are read as"),
        ((BLUE, PLAIN, PLAIN), None, "a.tif states bands 1,2,3 as blue, undefined, undefined;"),
        ((ColorInterp.gray, *[PLAIN] * 7), None, "a.tif has 8 bands and does not state which are"),
        ((RED, GREEN, BLUE), (1, 1, 2), "--bands 1,1,2 takes band 1 more than once"),
        ((RED, GREEN, BLUE), (1, 1, 1), None),  # a grey image
        ((ColorInterp.gray, PLAIN, PLAIN), None, None),  # 16 bit, as GDAL writes it
        ((RED, GREEN, BLUE, PLAIN), None, None),
    ],
)
def test_bands_that_are_guessed_or_repeated_are_said(
    kinds: tuple[ColorInterp, ...],
    bands: tuple[int, ...] | None,
    said: str | None,
    tmp_path: Path,
) -> None:
    raster = coloured(tmp_path / "a.tif", bands_of(tuple(range(10, 10 + len(kinds)))), kinds)
    other = write(tmp_path / "b.tif", bands_of((10, 20, 30)))
    with open_pair(raster, other, bands=bands) as pair:
        assert [note for note in pair.notes if "band" in note] == [
            note for note in pair.notes if said is not None and note.startswith(said)
        ]
        assert any("band" in note for note in pair.notes) == (said is not None)


@pytest.mark.parametrize("left", [620000.0, 620000.25])  # read straight, and warped
def test_near_infrared_that_is_called_alpha_hides_nothing(left: float, tmp_path: Path) -> None:
    """Ground with little infrared, as water, was thrown away, and the warp weighed by it."""
    infrared = np.random.default_rng(1).integers(0, 255, (1, 64, 64), dtype=np.uint8)
    pixels = np.concatenate([bands_of((10, 20, 30), 64), infrared])
    kinds = (RED, GREEN, BLUE, ColorInterp.alpha)
    four = coloured(tmp_path / "four.tif", pixels, kinds, left=left)
    three = write(tmp_path / "three.tif", bands_of((10, 20, 30), 64))
    with open_pair(three, four, grid="before") as pair:
        block = pair.read(Window(0, 0, 64, 64))
        assert any("calls band 4 alpha" in note for note in pair.notes)
    assert block.valid[:, 1:].all()
    assert np.allclose(block.after[0][block.valid], 10)


def test_transparency_that_is_some_keeps_its_word(tmp_path: Path) -> None:
    pixels = np.concatenate([bands_of((10, 20, 30), 64), bands_of((255,), 64)])
    pixels[3, :, :32] = 0
    pixels[3, :, 32] = 128  # a feathered seam
    raster = coloured(tmp_path / "a.tif", pixels, (RED, GREEN, BLUE, ColorInterp.alpha))
    with open_pair(raster, raster) as pair:
        assert pair.read(Window(0, 0, 64, 64)).valid.mean() == 0.5


@pytest.mark.filterwarnings("ignore:The given matrix")
def test_a_crs_without_a_geotransform_is_no_place(tmp_path: Path) -> None:
    """Pixels were taken as metres from the origin of the CRS."""
    pixels = bands_of((1, 2, 3))
    unplaced = [
        write(tmp_path / f"{name}.tif", pixels, transform=rasterio.Affine.identity())
        for name in "ab"
    ]
    with open_pair(*unplaced) as pair:
        assert pair.grid.crs is None
        assert "no geotransform in a.tif, b.tif" in pair.notes[0]
    placed = write(tmp_path / "placed.tif", pixels)
    with pytest.raises(GridError, match=r"a\.tif has a CRS but no geotransform") as caught:
        open_pair(unplaced[0], placed)
    assert "gdal_edit.py -a_ullr" in str(caught.value.hint)


def test_geotransforms_without_a_crs_must_agree(tmp_path: Path) -> None:
    pixels = bands_of((1, 2, 3))
    first, near, far = (
        write(tmp_path / f"{left}.tif", pixels, left=left, crs=None)
        for left in (620000.0, 620000.1, 620001.0)
    )
    with open_pair(first, near) as pair:
        assert pair.grid.crs is None
        assert any("gdal_edit.py -a_srs EPSG:CODE" in note for note in pair.notes)
    with pytest.raises(GridError, match="do not align"):
        open_pair(first, far)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_transform_that_places_nothing_is_refused(value: float, tmp_path: Path) -> None:
    """Infinite and not a number ended in a traceback."""
    transform = rasterio.Affine(value, 0, 620000, 0, -0.5, 3350000)
    raster = write(tmp_path / "a.tif", bands_of((1, 2, 3)), transform=transform)
    with pytest.raises(GridError, match=r"geotransform of .* is degenerate"):
        RasterSource(raster)


def test_a_crs_whose_name_is_not_utf_8_is_refused_in_words(tmp_path: Path) -> None:
    crs = "+proj=tmerc +lat_0=0 +lon_0=-99 +k=0.9 +x_0=7 +y_0=0 +datum=WGS84 +units=m"
    raster = write(tmp_path / "a.tif", bands_of((1, 2, 3)), crs=crs)
    content = raster.read_bytes()
    assert b"unknown" in content  # the name of the CRS
    raster.write_bytes(content.replace(b"unknown", b"unknow\xe7"))
    with pytest.raises(RasterError, match="a text in it is not UTF-8"), RasterSource(raster):
        pass


@pytest.mark.parametrize(("text", "turn"), [("6", 6), ("²", 1), ("9" * 5000, 1), ("0", 1), ("", 1)])
def test_an_orientation_that_exif_does_not_know_is_none(
    tmp_path: Path, text: str, turn: int
) -> None:
    raster = write(tmp_path / "a.tif", bands_of((1, 2, 3)))
    with rasterio.open(raster, "r+") as file:
        file.update_tags(EXIF_Orientation=text)
    with RasterSource(raster) as source:
        assert source.orientation == turn


def test_the_time_of_writing_is_no_date_of_the_image(tmp_path: Path) -> None:
    raster = write(tmp_path / "a.tif", bands_of((1, 2, 3)))
    with rasterio.open(raster, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2024:03:02 11:00:00")
    with RasterSource(raster) as source:
        assert (source.date, source.written) == (None, "2024-03-02")
    found = [
        finding for finding in examine(raster, raster).findings if "written on" in finding.message
    ]
    assert [finding.fix for finding in found] == ["--before-date and --after-date set it"]
    assert found[0].message.startswith("both files were written on 2024-03-02 (")
    other = write(tmp_path / "b.tif", bands_of((1, 2, 3)))
    with rasterio.open(other, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2025:01:31 11:00:00")
    said = [f for f in examine(raster, other).findings if "written on" in f.message]
    assert [finding.message.partition(" (")[0] for finding in said] == [
        "a.tif was written on 2024-03-02 and b.tif was written on 2025-01-31"
    ]
    said = [
        finding
        for finding in examine(raster, other, before_date="2020").findings
        if "written on" in finding.message
    ]
    assert [finding.fix for finding in said] == ["--after-date sets it"]
    assert said[0].message.startswith("b.tif was written on 2025-01-31 (")
    with rasterio.open(raster, "r+") as file:
        file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2023-08-15T10:00:00")
    with RasterSource(raster) as source:
        assert source.date == "2023-08-15"


def test_overviews_older_than_the_pixels_are_not_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(50, 200, (3, 1200, 1200), dtype=np.uint8)
    true = write(tmp_path / "true.tif", pixels)
    old = write(tmp_path / "old.tif", np.zeros_like(pixels))
    for path in (true, old):
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4], Resampling.nearest)
    with rasterio.open(old, "r+") as file:
        file.write(pixels)
    with open_pair(true, old) as pair:
        sample = pair.sample(longest_px=256)
        assert (pair.before.has_stale_overviews, pair.after.has_stale_overviews) == (False, True)
    assert sample.before.mean() == pytest.approx(125, abs=1)
    assert sample.after.mean() == pytest.approx(125, abs=1)


def test_overviews_older_than_the_pixels_are_reported(tmp_path: Path) -> None:
    """16 bit: the scaling came from them, and all values were stretched to white."""
    pixels = np.random.default_rng(0).integers(500, 2000, (3, 4400, 300), dtype=np.uint16)
    old = write(tmp_path / "old.tif", np.zeros_like(pixels))
    with rasterio.open(old, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    with rasterio.open(old, "r+") as file:
        file.write(pixels)
    plain = write(tmp_path / "plain.tif", pixels)
    found = examine(plain, old)
    messages = [finding.message for finding in found.findings if finding.level == "warning"]
    assert any("the overviews of old.tif" in message for message in messages)
    assert found.pair["scaling"] == examine(plain, plain).pair["scaling"]


def test_what_gdal_says_becomes_a_note(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    raster = write(tmp_path / "a.tif", bands_of((1, 2, 3)), crs=UTM)
    content = bytearray(raster.read_bytes())
    key = content.find((34735).to_bytes(2, "little"))  # the tag of the GeoKey directory
    content[key + 4 : key + 8] = (1).to_bytes(4, "little")  # a directory of one number
    raster.write_bytes(bytes(content))
    capfd.readouterr()
    with RasterSource(raster) as source:
        assert source.remarks
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_that_are_to_be_turned_differently_are_refused(tmp_path: Path) -> None:
    exif = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    with rasterio.open(
        plain, "w", driver="JPEG", count=3, height=16, width=16, dtype="uint8"
    ) as file:
        file.write(bands_of((10, 20, 30), 16))
    (tmp_path / "plain.jpg.aux.xml").unlink(missing_ok=True)
    content = plain.read_bytes()
    segment = b"Exif\x00\x00" + exif
    marker = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    turned.write_bytes(content[:2] + marker + content[2:])
    with pytest.raises(GridError, match="EXIF orientations differ, 1 before and 6") as e:
        open_pair(plain, turned)
    assert "magick turned.jpg -auto-orient" in str(e.value.hint)
    with open_pair(turned, turned) as pair:
        assert any("EXIF orientation 6" in note for note in pair.notes)


@pytest.mark.parametrize("content", [b"II*\0rubbish", b"\0" * 50, b"II*\0\x08\0\0\0\0\0\0\0\0\0"])
def test_a_damaged_file_of_overviews_is_passed_over(content: bytes, tmp_path: Path) -> None:
    """What GDAL had said of it was raised by the next question, for colours, as GDAL's error."""
    pixels = np.full((3, 8, 8), 9, dtype=np.uint8)
    path = write(tmp_path / "a.tif", pixels)
    Path(f"{path}.ovr").write_bytes(content)
    with RasterSource(path) as source:
        assert source.overview_factors == ()
        assert source.alpha_band is None
        assert source.validity == "none"
    with open_pair(path, path) as pair:
        assert np.array_equal(pair.read(Window(0, 0, 8, 8)).before, pixels)


def test_a_date_of_transparency_alone_is_refused(tmp_path: Path) -> None:
    """The hint named bands to take, and there is none."""
    path = tmp_path / "a.tif"
    write(path, np.full((1, 8, 8), 255, dtype=np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.alpha]
    for bands in (None, (1, 1, 1)):
        with pytest.raises(RasterError, match=r"besides alpha|transparency") as caught:
            open_pair(path, path, bands=bands)
        assert caught.value.hint
        assert not caught.value.hint.endswith("--bands ")
    with pytest.raises(RasterError, match="has 0 bands besides alpha") as caught:
        examine(path, path)  # wants as many as there are, which was none
    assert caught.value.hint


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1e31, 0.0), (1e-31, 0.0), (-1.0, 0.0), (1.0, 1e31), (float("nan"), 0.0), (1.0, -math.inf)],
)
def test_tags_that_no_measure_has_are_ignored_and_told(
    scale: float, offset: float, tmp_path: Path
) -> None:
    """Numbers overflowed, and numpy said so on the terminal."""
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 64, 64)).astype(np.uint16)
    before, after = (write(tmp_path / f"{date}.tif", pixels) for date in ("before", "after"))
    with open_pair(before, after) as pair:
        plain = pair.read(Window(0, 0, 64, 64))
    with rasterio.open(after, "r+") as dataset:
        dataset.scales, dataset.offsets = (scale,) * 3, (offset,) * 3
    with open_pair(before, after) as pair:
        assert any("that no measure has" in note for note in pair.notes)
        found = pair.read(Window(0, 0, 64, 64))
    assert np.array_equal(found.before, plain.before)
    assert np.array_equal(found.after, plain.after)


@pytest.mark.parametrize(
    "name",
    [
        "WCS:http://127.0.0.1:1/wcs?version=2.0.1&coverage=a",
        "WMS:http://127.0.0.1:1/wms?layers=a",
        "WMTS:http://127.0.0.1:1/wmts",
        "EEDAI:image/asset",
        "PLMOSAIC:mosaic=a",
        "PG:dbname=x host=127.0.0.1 port=1",
        "DODS:http://127.0.0.1:1/x",
    ],
)
def test_a_service_is_no_raster(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL's WCS left ``~/.gdal`` behind, whatever came of it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RasterError, match="is a service or a database") as caught:
        RasterSource(name)
    assert caught.value.hint
    assert without_credentials(caught.value.message) == caught.value.message  # as it is printed
    assert list(tmp_path.iterdir()) == []


def test_the_description_of_a_service_in_a_file_is_no_raster(tmp_path: Path) -> None:
    path = tmp_path / "wms.xml"
    path.write_text(
        "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:1/${z}/${x}/${y}</ServerUrl>"
        "</Service><DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>9</UpperLeftY><LowerRightX>9"
        "</LowerRightX><LowerRightY>0</LowerRightY><SizeX>9</SizeX><SizeY>9</SizeY></DataWindow>"
        "<Projection>EPSG:3857</Projection></GDAL_WMS>"
    )
    with rasterio.open(path) as dataset:
        assert dataset.driver == "WMS"
    with pytest.raises(RasterError, match="is a service or a database"):
        RasterSource(path)


@pytest.mark.parametrize(
    "name", ['NETCDF:"https://127.0.0.1:1/a.nc":red', "NETCDF:http://127.0.0.1:1/a.nc:red"]
)
def test_netcdf_does_not_speak_by_itself(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """libnetcdf fetched the address, and wrote to the terminal what curl said."""
    with pytest.raises(RasterError, match="is netCDF behind an address"):
        RasterSource(name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("driver", "suffix"),
    [
        ("GTiff", "tif"),
        ("COG", "tif"),
        ("JP2OpenJPEG", "jp2"),
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("HFA", "img"),
        ("ENVI", "dat"),
        ("NITF", "ntf"),
        ("VRT", "vrt"),
        ("GPKG", "gpkg"),
    ],
)
def test_rasters_of_files_are_opened_whatever_their_format(
    driver: str, suffix: str, tmp_path: Path
) -> None:
    plain = write(tmp_path / "plain.tif", np.full((3, 64, 64), 9, dtype=np.uint8))
    path = tmp_path / f"a.{suffix}"
    rasterio.shutil.copy(plain, path, driver=driver)
    with RasterSource(path) as source:
        assert source.band_count == 3
        assert np.unique(source.read_raw(Window(0, 0, 8, 8), (1, 2, 3))).tolist() == [9]


def test_a_part_of_a_netcdf_file_that_lies_here_is_opened(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.tif", np.full((1, 8, 8), 9, dtype=np.uint8))
    path = tmp_path / "a.nc"
    rasterio.shutil.copy(plain, path, driver="netCDF")
    with RasterSource(f'NETCDF:"{path}":Band1') as source:
        assert source.band_count == 1


def test_a_message_says_the_path_once(tmp_path: Path) -> None:
    path = tmp_path / "text.tif"
    path.write_bytes(b"text")
    with pytest.raises(RasterError) as caught:
        RasterSource(path)
    said = "is not a raster that can be opened: not recognized as being in a supported file format"
    assert caught.value.message == f"{path} {said}"
