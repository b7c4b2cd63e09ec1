"""``benchmarks/joplin.py``: the labels lie where it says, and decisions find their footprints."""

from __future__ import annotations

import shapely

import joplin
from hanet.imagery.grid import Grid, wkt_of
from hanet.review.items import Item
from hanet.review.label_tiles import label_tiles, tile_item


def _grid(half: str) -> Grid:
    left, bottom, right, top = joplin.HALVES[half]
    size = round((top - bottom) / 0.6), round((right - left) / 0.6)
    return Grid(wkt_of("EPSG:26915"), (0.6, 0.0, left, 0.0, -0.6, top), *size)


def test_the_reviewed_tiles_are_those_of_the_labels_grid() -> None:
    grid = _grid("west")
    labels = joplin.labels_of(joplin.LABELS / "checked.geojson", grid)
    windows = label_tiles(grid)
    assert len(labels.tiles) == 20
    for number, shape in labels.tiles.items():
        tile = tile_item(number - 1, windows[number - 1])
        assert shapely.hausdorff_distance(shape, tile.geometry) < 0.01
    ground = shapely.unary_union(list(labels.tiles.values()))
    assert len(labels.changed) == 152
    assert all(shape.is_valid and shape.intersects(ground) for shape in labels.changed)


def test_the_scored_tiles_lie_in_the_other_half() -> None:
    grid = _grid("east")
    labels = joplin.labels_of(joplin.LABELS / "scored.geojson", grid)
    corners = [tuple(round(value) for value in shape.bounds) for shape in labels.tiles.values()]
    assert len(corners) == 14
    assert all(right - left == bottom - top == 213 for left, top, right, bottom in corners)
    whole = shapely.box(0, 0, grid.width, grid.height)
    assert all(whole.buffer(0.01).contains(shape) for shape in labels.tiles.values())
    assert len(labels.changed) == 88


def test_each_footprint_is_one_building_at_most() -> None:
    """The first overlaps two buildings, and is the one that it overlaps more; the second is a part
    of the same; the third is beside both."""
    buildings = [shapely.box(0, 0, 10, 10), shapely.box(12, 0, 22, 10)]
    found = [
        Item("f1", "found", shapely.box(1, 0, 15, 10)),
        Item("f2", "found", shapely.box(2, 2, 5, 5)),
        Item("f3", "found", shapely.box(40, 0, 50, 10)),
    ]
    assert joplin.matched(found, buildings) == {"f1": buildings[0]}
