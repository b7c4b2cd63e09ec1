"""What a pair's values say where its files do not: no data, one scale or two, outliers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from hanet.imagery.pair import open_pair
from hanet.imagery.preflight import examine
from hanet.imagery.radiometry import (
    GIVEN,
    Scaling,
    estimate_scaling,
    match_histogram,
    without_outliers,
)
from hanet.imagery.unstated import filled, solid, unstated_nodata
from hanet.types import Window
from small_rasters import write

SIDE = 64


def ground(low: float, high: float, *, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Three bands of evenly spread values."""
    return np.random.default_rng(seed).uniform(low, high, (3, side, side)).astype(np.float32)


def collared(image: np.ndarray, value: float, width: int = 16) -> np.ndarray:
    """The image with its first columns of one value."""
    found = image.copy()
    found[:, :, :width] = value
    return found


@pytest.mark.parametrize(
    ("value", "low", "high", "found"),
    [
        (-9999.0, 0.0, 1.0, True),
        (float(np.finfo(np.float32).min), 0.0, 1.0, True),
        (65535.0, 300.0, 3000.0, True),
        (0.0, 150.0, 1200.0, True),  # a collar of a 16-bit raster
        (4095.0, 300.0, 1500.0, True),  # saturated cloud shows nothing either
        (1234.0, 300.0, 3000.0, False),  # inside the ground's own values: a lake
        (3300.0, 300.0, 3000.0, False),  # a bright roof, near all others
    ],
)
def test_values_that_stand_for_no_data(value: float, low: float, high: float, found: bool) -> None:
    valid = np.ones((SIDE, SIDE), dtype=np.bool_)
    marked = unstated_nodata(collared(ground(low, high), value), valid)
    assert marked == (pytest.approx(value) if found else None)


@pytest.mark.parametrize(("value", "shift"), [(0.0, -0.3), (32767.0, 0.3), (65535.0, 0.3)])
@pytest.mark.parametrize("bands", [1, 3])
def test_roofs_and_shadows_that_are_cut_off_are_no_sentinel(
    value: float, shift: float, bands: int
) -> None:
    """A roof of 16 pixels that is all at the limit, in ground of which single pixels and bands are,
    too: taken as no data, nothing would be found there."""
    valid = np.ones((SIDE, SIDE), dtype=np.bool_)
    spread = 0.5 + shift + 0.3 * np.random.default_rng(0).standard_normal((bands, SIDE, SIDE))
    spread[:, 16:32, 16:32] = 0.5 + np.sign(shift)
    top = value or 1.0
    image = (np.clip(spread, 0.0, 1.0) * top).astype(np.float32)
    assert (image[:, 16:32, 16:32] == value).all()
    assert unstated_nodata(image, valid) is None
    assert unstated_nodata(collared(image, value, width=48), valid) == value


def test_single_pixels_and_one_value_alone_are_no_sentinel() -> None:
    valid = np.ones((SIDE, SIDE), dtype=np.bool_)
    glint = ground(300, 3000)
    glint[:, ::5, ::5] = 65535
    assert unstated_nodata(glint, valid) is None
    assert unstated_nodata(np.zeros((3, SIDE, SIDE), np.float32), valid) is None
    assert unstated_nodata(collared(ground(0, 1), -9999), ~valid) is None


def test_a_block_is_solid_where_nothing_is_missing_in_it() -> None:
    mask = np.zeros((9, 9), dtype=np.bool_)
    mask[:4, :9] = True
    mask[0, 5] = False
    assert solid(mask, 4).sum() == 16


@pytest.mark.parametrize("left", [620000.0, 620000.25])  # read straight, and warped
def test_an_unstated_sentinel_is_no_data_and_does_not_bleed(left: float, tmp_path: Path) -> None:
    plain = ground(300, 3000).astype(np.int16)
    before = write(tmp_path / "before.tif", plain)
    after = write(tmp_path / "after.tif", collared(plain, -9999), left=left)
    with open_pair(before, after, grid="before") as pair:
        block = pair.read(Window(0, 0, SIDE, SIDE))
        assert pair.scaling.nodata == (None, -9999)
    assert not block.valid[:, :15].any()
    assert block.valid[:, 17:-1].all()
    inside = block.after[:, :, 17:-1]
    assert inside.min() > 0.0 if left % 1 else np.allclose(inside, block.before[:, :, 17:-1])
    warned = [f for f in examine(before, after).findings if f.level == "warning"]
    assert any("-a_nodata -9999 after.tif" in finding.fix for finding in warned)


def test_a_wrong_tag_does_not_hide_the_value_that_counts(tmp_path: Path) -> None:
    plain = ground(300, 3000).astype(np.int16)
    raster = write(tmp_path / "a.tif", collared(plain, -32768), nodata=-9999)
    with open_pair(raster, raster) as pair:
        assert pair.read(Window(0, 0, SIDE, SIDE)).valid.mean() == 0.75


@pytest.mark.parametrize("end", [4000.0, -2000.0])
def test_five_per_cent_at_either_end_do_not_decide_the_scaling(end: float) -> None:
    """A few per cent of cloud in one date made the ground nearly black."""
    valid = np.ones((100, 100), dtype=np.bool_)
    image = ground(150, 1200, side=100)
    cloudy = image.copy()
    cloudy[:, :5] = end + ground(0, 300, side=100)[:, :5]
    clear, found = (
        estimate_scaling(image, other, valid_before=valid, valid_after=valid)
        for other in (image, cloudy)
    )
    assert found.low == pytest.approx(clear.low, abs=10)
    assert found.high == pytest.approx(clear.high, abs=10)
    assert found.after is None
    assert "5.0% of outliers left out" in found.source


def test_without_outliers_nothing_is_left_out() -> None:
    values = np.random.default_rng(0).normal(500, 100, 10_000).astype(np.float32)
    assert without_outliers(values) is values


@pytest.mark.parametrize(
    ("factor", "offset", "alike"), [(1.5, 0, True), (8, 200, False), (1, 2000, False)]
)
def test_dates_on_two_scales_are_each_scaled_by_themselves(
    factor: float, offset: float, alike: bool
) -> None:
    valid = np.ones((SIDE, SIDE), dtype=np.bool_)
    first = ground(100, 1000)
    second = first * np.float32(factor) + np.float32(offset)
    rule = estimate_scaling(first, second, valid_before=valid, valid_after=valid)
    assert (rule.after is None) == alike
    if not alike:
        assert np.allclose(rule.apply(first), rule.of_after.apply(second), atol=0.1)
        assert "of each date by itself" in rule.source


def test_scale_and_offset_of_a_file_bring_its_values_beside_the_others(tmp_path: Path) -> None:
    """They were passed over: ground of one reflectance had two brightnesses."""
    stored = ground(500, 4000).astype(np.uint16)
    plain = write(tmp_path / "plain.tif", stored)
    shifted = write(tmp_path / "shifted.tif", stored + 1000)
    for path, offset in ((plain, 0.0), (shifted, -0.1)):
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (0.0001,) * 3, (offset,) * 3
    with open_pair(plain, shifted) as pair:
        block = pair.read(Window(0, 0, SIDE, SIDE))
        assert "by the scale and offset that the files state" in pair.scaling.source
    assert np.allclose(block.before, block.after, atol=0.1)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_blocks_of_8_bit_are_reported_and_do_not_count(
    value: int, tmp_path: Path
) -> None:
    plain = ground(60, 200, side=256).astype(np.uint8)
    before = write(tmp_path / "before.tif", plain)
    after = write(tmp_path / "after.tif", collared(plain, value, 128))
    found = examine(before, after)
    warned = [finding for finding in found.findings if finding.level == "warning"]
    assert ["50.0% of after.tif is exactly" in finding.message for finding in warned] == [True]
    assert warned[0].fix == f"if it is nodata: `gdal_edit.py -a_nodata {value} after.tif`"
    for band in found.radiometry:
        assert band["mean_after"] == pytest.approx(band["mean_before"])
    assert not [f for f in examine(before, before).findings if "exactly" in f.message]


def test_a_match_leaves_black_blocks_out() -> None:
    image = ground(60, 200)
    valid = np.ones((SIDE, SIDE), dtype=np.bool_)
    black = collared(image, 0, 32)
    assert filled(black, valid).share == 0.5
    table: Any = match_histogram(image, black, valid=valid).tables[0]
    assert table[70:190] == pytest.approx(np.arange(70, 190), abs=3)


def test_one_date_much_coarser_is_warned_of(tmp_path: Path) -> None:
    fine = write(tmp_path / "fine.tif", ground(60, 200, side=96).astype(np.uint8))
    coarse = write(tmp_path / "coarse.tif", ground(60, 200, side=16).astype(np.uint8), gsd=3.0)
    for names in ((fine, coarse), (coarse, fine)):
        warned = [
            f.message
            for f in examine(*names, target_gsd_m=0.5).findings
            if "coarse.tif" in f.message
        ]
        assert "6.0 times as coarse" in warned[0]
        assert "do not trust the result" in warned[0]


def test_a_date_without_contrast_is_warned_of(tmp_path: Path) -> None:
    before = write(tmp_path / "before.tif", ground(60, 200).astype(np.uint8))
    after = write(tmp_path / "after.tif", ground(250, 254).astype(np.uint8))
    warned = [f.message for f in examine(before, after).findings if f.level == "warning"]
    assert any(line.startswith("the after image has hardly any contrast") for line in warned)


def test_both_dates_in_a_narrow_range_are_warned_of_with_the_scaling_that_stretches_them(
    tmp_path: Path,
) -> None:
    flat = [
        write(tmp_path / f"{date}.tif", ground(low, low + 40, seed=low).astype(np.uint8))
        for date, low in (("before", 90), ("after", 70))
    ]
    (found,) = (f for f in examine(*flat).findings if "low contrast" in f.message)
    assert (found.level, found.message[:48]) == (
        "warning",
        "the values of both dates lie between 70 and 129:",
    )
    assert found.fix == "--scaling 70,129 stretches them"
    stretched = Scaling((70.0,) * 3, (129.0,) * 3, source=GIVEN)
    assert not [f for f in examine(*flat, scaling=stretched).findings if "lie between" in f.message]


@pytest.mark.parametrize("low", [20, 253])
def test_one_date_of_full_or_of_no_contrast_is_not_told_to_be_stretched(
    tmp_path: Path, low: int
) -> None:
    """A stretch is for both dates, and one grey has nothing to stretch."""
    before = write(tmp_path / "before.tif", ground(90, 130).astype(np.uint8))
    after = write(tmp_path / "after.tif", ground(low, 255).astype(np.uint8))
    assert not [f for f in examine(before, after).findings if "lie between" in f.message]
