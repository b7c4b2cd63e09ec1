"""Footprints of arrays are those that ``hanet footprints`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import rioxarray
import shapely

import hanet
from hanet.errors import InputError, MissingExtraError, RasterError, SettingsError, ShapeError
from hanet.footprints.extraction import extract_footprints
from hanet.footprints.geojson import feature_collection
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.raster_output import decode_probability, stored_threshold
from small_rasters import UTM, write

TRANSFORM = rasterio.Affine(0.5, 0, 620000.0, 0, -0.5, 3350000.0)


def _probability() -> np.ndarray[Any, Any]:
    """Blobs of all probabilities with a hole, and an invalid corner."""
    noise = np.random.default_rng(3).random((12, 12)).astype(np.float32)
    probability = np.kron(noise, np.ones((10, 10), np.float32))
    probability[3:6, 4:7] = 0
    probability[100:, 100:] = np.nan
    return probability


def _written(path: Path, out: Path, **settings: Any) -> geopandas.GeoDataFrame:
    extract_footprints(path, out, settings=FootprintSettings(**settings))
    return geopandas.read_file(out / "footprints.gpkg", layer="footprints")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"threshold": 0.3, "outline": "pixels", "connectivity": 4},
        {"threshold": 0.8, "min_area_m2": 30.0, "separate": False, "after_date": "2024"},
    ],
)
def test_arrays_give_what_the_command_writes(tmp_path: Path, settings: dict[str, Any]) -> None:
    probability = _probability()
    path = write(tmp_path / "p.tif", probability[None], nodata=np.nan)
    wanted = _written(path, tmp_path / "out", **settings)
    assert len(wanted) > 3
    with rasterio.open(path) as dataset, rioxarray.open_rasterio(path) as array:
        for given, place in (
            (probability, {"crs": UTM, "transform": TRANSFORM}),
            (path, {}),
            (dataset, {}),
            (array, {}),
        ):
            found = hanet.find_footprints(given, **place, **settings)
            frame = found.to_geopandas()
            assert frame.crs == wanted.crs
            assert frame.geom_equals(wanted.geometry).all()
            for name in found.fields:
                assert frame[name].tolist() == wanted[name].tolist(), name


def test_a_mask_gives_its_outline() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[5:10, 4:12] = True
    (found,) = hanet.find_footprints(mask)
    square = shapely.box(4, -10, 12, -5)
    assert found.geometry.normalize().equals_exact(square.normalize(), 1e-6)
    assert found.attributes["area_px"] == 40


def test_every_stored_probability_is_compared_as_the_mask_is() -> None:
    decoded = decode_probability(np.arange(251, dtype=np.uint8))
    for threshold in (0.1, 0.43, 0.5, 0.575, 0.7, *np.arange(1, 250) / 250):
        assert (decoded >= np.float32(threshold)).sum() == 251 - stored_threshold(threshold)


def test_features_are_in_wgs84_with_rings_by_the_right_hand() -> None:
    found = hanet.find_footprints(_probability(), crs=UTM, transform=TRANSFORM)
    features = found.__geo_interface__["features"]
    assert len(features) == len(found) > 3
    for feature, footprint in zip(features, found, strict=True):
        shape = shapely.geometry.shape(feature["geometry"])
        for part in shapely.get_parts(shape):
            assert part.exterior.is_ccw
            assert not any(ring.is_ccw for ring in part.interiors)
        known = footprint.attributes
        assert shape.centroid.x == pytest.approx(known["centroid_longitude"], abs=1e-6)
        assert shape.centroid.y == pytest.approx(known["centroid_latitude"], abs=1e-6)
        assert feature["properties"] == known
    again = geopandas.GeoDataFrame.from_features(found.__geo_interface__, crs=4326)
    there = found.to_geopandas().to_crs(4326)
    apart = shapely.area(shapely.symmetric_difference(again.geometry, there.geometry))
    apart /= shapely.area(there.geometry)
    assert apart.max() < 2e-3  # of rounding to a centimetre


@pytest.mark.parametrize("west", [179.0, -181.0, 539.0])
def test_a_feature_across_the_date_line_is_cut(west: float) -> None:
    shapes = np.array([shapely.box(west, 10, west + 2, 11)])
    (feature,) = feature_collection(shapes, {}, "EPSG:4326")["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.equals(
        shapely.multipolygons([shapely.box(179, 10, 180, 11), shapely.box(-180, 10, -179, 11)])
    )


def test_no_more_features_than_an_object_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanet.footprints.geojson.MOST_FEATURES", 2)
    found = hanet.find_footprints(_probability())
    with pytest.raises(InputError, match="too many"):
        _ = found.__geo_interface__


@pytest.mark.parametrize(
    ("given", "settings", "error", "message"),
    [
        (np.zeros((3, 4, 4), np.float32), {}, ShapeError, r"\(H, W\)"),
        (np.zeros((4, 4), np.uint8), {}, InputError, "uint8"),
        (np.full((4, 4), 7.0), {}, RasterError, "outside 0-1"),
        (np.zeros((4, 4)), {"crs": UTM}, InputError, "transform is missing"),
        (np.zeros((4, 4)), {"min_area": 3}, SettingsError, "min_area"),
        (np.zeros((4, 4)), {"threshold": 2}, SettingsError, "between 0 and 1"),
        (hanet.Raster(np.zeros((4, 4))), {"crs": UTM}, InputError, "of its own"),
        (7, {}, InputError, "int cannot be used"),
    ],
)
def test_what_holds_no_probability_is_refused(
    given: Any, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hanet.find_footprints(given, **settings)


def test_without_geopandas_the_hint_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hanet.find_footprints(np.zeros((4, 4)))
    monkeypatch.setitem(__import__("sys").modules, "geopandas", None)
    with pytest.raises(MissingExtraError, match="GeoDataFrame needs") as error:
        found.to_geopandas()
    assert error.value.hint == "pip install 'hanet[notebook]'"
