"""Lengths on the ellipsoid, and names of CRSs."""

from __future__ import annotations

import json
import math

import pytest

from hanet.imagery.geodesy import line_length_m
from hanet.imagery.grid import Grid, ground_distance_m


def test_a_pixel_on_the_date_line_is_as_long_as_its_neighbours() -> None:
    """From 180 to -180 degrees it was the whole way round the earth."""
    beside = ground_distance_m(178.0, -17.0, 178.00001, -17.0)
    assert ground_distance_m(179.999995, -17.0, -179.999995, -17.0) == pytest.approx(beside)
    pacific = Grid(
        "EPSG:3832", (0.5, 0.0, 3339584.4, 0.0, -0.5, -1900000.0), 100, 100
    )  # centred on the date line
    west = Grid("EPSG:3832", (0.5, 0.0, 3300000.0, 0.0, -0.5, -1900000.0), 100, 100)
    assert pacific.gsd_m == pytest.approx(west.gsd_m, rel=1e-3)


def test_one_segment_measures_the_same_alone_and_as_a_line() -> None:
    import numpy as np

    ends = np.array([[10.0, 50.0], [10.001, 50.002]])
    assert ground_distance_m(*ends.ravel()) == pytest.approx(line_length_m(ends), rel=1e-12)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("crs", "PROJCS[nothing", ValueError),
        ("crs", 32614, TypeError),
        ("transform", [1.0, 0.0, 0.0, 0.0, -1.0], ValueError),
        ("transform", [0.0, 0.0, 0.0, 0.0, -1.0, 0.0], ValueError),
        ("transform", [math.nan, 0.0, 0.0, 0.0, -1.0, 0.0], ValueError),
        ("transform", ["1", 0.0, 0.0, 0.0, -1.0, 0.0], TypeError),
        ("height", 10.5, TypeError),
        ("height", True, TypeError),
        ("width", 0, ValueError),
        ("width", 10**12, ValueError),
        ("unit_m", "1", TypeError),
    ],
)
def test_a_grid_of_a_damaged_file_is_refused(
    key: str, value: object, error: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    """A CRS with a letter missing ended in a traceback of hanet adapt, and GDAL spoke."""
    sound = Grid("EPSG:32614", (0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0), 20, 30)
    values = json.loads(json.dumps(sound.to_json()))
    assert Grid.from_json(values) == sound
    with pytest.raises(error):
        Grid.from_json({**values, key: value})
    assert capfd.readouterr() == ("", "")
