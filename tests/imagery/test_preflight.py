"""What is told of a pair too large to be looked at whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from hanet.errors import GridError
from hanet.imagery.preflight import examine
from hanet.imagery.radiometry import GIVEN, Scaling
from small_rasters import write

HEIGHT, WIDTH = 300, 4096


def written(path: Path, valid: npt.NDArray[np.bool_], value: int) -> Path:
    """A raster of one value with a chequerboard of 10 more, 0 (nodata) where it is not valid."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    image = np.where(valid, value + 10 * ((rows // 2 + columns // 2) % 2), 0).astype(np.uint8)
    transform = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
    facts = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 3,
        "height": HEIGHT,
        "width": WIDTH,
        "nodata": 0,
    }
    with rasterio.open(path, "w", **facts, crs="EPSG:32614", transform=transform) as file:
        file.write(np.repeat(image[None], 3, axis=0))
    return path


def test_windows_tell_share_and_radiometry(tmp_path: Path) -> None:
    valid = np.ones((HEIGHT, WIDTH), dtype=np.bool_)
    valid[:, WIDTH // 4 * 3 :] = False
    found = examine(
        written(tmp_path / "before.tif", valid, 100), written(tmp_path / "after.tif", valid, 140)
    )
    assert found.valid_share == pytest.approx(0.75, abs=0.1)
    assert found.is_share_estimated
    for band in found.radiometry:
        assert (band["mean_before"], band["mean_after"]) == pytest.approx((105, 145), abs=0.5)
        assert (band["std_before"], band["std_after"]) == pytest.approx((5, 5), abs=0.2)


def test_valid_pixels_between_the_windows_are_found(tmp_path: Path) -> None:
    """Windows of 256 px stand every 768: a strip between two of them is seen by none."""
    valid = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    valid[:, 300:700] = True
    found = examine(
        written(tmp_path / "before.tif", valid, 100), written(tmp_path / "after.tif", valid, 140)
    )
    assert found.valid_share == pytest.approx(400 / WIDTH, abs=0.01)
    assert found.radiometry[0]["mean_after"] == pytest.approx(145, abs=5)
    assert not any("nothing to detect" in finding.message for finding in found.findings)


def test_eight_and_sixteen_bit_are_each_brought_to_one_scale(tmp_path: Path) -> None:
    """One scaling for both left the 8-bit date nearly black, which no histogram could fix."""
    pixels = np.random.default_rng(0).integers(20, 230, (3, 96, 96))
    before = write(tmp_path / "a.tif", pixels.astype(np.uint8))
    after = write(tmp_path / "b.tif", (pixels * 16).astype(np.uint16))
    found = examine(before, after)
    assert found.pair["scaling"]["source"] == "8 bit, as it is"
    assert found.pair["scaling"]["after"]["high"][0] == pytest.approx(230 * 16, rel=0.02)
    said = [f.message for f in found.findings if f.message.startswith("one date is 8 bit")]
    assert "(uint8, uint16): the 8-bit one stays" in said[0]
    given = Scaling((0.0,) * 3, (3000.0,) * 3, "given")
    said = [f.message for f in examine(before, after, scaling=given).findings]
    assert any("one scaling cannot suit both" in line for line in said)


def test_a_small_pair_has_no_shift_that_could_be_told(tmp_path: Path) -> None:
    """A shift of 9 pixels was found between two images of noise, sure enough for --coregister to
    apply it."""
    random = np.random.default_rng(0)
    for side, windows in ((255, 0), (256, 1), (511, 4)):
        pair = [
            write(
                tmp_path / f"{date}-{side}.tif",
                random.integers(0, 255, (3, side, side), dtype=np.uint8),
            )
            for date in "ab"
        ]
        found = examine(*pair)
        assert found.shift.windows == windows
        assert found.applicable_shift is None


@pytest.mark.parametrize(
    ("side", "columns", "said"),
    [
        (20, 0, "only 20 x 20 pixels are common to both dates (10 x 10 m): too little to see"),
        (100, 92, "only 100 x 8 pixels are common to both dates"),
        (400, 364, "only 9.0% of the smaller image lies within the other one"),
        (400, 300, ""),
    ],
)
def test_little_common_ground_is_said(side: int, columns: int, said: str, tmp_path: Path) -> None:
    """A file of another place by mistake, that meets the pair by a corner: nothing had changed."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, side, side), dtype=np.uint8)
    before, after = (
        (
            write(tmp_path / f"{shift}.tif", pixels, left=620000.0 + shift * 0.5)
            for shift in (0, columns)
        )
        if columns
        else (write(tmp_path / f"{date}.tif", pixels) for date in "ab")
    )
    messages = [finding.message for finding in examine(before, after, target_gsd_m=0.5).findings]
    found = [text for text in messages if text.startswith("only ")]
    assert [text[: len(said)] for text in found] == ([said] if said else [])


def test_one_file_given_twice_is_warned_of(tmp_path: Path) -> None:
    valid = np.ones((HEIGHT, WIDTH), dtype=np.bool_)
    before, after = (
        written(tmp_path / "before.tif", valid, 100),
        written(tmp_path / "after.tif", valid, 101),
    )
    assert any(
        "the very same pixels" in finding.message for finding in examine(before, before).findings
    )
    assert not any(
        "the very same pixels" in finding.message for finding in examine(before, after).findings
    )


def cut(share: float, seed: int) -> npt.NDArray[np.float64]:
    """Values in 0-1 of which a share lies at either end."""
    values = np.random.default_rng(seed).uniform(0.0, 1.0, (3, 64, 64))
    return np.clip((values - share / 2) / (1 - share), 0.0, 1.0)


@pytest.mark.parametrize(("share", "warned"), [(0.33, 2), (0.1, 0)])
def test_values_that_were_cut_off_are_warned_of(share: float, warned: int, tmp_path: Path) -> None:
    """A third of the values at 0 and 255 costs a tenth of F1, and nobody said so."""
    paths = [
        write(tmp_path / f"{name}.tif", (cut(share, seed) * 255).round().astype(np.uint8))
        for seed, name in enumerate(("before", "after"))
    ]
    found = [f for f in examine(*paths).findings if "exactly 0 or 255" in f.message]
    assert [f.level for f in found] == ["warning"] * warned
    assert all(f.message.startswith("3") for f in found)


def test_a_scaling_that_cuts_the_values_off_is_warned_of(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{seed}.tif", (1000 + cut(0, seed) * 3000).astype(np.uint16))
        for seed in (0, 1)
    ]
    narrow = Scaling((1500.0,) * 3, (1600.0,) * 3, GIVEN)
    found = [f for f in examine(*paths, scaling=narrow).findings if "cut off" in f.message]
    assert len(found) == 2
    assert all("--scaling wider bounds" in finding.fix for finding in found)
    assert not [f for f in examine(*paths).findings if "cut off" in f.message]


def test_what_a_scaling_cuts_off_of_8_bit_is_no_fill_of_the_file(tmp_path: Path) -> None:
    """The advice was to state 255 as nodata in the file."""
    image = np.full((3, 64, 64), 90, np.uint8)
    image[:, :, 32:] = 200
    path = write(tmp_path / "a.tif", image)
    narrow = Scaling((100.0,) * 3, (101.0,) * 3, GIVEN)
    found = [f for f in examine(path, path, scaling=narrow).findings if f.level == "warning"]
    assert not [f for f in found if "-a_nodata" in f.fix]
    assert len([f for f in found if "cut off to 0 or 255" in f.message]) == 2


def test_a_bbox_beside_the_pair_is_told_in_whole_coordinates(tmp_path: Path) -> None:
    raster = written(tmp_path / "before.tif", np.ones((HEIGHT, WIDTH), dtype=np.bool_), 100)
    with pytest.raises(GridError, match=r"\(0, 0, 10, 10\).*\(620000, 3349850, 622048, 3350000\)"):
        examine(raster, raster, bbox=(0.0, 0.0, 10.0, 10.0))


@pytest.mark.parametrize(("bands", "is_said"), [(3, False), (1, True)])
def test_an_after_image_without_colour_is_warned_of(
    tmp_path: Path, bands: int, is_said: bool
) -> None:
    """``--bands 1,1,1`` of a panchromatic pair fitted the weights, by what was said."""
    generator = np.random.default_rng(5)
    paths = []
    for name in ("before", "after"):
        pixels = generator.integers(40, 200, (bands, 96, 96), dtype=np.uint8)
        paths.append(write(tmp_path / f"{name}.tif", pixels))
    found = examine(*paths, bands=None if bands == 3 else (1, 1, 1)).findings
    assert any("the after image is grey" in finding.message for finding in found) is is_said
