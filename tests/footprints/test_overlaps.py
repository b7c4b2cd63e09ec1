"""Footprints are valid on the map, and separated ones share their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from shapely import Polygon, box

from hanet.footprints.extraction import find_footprints
from hanet.footprints.overlaps import REACH_PX, Overlaps
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.types import FloatArray


def _smooth(seed: int, size: int, falloff: float) -> FloatArray:
    noise = np.random.default_rng(seed).normal(size=(size, size))
    frequency = np.fft.fftfreq(size)
    damped = np.exp(-(frequency[:, None] ** 2 + frequency**2) / falloff)
    values: FloatArray = np.fft.ifft2(np.fft.fft2(noise) * damped).real.astype(np.float32)
    return values / values.std()


def _raster(path: Path, values: FloatArray, crs: str, transform: rasterio.Affine) -> Path:
    height, width = values.shape
    profile = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": "float32"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(values, 1)
    return path


def test_the_later_of_two_is_cut_at_the_earlier() -> None:
    shapes = np.array([box(0, 0, 10, 10), box(9, 0, 20, 10), box(30, 0, 40, 10)], dtype=object)
    first, second, third = Overlaps().cut(shapes)
    assert first.equals(shapes[0])
    assert second.equals(box(10, 0, 20, 10))
    assert third.equals(shapes[2])


def test_a_sliver_that_a_cut_leaves_is_dropped() -> None:
    arch = Polygon([(0, 0), (10, 0), (10, 10), (9.9, 10), (9.9, 5), (0, 5)])
    (_, cut) = Overlaps().cut(np.array([box(9, 0, 11, 8), arch], dtype=object))
    assert cut.geom_type == "Polygon"
    assert cut.equals(box(0, 0, 9, 5))


def test_one_that_is_covered_whole_is_empty() -> None:
    (_, inner) = Overlaps().cut(np.array([box(0, 0, 9, 9), box(2, 2, 5, 5)], dtype=object))
    assert inner.is_empty


@pytest.mark.parametrize("outline", ["square", "simple", "pixels"])
def test_separated_footprints_do_not_overlap(tmp_path: Path, outline: str) -> None:
    """Ground along their common edges was counted twice."""
    probability = 1 / (1 + np.exp(-3 * (_smooth(1, 400, 0.002) - 0.4)))
    place = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
    path = _raster(tmp_path / "p.tif", probability.astype(np.float32), "EPSG:32614", place)
    choice = FootprintSettings(threshold=0.3, separate=True, outline=outline)  # type: ignore[arg-type]
    with ProbabilityRaster(path) as raster:
        shapes = np.array([found.geometry for found in find_footprints(raster, choice)])
    assert len(shapes) > 50
    assert shapely.is_valid(shapes).all()
    together = float(shapely.area(shapely.union_all(shapes)))
    assert float(shapely.area(shapes).sum()) == pytest.approx(together, abs=0.01)


@pytest.mark.parametrize("seed", [21, 22])
def test_footprints_are_valid_on_the_map(tmp_path: Path, seed: int) -> None:
    """An outline that touches itself was valid in pixels and crossed itself in degrees."""
    ragged = np.where(_smooth(seed, 700, 0.02) > 0.3, 0.9, 0.05).astype(np.float32)
    place = rasterio.Affine(5e-6, 0, -94.4996, 0, -5e-6, 37.0751)
    path = _raster(tmp_path / "p.tif", ragged, "EPSG:4326", place)
    with ProbabilityRaster(path) as raster:
        shapes = [found.geometry for found in find_footprints(raster, FootprintSettings())]
    assert shapely.is_valid(np.array(shapes)).all()
    assert {shape.geom_type for shape in shapes} <= {"Polygon", "MultiPolygon"}


def _houses_beside_terraces(columns: int) -> FloatArray:
    """Houses whose lower wall runs aslant, two pixels above terraces that run as their wall does:
    squaring turns the wall, and not the terrace. Beside them a wall that ends in the last row."""
    values = np.full((200, columns * 75 + 8), 0.05, dtype=np.float32)
    for house in range(2 * columns):
        top, left = 100 * (house // columns), 8 + 75 * (house % columns)
        for column in range(64):
            wall = top + 52 + column // 5
            values[top + 2 : wall, left + column] = 0.95
            values[wall + 2 : wall + 25, left + column] = 0.95
    values[:, :6] = 0.95
    return values


@pytest.mark.parametrize(("batch", "strip_rows"), [(1, 9), (3, 64), (1, None)])
def test_neighbours_in_different_batches_do_not_overlap(
    batch: int, strip_rows: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch of 2,048 was cut by itself."""
    place = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
    path = _raster(tmp_path / "p.tif", _houses_beside_terraces(3), "EPSG:32614", place)
    choice = FootprintSettings(min_area_m2=4)
    with ProbabilityRaster(path) as raster:
        whole = find_footprints(raster, choice)
        monkeypatch.setattr("hanet.footprints.extraction.BATCH", batch)
        found = find_footprints(raster, choice, strip_rows=strip_rows)
    assert len(whole) == 13
    assert [f.geometry.wkb for f in found] == [f.geometry.wkb for f in whole]
    assert [f.attributes for f in found] == [f.attributes for f in whole]
    shapes = np.array([f.geometry for f in found])
    together = float(shapely.area(shapely.union_all(shapes)))
    assert float(shapely.area(shapes).sum()) == pytest.approx(together, abs=0.01)


def test_outlines_that_nothing_can_reach_are_forgotten() -> None:
    overlaps, none = Overlaps(), np.empty(0, dtype=object)
    kept = []
    for number in range(500):  # an endless street
        top = 20.0 * number
        (shape,) = overlaps.cut(np.array([box(0, top, 10, top + 21)], dtype=object))
        assert shape.area == (210 if number == 0 else 200)
        overlaps.forget(int(top + 21), none)
        kept.append(overlaps.remembered)
    assert max(kept) <= 2 + REACH_PX / 20


def test_an_outline_beside_what_is_unfinished_is_remembered() -> None:
    overlaps = Overlaps()
    overlaps.cut(np.array([box(0, 0, 10, 10), box(900, 0, 910, 10)], dtype=object))
    overlaps.forget(1000, np.array([box(11, 0, 20, 1000)], dtype=object))
    assert overlaps.remembered == 1
    (long,) = overlaps.cut(np.array([box(9, 0, 20, 2000)], dtype=object))
    assert long.equals(shapely.difference(box(9, 0, 20, 2000), box(0, 0, 10, 10)))
