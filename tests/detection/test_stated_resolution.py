"""Pairs without a CRS of which the user says what a pixel measures (``--gsd``): they are read at the
weights' resolution, measured in metres, and lie where the pictures' pixels lie."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from typer.testing import CliRunner

from hanet.cli import app
from hanet.detection.finishing import DetectionResult
from hanet.detection.job import detect
from hanet.imagery.images import write_png
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.review import Review
from hanet.synthetic.scene import render_scene

FINE_M = 0.25


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered pair at 0.25 m, as GeoTIFFs and as pictures."""
    folder = tmp_path_factory.mktemp("scene")
    render_scene(folder, size=768, seed=3, gsd_m=FINE_M, change_share=0.5)
    for name in ("before", "after"):
        with rasterio.open(folder / f"{name}.tif") as dataset:
            write_png(folder / f"{name}.png", dataset.read())
    return folder


def _detected(scene: Path, suffix: str, out: Path, gsd_m: float | None) -> DetectionResult:
    pair = scene / f"before{suffix}", scene / f"after{suffix}"
    return detect(*pair, out=out, gsd_m=gsd_m, min_area_m2=20.0)


@pytest.fixture(scope="module")
def pictures(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of the pictures, told that a pixel measures 0.25 m."""
    out = tmp_path_factory.mktemp("results") / "pictures"
    _detected(scene, ".png", out, FINE_M)
    return out


@pytest.mark.slow
def test_pictures_give_what_the_same_pixels_give_on_the_map(
    scene: Path, pictures: Path, tmp_path: Path
) -> None:
    on_map = _detected(scene, ".tif", tmp_path / "map", None)
    areas = {}
    for name, folder in (("map", tmp_path / "map"), ("pictures", pictures)):
        meta, _, _, columns = pyogrio.raw.read(folder / "footprints.gpkg", columns=["area_m2"])
        assert list(meta["fields"]) == ["area_m2"]
        areas[name] = np.sort(columns[0])
    assert len(areas["pictures"]) == len(areas["map"]) == on_map.footprints.count > 3
    assert areas["pictures"].sum() == pytest.approx(areas["map"].sum(), rel=0.02)
    with rasterio.open(pictures / "probability.tif") as dataset:
        assert dataset.shape == (384, 384)
        assert dataset.transform.a == pytest.approx(2.0)  # in the pictures' own pixels


@pytest.mark.slow
def test_outlines_lie_on_the_pictures_own_pixels(scene: Path, pictures: Path) -> None:
    _, _, shapes, columns = pyogrio.raw.read(
        pictures / "footprints.gpkg", columns=["area_m2", "centroid_column", "centroid_row"]
    )
    outlines = shapely.from_wkb(shapes)
    areas = shapely.area(outlines) * FINE_M**2
    np.testing.assert_allclose(columns[0], areas, atol=0.01)
    with rasterio.open(scene / "mask.tif") as dataset:
        truth = dataset.read(1) == 1
    hits = [
        truth[int(row), int(column)] for column, row in zip(columns[1], columns[2], strict=True)
    ]
    assert np.mean(hits) > 0.7  # at the wrong scale they would lie anywhere


@pytest.mark.slow
def test_renewal_and_review_know_the_metres(pictures: Path) -> None:
    with ProbabilityRaster(pictures / "probability.tif") as raster:
        assert raster.grid.unit_m == FINE_M
        assert raster.grid.gsd_m == pytest.approx(0.5)
    result = CliRunner().invoke(app, ["footprints", str(pictures), "--threshold", "0.4"])
    assert result.exit_code == 0, result.output
    assert "m²" in result.output or "m2" in result.output
    manifest = json.loads((pictures / "run.json").read_text())
    assert manifest["pair"]["grid"]["unit_m"] == FINE_M
    assert "m²" in (pictures / "report.html").read_text(encoding="utf-8")
    review = Review.open(pictures, reviewer="anna")
    try:
        assert review.grid.unit_m == FINE_M
        item = review.items("found")[0]
        assert item.area_m2 == pytest.approx(item.area_px * 0.25, abs=0.01)
    finally:
        review.close()


@pytest.mark.slow
def test_without_a_word_a_pixel_is_taken_for_what_the_weights_know(
    scene: Path, tmp_path: Path
) -> None:
    _detected(scene, ".png", tmp_path, None)
    said = json.loads((tmp_path / "run.json").read_text())["said"]
    assert any("a pixel is taken as 0.5 m" in entry["message"] for entry in said)
    with ProbabilityRaster(tmp_path / "probability.tif") as raster:
        assert (raster.grid.height, raster.grid.unit_m) == (768, None)


def test_check_says_it_and_takes_it(scene: Path) -> None:
    pair = [str(scene / "before.png"), str(scene / "after.png")]
    plain = CliRunner().invoke(app, ["check", *pair])
    assert "a pixel is taken as 0.5 m" in plain.stdout
    told = CliRunner().invoke(app, ["check", *pair, "--gsd", "0.25", "--json"])
    assert json.loads(told.stdout)["native_gsd_m"] == 0.25
