"""Footprints: no seams, exact measures, square outlines."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanet.components import ComponentFinder
from hanet.footprints import FootprintSettings, extract_footprints
from hanet.geodesy import line_length_m, ring_area_m2
from hanet.grid import Grid
from hanet.outlines import outline_of
from hanet.raster_output import FlatRaster, encode_probability, write_mask, write_probability
from hanet.types import FloatArray, Mask, Window

UTM = "EPSG:32614"


def _components(mask: Mask, rows: int, connectivity: int) -> list[tuple[tuple[int, int], int, str]]:
    finder = ComponentFinder(connectivity)  # type: ignore[arg-type]
    probability = mask.astype(np.float32)
    found = []
    for row in range(0, len(mask), rows):
        found += list(finder.add(mask[row : row + rows], probability[row : row + rows]))
    found += list(finder.finish())
    return sorted((c.first_pixel, c.pixels, shapely.normalize(c.polygon()).wkt) for c in found)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.sampled_from([4, 8]), st.integers(1, 4)
)
def test_strips_leave_no_trace(mask: Mask, connectivity: int, rows: int) -> None:
    assert _components(mask, rows, connectivity) == _components(mask, len(mask), connectivity)


def test_a_building_across_strips_is_one_polygon_without_seam_points() -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[1:7, 2:6] = True
    ((_, pixels, wkt),) = _components(mask, 2, 8)
    assert pixels == 24
    assert shapely.normalize(shapely.box(2, 1, 6, 7)).wkt == wkt


def test_corners_join_with_eight_and_not_with_four() -> None:
    mask = np.array([[1, 0], [0, 1]], dtype=np.bool_)
    assert len(_components(mask, 1, 8)) == 1
    assert len(_components(mask, 1, 4)) == 2
    assert shapely.from_wkt(_components(mask, 2, 8)[0][2]).is_valid


def test_area_and_length_on_the_ellipsoid() -> None:
    # one degree of latitude at the equator: 110574.4 m; of longitude: 111319.5 m (NGA, WGS84 constants)
    steps = np.linspace(0, 1, 200)
    assert line_length_m(np.stack([np.zeros(200), steps], axis=1)) == pytest.approx(110574.4, rel=1e-5)
    assert line_length_m(np.stack([steps, np.zeros(200)], axis=1)) == pytest.approx(111319.5, rel=1e-5)
    # a hemisphere of the ellipsoid has half of 510,065,621.7 km2: here 1/360 of it, from the equator to the pole
    wedge = np.array([[0, 0], [1, 0], [1, 90], [0, 90], [0, 0]], dtype=np.float64)
    assert ring_area_m2(wedge) == pytest.approx(510_065_621.7e6 / 720, rel=1e-6)


def test_a_turned_house_is_squared() -> None:
    house = shapely.affinity.rotate(shapely.box(20, 20, 60, 44), 25)
    y, x = np.mgrid[0:80, 0:80]
    mask = shapely.contains_xy(house, x + 0.5, y + 0.5)
    ((_, _, wkt),) = _components(mask, 80, 8)
    stairs = shapely.from_wkt(wkt)
    square = outline_of(stairs, "square")
    assert len(square.exterior.coords) == 5
    assert square.intersection(house).area / square.union(house).area > 0.93
    assert outline_of(stairs, "pixels") is stairs


def _raster(path: Path, probability: FloatArray, valid: Mask | None = None, crs: str | None = UTM) -> Path:
    from rasterio.crs import CRS

    height, width = probability.shape
    transform = (0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0) if crs else (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    grid = Grid(CRS.from_string(crs).to_wkt() if crs else None, transform, height, width)
    with FlatRaster(path.with_suffix(".raw"), grid) as flat:
        flat.write(
            Window(0, 0, height, width),
            encode_probability(probability, np.ones_like(probability, dtype=np.bool_) if valid is None else valid),
        )
    write_probability(path.with_suffix(".raw"), grid, path, tags={})
    return path


@pytest.fixture
def one_house(tmp_path: Path) -> Path:
    probability = np.full((64, 64), 0.1, dtype=np.float32)
    probability[10:30, 20:50] = 0.8
    return _raster(tmp_path / "probability.tif", probability)


def test_every_format_holds_the_same_footprint(one_house: Path, tmp_path: Path) -> None:
    formats = ("gpkg", "geojson", "fgb", "parquet")
    summary = extract_footprints(
        one_house, tmp_path / "out", settings=FootprintSettings(before_date="2019"), formats=formats
    )
    assert summary.count == 1
    assert summary.area_m2 == pytest.approx(150.0, rel=2e-3)  # UTM's scale is 0.9998 here, squared
    for name in formats[:3]:
        meta, _, geometry, fields = pyogrio.raw.read(
            tmp_path / "out" / f"footprints.{name}", layer=0 if name != "gpkg" else "footprints"
        )
        values = dict(zip(meta["fields"], fields, strict=True))
        assert values["probability_mean"][0] == pytest.approx(0.8)
        assert values["before_date"][0] == "2019"
        assert shapely.from_wkb(geometry[0]).is_valid
    world = json.loads((tmp_path / "out" / "footprints.geojson").read_text())
    assert "crs" not in world
    longitude, latitude = world["features"][0]["geometry"]["coordinates"][0][0][0]
    assert (round(longitude), round(latitude)) == (-98, 30)
    with sqlite3.connect(tmp_path / "out" / "footprints.gpkg") as database:
        assert database.execute("SELECT f_table_name, useAsDefault FROM layer_styles").fetchall() == [("footprints", 1)]
    database.close()


def test_no_change_gives_a_valid_empty_layer(tmp_path: Path) -> None:
    raster = _raster(tmp_path / "p.tif", np.zeros((64, 64), dtype=np.float32))
    summary = extract_footprints(raster, tmp_path, settings=FootprintSettings())
    assert summary.count == 0
    assert pyogrio.read_info(tmp_path / "footprints.gpkg", layer="footprints")["features"] == 0


def test_without_crs_areas_are_pixels_by_name(tmp_path: Path) -> None:
    probability = np.zeros((64, 64), dtype=np.float32)
    probability[5:15, 5:25] = 1
    extract_footprints(_raster(tmp_path / "p.tif", probability, crs=None), tmp_path, settings=FootprintSettings())
    fields = pyogrio.read_info(tmp_path / "footprints.gpkg", layer="footprints")["fields"]
    assert "area_px" in fields
    assert "area_m2" not in fields


def test_mask_and_footprints_agree_in_every_pixel_at_any_threshold(tmp_path: Path) -> None:
    import rasterio

    random = np.random.default_rng(0)
    raster = _raster(tmp_path / "p.tif", random.random((64, 64)).astype(np.float32), random.random((64, 64)) < 0.9)
    for threshold in (0.3, 0.386, 0.5):
        write_mask(raster, tmp_path / "mask.tif", threshold=threshold, tags={})
        with rasterio.open(tmp_path / "mask.tif") as dataset:
            mask = dataset.read(1)
        summary = extract_footprints(
            raster, tmp_path, settings=FootprintSettings(threshold=threshold, outline="pixels", min_area_m2=0)
        )
        assert summary.area_m2 == pytest.approx((mask == 1).sum() * 0.25, rel=2e-3)
