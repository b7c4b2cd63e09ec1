"""What there is to look at: footprints, missed places, blank tiles; and findings kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from hanet.footprints.settings import FootprintSettings
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.imagery.vectors import read_polygons
from hanet.review.finding import Findings, find, measured, tile_px
from hanet.review.kept_findings import findings_path, keep_findings, kept_findings
from reviewed_runs import BUILDINGS, finished_run, village

SETTINGS = FootprintSettings(threshold=0.5, outline="pixels")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), village(), outline="pixels")


@pytest.fixture(scope="module")
def findings(run: Path) -> Findings:
    return find(run / "probability.tif", SETTINGS)


def _box(name: str) -> shapely.Polygon:
    rows, columns, _ = BUILDINGS[name]
    return shapely.box(columns.start, rows.start, columns.stop, rows.stop)


def test_footprints_have_the_ids_of_the_run_in_pixels(findings: Findings) -> None:
    # by last pixel: the shed ends in row 19, the barn in row 29
    expected = {"f1": "shed", "f2": "barn", "f3": "doubt"}
    assert [item.id for item in findings.found] == list(expected)
    for item in findings.found:
        assert item.geometry.equals(_box(expected[item.id]))
        assert item.probability == pytest.approx(BUILDINGS[expected[item.id]][2], abs=0.003)
        assert item.area_m2 == pytest.approx(item.geometry.area * 0.25, rel=2e-3)


def test_outlines_are_those_of_the_run_s_own_layer(run: Path, findings: Findings) -> None:
    with ProbabilityRaster(run / "probability.tif") as raster:
        a, _, c, _, e, f = raster.grid.transform
        crs = raster.grid.crs
    written = read_polygons(str(run / "footprints.gpkg"), crs=crs).shapes
    ours = [
        shapely.transform(item.geometry, lambda xy: xy * (a, e) + (c, f)) for item in findings.found
    ]
    assert len(written) == len(ours)
    for one, other in zip(written, ours, strict=True):
        assert shapely.geometry.shape(one).equals(other)


def test_missed_places_lie_below_the_threshold_and_touch_no_footprint(findings: Findings) -> None:
    (faint,) = findings.missed
    assert faint.id == "m1"
    assert faint.source == "missed"
    assert faint.geometry.equals(_box("faint"))
    assert faint.probability == pytest.approx(0.352, abs=0.005)


def test_a_halo_of_a_footprint_is_no_missed_place(tmp_path: Path) -> None:
    probability = village()
    probability[5:35, 5:45] = np.maximum(probability[5:35, 5:45], 0.3)
    run = finished_run(tmp_path, probability)
    found = find(run / "probability.tif", SETTINGS)
    assert [item.geometry.bounds for item in found.missed] == [_box("faint").bounds]


def test_below_the_lowest_threshold_nothing_is_missed(run: Path) -> None:
    low = find(run / "probability.tif", FootprintSettings(threshold=0.15)).of_generation(2)
    assert [item.id for item in low.found] == ["2-1", "2-2", "2-3", "2-4"]
    assert low.missed == ()


def test_blank_tiles_hold_neither_change_nor_invalid_ground(findings: Findings) -> None:
    # 64 m at 0.5 m are 128 pixels: 4 x 4 tiles; the first holds the village, the last is invalid
    assert findings.blank.tile_px == (128, 128)
    assert findings.blank.numbers.tolist() == list(range(1, 15))
    second = findings.blank.items()[0]
    assert (second.id, second.source) == ("b2", "blank")
    assert second.geometry.bounds == (128, 0, 256, 128)
    assert findings.blank.get("b2") == second
    assert findings.blank.get("b1") is None
    assert findings.blank.get("b99") is None


def test_blank_tiles_are_drawn_by_seed(findings: Findings) -> None:
    drawn = [[item.id for item in findings.blank.drawn(5, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5
    assert len(findings.blank.drawn(99, seed=1)) == 14


@pytest.mark.parametrize("strip", [64, 100, 4096])
def test_blank_tiles_do_not_depend_on_the_strips(
    run: Path, findings: Findings, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    monkeypatch.setattr("hanet.footprints.extraction.STRIP_PIXELS", strip * 512)
    again = find(run / "probability.tif", SETTINGS)
    assert again.blank.numbers.tolist() == findings.blank.numbers.tolist()


def test_without_a_crs_tiles_and_areas_are_in_pixels(tmp_path: Path) -> None:
    run = finished_run(tmp_path, village(200), crs=None)
    found = find(run / "probability.tif", SETTINGS)
    assert found.blank.tile_px == (128, 128)
    assert found.blank.numbers.tolist() == []
    assert {item.area_m2 for item in found.found} == {None}
    with ProbabilityRaster(run / "probability.tif") as raster:
        assert measured([_box("barn")], raster.grid) == [None]


def test_tiles_are_square_on_the_ground_where_pixels_are_not(tmp_path: Path) -> None:
    # a degree of longitude is about half as long at 60 degrees north
    from dataclasses import replace

    from rasterio.crs import CRS

    from hanet.imagery.grid import Grid

    wkt = CRS.from_epsg(4326).to_wkt()
    grid = Grid(wkt, (1e-5, 0.0, 20.0, 0.0, -1e-5, 60.0), 1000, 1000)
    height, width = tile_px(grid)
    assert width / height == pytest.approx(2.0, abs=0.02)
    assert tile_px(replace(grid, height=20, width=30)) == (20, 30)


def test_a_drawn_outline_is_measured_as_a_footprint(run: Path, findings: Findings) -> None:
    with ProbabilityRaster(run / "probability.tif") as raster:
        areas = measured([item.geometry for item in findings.found], raster.grid)
    assert areas == [item.area_m2 for item in findings.found]


def test_kept_findings_are_those_that_were_found(tmp_path: Path, findings: Findings) -> None:
    path = findings_path(tmp_path, "00", SETTINGS)
    assert kept_findings(path) is None
    keep_findings(path, findings)
    again = kept_findings(path)
    assert again is not None
    for mine, theirs in ((findings.found, again.found), (findings.missed, again.missed)):
        assert [item.to_json() for item in mine] == [item.to_json() for item in theirs]
    assert again.blank.items() == findings.blank.items()
    remade = again.of_generation(3)
    assert [item.id for item in (*remade.found, *remade.missed)] == ["3-1", "3-2", "3-3", "3-m1"]


def test_other_findings_have_another_digest(run: Path, findings: Findings) -> None:
    assert findings.digest() == findings.of_generation(3).digest()
    other = FootprintSettings(threshold=0.6, outline="pixels")
    assert find(run / "probability.tif", other).digest() != findings.digest()


def test_findings_without_anything_are_kept_too(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", np.full((64, 64), 0.01, dtype=np.float32))
    path = tmp_path / "findings-a.npz"
    keep_findings(path, find(run / "probability.tif", SETTINGS))
    again = kept_findings(path)
    assert again is not None
    assert (again.found, again.missed) == ((), ())
    assert [item.id for item in again.blank.items()] == ["b1"]


def test_findings_of_other_settings_make_room(tmp_path: Path, findings: Findings) -> None:
    first = findings_path(tmp_path, "00", SETTINGS)
    second = findings_path(tmp_path, "00", FootprintSettings(threshold=0.6))
    assert len({first, second, findings_path(tmp_path, "01", SETTINGS)}) == 3
    keep_findings(first, findings)
    keep_findings(second, findings)
    assert not first.exists()
    assert second.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.98])
def test_damaged_kept_findings_are_as_good_as_none(
    tmp_path: Path, findings: Findings, share: float
) -> None:
    path = tmp_path / "findings-a.npz"
    keep_findings(path, findings)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert kept_findings(path) is None
    damaged = bytearray(content)
    middle = len(content) // 4
    damaged[middle : middle + 200] = bytes(200)
    path.write_bytes(bytes(damaged))
    assert kept_findings(path) is None


def test_findings_need_a_threshold(run: Path) -> None:
    with pytest.raises(AssertionError, match="threshold"):
        find(run / "probability.tif", FootprintSettings())
