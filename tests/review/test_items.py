"""Items: what they hold, written and read back, and what cannot be decided."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import shapely
from shapely import MultiPolygon, Polygon

from hanet.errors import InputError
from hanet.review.items import Item, checked_decision, outline_of_json

SQUARE = shapely.box(2, 3, 6, 9)
WITH_YARD = Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(2, 2, 4, 4).exterior])


@pytest.mark.parametrize(
    "item",
    [
        Item("f12", "found", SQUARE, 0.75, 6.0, "accepted", "built", "new barn\nroof", "anna", "Z"),
        Item("1-12", "found", WITH_YARD, 0.5),
        Item("1-m3", "missed", MultiPolygon([SQUARE, shapely.box(20, 20, 22, 22)]), 0.25, 1.5),
        Item("d1", "drawn", SQUARE),
        Item("b7", "blank", SQUARE, stratum="blank"),
    ],
)
def test_an_item_is_read_back_as_it_was_written(item: Item) -> None:
    again = Item.from_json(json.loads(json.dumps(item.to_json(), allow_nan=False)))
    assert again.to_json() == item.to_json()
    assert again.geometry.equals(item.geometry)
    assert math.isnan(again.probability) == math.isnan(item.probability)


def test_a_body_holds_nothing_that_was_decided() -> None:
    item = Item("f1", "found", SQUARE, 0.75, 6.0, "accepted", "built", "yes", "anna", "Z")
    assert item.body() == {
        "id": "f1",
        "source": "found",
        "geometry": {
            "type": "Polygon",
            "coordinates": (((6, 3), (6, 9), (2, 9), (2, 3), (6, 3)),),
        },
        "probability": 0.75,
        "area_m2": 6.0,
        "stratum": "",
    }
    assert Item.from_json(item.body()).status == "unreviewed"


def test_the_area_in_pixels_leaves_yards_out() -> None:
    assert Item("f1", "found", WITH_YARD).area_px == 81 - 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "12"}, "no id"),
        ({"id": "f1; rm"}, "no id"),
        ({"source": "heard"}, "no source"),
        ({"probability": 1.5}, "must lie in 0-1"),
        ({"probability": True}, "must lie in 0-1"),
        ({"area_m2": -1}, "must lie in"),
        ({"reviewer": "an\x1b[31mna"}, "control characters"),
        ({"status": "perhaps"}, "no status"),
        ({"geometry": None}, "Polygon or a MultiPolygon"),
    ],
)
def test_what_is_no_item_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Item.from_json({**Item("f1", "found", SQUARE).to_json(), **change})


@pytest.mark.parametrize(
    ("decided", "message"),
    [
        ({"status": "maybe"}, "no status"),
        ({"kind": "burnt"}, "no kind"),
        ({"id": "f2"}, "cannot be decided"),
        ({"comment": "x" * 1001}, "1001 characters"),
        ({"comment": "bell\x07"}, "control characters"),
        ({"comment": "\ud800"}, "control characters"),
        ({"comment": 5}, "must be text"),
        ({"status": ["accepted"]}, "no status"),
    ],
)
def test_what_cannot_be_decided_is_refused(decided: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked_decision(decided)


def test_a_part_of_a_decision_is_enough() -> None:
    assert checked_decision({"comment": "half\nbuilt"}) == {"comment": "half\nbuilt"}
    assert checked_decision({}) == {}


@pytest.mark.parametrize(
    "value",
    [
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, "a"], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1e400], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 10**400], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 0, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1], [1, 1], [0, 0]]]},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": [5]},
        "Polygon",
    ],
)
def test_what_is_no_outline_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        outline_of_json(value)
