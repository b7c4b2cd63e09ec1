"""The order in which items are looked at."""

from __future__ import annotations

import math

import pytest
import shapely

from hanet.review.items import Item
from hanet.review.ordering import doubt, ordered


def item(identity: str, x: float, y: float, *, side: float = 10, probability: float = 0.5) -> Item:
    return Item(identity, "found", shapely.box(x, y, x + side, y + side), probability)


@pytest.mark.parametrize(
    ("probability", "threshold", "expected"),
    [
        (0.5, 0.5, 1.0),
        (1.0, 0.5, 0.0),
        (0.0, 0.5, 0.0),
        (0.75, 0.5, 0.5),
        # each side has its own scale: half way to the end is half the doubt
        (0.95, 0.9, 0.5),
        (0.45, 0.9, 0.5),
        (math.nan, 0.5, 0.0),
    ],
)
def test_doubt(probability: float, threshold: float, expected: float) -> None:
    assert doubt(probability, threshold) == pytest.approx(expected)


def test_the_most_doubtful_come_first_and_equal_ones_as_they_are() -> None:
    listed = [
        item("f1", 0, 0, probability=0.875),
        item("f2", 0, 0, probability=0.5625),
        item("f3", 0, 0, probability=math.nan),
        item("f4", 0, 0, probability=0.5625),
        item("f5", 0, 0, probability=0.4375),
    ]
    order = ordered(listed, "doubt", threshold=0.5)
    assert [one.id for one in order] == ["f2", "f4", "f5", "f1", "f3"]


def test_places_go_to_and_fro_by_cells() -> None:
    listed = [
        item("f1", 600, 600),  # second row of cells, second column
        item("f2", 20, 20),
        item("f3", 600, 20),
        item("f4", 20, 600),
        item("f5", 5, 300),  # in the first cell, left of f2
        item("f6", 1100, 600),
    ]
    order = ordered(listed, "place", threshold=0.5)
    assert [one.id for one in order] == ["f5", "f2", "f3", "f6", "f1", "f4"]
    assert ordered([], "place", threshold=0.5) == []


def test_random_orders_depend_on_the_ids_and_the_seed_alone() -> None:
    listed = [item(f"f{number}", number, 0) for number in range(30)]
    first = ordered(listed, "random", threshold=0.5, seed=4)
    assert first == ordered(listed[::-1], "random", threshold=0.9, seed=4)
    assert first != ordered(listed, "random", threshold=0.5, seed=5)
    assert sorted(first, key=lambda one: one.id) == sorted(listed, key=lambda one: one.id)
