"""Two rasters on one grid, on GeoTIFFs small enough to check by eye; errors in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from hanet.errors import GridError, HanetError, RasterError, SettingsError, VectorError
from hanet.imagery.pair import PairSettings, open_pair, open_sources, pair_on
from hanet.imagery.preflight import examine, shift_on_grid
from hanet.imagery.registration import Shift
from hanet.synthetic.scene import render_pair
from hanet.types import Window
from small_rasters import UTM, write


def _ramp(height: int = 96, width: int = 96) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, rows + columns]).astype(np.uint8)


def test_one_grid_reads_the_very_pixels_and_reflects_beyond(tmp_path: Path) -> None:
    pixels = _ramp()
    with open_pair(
        write(tmp_path / "a.tif", pixels), write(tmp_path / "b.tif", 255 - pixels)
    ) as pair:
        block = pair.read(Window(10, 20, 4, 4))
        assert np.array_equal(block.before, pixels[:, 10:14, 20:24])
        assert np.array_equal(block.after, 255 - pixels[:, 10:14, 20:24])
        beyond = pair.read(Window(92, 0, 6, 4))
        assert beyond.valid[:4].all()
        assert not beyond.valid[4:].any()
        assert np.array_equal(beyond.before[0, :, 0], [92, 93, 94, 95, 94, 93])


def test_a_part_is_read_as_from_the_whole_and_is_invalid_around(tmp_path: Path) -> None:
    """Beyond the part lies ground outside the area of interest; beyond the grid nothing."""
    paths = write(tmp_path / "a.tif", _ramp()), write(tmp_path / "b.tif", 255 - _ramp())
    aoi = tmp_path / "aoi.geojson"
    ring = [[620005, 3349995], [620020, 3349995], [620020, 3349970], [620005, 3349995]]
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    aoi.write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": crs}))
    part = Window(8, 6, 60, 40)  # holds all of it
    settings = PairSettings(aoi=aoi, gsd_m=0.47, shift=Shift(1.5, 2.25, 1.0, 9))
    with (
        open_sources(*paths) as sources,
        pair_on(sources, settings) as whole,
        pair_on(sources, replace(settings, part=part)) as pair,
    ):
        assert pair.grid == whole.grid.part(part)
        assert pair.whole == whole.grid
        assert pair.manifest()["part_of"] == whole.grid.to_json()
        assert "part_of" not in whole.manifest()
        for row, column, size in ((0, 0, 20), (-8, -6, 120), (-40, 3, 50), (60, 40, 30)):
            found = pair.read(Window(row, column, size, size))
            wanted = whole.read(Window(row + part.row, column + part.column, size, size))
            for ours, theirs in zip(found, wanted, strict=True):
                assert np.array_equal(ours, theirs)
        assert pair.read().valid.sum() == whole.read().valid.sum() > 300
        # what is measured in the pair does not depend on the part
        assert np.array_equal(pair.sample().after, whole.sample().after)
        with pytest.raises(SettingsError, match="outside the grid of 60x40"):
            pair.read(Window(500, 500, 8, 8))


def test_the_overlap_of_shifted_extents_is_read_from_both(tmp_path: Path) -> None:
    pixels = _ramp()
    second = write(tmp_path / "b.tif", pixels, left=620000 + 5.0, top=3350000 - 10.0)
    with open_pair(write(tmp_path / "a.tif", pixels), second) as pair:
        assert (pair.grid.height, pair.grid.width) == (76, 86)
        block = pair.read(Window(0, 0, 2, 2))
        assert np.array_equal(block.before, pixels[:, 20:22, 10:12])
        assert np.array_equal(block.after, pixels[:, 0:2, 0:2])


def test_another_crs_is_warped_onto_the_finer_grid(tmp_path: Path) -> None:
    from rasterio.warp import reproject

    scene, _, _ = render_pair(256, 256, 4)
    first = write(tmp_path / "a.tif", scene)
    with rasterio.open(first) as source:
        target = np.zeros((3, 300, 300), np.uint8)
        transform = rasterio.Affine(6e-6, 0, -97.7522, 0, -6e-6, 30.2756)
        reproject(
            source.read(),
            target,
            src_transform=source.transform,
            src_crs=UTM,
            dst_transform=transform,
            dst_crs="EPSG:4326",
        )
    second = write(
        tmp_path / "b.tif", target, crs=CRS.from_epsg(4326), transform=transform, nodata=0
    )
    with open_pair(first, second, grid="before") as pair:
        block = pair.read(Window(0, 0, pair.grid.height, pair.grid.width))
        assert 0.3 < block.valid.mean() <= 1.0
        difference = np.abs(block.before - block.after)[:, block.valid]
        assert np.median(difference) < 6


def test_a_shift_counts_in_pixels_of_the_grid_whatever_the_crs(tmp_path: Path) -> None:
    """It was taken for units of the after image's own CRS: metres became degrees, and no pixel was
    valid."""
    first = write(tmp_path / "a.tif", _ramp())
    turned = rasterio.Affine(5e-6, 0, -97.7525, 0, -5e-6, 30.2760)
    random = np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8)
    second = write(tmp_path / "b.tif", random, crs=CRS.from_epsg(4326), transform=turned)
    with open_pair(first, second, grid="before") as pair:
        plain = pair.read(Window(0, 0, 96, 96)).after
    with open_pair(first, second, grid="before", shift=Shift(3.0, -5.0, 1.0, 9)) as pair:
        shifted = pair.read(Window(0, 0, 96, 96))
    assert shifted.valid.all()
    assert np.abs(shifted.after[:, :-3, 5:] - plain[:, 3:, :-5]).mean() < 1


def test_nodata_alpha_and_nan_are_invalid_in_both(tmp_path: Path) -> None:
    first, second = _ramp() + 1, _ramp() + 1
    first[:, 5, 5] = 0
    alpha = np.full((1, 96, 96), 255, np.uint8)
    alpha[0, 7, 7] = 0
    a = write(tmp_path / "a.tif", first, nodata=0)
    b = write(tmp_path / "b.tif", np.concatenate([second, alpha]), photometric="RGB", alpha="YES")
    with open_pair(a, b) as pair:
        valid = pair.read(Window(0, 0, 96, 96)).valid
    assert not valid[5, 5]
    assert not valid[7, 7]
    assert valid.sum() == 96 * 96 - 2
    floats = _ramp().astype(np.float32)
    floats[0, 3, 3] = np.nan
    floats[:, 4, 4] = np.inf
    floats[:, 5, 4] = lowest = np.finfo(
        np.float32
    ).min  # as many programs mark nodata; scaled it is beyond all floats
    with open_pair(write(tmp_path / "c.tif", floats, nodata=lowest), a) as pair:
        block = pair.read(Window(0, 0, 96, 96))
    assert not block.valid[[3, 4, 5], [3, 4, 4]].any()
    assert np.isfinite(block.before).all()


HOLE = (slice(30, 60), slice(20, 70))


def _marked(path: Path, *, dtype: str, bands: int, mark: str) -> Path:
    """A raster of 96x96 pixels whose HOLE is marked as invalid."""
    pixels = np.random.default_rng(0).integers(30, 200, (bands, 96, 96)).astype(dtype)
    profile: dict[str, Any] = {
        "photometric": "minisblack",
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
    }
    alpha = np.full((1, 96, 96), np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1).astype(
        dtype
    )
    if "nodata" in mark:
        profile["nodata"] = 0
        pixels[:, *HOLE] = 0
        pixels[0, 80, 80] = 0  # one band alone: a dark pixel, not nodata
    if "alpha" not in mark:
        write(path, pixels, **profile)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=mark == "mask within"),
            rasterio.open(path, "r+") as dataset,
        ):
            if "mask" in mark:
                inside = np.ones((96, 96), dtype=np.bool_)
                inside[HOLE] = False
                dataset.write_mask(inside)
        return path
    if mark == "alpha":
        alpha[:, *HOLE] = 0
    kinds = [ColorInterp.gray, *[ColorInterp.undefined] * (bands - 1), ColorInterp.alpha]
    profile |= {"crs": UTM, "transform": rasterio.Affine(0.5, 0, 620000.0, 0, -0.5, 3350000.0)}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands + 1, height=96, width=96, dtype=dtype, **profile
    ) as dataset:
        dataset.colorinterp = kinds
        dataset.write(np.concatenate([pixels, alpha]))
    return path


@pytest.mark.parametrize(
    "mark", ["nodata", "alpha", "nodata and alpha", "mask within", "mask beside", "none"]
)
@pytest.mark.parametrize(
    ("dtype", "bands"), [("uint8", 3), ("uint8", 4), ("uint16", 4), ("int16", 3), ("float32", 3)]
)
def test_what_is_marked_is_invalid_as_it_lies_and_warped(
    tmp_path: Path, dtype: str, bands: int, mark: str
) -> None:
    # GDAL's own masks heed alpha only as the second or fourth band of a byte or 16-bit raster: four
    # bands with nodata were valid all over
    first = _marked(tmp_path / "a.tif", dtype=dtype, bands=bands, mark=mark)
    wanted = np.ones((96, 96), dtype=np.bool_)
    if mark != "none":
        wanted[HOLE] = False
    ground = np.full((bands, 96, 96), 90, dtype=dtype)
    with open_pair(first, write(tmp_path / "same.tif", ground)) as pair:
        assert np.array_equal(pair.read(Window(0, 0, 96, 96)).valid, wanted)
        assert pair.before.validity == {
            "none": "none",
            "nodata": "nodata 0",
            "nodata and alpha": "nodata 0, alpha",
        }.get(mark, mark.split()[0])
    half = write(
        tmp_path / "half.tif",
        np.full((bands, 98, 98), 90, dtype=dtype),
        left=619999.75,
        top=3350000.25,
    )
    with open_pair(first, half, grid="after") as pair:
        assert (pair.grid.height, pair.grid.width) == (96, 96)
        valid = pair.read(
            Window(0, 0, 96, 96)
        ).valid  # pixels lie half a pixel up and left of the raster's own
        share = pair.sample().valid.mean()
    assert valid[1:30, 1:].all()
    assert valid[62:, :].all()
    assert valid[80:82, 80:82].all()
    if mark == "none":
        assert valid.all()
    else:
        assert not valid[31:60, 21:70].any()
        assert share == pytest.approx(wanted.mean(), abs=0.03)


@pytest.mark.parametrize("nodata", [0, np.nan])
def test_nodata_counts_beside_a_mask_too(tmp_path: Path, nodata: float) -> None:
    """As it lay only the mask was asked, warped both: edges that lie within the mask but bear
    nodata were ground."""
    pixels = np.random.default_rng(0).integers(30, 200, (3, 96, 96)).astype(np.float32)
    pixels[:, HOLE[0], HOLE[1]] = nodata
    path = write(tmp_path / "a.tif", pixels, nodata=nodata)
    wanted = np.ones((96, 96), dtype=np.bool_)
    wanted[HOLE] = wanted[70:80] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(
            np.where(np.arange(96)[:, None] // 10 == 7, 0, np.full((96, 96), 255)).astype(np.uint8)
        )
    with open_pair(path, path) as pair:
        assert np.array_equal(pair.read(Window(0, 0, 96, 96)).valid, wanted)
    with open_pair(path, path, shift=Shift(0.01, 0.0, 1.0, 9)) as pair:
        assert pair.read(Window(0, 0, 96, 96)).valid.mean() == pytest.approx(
            wanted.mean(), abs=0.02
        )


def test_of_a_local_raster_what_lies_beside_it_counts(tmp_path: Path) -> None:
    # no folder is listed for remote rasters; once local ones lost their world files, masks and
    # statistics by that too
    from hanet.imagery.images import write_png

    raster = tmp_path / "a.png"
    write_png(raster, _ramp())
    (tmp_path / "a.pgw").write_text("0.5\n0\n0\n-0.5\n620000.25\n3349999.75\n")
    (tmp_path / "a.png.aux.xml").write_text(
        f"<PAMDataset><SRS>{UTM.to_wkt()}</SRS></PAMDataset>".replace("&", "&amp;")
    )
    with open_pair(raster, write(tmp_path / "b.tif", _ramp())) as pair:
        assert pair.grid.bounds == (620000.0, 3349952.0, 620048.0, 3350000.0)


def test_sixteen_bit_is_scaled_by_one_rule_for_both_dates(tmp_path: Path) -> None:
    pixels = _ramp().astype(np.uint16) * 20
    with open_pair(
        write(tmp_path / "a.tif", pixels), write(tmp_path / "b.tif", pixels + 500)
    ) as pair:
        block = pair.read(Window(0, 0, 96, 96))
        assert block.after.max() <= 255
        assert block.before.min() >= 0
        assert "percentiles" in pair.scaling.source
        assert (block.after >= block.before).all()


def test_off_the_weights_resolution_the_pair_is_resampled_and_it_is_said(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.tif", _ramp(), gsd=1.0) for n in "ab"]
    with open_pair(*paths, target_gsd_m=0.5) as pair:
        assert (pair.grid.height, pair.grid.width) == (192, 192)
        assert any("resampled" in note for note in pair.notes)
    with open_pair(*paths, target_gsd_m=0.5, gsd_m="native") as pair:
        assert pair.grid.height == 96


def test_pixels_far_from_square_are_made_square_and_a_shift_keeps_its_metres(
    tmp_path: Path,
) -> None:
    """At 60 degrees north a pixel of 6e-6 degrees is 0.33 m wide and 0.67 m high: half a metre, but
    no house keeps its shape."""
    degrees = rasterio.Affine(6e-6, 0, 25.0, 0, -6e-6, 60.0)
    paths = [
        write(tmp_path / f"{n}.tif", _ramp(), crs=CRS.from_epsg(4326), transform=degrees)
        for n in "ab"
    ]
    with open_pair(*paths, target_gsd_m=0.5, gsd_m="native") as pair:
        native = pair.grid
    with open_pair(*paths, target_gsd_m=0.5) as pair:
        assert pair.grid.gsd_axes_m == pytest.approx((0.5, 0.5), rel=1e-3)
        assert any("0.335 m wide and 0.668 m high" in note for note in pair.notes)
        shift = Shift(3.0, 6.0, 1.0, 9)
        assert native.gsd_axes_m is not None
        moved = shift_on_grid(shift, found_on=native, grid=pair.grid)
        assert (moved.rows_px, moved.columns_px) == pytest.approx((4.0, 4.0), rel=0.02)
        assert shift.length_m(native.gsd_axes_m) == pytest.approx(moved.length_px * 0.5, rel=1e-3)
    findings = examine(*paths, target_gsd_m=0.5).findings
    assert [f.fix for f in findings if "square ones of 0.5 m" in f.message] == [
        "--gsd native keeps the pair's own"
    ]


def test_pictures_without_georeference_work_in_pixels(tmp_path: Path) -> None:
    from hanet.imagery.images import write_png

    for name in "ab":
        write_png(tmp_path / f"{name}.png", _ramp())
    with open_pair(tmp_path / "a.png", tmp_path / "b.png") as pair:
        assert pair.grid.crs is None
        assert np.array_equal(pair.read(Window(0, 0, 96, 96)).before, _ramp())
    with pytest.raises(GridError, match="has no CRS"):
        open_pair(tmp_path / "a.png", write(tmp_path / "b.tif", _ramp()))


def test_ground_control_points_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    from rasterio.control import GroundControlPoint

    corners = [
        GroundControlPoint(row, column, 620000 + column / 2, 3350000 - row / 2)
        for row in (0, 96)
        for column in (0, 96)
    ]
    pointed = write(tmp_path / "a.tif", _ramp(), gcps=corners, transform=None)
    with open_pair(pointed, pointed) as pair:
        assert pair.grid.crs is None
        assert any("gdalwarp a.tif" in note for note in pair.notes)
    with pytest.raises(GridError, match="has no CRS") as error:
        open_pair(pointed, write(tmp_path / "b.tif", _ramp()))
    assert "gdalwarp a.tif" in str(error.value.hint)


def test_pictures_without_georeference_can_be_moved_and_sampled(tmp_path: Path) -> None:
    """Their warped views lay upside down above the grid: a shift, and any sample of a large pair,
    had no valid pixel."""
    from hanet.imagery.images import write_png

    for name in "ab":
        write_png(tmp_path / f"{name}.png", _ramp())
    with open_pair(tmp_path / "a.png", tmp_path / "b.png", shift=Shift(3.0, 2.0, 1.0, 9)) as pair:
        block = pair.read(Window(0, 0, 90, 90))
        assert block.valid.all()
        assert np.array_equal(block.after, _ramp()[:, 3:93, 2:92])
        sample = pair.sample(longest_px=32)
        assert sample.valid.mean() > 0.9
        assert np.abs(sample.before[1] - 3.0 * np.arange(32)).max() <= 2


@pytest.mark.parametrize("degrees", [30, 90, 180])
def test_a_rotated_raster_keeps_its_resolution(tmp_path: Path, degrees: float) -> None:
    """Turned by 30 degrees it was read at 0.68 m instead of 0.5 m."""
    turn = rasterio.Affine.translation(620000, 3350000) @ rasterio.Affine.rotation(degrees)
    before = write(tmp_path / "a.tif", _ramp(), transform=turn @ rasterio.Affine.scale(0.5, -0.5))
    with open_pair(before, before) as pair:
        left, bottom, right, top = pair.grid.bounds
        assert pair.grid.transform[0] == pytest.approx(0.5)
        assert pair.grid.transform[4] == pytest.approx(-0.5)
        valid = pair.read(Window(0, 0, pair.grid.height, pair.grid.width)).valid
    side = 48 * sum(abs(f(np.radians(degrees))) for f in (np.sin, np.cos))
    assert (right - left, top - bottom) == pytest.approx((side, side), abs=0.5)
    assert valid.sum() == pytest.approx(96 * 96, rel=0.03)


def test_rasters_that_do_not_meet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="do not overlap"):
        open_pair(
            write(tmp_path / "a.tif", _ramp()), write(tmp_path / "b.tif", _ramp(), left=700000.0)
        )


def test_a_truncated_raster_is_an_error_with_its_name(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 255, (3, 512, 512)).astype(np.uint8)
    path = write(
        tmp_path / "a.tif", random, tiled=True, blockxsize=256, blockysize=256, compress="deflate"
    )
    path.write_bytes(path.read_bytes()[:300_000])
    with pytest.raises(RasterError, match=r"a\.tif"), open_pair(path, path) as pair:
        pair.read(Window(0, 0, 512, 512))


def test_all_errors_are_of_the_family() -> None:
    assert issubclass(RasterError, HanetError)
    assert issubclass(GridError, HanetError)


def _at_date_line(path: Path, pixels: np.ndarray[Any, Any], left: float, **profile: Any) -> Path:
    """A raster in degrees, about half a metre a pixel."""
    return write(path, pixels, left=left, top=-17.0, gsd=5e-6, **{"crs": "EPSG:4326", **profile})


@pytest.mark.parametrize(("columns", "is_resampled"), [(20, False), (20.5, True)])
def test_rasters_on_the_date_line_meet_however_they_count(
    tmp_path: Path, columns: float, is_resampled: bool
) -> None:
    """One counted on from 180 and the other from -180: they were said not to overlap."""
    pixels = _ramp()
    before = _at_date_line(tmp_path / "before.tif", pixels, 180.0 - 48 * 5e-6)
    after = _at_date_line(tmp_path / "after.tif", pixels, -180.0 + (columns - 48) * 5e-6)
    with open_pair(before, after, gsd_m="native") as pair:
        assert abs(pair.grid.width - (96 - columns)) < 1
        block = pair.read(Window(4, 4, 32, 32))
        assert block.valid.all()
        shifted = block.before[1] - block.after[1]
        assert shifted == pytest.approx(20.5 if is_resampled else 20, abs=0.6)
        assert np.array_equal(block.before[0], block.after[0]) or is_resampled


def test_utm_and_degrees_meet_across_the_date_line(tmp_path: Path) -> None:
    pixels = _ramp()
    utm = CRS.from_epsg(32701)
    x, y = rasterio.warp.transform("EPSG:4326", utm, [180.0], [-17.0])
    metres = write(tmp_path / "metres.tif", pixels, left=x[0] - 24, top=y[0], crs=utm)
    for left in (180.0, -180.0):
        degrees = _at_date_line(tmp_path / f"{left}.tif", pixels, left - 48 * 5e-6)
        for grid in ("before", "after"):
            with open_pair(metres, degrees, grid=grid, gsd_m="native") as pair:
                middle = pair.read(
                    Window(pair.grid.height // 2 - 10, pair.grid.width // 2 - 10, 20, 20)
                )
                assert pair.grid.width > 80
                assert middle.valid.all()
                assert (
                    np.abs(middle.before - middle.after).mean() < 8
                )  # rows of UTM are turned by 0.9 degrees there
        other = _at_date_line(tmp_path / "other.tif", pixels, left - 48 * 5e-6, crs="EPSG:4269")
        with pytest.raises(GridError, match="across the date line in degrees that are not WGS84"):
            open_pair(metres, other, grid="before")


def test_an_area_of_interest_across_the_date_line_is_met(tmp_path: Path) -> None:
    before = _at_date_line(tmp_path / "before.tif", _ramp(), 180.0 - 48 * 5e-6)
    aoi = tmp_path / "aoi.geojson"  # cut at 180, as RFC 7946 has it
    edges = (180.0 - 20 * 5e-6, 180.0, -180.0, -180.0 + 20 * 5e-6)
    parts = [
        [[[w, -17.0], [w, -17.1], [e, -17.1], [e, -17.0], [w, -17.0]]]
        for w, e in (edges[:2], edges[2:])
    ]
    aoi.write_text(json.dumps({"type": "MultiPolygon", "coordinates": parts}))
    with open_pair(before, before, aoi=aoi, gsd_m="native") as pair:
        assert np.array_equal(
            np.flatnonzero(pair.read(Window(0, 0, 96, 96)).valid[5]), np.arange(28, 68)
        )


@pytest.mark.parametrize(("right", "is_met"), [(0.0, False), (0.6, True)])
def test_an_area_of_interest_that_only_touches_the_pair_does_not_meet_it(
    tmp_path: Path, right: float, is_met: bool
) -> None:
    """Its result had no valid pixel, and was called a result."""
    file = write(tmp_path / "a.tif", _ramp())
    with rasterio.open(file) as dataset:
        left, top = dataset.bounds.left, dataset.bounds.top
    ring = [[left - 9, top], [left + right, top], [left + right, top - 9], [left - 9, top]]
    aoi = tmp_path / "aoi.geojson"
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    aoi.write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": crs}))
    if is_met:
        open_pair(file, file, aoi=aoi, gsd_m="native").close()
        return
    with pytest.raises(VectorError, match="do not meet the pair"):
        open_pair(file, file, aoi=aoi, gsd_m="native")


def test_where_rasters_of_the_date_line_cannot_be_joined_it_is_said(tmp_path: Path) -> None:
    edge, pixels = 20037508.34, _ramp()
    east = write(tmp_path / "east.tif", pixels, left=edge - 40, crs="EPSG:3857")
    west = write(tmp_path / "west.tif", pixels, left=-edge - 8, crs="EPSG:3857")
    with pytest.raises(GridError, match="do not overlap") as caught:
        open_pair(east, west)
    assert "bring both to UTM" in str(caught.value.hint)
