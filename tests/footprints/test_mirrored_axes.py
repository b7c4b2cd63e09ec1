"""Areas in a CRS whose axes run south and west."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from hanet.footprints.measures import measures
from hanet.imagery.grid import Grid


@pytest.mark.parametrize(
    ("crs", "x", "y"), [("EPSG:5514", -744000, -1041000), ("EPSG:5513", 1041000, 744000)]
)
def test_an_area_is_never_negative(crs: str, x: float, y: float) -> None:
    """In Krovak's own axes all areas were below zero, so that no footprint was large enough."""
    hole = shapely.box(x + 4, y + 4, x + 6, y + 6).exterior
    square = shapely.Polygon(shapely.box(x, y, x + 10, y + 10).exterior, [hole])
    grid = Grid(crs, (0.5, 0.0, x, 0.0, -0.5, y + 10.0), 20, 20)
    found = measures(np.array([shapely.geometry.polygon.orient(square)]), grid)[0]
    assert found["area_m2"] == pytest.approx(96, rel=1e-3)
