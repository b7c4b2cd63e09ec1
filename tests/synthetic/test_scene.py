"""Rendered pairs: windows without seams, and files on other grids, of other types, with nodata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.windows import Window as RasterioWindow
from rasterio.windows import from_bounds

from hanet.errors import OutputError, SettingsError
from hanet.imagery.pair import open_pair
from hanet.synthetic.scene import Scene, render_scene
from hanet.types import Window


def test_windows_fit_without_seams() -> None:
    scene = Scene(3)
    whole, part = Window(0, 0, 160, 200), Window(40, 60, 100, 120)
    for date in (0, 1):
        image = scene.image(whole, date)
        assert np.array_equal(image[:, 40:140, 60:180], scene.image(part, date))
    assert np.array_equal(scene.change(whole)[40:140, 60:180], scene.change(part))


def test_what_is_no_change_differs_and_leaves_are_bright_in_infrared() -> None:
    scene = Scene(1)
    before, after = (scene.image(Window(0, 0, 300, 300), date) for date in (0, 1))
    same = ~scene.change(Window(0, 0, 300, 300))
    assert np.abs(before - after).mean(axis=0)[same].mean() > 5
    greener = after[1] - after[0]
    lush, bare = greener > np.quantile(greener, 0.9), greener < np.quantile(greener, 0.3)
    assert after[3][lush].mean() > after[3][bare].mean() + 30


def test_truth_is_the_same_in_pixels_and_polygons(tmp_path: Path) -> None:
    files = render_scene(tmp_path, size=512, seed=1, change_share=0.5)
    with rasterio.open(files.mask) as dataset:
        pixels = int(dataset.read(1).sum())
    areas = pyogrio.raw.read(files.footprints, columns=[])[2]
    import shapely

    assert len(areas) == files.buildings_changed > 5
    assert shapely.area(shapely.from_wkb(areas)).sum() == pytest.approx(pixels * 0.25, rel=0.02)
    with pytest.raises(OutputError, match="already holds a scene"):
        render_scene(tmp_path, size=512)
    assert not list(tmp_path.glob(".*"))


def test_sixteen_bit_four_bands_with_nodata(tmp_path: Path) -> None:
    files = render_scene(tmp_path, size=320, seed=2, bits=16, bands=4, nodata=True)
    empty = []
    for path in (files.before, files.after):
        with rasterio.open(path) as dataset:
            assert dataset.count == 4
            assert set(dataset.dtypes) == {"uint16"}
            assert dataset.nodata == 0
            pixels = dataset.read()
        gaps = (pixels == 0).all(axis=0)
        assert np.array_equal(gaps, (pixels == 0).any(axis=0))
        assert 0.03 < gaps.mean() < 0.2
        assert 1000 < np.percentile(pixels[:, ~gaps], 99) <= 4095
        empty.append(gaps)
    assert empty[0][0, 0]
    assert empty[1][-1, -1]
    with open_pair(files.before, files.after) as pair:
        block = pair.read(Window(0, 0, 320, 320))
    assert np.array_equal(block.valid, ~(empty[0] | empty[1]))


def test_dates_on_different_grids_show_the_same_ground(tmp_path: Path) -> None:
    plain = render_scene(tmp_path / "plain", size=320, seed=2)
    other = render_scene(
        tmp_path / "other", size=320, seed=2, after_crs="EPSG:4326", after_gsd_m=0.6
    )
    with rasterio.open(other.after) as dataset:
        assert dataset.crs.to_epsg() == 4326
        assert dataset.nodata == 0
    with (
        open_pair(other.before, other.after, grid="before") as pair,
        rasterio.open(plain.after) as dataset,
    ):
        assert pair.after.gsd_m == pytest.approx(0.6, rel=0.01)
        block = pair.read(Window(0, 0, pair.grid.height, pair.grid.width))
        expected = dataset.read(
            window=from_bounds(*pair.grid.bounds, dataset.transform).round_offsets().round_lengths()
        )
    middle = (slice(None), slice(20, 280), slice(20, 280))
    assert block.valid[20:280, 20:280].all()
    difference = np.abs(block.after[middle] - expected[middle])
    assert np.median(difference) < 6  # resampled twice: sensor noise is gone, edges are soft


def test_an_offset_after_image_shows_the_ground_where_it_says(tmp_path: Path) -> None:
    plain = render_scene(tmp_path / "plain", size=320, seed=2, change_share=0.5)
    moved = render_scene(
        tmp_path / "moved", size=320, seed=2, change_share=0.5, after_offset_m=(30.0, 20.0)
    )
    with rasterio.open(plain.after) as first, rasterio.open(moved.after) as second:
        assert second.transform.c == first.transform.c + 30
        assert second.transform.f == first.transform.f - 20
        here = first.read(window=RasterioWindow(60, 40, 260, 280))
        assert np.array_equal(here, second.read(window=RasterioWindow(0, 0, 260, 280)))
    with rasterio.open(plain.mask) as first, rasterio.open(moved.mask) as second:
        whole, overlap = first.read(1), second.read(1)
    assert not overlap[:40].any()
    assert not overlap[:, :60].any()
    assert np.array_equal(overlap[40:, 60:], whole[40:, 60:])


@pytest.mark.parametrize(
    "look",
    [
        {"bits": 12},
        {"bands": 5},
        {"after_crs": "EPSG:nothing"},
        {"after_gsd_m": 0.0},
        {"after_offset_m": (-1.0, 0.0)},
        {"after_offset_m": (1000.0, 0.0)},
        {"size": 10},
    ],
    ids=str,
)
def test_a_look_that_makes_no_sense_is_refused_and_leaves_nothing(
    tmp_path: Path, look: dict[str, object]
) -> None:
    with pytest.raises(SettingsError):
        render_scene(tmp_path / "out", **{"size": 320, **look})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
