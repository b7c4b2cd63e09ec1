"""The area of interest on a grid: the window that holds it, and the pixels inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hanet.errors import VectorError
from hanet.imagery.area import MARGIN_PX, Area, area_of
from hanet.imagery.grid import Grid
from hanet.types import Window

GRID = Grid("EPSG:32614", (0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0), 1000, 800)


def ring(left: float, bottom: float, right: float, top: float) -> list[list[list[float]]]:
    """A rectangle, in metres from the upper left corner of the grid."""
    x, y = 620000.0, 3350000.0
    corners = ((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))
    return [[[x + dx, y + dy] for dx, dy in corners]]


def area(*rings: list[list[list[float]]]) -> Area:
    return Area(GRID, ({"type": "MultiPolygon", "coordinates": list(rings)},))


def test_the_window_holds_every_pixel_inside_and_a_margin() -> None:
    found = area(ring(100.2, -160.3, 150.1, -100.2))
    window = found.window()
    tight = Window(200, 200, 121, 101)  # pixels that the rectangle touches
    assert window == Window(
        tight.row - MARGIN_PX,
        tight.column - MARGIN_PX,
        tight.height + 2 * MARGIN_PX,
        tight.width + 2 * MARGIN_PX,
    )
    whole = found.inside(Window(0, 0, 1000, 800))
    assert whole[window.slices].sum() == whole.sum() == 121 * 100


def test_the_window_ends_with_the_grid_and_parts_elsewhere_do_not_count() -> None:
    beyond = ring(-50, -30, 10, 20)
    assert area(beyond).window() == Window(0, 0, 60 + MARGIN_PX, 20 + MARGIN_PX)
    far = ring(5000, -9000, 6000, -8000)
    assert area(beyond, far).window() == area(beyond).window()


def test_a_window_is_met_by_what_lies_in_it() -> None:
    found = area(ring(100, -150, 150, -100))
    assert found.meets(Window(250, 250, 10, 10))
    assert not found.meets(Window(0, 0, 190, 800))
    assert np.array_equal(found.inside(Window(199, 199, 2, 2)), [[False, False], [False, True]])


def test_polygons_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "far.geojson"
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    far = {"type": "Polygon", "coordinates": ring(5000, -90, 6000, -80), "crs": crs}
    path.write_text(json.dumps(far))
    with pytest.raises(VectorError, match="do not meet the pair"):
        area_of(path, GRID)
