"""Footprints are valid on the map, and separated ones share their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from shapely import Polygon, box

from hanet.footprints.extraction import find_footprints
from hanet.footprints.overlaps import without_overlaps
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
    first, second, third = without_overlaps(shapes)
    assert first.equals(shapes[0])
    assert second.equals(box(10, 0, 20, 10))
    assert third.equals(shapes[2])


def test_a_sliver_that_a_cut_leaves_is_dropped() -> None:
    arch = Polygon([(0, 0), (10, 0), (10, 10), (9.9, 10), (9.9, 5), (0, 5)])
    (_, cut) = without_overlaps(np.array([box(9, 0, 11, 8), arch], dtype=object))
    assert cut.geom_type == "Polygon"
    assert cut.equals(box(0, 0, 9, 5))


def test_one_that_is_covered_whole_is_empty() -> None:
    (_, inner) = without_overlaps(np.array([box(0, 0, 9, 9), box(2, 2, 5, 5)], dtype=object))
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
