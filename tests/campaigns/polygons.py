"""Areas of interest of wrong geometry, encoding, CRS or format, or with damaged bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from campaigns import commands
from campaigns.damage import damaged, hostile_json, hostile_text
from campaigns.kinds import Bench, Command, Kind, Kinds
from campaigns.seeds import TRANSFORM, images, polygons, write_raster

LEFT, TOP = TRANSFORM[2], TRANSFORM[5]
SQUARE = [[2, -2], [12, -2], [12, -12], [2, -12], [2, -2]]


def _ring(*points: Sequence[float]) -> list[list[float]]:
    return [[LEFT + point[0], TOP + point[1], *point[2:]] for point in points]


GEOMETRIES: dict[str, Any] = {
    "one point": {"type": "Polygon", "coordinates": [_ring([2, -2])]},
    "two points": {"type": "Polygon", "coordinates": [_ring([2, -2], [12, -2])]},
    "three points": {"type": "Polygon", "coordinates": [_ring([2, -2], [12, -2], [2, -2])]},
    "open ring": {"type": "Polygon", "coordinates": [_ring(*SQUARE[:4])]},
    "bow tie": {"type": "Polygon", "coordinates": [_ring(*[SQUARE[n] for n in (0, 2, 1, 3, 0)])]},
    "no rings": {"type": "Polygon", "coordinates": []},
    "empty ring": {"type": "Polygon", "coordinates": [[]]},
    "hole outside": {
        "type": "Polygon",
        "coordinates": [_ring(*SQUARE), _ring([50, -50], [60, -50], [60, -60], [50, -50])],
    },
    "1D": {"type": "Polygon", "coordinates": [[[LEFT], [LEFT + 1], [LEFT]]]},
    "3D": {"type": "Polygon", "coordinates": [_ring(*[[*p, 7] for p in SQUARE])]},
    "4D": {"type": "Polygon", "coordinates": [_ring(*[[*p, 7, 8] for p in SQUARE])]},
    "texts": {"type": "Polygon", "coordinates": [[["a", "b"], ["c", "d"], ["a", "b"]]]},
    "nulls": {"type": "Polygon", "coordinates": [[[None, None]] * 4]},
    "huge": {
        "type": "Polygon",
        "coordinates": [[[1e300, 1e300], [1e308, 0], [0, 0], [1e300, 1e300]]],
    },
    "point": {"type": "Point", "coordinates": [LEFT + 3, TOP - 3]},
    "line": {"type": "LineString", "coordinates": _ring(*SQUARE)},
    "collection": {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Point", "coordinates": [LEFT, TOP]},
            {"type": "Polygon", "coordinates": [_ring(*SQUARE)]},
        ],
    },
    "empty collection": {"type": "GeometryCollection", "geometries": []},
    "no geometry": None,
    "no type": {"coordinates": [_ring(*SQUARE)]},
    "unknown type": {"type": "Circle", "coordinates": [LEFT, TOP]},
    "a curve": {"type": "CurvePolygon", "coordinates": [_ring(*SQUARE)]},
    "multi": {"type": "MultiPolygon", "coordinates": [[_ring(*SQUARE)], []]},
    "sliver": {
        "type": "Polygon",
        "coordinates": [_ring([2, -2], [12, -2], [12, -2 + 1e-9], [2, -2])],
    },
    "elsewhere": {"type": "Polygon", "coordinates": [_ring(*[[x + 1e5, y] for x, y in SQUARE])]},
}


def geometry(bench: Bench, verb: str) -> Command:
    """A GeoJSON with one or two odd geometries."""
    random = bench.random
    names = random.sample(sorted(GEOMETRIES), random.choice((1, 1, 2)))
    collection = polygons()
    sound = collection["features"] if random.random() < 0.3 else []
    odd = [{"type": "Feature", "properties": {}, "geometry": GEOMETRIES[name]} for name in names]
    collection["features"] = [*sound, *odd]
    path = bench.folder / "aoi.geojson"
    path.write_text(json.dumps(collection), encoding="utf-8")
    return _with_area(bench, verb, path, "geometry: " + ", ".join(names))


def crs(bench: Bench, verb: str) -> Command:
    """A CRS that is unknown, of the moon, of no place, hostile, or missing."""
    random = bench.random
    collection = polygons()
    names = (
        "urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:EPSG::999999", "EPSG:5513", "EPSG:4978",
        "IAU_2015:30100", "nowhere", "", "x" * 5000, "\x1b[31m", "LOCAL_CS[\"x\"]", "EPSG:3857",
    )  # fmt: skip
    name = random.choice(names)
    way = random.choice(("name", "value", "none", "link"))
    if way == "name":
        collection["crs"]["properties"]["name"] = name
    elif way == "value":
        collection["crs"] = json.loads(
            random.choice(("[]", "7", '{"type": 7}', '{"properties": []}'))
        )
    elif way == "link":
        collection["crs"] = {"type": "link", "properties": {"href": "http://127.0.0.1:1/crs"}}
    else:
        del collection["crs"]
    path = bench.folder / "aoi.geojson"
    path.write_text(json.dumps(collection), encoding="utf-8")
    return _with_area(bench, verb, path, f"CRS: {way} {name[:30]!r}")


def broken(bench: Bench, verb: str) -> Command:
    """Bytes damaged of a GeoJSON, GeoPackage, FlatGeobuf, Shapefile or KML."""
    random = bench.random
    suffix = random.choice((".geojson", ".gpkg", ".fgb", ".fgb", ".shp", ".kml"))
    path = _written(bench, suffix)
    victims = [p for p in sorted(path.parent.glob(f"{path.stem}.*")) if p.stat().st_size]
    victim = random.choice(victims) if random.random() < 0.3 else path
    content, what = damaged(victim.read_bytes(), random, head=600)
    victim.write_bytes(content)
    if random.random() < 0.1 and len(victims) > 1:
        victim.unlink()
        what = "missing"
    return _with_area(bench, verb, path, f"{victim.name}: {what}")


def well_known_binary(bench: Bench, verb: str) -> Command:
    """A GeoPackage whose geometries or tables were changed by SQL."""
    import sqlite3

    random = bench.random
    path = _written(bench, ".gpkg")
    kinds = (15, 16, 17, 3000, 7, 1, 0, 2**31)
    head = b"GP\0\1" + (random.choice((32614, 999999, 0, -1)) % 2**32).to_bytes(4, "little")
    blob = head + b"\1" + random.choice(kinds).to_bytes(4, "little")
    blob += random.choice((b"", b"\1\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0\2\0\0\0" + bytes(32)))
    changes = (
        ("UPDATE aoi SET geom = ?", (blob,)),
        ("UPDATE aoi SET geom = ?", (b"",)),
        ("UPDATE aoi SET geom = ?", ("text",)),
        ("UPDATE gpkg_geometry_columns SET srs_id = ?", (random.choice((0, -1, 12345)),)),
        ("UPDATE gpkg_spatial_ref_sys SET definition = ?", (hostile_text(random)[:5000],)),
        ("UPDATE gpkg_contents SET table_name = ?", ("missing",)),
        ("UPDATE gpkg_contents SET data_type = ?", ("attributes",)),
        ("DELETE FROM gpkg_spatial_ref_sys WHERE srs_id > ?", (0,)),
        ("DELETE FROM aoi WHERE fid > ?", (0,)),
        ("UPDATE gpkg_geometry_columns SET geometry_type_name = ?", ("CIRCLE",)),
    )
    statement, (value,) = random.choice(changes)
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    with sqlite3.connect(path) as database:
        for (trigger,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute(statement, (value,))
    database.close()
    return _with_area(bench, verb, path, f"{statement}: {value!r}"[:90])


def text(bench: Bench, verb: str) -> Command:
    """Texts that are no vector file, or one in another encoding, or nested without end."""
    random = bench.random
    sound = json.dumps(polygons())
    properties = f'"properties": {hostile_json(random)}'
    contents = (
        b"", b"{}", b"[]", b"null", sound.encode("utf-16"), b"\xef\xbb\xbf" + sound.encode(),
        sound.replace('"a"', '"\xe9"').encode("latin-1"), b"<!DOCTYPE html><html></html>",
        hostile_json(random).encode("utf-8", "replace"), b"POLYGON((0 0,1 0,1 1,0 0))",
        b"x,y,WKT\n1,2,POLYGON((0 0\n", sound.replace("Polygon", "polygon").encode(), b"\0" * 500,
        sound.replace('"properties": {"name": "a"}', properties).encode("utf-8", "replace"),
    )  # fmt: skip
    content = random.choice(contents)
    path = bench.folder / (
        "aoi" + random.choice((".geojson", ".json", ".csv", ".gpkg", "", ".kml"))
    )
    path.write_bytes(content)
    return _with_area(bench, verb, path, f"{path.name}: {content[:40]!r}")


def _written(bench: Bench, suffix: str) -> Path:
    """The sound polygons in another format."""
    import numpy as np
    import pyogrio
    import shapely

    path = bench.folder / f"aoi{suffix}"
    if suffix == ".geojson":
        return bench.sound("polygons.geojson", path.name)
    shape = shapely.Polygon([(LEFT + x, TOP + y) for x, y in SQUARE])
    drivers = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile", ".kml": "KML"}
    options = {"layer_options": {"GEOMETRY_NAME": "geom"}} if suffix == ".gpkg" else {}
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array([shape])),
        field_data=[np.array(["a"], dtype=object)],
        fields=["name"],
        driver=drivers[suffix],
        geometry_type="Polygon",
        crs="EPSG:32614",
        **options,
    )
    return path


def _with_area(bench: Bench, verb: str, path: Path, what: str) -> Command:
    """``detect --aoi``, now and then on a pair of pictures without CRS."""
    del verb
    if bench.random.random() < 0.75:
        return commands.sound_detect(bench, what, "--aoi", path.name)
    for name, pixels in zip(("before.tif", "after.tif"), images(40, 1)[:2], strict=True):
        write_raster(bench.folder / name, pixels, driver="PNG", crs=None, transform=None)
        (bench.folder / f"{name}.aux.xml").unlink(missing_ok=True)
    return commands.detect(
        bench, "before.tif", "after.tif", what + ", on pictures", "--aoi", path.name
    )


KINDS: Kinds = {
    "aoi-geometry": Kind(geometry, ("detect",)),
    "aoi-crs": Kind(crs, ("detect",)),
    "aoi-bytes": Kind(broken, ("detect",)),
    "aoi-sql": Kind(well_known_binary, ("detect",)),
    "aoi-text": Kind(text, ("detect",)),
}
