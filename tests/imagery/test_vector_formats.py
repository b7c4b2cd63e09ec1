"""Formats that cannot hold all that footprints are: what they hold, and what they say of the rest."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import shapely

from hanet.errors import InputError, VectorError
from hanet.imagery import vector_formats
from hanet.imagery.vectors import FeatureWriter, read_features

UTM = "EPSG:32633"
FIELDS = {"id": str, "reviewed_at": str, "comment": str, "area_m2": float}
SQUARES = [shapely.box(500_000 + 20 * n, 4_649_776, 500_010 + 20 * n, 4_649_786) for n in range(5)]


def _write(folder: Path, *formats: str, crs: str | None = UTM, comment: str = "") -> FeatureWriter:
    writer = FeatureWriter(
        folder,
        "out",
        formats,
        crs=crs,
        layer="reviewed",
        fields=FIELDS,
        short_names={"reviewed_at": "reviewed"},
    )
    with writer:
        writer.write(
            SQUARES,
            {
                "id": [f"f{n}" for n in range(5)],
                "reviewed_at": ["2026-11-28"] * 5,
                "comment": [comment, *[None] * 4],
                "area_m2": [100.0] * 4 + [float("nan")],
            },
        )
    return writer


@pytest.fixture(params=[2, 5, 10_000])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(vector_formats, "BATCH", request.param)
    return int(request.param)


def test_a_shapefile_comes_with_all_its_files_and_short_names(tmp_path: Path, batch: int) -> None:
    del batch
    writer = _write(tmp_path, "shp")
    names = {path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {".shp", ".shx", ".dbf", ".prj", ".cpg"}
    assert writer.notes == ("a Shapefile takes names of ten letters: reviewed_at is reviewed",)
    found = read_features(tmp_path / "out.shp")
    assert list(found.columns) == ["id", "reviewed", "comment", "area_m2"]
    assert found.columns["id"] == ["f0", "f1", "f2", "f3", "f4"]
    assert found.columns["area_m2"] == [100.0, 100.0, 100.0, 100.0, None]
    assert all(
        shape is not None and shape.equals(square)
        for shape, square in zip(found.shapes, SQUARES, strict=True)
    )


def test_a_long_text_is_cut_between_letters_and_told(tmp_path: Path) -> None:
    writer = _write(tmp_path, "shp", comment="ü" * 200)
    assert "texts of 254 bytes: 1 longer ones are cut" in writer.notes[1]
    assert read_features(tmp_path / "out.shp").columns["comment"][0] == "ü" * 127


def test_a_shapefile_of_the_same_features_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _write(tmp_path / name, "shp")
    for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
        first, second = ((tmp_path / name / f"out{suffix}").read_bytes() for name in ("one", "two"))
        assert first == second


def test_kml_has_names_and_longitudes(tmp_path: Path) -> None:
    writer = _write(tmp_path, "kml")
    assert writer.notes == ("KML is in longitude and latitude (WGS84)",)
    text = (tmp_path / "out.kml").read_text(encoding="utf-8")
    assert "<name>f3</name>" in text
    found = re.search(r"<coordinates>([\d.]+),([\d.]+)", text)
    assert found is not None
    assert (float(found[1]), float(found[2])) == pytest.approx((15.0, 42.0), abs=1e-3)


def test_kml_of_pixel_coordinates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="KML holds longitudes"):
        _write(tmp_path, "kml", crs=None)
    assert list(tmp_path.iterdir()) == []


def test_csv_has_centroids_outlines_and_no_formula(tmp_path: Path, batch: int) -> None:
    del batch
    _write(tmp_path, "csv", comment="=HYPERLINK(1)")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert rows[0]["comment"] == "'=HYPERLINK(1)"
    assert rows[4]["area_m2"] == ""
    centre = float(rows[0]["centroid_longitude"]), float(rows[0]["centroid_latitude"])
    assert centre == pytest.approx((15.00006, 42.00004), abs=1e-5)
    assert shapely.from_wkt(rows[0]["wkt"]).equals(SQUARES[0])


def test_csv_of_pixel_coordinates_names_them_so(tmp_path: Path) -> None:
    _write(tmp_path, "csv", crs=None)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert (float(row["centroid_x"]), float(row["centroid_y"])) == (500_005, 4_649_781)


@pytest.mark.parametrize("name", ["shp", "kml", "csv", "geojson", "fgb", "parquet", "gpkg"])
def test_no_features_give_an_empty_layer(name: str, tmp_path: Path) -> None:
    with FeatureWriter(tmp_path, "out", [name], crs=UTM, layer="l", fields=FIELDS) as writer:
        pass
    assert writer.files[0].stat().st_size > 0
    if name in ("shp", "gpkg", "fgb"):
        assert read_features(writer.files[0]).shapes == []


def test_features_without_a_geometry_or_a_value_are_read_as_none(tmp_path: Path) -> None:
    path = tmp_path / "edited.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": null, '
        '"properties": {"id": null, "n": null}}, {"type": "Feature", "geometry": {"type": '
        '"Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}, "properties": {"id": "f1", '
        '"n": 2.5}}]}',
        encoding="utf-8",
    )
    found = read_features(path)
    assert found.columns == {"id": [None, "f1"], "n": [None, 2.5]}
    assert found.shapes[0] is None
    assert found.crs == "EPSG:4326"


def test_what_is_no_vector_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "edited.gpkg"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(VectorError, match="cannot be read"):
        read_features(path)
