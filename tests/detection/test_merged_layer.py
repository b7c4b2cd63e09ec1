"""One layer and one page of many pairs."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import shapely

from hanet.detection.merged_layer import common_crs, merge_footprints, read_pair
from hanet.detection.pair_list import merge_pairs
from hanet.detection.settings import DetectionSettings
from hanet.errors import OutputError
from hanet.imagery.vector_formats import FORMATS
from hanet.imagery.vectors import read_features
from hanet.types import Json
from reviewed_runs import finished_run

UTM, OTHER_UTM = "EPSG:32614", "EPSG:32615"


def _pair(out: Path, *, value: float = 0.9, crs: str | None = UTM, **settings: str) -> Path:
    """A finished run with one building of 10 x 20 pixels."""
    probability = np.full((64, 64), 0.01, dtype=np.float32)
    probability[10:20, 10:30] = value
    return finished_run(out, probability, crs=crs, outline="pixels", **settings)


def _row(name: str, status: str = "done", message: str = "") -> Json:
    return {"name": name, "status": status, "seconds": 1.0, "message": message}


def _merge(out: Path, *names: str, formats: tuple[str, ...] = ("gpkg",)) -> list[str]:
    settings = DetectionSettings.of(formats=formats)
    return list(merge_pairs([_row(name) for name in names], out, settings=settings).notes)


def test_each_footprint_bears_its_pair_and_dates_in_the_order_of_the_list(tmp_path: Path) -> None:
    _pair(tmp_path / "west", before_date="2011", after_date="2020-05")
    _pair(tmp_path / "east", before_date="2012", after_date="2021")
    assert not _merge(tmp_path, "west", "east")
    layer = read_features(tmp_path / "footprints.gpkg")
    assert layer.columns["pair"] == ["west", "east"]
    assert layer.columns["before_date"] == ["2011", "2012"]
    assert layer.columns["after_date"] == ["2020-05", "2021"]
    assert layer.columns["id"] == [1, 1]
    assert layer.columns["status"] == ["unreviewed"] * 2
    assert layer.columns["area_m2"] == pytest.approx([50, 50], rel=1e-3)
    assert layer.crs == UTM
    alone = read_features(tmp_path / "east" / "footprints.gpkg").shapes[0]
    merged = layer.shapes[1]
    assert merged is not None
    assert alone is not None
    assert merged.equals_exact(alone, 0.0)


@pytest.mark.parametrize("source", list(FORMATS))
@pytest.mark.parametrize("target", ["gpkg", "geojson"])
def test_pairs_may_have_any_format(tmp_path: Path, source: str, target: str) -> None:
    if source == "parquet":
        pytest.importorskip("pyarrow")
    from hanet.footprints.extraction import extract_footprints
    from hanet.footprints.settings import FootprintSettings

    out = _pair(tmp_path / "one")
    expected = read_features(out / "footprints.gpkg").shapes[0]
    (out / "footprints.gpkg").unlink()
    settings = FootprintSettings(threshold=0.5, outline="pixels")
    extract_footprints(out / "probability.tif", out, settings=settings, formats=(source,))
    manifest = json.loads((out / "run.json").read_text())
    manifest["footprints"]["files"] = [f"footprints{FORMATS[source]}"]
    (out / "run.json").write_text(json.dumps(manifest))
    _merge(tmp_path, "one", formats=(target,))
    layer = read_features(tmp_path / f"footprints{FORMATS[target]}")
    assert layer.columns["pair"] == ["one"]
    assert layer.columns["id"] == [1]
    assert layer.columns["probability_mean"] == pytest.approx([0.9], abs=0.01)
    if target == "gpkg":
        found = layer.shapes[0]
        assert found is not None
        assert shapely.hausdorff_distance(found, expected) < 0.02  # GeoJSON holds seven digits


def test_pairs_of_several_crs_meet_in_longitude_and_latitude(tmp_path: Path) -> None:
    _pair(tmp_path / "a")
    _pair(tmp_path / "b", crs=OTHER_UTM)
    (note,) = _merge(tmp_path, "a", "b")
    assert "2 CRS (EPSG:32614, EPSG:32615): the layer has WGS84" in note
    layer = read_features(tmp_path / "footprints.gpkg")
    assert layer.crs == "EPSG:4326"
    first, second = (shape.centroid for shape in layer.shapes if shape is not None)
    assert second.x - first.x == pytest.approx(6.0, abs=1e-6)  # one zone further east
    assert second.y == pytest.approx(first.y, abs=1e-6)


def test_pairs_without_a_crs_are_left_out_beside_others_and_merged_alone(tmp_path: Path) -> None:
    _pair(tmp_path / "placed")
    _pair(tmp_path / "picture", crs=None)
    (note,) = _merge(tmp_path, "placed", "picture")
    assert "1 of 2 pairs have no CRS" in note
    assert "picture" in note
    assert read_features(tmp_path / "footprints.gpkg").columns["pair"] == ["placed"]
    assert not _merge(tmp_path, "picture")
    layer = read_features(tmp_path / "footprints.gpkg")
    assert layer.columns["area_px"] == [200.0]


def test_common_crs_is_told_in_words() -> None:
    assert common_crs({"a": None, "b": None}).crs is None
    assert common_crs({"a": UTM, "b": UTM}) == common_crs({"c": UTM})
    assert common_crs({"a": UTM, "b": None}).without == ("b",)


def test_the_same_footprints_are_merged_once_and_edits_stay(tmp_path: Path) -> None:
    """A second run with --resume put a new layer in the place of one that people work on."""
    _pair(tmp_path / "a")
    _merge(tmp_path, "a")
    merged = tmp_path / "footprints.gpkg"
    edited = merged.read_bytes() + b"edited"
    merged.write_bytes(edited)
    pairs = [read_pair("a", tmp_path / "a")]
    assert not merge_footprints(pairs, tmp_path, formats=("gpkg",)).is_new
    assert merged.read_bytes() == edited
    _pair(tmp_path / "b", value=0.8)
    notes = _merge(tmp_path, "a", "b")
    assert any("kept as footprints-kept-1.gpkg" in note for note in notes)
    assert (tmp_path / "footprints-kept-1.gpkg").read_bytes() == edited
    assert read_features(merged).columns["pair"] == ["a", "b"]


def test_the_same_pairs_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        _pair(tmp_path / folder / "a")
        _pair(tmp_path / folder / "b", crs=OTHER_UTM)
        _merge(tmp_path / folder, "a", "b", formats=("gpkg", "geojson"))
    for name in ("footprints.gpkg", "footprints.geojson", "pairs.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_people_drew_and_cleared_in_the_file_of_a_pair_does_no_harm(tmp_path: Path) -> None:
    import sqlite3

    out = _pair(tmp_path / "a")
    with sqlite3.connect(out / "footprints.gpkg") as store:
        store.execute("DROP TRIGGER IF EXISTS rtree_footprints_geom_insert")
        store.execute("INSERT INTO footprints (status) VALUES ('accepted')")  # no outline, no id
    store.close()
    assert not _merge(tmp_path, "a")
    assert read_features(tmp_path / "footprints.gpkg").columns["id"] == [1]


def test_damaged_and_emptied_pairs_are_left_out_and_named(tmp_path: Path) -> None:
    _pair(tmp_path / "fine")
    (_pair(tmp_path / "gone") / "footprints.gpkg").unlink()
    (_pair(tmp_path / "broken") / "run.json").write_text("{}")
    notes = _merge(tmp_path, "gone", "fine", "broken")
    assert [("gone" in note, "broken" in note) for note in notes] == [(True, False), (False, True)]
    assert read_features(tmp_path / "footprints.gpkg").columns["pair"] == ["fine"]
    with pytest.raises(OutputError, match="damaged"):
        read_pair("broken", tmp_path / "broken")


def test_the_page_names_pairs_failures_and_the_largest_and_runs_nothing(tmp_path: Path) -> None:
    _pair(tmp_path / "a & b", before_date="2011")
    (tmp_path / "a & b" / "report.html").write_text("page")
    _pair(tmp_path / "c", crs=OTHER_UTM)
    rows = [_row("a & b"), _row("c"), _row("<bad>", "failed", "cannot be <read>")]
    result = merge_pairs(rows, tmp_path, settings=DetectionSettings())
    assert result.report is not None
    page = result.report.read_text(encoding="utf-8")
    assert "<b>2 of 3</b><span>pairs done" in page
    assert '<a href="a%20%26%20b/report.html">a &amp; b</a>' in page
    assert "&lt;bad&gt;" in page
    assert "cannot be &lt;read&gt;" in page
    assert page.count("<rect") == 2 + 4  # extents and legend
    assert page.count("<td class=n>0.90</td>") == 2  # both are among the largest
    assert "before: 2011" in page
    assert "<script" not in page
    assert "$" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<th>pair</th><th class=n>id</th><th class=n>area, m²</th>" in page
    assert "<th class=n>latitude</th>" in page


def test_the_page_has_no_columns_that_would_be_empty(tmp_path: Path) -> None:
    _pair(tmp_path / "a", crs=None)
    result = merge_pairs([_row("a")], tmp_path, settings=DetectionSettings())
    assert result.report is not None
    page = result.report.read_text(encoding="utf-8")
    assert "<td>a</td>" in page
    for name in ("before", "after", "latitude", "longitude"):
        assert f">{name}</th>" not in page
    assert "<td class=n>0.0</td>" not in page  # a small pair does not have no megapixels


def test_without_a_pair_there_is_a_page_and_no_layer(tmp_path: Path) -> None:
    rows = [_row("x", "failed", "why")]
    result = merge_pairs(rows, tmp_path, settings=DetectionSettings())
    assert result.merged is None
    assert {path.name for path in tmp_path.iterdir()} == {"report.html"}
    assert merge_pairs(rows, tmp_path, settings=DetectionSettings.of(report=False)).report is None


def test_memory_does_not_grow_with_the_footprints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve pairs with as many footprints as one keep as much in memory as two of them."""
    monkeypatch.setattr("hanet.detection.merged_layer.BATCH", 100)
    probability = np.full((400, 400), 0.01, dtype=np.float32)
    for row in range(2, 396, 10):
        for column in range(2, 396, 10):
            probability[row : row + 7, column : column + 7] = 0.9
    out = finished_run(tmp_path / "p", probability, outline="pixels")
    peaks = []
    for count in (2, 2, 12):  # the first warms up
        pairs = [read_pair("p", out)] * count
        folder = tmp_path / f"merged-{count}"
        (folder / "pairs.json").unlink(missing_ok=True)
        tracemalloc.start()
        merged = merge_footprints(pairs, folder, formats=("gpkg",))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert merged.count == count * 1600
    assert peaks[2] < 1.2 * peaks[1]


def test_a_file_of_an_earlier_merge_is_not_taken_for_one_of_this(tmp_path: Path) -> None:
    _pair(tmp_path / "west")
    _pair(tmp_path / "east")
    _merge(tmp_path, "west", formats=("gpkg", "geojson"))
    _merge(tmp_path, "west", "east")
    notes = _merge(tmp_path, "west", "east", formats=("gpkg", "geojson"))
    assert read_features(tmp_path / "footprints.geojson").columns["pair"] == ["west", "east"]
    assert any("footprints-kept-1.geojson" in note for note in notes)


def test_of_largest_footprints_that_are_equal_the_first_comes_first(tmp_path: Path) -> None:
    names = [f"pair-{number}" for number in range(6)]
    for name in names:
        _pair(tmp_path / name)
    pairs = [read_pair(name, tmp_path / name) for name in names]
    merged = merge_footprints(pairs, tmp_path, formats=("gpkg",))
    assert [place.pair for place in merged.largest] == names
