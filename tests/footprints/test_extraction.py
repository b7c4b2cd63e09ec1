"""Footprints: no seams, exact measures, square outlines."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanet.errors import OutputError, RasterError
from hanet.footprints.components import ComponentFinder
from hanet.footprints.extraction import (
    extract_footprints,
    find_footprints,
    measures,
)
from hanet.footprints.labelling import label
from hanet.footprints.outlines import outline_of
from hanet.footprints.settings import FootprintSettings
from hanet.footprints.touching import CORE_PROBABILITY, separate
from hanet.imagery.geodesy import line_length_m, ring_area_m2
from hanet.imagery.grid import Grid
from hanet.imagery.qgis import footprint_style, mask_style, probability_style
from hanet.imagery.raster_output import (
    FlatRaster,
    ProbabilityRaster,
    encode_probability,
    write_mask,
    write_probability,
)
from hanet.imagery.vectors import FeatureWriter, read_polygons
from hanet.types import FloatArray, Mask, Window

UTM = "EPSG:32614"


def _components(mask: Mask, rows: int, connectivity: int) -> list[tuple[tuple[int, int], int, str]]:
    finder = ComponentFinder(connectivity)  # type: ignore[arg-type]
    probability = mask.astype(np.float32)
    found = []
    for row in range(0, len(mask), rows):
        found += list(finder.add(mask[row : row + rows], probability[row : row + rows]))
    found += list(finder.finish())
    return sorted((c.last_pixel, c.pixels, shapely.normalize(c.polygon()).wkt) for c in found)


@settings(max_examples=60)
@given(
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.sampled_from([4, 8]),
    st.integers(1, 4),
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
    # one degree of latitude at the equator: 110574.4 m; of longitude: 111319.5 m (NGA, WGS84
    # constants)
    steps = np.linspace(0, 1, 200)
    assert line_length_m(np.stack([np.zeros(200), steps], axis=1)) == pytest.approx(
        110574.4, rel=1e-5
    )
    assert line_length_m(np.stack([steps, np.zeros(200)], axis=1)) == pytest.approx(
        111319.5, rel=1e-5
    )
    # a hemisphere of the ellipsoid has half of 510,065,621.7 km2: here 1/360 of it, from the
    # equator to the pole
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


def _raster(
    path: Path, probability: FloatArray, valid: Mask | None = None, crs: str | None = UTM
) -> Path:
    from rasterio.crs import CRS

    height, width = probability.shape
    transform = (
        (0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0) if crs else (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    )
    grid = Grid(CRS.from_string(crs).to_wkt() if crs else None, transform, height, width)
    with FlatRaster(path.with_suffix(".raw"), grid) as flat:
        flat.write(
            Window(0, 0, height, width),
            encode_probability(
                probability, np.ones_like(probability, dtype=np.bool_) if valid is None else valid
            ),
        )
    write_probability(path.with_suffix(".raw"), grid, path, tags={})
    return path


@pytest.mark.parametrize("turns", range(4))
def test_no_outline_leaves_the_picture(tmp_path: Path, turns: int) -> None:
    """A house that an edge cuts got the right angles that it may have beyond, up to five pixels
    outside of all that was seen."""
    house = shapely.affinity.rotate(shapely.box(-11, 48, 29, 72), 26)
    y, x = np.mgrid[0:128, 0:128]
    seen = np.rot90(shapely.contains_xy(house, x + 0.5, y + 0.5), turns)
    probability = np.where(seen, np.float32(0.9), np.float32(0.01))
    file = _raster(tmp_path / "p.tif", probability)
    with ProbabilityRaster(file) as raster:
        (footprint,) = find_footprints(raster, FootprintSettings(threshold=0.5))
    picture = shapely.box(620000, 3350000 - 64, 620064, 3350000)
    assert picture.covers(footprint.geometry)
    assert footprint.attributes["area_m2"] == pytest.approx(seen.sum() / 4, rel=0.1)


@pytest.fixture
def one_house(tmp_path: Path) -> Path:
    probability = np.full((64, 64), 0.1, dtype=np.float32)
    probability[10:30, 20:50] = 0.8
    return _raster(tmp_path / "probability.tif", probability)


def test_the_verb_takes_the_threshold_of_the_run(
    one_house: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It took 0.5 where the run had taken the weights' own: another number of footprints than in
    the report."""
    from hanet.cli import main

    with rasterio.open(one_house, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(THRESHOLD="0.85")
    found = {}
    for name, more in (("own", []), ("given", ["--threshold", "0.5"])):
        monkeypatch.setattr(
            "sys.argv",
            ["hanet", "footprints", str(one_house), "--out", str(tmp_path / name), *more],
        )
        main()
        found[name] = capsys.readouterr().out.splitlines()[0]
    assert found["own"] == "0 footprints, 0 m², threshold 0.85"
    assert found["given"].startswith("1 footprint, ")
    assert found["given"].endswith("threshold 0.5")


def test_the_verb_leaves_the_footprints_of_a_run_alone(
    one_house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were replaced in silence, and the report beside them told of others."""
    from hanet.cli import main

    (one_house.parent / "run.json").write_text("{}")
    words = ["hanet", "footprints", str(one_house), "--out", str(one_house.parent)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        main()
    assert not (one_house.parent / "footprints.gpkg").exists()
    monkeypatch.setattr("sys.argv", [*words, "--stem", "strict"])
    main()
    assert (one_house.parent / "strict.gpkg").exists()


@pytest.mark.parametrize("stem", ["", ".", "..", ".hidden", "a/b"])
def test_a_stem_that_would_hide_the_layer_or_lie_elsewhere_is_refused(
    stem: str, one_house: Path, tmp_path: Path, refused: Callable[..., tuple[str, str]]
) -> None:
    error, _ = refused("footprints", one_house, "--out", tmp_path / "out", "--stem", stem)
    assert "is not a plain name" in error
    assert not (tmp_path / "out").exists()


def test_a_mask_is_no_probability_and_the_raster_beside_it_is_named(
    one_house: Path, tmp_path: Path
) -> None:
    """Its 0 and 1 were read as probabilities of 0 and 0.004: no footprint, and no word."""
    mask = one_house.with_name("mask.tif")
    write_mask(one_house, mask, threshold=0.5, tags={})
    with pytest.raises(RasterError, match="without the scale") as raised:
        extract_footprints(mask, tmp_path / "out", settings=FootprintSettings())
    assert str(one_house) in str(raised.value.hint)


@pytest.mark.parametrize(
    ("kind", "scale", "offset", "nodata"),
    [
        ("uint8", 1 / 255, 0.0, None),  # all of these were refused as masks
        ("uint8", 0.01, 0.0, 255),
        ("uint8", 1 / 250, 0.0, None),
        ("uint16", 0.0001, 0.0, 65535),
        ("int16", 0.0001, 0.5, -32768),
        ("float32", 0.01, 0.0, -9999.0),
        ("float32", 1.0, 0.0, -3.4028234663852886e38),
        ("float64", 1.0, 0.0, -1.7976931348623157e308),
        ("float32", 1.0, 0.0, None),
    ],
)
def test_rasters_of_other_tools_are_read_by_their_scale(
    tmp_path: Path, kind: str, scale: float, offset: float, nodata: float | None
) -> None:
    probability = np.full((64, 64), 0.2)
    probability[8:24, 8:40] = 1.0
    stored = (probability - offset) / scale
    values = (np.rint(stored) if "int" in kind else stored).astype(kind)
    if kind == "float32" and nodata is None:
        values[8, 8] = np.nextafter(
            np.float32(1), np.float32(2)
        )  # as ONNX Runtime's sigmoid has it
        values[40:] = np.nan
    elif nodata is not None:
        values[40:] = nodata
    raster = tmp_path / "theirs.tif"
    profile: dict[str, Any] = {
        "height": 64,
        "width": 64,
        "count": 1,
        "dtype": kind,
        "crs": UTM,
        "nodata": nodata,
    }
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    transform = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
    with rasterio.open(
        raster, "w", driver="GTiff", transform=transform, **profile, **tiles
    ) as dataset:
        dataset.write(values[None])
        dataset.scales, dataset.offsets = [scale], [offset]
    with ProbabilityRaster(raster) as opened:
        (found,) = find_footprints(opened, FootprintSettings(threshold=0.5))
        assert np.isnan(opened.read(Window(40, 0, 24, 64))).all() or (
            nodata is None and kind == "uint8"
        )
    assert found.pixel_geometry.bounds == pytest.approx((8, 8, 40, 24))
    assert found.attributes["probability_max"] == 1.0


def test_values_of_another_scale_are_told(tmp_path: Path) -> None:
    raster = tmp_path / "per_cent.tif"
    profile: dict[str, Any] = {
        "height": 16,
        "width": 16,
        "count": 1,
        "dtype": "float32",
        "crs": UTM,
    }
    with rasterio.open(
        raster, "w", driver="GTiff", transform=rasterio.Affine(1, 0, 0, 0, -1, 16), **profile
    ) as dataset:
        dataset.write(np.full((1, 16, 16), 70, dtype=np.float32))
    with pytest.raises(RasterError, match="outside 0-1") as raised:
        extract_footprints(raster, tmp_path / "out", settings=FootprintSettings())
    assert "reach from 0 to 70" in str(raised.value.hint)


@pytest.mark.parametrize("turned", [rasterio.Affine.rotation(30), rasterio.Affine.scale(1, -1)])
def test_a_turned_raster_is_refused(tmp_path: Path, turned: rasterio.Affine) -> None:
    """Its footprints lay mirrored, or beside it."""
    transform = (
        rasterio.Affine.translation(620000, 3350000) @ turned @ rasterio.Affine.scale(0.5, -0.5)
    )
    raster = tmp_path / "turned.tif"
    profile: dict[str, Any] = {
        "height": 32,
        "width": 32,
        "count": 1,
        "dtype": "float32",
        "crs": UTM,
    }
    with rasterio.open(raster, "w", driver="GTiff", transform=transform, **profile) as dataset:
        dataset.write(np.full((1, 32, 32), 0.8, dtype=np.float32))
    with pytest.raises(RasterError, match="rotated or south up"):
        extract_footprints(raster, tmp_path / "out", settings=FootprintSettings())


def test_the_verb_takes_the_dates_of_the_run(
    one_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hanet.cli import main

    with rasterio.open(one_house, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(BEFORE_DATE="2009", AFTER_DATE="2011-05-24")
    monkeypatch.setattr(
        "sys.argv",
        [
            "hanet",
            "footprints",
            str(one_house),
            "--out",
            str(tmp_path / "out"),
            "--before-date",
            "2010",
        ],
    )
    main()
    meta, _, _, columns = pyogrio.raw.read(tmp_path / "out" / "footprints.gpkg", layer="footprints")
    values = {name: column[0] for name, column in zip(meta["fields"], columns, strict=True)}
    assert (values["before_date"], values["after_date"]) == ("2010", "2011-05-24")


def test_the_verb_bears_dates_that_the_run_was_warned_of(
    one_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose files bear dates the wrong way round was only warned of; its footprints were
    refused."""
    from hanet.cli import main

    with rasterio.open(one_house, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(BEFORE_DATE="2020-05-01", AFTER_DATE="2011-05-01")
    command = ["hanet", "footprints", str(one_house), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", command)
    main()
    assert (tmp_path / "out" / "footprints.gpkg").exists()
    monkeypatch.setattr("sys.argv", [*command, "--before-date", "2019"])
    with pytest.raises(SystemExit, match="2"):
        main()


def test_a_mask_without_georeference_says_nothing_of_rasterios(tmp_path: Path) -> None:
    raster = _raster(
        tmp_path / "probability.tif", np.full((32, 32), 0.7, dtype=np.float32), crs=None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_mask(raster, tmp_path / "mask.tif", threshold=0.5, tags={})
    assert (tmp_path / "mask.tif").exists()


def test_a_format_given_twice_is_written_once(one_house: Path, tmp_path: Path) -> None:
    summary = extract_footprints(
        one_house, tmp_path / "out", settings=FootprintSettings(), formats=("gpkg", "gpkg")
    )
    assert summary.files == (tmp_path / "out" / "footprints.gpkg",)


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


def test_no_change_gives_a_valid_empty_layer(tmp_path: Path) -> None:
    raster = _raster(tmp_path / "p.tif", np.zeros((64, 64), dtype=np.float32))
    summary = extract_footprints(raster, tmp_path, settings=FootprintSettings())
    assert summary.count == 0
    assert pyogrio.read_info(tmp_path / "footprints.gpkg", layer="footprints")["features"] == 0


def test_without_crs_areas_are_pixels_by_name(tmp_path: Path) -> None:
    probability = np.zeros((64, 64), dtype=np.float32)
    probability[5:15, 5:25] = 1
    extract_footprints(
        _raster(tmp_path / "p.tif", probability, crs=None), tmp_path, settings=FootprintSettings()
    )
    fields = pyogrio.read_info(tmp_path / "footprints.gpkg", layer="footprints")["fields"]
    assert "area_px" in fields
    assert "area_m2" not in fields


def test_mask_and_footprints_agree_in_every_pixel_at_any_threshold(tmp_path: Path) -> None:
    import rasterio

    random = np.random.default_rng(0)
    raster = _raster(
        tmp_path / "p.tif",
        random.random((64, 64)).astype(np.float32),
        random.random((64, 64)) < 0.9,
    )
    for threshold in (0.3, 0.386, 0.5):
        write_mask(raster, tmp_path / "mask.tif", threshold=threshold, tags={})
        with rasterio.open(tmp_path / "mask.tif") as dataset:
            mask = dataset.read(1)
        summary = extract_footprints(
            raster,
            tmp_path,
            settings=FootprintSettings(threshold=threshold, outline="pixels", min_area_m2=0),
        )
        assert summary.area_m2 == pytest.approx((mask == 1).sum() * 0.25, rel=2e-3)


def _smooth_noise(seed: int) -> FloatArray:
    """Blobs with holes and corners that touch."""
    noise = np.random.default_rng(seed).random((66, 62))
    for _ in range(2):
        noise = (
            noise + sum(np.roll(noise, shift, axis) for axis in (0, 1) for shift in (-1, 1))
        ) / 5
    return np.where(noise > np.quantile(noise, 0.6), 0.8, 0.04).astype(np.float32)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("outline", ["pixels", "simple", "square"])
def test_footprints_are_the_same_to_the_byte_whatever_the_strips(
    tmp_path: Path, connectivity: int, outline: str
) -> None:
    path = _raster(tmp_path / "p.tif", _smooth_noise(3))
    chosen = FootprintSettings(connectivity=connectivity, outline=outline, min_area_m2=0)  # type: ignore[arg-type]
    with ProbabilityRaster(path) as raster:
        found = [
            [
                (f.geometry.wkb, f.attributes)
                for f in find_footprints(raster, chosen, strip_rows=rows)
            ]
            for rows in (66, 1, 7)
        ]
    assert len(found[0]) > 5
    assert found[1] == found[0]
    assert found[2] == found[0]
    assert all(shapely.from_wkb(geometry).is_valid for geometry, _ in found[0])


def test_right_angles_are_right_on_the_ground_where_pixels_are_degrees(tmp_path: Path) -> None:
    # at 60 degrees north a degree of longitude is half as long as one of latitude
    metres = np.array([0.5, 1.0])
    house = shapely.affinity.rotate(shapely.box(20, 40, 60, 64), 25)  # in metres
    y, x = np.mgrid[0:100, 0:160]
    inside = shapely.contains_xy(house, (x + 0.5) * metres[0], (y + 0.5) * metres[1])
    degree = 1 / 111_412.0
    path = tmp_path / "p.tif"
    grid = Grid(_wkt("EPSG:4326"), (degree, 0.0, 25.0, 0.0, -degree, 60.0), 100, 160)
    with FlatRaster(path.with_suffix(".raw"), grid) as flat:
        flat.write(
            Window(0, 0, 100, 160),
            encode_probability(inside.astype(np.float32), np.ones_like(inside)),
        )
    write_probability(path.with_suffix(".raw"), grid, path, tags={})
    with ProbabilityRaster(path) as raster:
        (footprint,) = find_footprints(raster, FootprintSettings(outline="square"))
    (polygon,) = shapely.get_parts(footprint.pixel_geometry)
    corners = np.asarray(polygon.exterior.coords) * metres
    assert len(corners) == 5
    sides = np.diff(corners, axis=0)
    angles = [
        abs(a @ b) / np.hypot(*a) / np.hypot(*b)
        for a, b in zip(sides, np.roll(sides, -1, axis=0), strict=True)
    ]
    assert max(angles) < 0.02


def test_measures_do_not_mind_the_date_line() -> None:
    here = np.array(
        [[179.9, 10], [180.1, 10], [180.1, 10.1], [179.9, 10.1], [179.9, 10]], dtype=np.float64
    )
    wrapped = here.copy()
    wrapped[here[:, 0] > 180, 0] -= 360
    assert ring_area_m2(wrapped) == pytest.approx(ring_area_m2(here), rel=1e-12)
    assert line_length_m(wrapped) == pytest.approx(line_length_m(here), rel=1e-12)


def test_a_centre_beyond_the_date_line_is_a_longitude() -> None:
    grid = Grid("EPSG:4326", (5e-6, 0, 190.0, 0, -5e-6, 0.01), 32, 32)
    squares = np.array(
        [shapely.box(190.0, 0.0, 190.0001, 0.0001), shapely.box(179.9, 0.0, 180.0, 0.1)]
    )
    assert [found["centroid_longitude"] for found in measures(squares, grid)] == pytest.approx(
        [-169.99995, 179.95]
    )


def _two_houses(bridge: float) -> FloatArray:
    """Two houses of 12x12 pixels whose cores of 10x10 are apart, joined by a bridge of 4x6
    pixels."""
    probability = np.zeros((32, 48), dtype=np.float32)
    for column in (6, 24):
        probability[8:20, column : column + 12] = 0.7
        probability[9:19, column + 1 : column + 11] = 0.96
    probability[12:16, 18:24] = bridge
    return probability


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("strip_rows", [5, 32])
def test_touching_houses_are_separated_unless_asked_not_to(
    tmp_path: Path, connectivity: Literal[4, 8], strip_rows: int
) -> None:
    raster = _raster(tmp_path / "p.tif", _two_houses(0.6), crs=None)
    given: dict[str, Any] = {"threshold": 0.5, "outline": "pixels", "connectivity": connectivity}
    with ProbabilityRaster(raster) as opened:
        (whole,) = find_footprints(
            opened, FootprintSettings(separate=False, **given), strip_rows=strip_rows
        )
        parts = find_footprints(opened, FootprintSettings(**given), strip_rows=strip_rows)
    # each takes half of the bridge
    assert sorted(part.pixel_geometry.bounds for part in parts) == [(6, 8, 21, 20), (21, 8, 36, 20)]
    assert sorted(part.attributes["id"] for part in parts) == [1, 2]
    assert shapely.union_all([part.pixel_geometry for part in parts]).equals(whole.pixel_geometry)
    means = {part.attributes["probability_mean"] for part in parts}
    assert means == {round((100 * 0.96 + 44 * 0.7 + 12 * 0.6) / 156, 4)}


def test_one_core_or_a_bridge_as_sure_as_the_houses_stays_whole(tmp_path: Path) -> None:
    sure = _two_houses(0.96)
    sure[12:16, 16:26] = 0.96
    one_core = _two_houses(0.6)
    one_core[:, 24:][one_core[:, 24:] > 0.9] = 0.85
    small_core = one_core.copy()
    small_core[10:14, 27:31] = 0.96  # 16 pixels of the 60 that a core needs
    for number, probability in enumerate((sure, one_core, small_core)):
        raster = _raster(tmp_path / f"{number}.tif", probability, crs=None)
        with ProbabilityRaster(raster) as opened:
            assert (
                len(find_footprints(opened, FootprintSettings(threshold=0.5, separate=True))) == 1
            )


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 8]))
def test_the_parts_of_a_component_are_connected_and_are_all_of_it(
    seed: int, connectivity: Literal[4, 8]
) -> None:
    random = np.random.default_rng(seed)
    mask, probability = (
        random.random((12, 12)) < 0.75,
        random.random((12, 12), dtype=np.float32) ** 0.1,
    )
    probability[~mask] = 0
    finder = ComponentFinder(connectivity)
    for component in [*finder.add(mask, probability), *finder.finish()]:

        def read(window: Window) -> tuple[Mask, FloatArray]:
            return mask[window.slices], probability[window.slices]

        parts = separate(component, read, connectivity=connectivity, core_pixels=2)
        assert sum(part.pixels for part in parts) == component.pixels
        assert sum(part.probability_sum for part in parts) == pytest.approx(
            component.probability_sum
        )
        assert shapely.union_all([part.polygon() for part in parts]).equals(component.polygon())
        assert max(part.last_pixel for part in parts) == component.last_pixel
        # a core each: no more parts than cores
        above = mask & (probability >= np.float32(CORE_PROBABILITY))
        assert len(parts) <= max(
            1, int((label(above, probability, connectivity=connectivity).pixels >= 2).sum())
        )


def test_the_ramp_of_qgis_ends_at_one() -> None:
    # QGIS multiplies by the band's scale before it colours: values are 0-1 there, though 0-250 are
    # stored
    assert 'classificationMax="1"' in probability_style()
    assert '<item value="1" ' in probability_style()


def test_the_style_lies_beside_and_the_geopackage_has_one_layer(
    one_house: Path, tmp_path: Path
) -> None:
    extract_footprints(one_house, tmp_path, settings=FootprintSettings())
    with closing(sqlite3.connect(tmp_path / "footprints.gpkg")) as database:
        kinds = database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall()
    assert kinds == [("footprints", "features")]
    assert (tmp_path / "footprints.qml").read_text() == footprint_style()
    # what geopandas.read_file does; it warned that there were two layers, and warnings are errors
    assert len(pyogrio.raw.read(tmp_path / "footprints.gpkg")[2]) == 1


def test_a_style_of_ones_own_stays(one_house: Path, tmp_path: Path) -> None:
    (tmp_path / "footprints.qml").write_text("mine")
    extract_footprints(one_house, tmp_path, settings=FootprintSettings())
    assert (tmp_path / "footprints.qml").read_text() == "mine"


def test_the_geopackage_has_columns_to_fill_in(one_house: Path, tmp_path: Path) -> None:
    extract_footprints(
        one_house, tmp_path, settings=FootprintSettings(), formats=("gpkg", "geojson")
    )
    meta, _, _, columns = pyogrio.raw.read(tmp_path / "footprints.gpkg")
    values = {name: list(column) for name, column in zip(meta["fields"], columns, strict=True)}
    found = {name: values[name] for name in ("status", "kind", "comment")}
    assert found == {"status": ["unreviewed"], "kind": [None], "comment": [None]}
    assert "status" not in pyogrio.read_info(tmp_path / "footprints.geojson")["fields"]


def test_styles_are_xml_in_which_every_class_has_its_symbol() -> None:
    for style in (footprint_style(), probability_style(), mask_style()):
        assert ElementTree.fromstring(style).tag == "qgis"
    renderer = ElementTree.fromstring(footprint_style()).find("renderer-v2")
    assert renderer is not None
    assert renderer.get("attr") == "probability_mean"
    symbols = [symbol.get("name") for symbol in renderer.iterfind("symbols/symbol")]
    assert [ranged.get("symbol") for ranged in renderer.iterfind("ranges/range")] == symbols


def test_a_styled_geopackage_is_an_area_of_interest_without_a_warning(
    one_house: Path, tmp_path: Path
) -> None:
    extract_footprints(one_house, tmp_path, settings=FootprintSettings())
    assert (
        len(read_polygons(tmp_path / "footprints.gpkg", crs=UTM).shapes) == 1
    )  # warnings are errors


def _wkt(crs: str) -> str:
    from rasterio.crs import CRS

    return str(CRS.from_string(crs).to_wkt())


def test_a_target_that_cannot_be_a_folder_is_an_error_of_ours(
    one_house: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        extract_footprints(one_house, tmp_path / "file" / "sub", settings=FootprintSettings())


def test_columns_that_find_no_room_are_told_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(geopackage: Path, layer: str, columns: dict[str, str | None]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("hanet.imagery.vectors.add_columns", full)
    with (
        pytest.raises(
            OutputError, match=r"footprints\.gpkg cannot be written: database or disk is full"
        ),
        FeatureWriter(
            tmp_path,
            "footprints",
            ("gpkg",),
            crs=UTM,
            layer="one",
            fields={"id": int},
            style="a style",
        ),
    ):
        pass
    assert not list(tmp_path.iterdir())
