"""Areas of interest as they come: damaged, in several layers, in other words than ours."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from hanet.errors import VectorError
from hanet.imagery.addresses import without_credentials
from hanet.imagery.vectors import read_polygons

UTM = "EPSG:32614"
SQUARE = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0], [0.0, 0.0]]


def geojson(path: Path, *geometries: Any) -> Path:
    """A file of features with these geometries."""
    features = [{"type": "Feature", "properties": {}, "geometry": g} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


DAMAGED = {
    "one point": polygon([[0, 0]]),
    "two points": polygon([[0, 0], [1, 1]]),
    "three points, no area": polygon([[0, 0], [1, 1], [0, 0]]),
    "1D": polygon([[0], [1], [2], [0]]),
    "no type": {"coordinates": [SQUARE]},
    "a line": {"type": "LineString", "coordinates": SQUARE},
    "a point": {"type": "Point", "coordinates": [0, 0]},
    "empty": polygon(),
    "null": None,
    "far beyond": polygon([[1e308, 0], [-1e308, 0], [0, 1e308], [1e308, 0]]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_used_is_left_out_and_said(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each ended in a traceback of GEOS, or in OGR's own warnings on the terminal."""
    alone = geojson(tmp_path / "alone.geojson", DAMAGED[name])
    with pytest.raises(VectorError, match=r"alone\.geojson") as caught:
        read_polygons(alone, crs=None)
    assert "\n" not in caught.value.message
    both = geojson(tmp_path / "both.geojson", DAMAGED[name], polygon(SQUARE))
    found = read_polygons(both, crs=None)
    assert len(found.shapes) == 1
    assert found.notes[0].startswith("1 of 2 geometries of ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "ring",
    [
        SQUARE[:-1],  # open
        [[*point, 5.0] for point in SQUARE],
        [[*point, 5.0, 6.0] for point in SQUARE],  # 4D
    ],
)
def test_what_can_be_used_is(ring: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = read_polygons(geojson(tmp_path / "a.geojson", polygon(ring)), crs=None)
    assert shapely.geometry.shape(found.shapes[0]).area == 100
    assert found.notes == ()
    assert capfd.readouterr() == ("", "")


def test_both_lobes_of_a_bow_tie_are_taken(tmp_path: Path) -> None:
    """Of equal lobes it was 'no polygon that can be used': their areas cancel each other out."""
    bow = polygon([[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]])
    found = read_polygons(geojson(tmp_path / "bow.geojson", bow, polygon(SQUARE)), crs=None)
    lobes, square = (shapely.geometry.shape(shape) for shape in found.shapes)
    assert lobes.is_valid
    assert (lobes.area, square.area) == (50, 100)
    (note,) = found.notes
    assert "1 of 2 polygons of" in note
    assert "(Self-intersection[5 5])" in note


def layer(path: Path, name: str, geometry: Any, kind: str, *, append: bool) -> None:
    """One layer of one geometry."""
    wkb = shapely.to_wkb(np.array([geometry], dtype=object))
    pyogrio.raw.write(
        str(path),
        geometry=wkb,
        field_data=[],
        fields=[],
        crs=UTM,
        driver="GPKG",
        geometry_type=kind,
        layer=name,
        append=append,
    )


def test_of_several_layers_the_polygons_count(tmp_path: Path) -> None:
    """The first layer counted, whatever it was made of, and nothing said so."""
    path = tmp_path / "several.gpkg"
    layer(path, "roads", shapely.LineString([(0, 0), (9, 9)]), "LineString", append=False)
    layer(path, "district", shapely.box(0, 0, 10, 10), "Polygon", append=True)
    found = read_polygons(path, crs=UTM)
    assert shapely.geometry.shape(found.shapes[0]).area == pytest.approx(100)
    assert found.notes == ()
    layer(path, "sheds", shapely.box(0, 0, 1, 1), "Polygon", append=True)
    assert (
        "2 layers of polygons; district is taken, not sheds"
        in read_polygons(path, crs=UTM).notes[0]
    )
    sheds = read_polygons(f"{path}|layername=sheds", crs=UTM)
    assert shapely.geometry.shape(sheds.shapes[0]).area == pytest.approx(1)
    with pytest.raises(VectorError, match="no layer 'barns'") as caught:
        read_polygons(f"{path}|layername=barns", crs=UTM)
    assert caught.value.hint == "its layers are: roads, district, sheds"
    with pytest.raises(VectorError, match="no polygon"):
        read_polygons(f"{path}|layername=roads", crs=UTM)


def test_an_unknown_geometry_in_a_geopackage_is_said(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "a.gpkg"
    layer(path, "a", shapely.box(0, 0, 10, 10), "Polygon", append=False)
    with sqlite3.connect(path) as database:
        for trigger in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f'DROP TRIGGER "{trigger[0]}"')
        header = b"GP\x00\x01" + struct.pack("<i", 32614)
        database.execute("UPDATE a SET geom = ?", (header + struct.pack("<BI", 1, 9999),))
    database.close()
    with pytest.raises(VectorError, match=r"a\.gpkg"):
        read_polygons(path, crs=UTM)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe" * 40, b"{", b'{"type": "Feature\xff"'])
def test_no_vector_file_is_an_error_in_words(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(damage)
    with pytest.raises(VectorError, match="cannot be read") as caught:
        read_polygons(path, crs=None)
    assert caught.value.hint


def test_a_damaged_flatgeobuf_is_an_error_or_read(tmp_path: Path) -> None:
    """An IndexError came through."""
    path = tmp_path / "a.fgb"
    wkb = shapely.to_wkb(np.array([shapely.box(0, 0, 1, 1)], dtype=object))
    pyogrio.raw.write(
        str(path),
        geometry=wkb,
        field_data=[],
        fields=[],
        crs=UTM,
        driver="FlatGeobuf",
        geometry_type="Polygon",
    )
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        bytes_ = bytearray(whole)
        for place in random.integers(8, len(whole), 3):
            bytes_[place] = random.integers(256)
        path.write_bytes(bytes(bytes_))
        with suppress(VectorError):
            read_polygons(path, crs=UTM)


def test_no_password_of_an_address_is_shown() -> None:
    address = "https://user:KEY@127.0.0.1:1/a.geojson?sig=KEY"
    with pytest.raises(VectorError) as caught:
        read_polygons(address, crs=None)
    assert "KEY" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("nope.gpkg", None, "No such file or directory", "check the path"),
        ("text.gpkg", b"text", "not recognized as being in a supported file format", "`ogrinfo`"),
    ],
)
def test_a_message_says_the_path_once(
    tmp_path: Path, name: str, content: bytes | None, message: str, hint: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VectorError) as caught:
        read_polygons(path, crs=None)
    assert caught.value.message == f"the polygons {path} cannot be read: {message}"
    assert str(caught.value.hint).startswith(hint)


def test_gml_is_read_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    area = tmp_path / "area.gml"
    area.write_text(
        '<f:FeatureCollection xmlns:f="http://ogr.maptools.org/" '
        'xmlns:gml="http://www.opengis.net/gml"><gml:featureMember><f:a><f:shape>'
        '<gml:Polygon srsName="EPSG:32614"><gml:outerBoundaryIs><gml:LinearRing>'
        "<gml:coordinates>0,0 10,0 10,10 0,10 0,0</gml:coordinates></gml:LinearRing>"
        "</gml:outerBoundaryIs></gml:Polygon></f:shape></f:a></gml:featureMember>"
        "</f:FeatureCollection>"
    )
    found = read_polygons(area, crs=UTM)
    assert shapely.geometry.shape(found.shapes[0]).area == 100
    assert not found.notes
    assert [path.name for path in tmp_path.iterdir()] == ["area.gml"]


def test_gml_that_is_empty_leaves_nothing_beside_it_either(tmp_path: Path) -> None:
    area = tmp_path / "area.gml"
    area.write_text("<wfs:FeatureCollection xmlns:wfs='http://www.opengis.net/wfs'/>")
    with pytest.raises(VectorError):
        read_polygons(area, crs=UTM)
    assert [path.name for path in tmp_path.iterdir()] == ["area.gml"]


BROKEN_DXF = b"0\nSECTION\n2\nENTITIES\n0\nLWPOLYLINE\n8\n0\n90\n4\n70\n1\n10\nabc\n20\n0\nENDSEC\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.dxf",
            BROKEN_DXF,
            "cannot be read: error at line 18 of ",
        ),  # was: the path of its source
        ("a.csv", b"a,b\n1,2\n", "is a table without geometry"),  # 'NoneType' is not iterable
        ("a.fgb", b"fgb\x03fgb\x01" + b"\xff" * 50, "cannot be read: it is damaged"),
        ("a.gpkg", b"SQLite format 3\0" + bytes(200), "cannot be read: file is not a database"),
        ("a.shp", b"\x00\x00\x27\x0a" + bytes(96), "or .*a.SHX$"),  # advice on GDAL's settings
        ("a.parquet", b"PAR1" + bytes(50) + b"PAR1", "is GeoParquet, which hanet writes and"),
    ],
)
def test_the_words_of_libraries_are_made_plain(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VectorError, match=message) as caught:
        read_polygons(path, crs=None)
    assert "/src/" not in caught.value.message
    assert caught.value.hint


def test_an_address_keeps_its_slashes_and_the_reason_is_said_once() -> None:
    """``Missing url parameter`` stood there eight times, and a path has one slash."""
    with pytest.raises(VectorError) as caught:
        read_polygons(Path("/vsicurl/http://127.0.0.1:1/a.gpkg"), crs=None)
    message = caught.value.message
    assert message.startswith("the polygons /vsicurl/http://127.0.0.1:1/a.gpkg cannot be read: ")
    assert "Missing url" not in message


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("PG:dbname=x password=KEY", "PG:..."),
        ("MYSQL:x,user=a,password=KEY", "MYSQL:..."),
        ("WFS:http://127.0.0.1:1/wfs?token=KEY", "WFS:http://127.0.0.1:1/wfs"),
        ("OAPIF:http://127.0.0.1:1/x", "OAPIF:http://127.0.0.1:1/x"),
        ("GeoJSON:http://127.0.0.1:1/x", "GeoJSON:http://127.0.0.1:1/x"),
    ],
)
def test_a_service_is_no_file_of_polygons(name: str, shown: str) -> None:
    with pytest.raises(VectorError) as caught:
        read_polygons(Path(name), crs=None)
    assert (
        caught.value.message == f"{shown} is a service or a database; polygons are read from files"
    )
    assert without_credentials(caught.value.message) == caught.value.message  # as it is printed
