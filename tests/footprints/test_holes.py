"""Pin holes are closed, courtyards stay."""

from __future__ import annotations

import shapely
from shapely import Polygon

from hanet.footprints.holes import without_small_holes

HALL = Polygon(
    shapely.box(0, 0, 20, 20).exterior,
    [shapely.box(2, 2, 3, 4).exterior, shapely.box(8, 8, 14, 14).exterior],
)


def test_holes_below_an_area_are_closed_and_others_stay() -> None:
    assert HALL.area == 400 - 2 - 36
    assert without_small_holes(HALL, 10).area == 400 - 36
    assert without_small_holes(HALL, 2).equals(HALL)  # just as large: it stays
    assert without_small_holes(HALL, 100).area == 400
    assert without_small_holes(HALL, 0) is HALL
