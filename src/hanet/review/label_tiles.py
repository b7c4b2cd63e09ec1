"""The squares of ground that labels are cut into, as items that a person decides about.

A tile that is accepted is *complete*: every change in it has an outline that was accepted or drawn,
so that the ground beside them is known to be unchanged. Labels (:mod:`hanet.review.labels`) learn
that from nothing else than complete tiles, rejected outlines and rejected blank tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import shapely

from hanet.datasets.layout import tile_windows
from hanet.imagery.grid import Grid
from hanet.review.items import Item
from hanet.types import Json, Window

TILE_PX = 256
"""Side of a tile."""

EDGE_PX = 1e-3
"""What merely touches the edge of a tile is not in it."""


@dataclass(frozen=True, slots=True)
class SuggestedTile:
    """A tile that is laid before a person.

    Args:
        item: The tile.
        reason: Why this one, in words.
    """

    item: Item
    reason: str

    def to_json(self) -> Json:
        """For the journal."""
        return {**self.item.body(), "reason": self.reason}


def label_tiles(grid: Grid) -> list[Window]:
    """The tiles of a result, row by row; the last row and column overlap those before them where
    the size is no multiple of :data:`TILE_PX`. A smaller result has smaller tiles."""
    side = min(TILE_PX, grid.height, grid.width)
    return [tile.window for tile in tile_windows(grid.height, grid.width, tile_px=side)]


def tile_item(number: int, window: Window, area_m2: float | None = None) -> Item:
    """The item of a tile.

    Args:
        number: Its place in :func:`label_tiles`, from 0.
        window: Its place on the grid.
        area_m2: As in :class:`hanet.review.items.Item`.
    """
    box = shapely.box(window.column, window.row, window.column_end, window.row_end)
    return Item(f"t{number + 1}", "tile", box, area_m2=area_m2)


def within(tile: Item) -> shapely.Geometry:
    """The ground of a tile without its very edge."""
    return shapely.buffer(tile.geometry, -EDGE_PX, join_style="mitre")
