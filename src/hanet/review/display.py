"""The grid on which a review is shown: the result's own, with pixels that are square on the
ground, cut into tiles at halved resolutions.

Integer geometry only. A pixel (x, y) of the result lies at (sx * x, sy * y) of the display.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hanet.imagery.grid import Grid
from hanet.types import Json, Window

TILE_PX = 256
"""Side of a tile."""

SQUARE_WITHIN = 0.005
"""Axes whose ground sample distances differ by less than this share are drawn as they are: the
picture needs no resampling then, and nobody sees half a percent."""


@dataclass(frozen=True)
class Display:
    """The display of a grid.

    Args:
        grid: The result's grid.
        stretch: (sx, sy): display pixels a pixel of the grid, along x and y; one of them is 1.
        gsd_m: Metres a display pixel; None without a CRS.
    """

    grid: Grid
    stretch: tuple[float, float]
    gsd_m: float | None

    @classmethod
    def of(cls, grid: Grid) -> Display:
        """The display of a grid: the axis whose pixels are longer on the ground is stretched."""
        axes = grid.gsd_axes_m
        if axes is None:
            return cls(grid, (1.0, 1.0), None)
        across, down = axes
        smallest = min(axes)
        if max(axes) / smallest - 1 < SQUARE_WITHIN:
            return cls(grid, (1.0, 1.0), grid.gsd_m)
        return cls(grid, (across / smallest, down / smallest), smallest)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) at full resolution."""
        return (
            max(1, math.ceil(self.grid.height * self.stretch[1] - 1e-6)),
            max(1, math.ceil(self.grid.width * self.stretch[0] - 1e-6)),
        )

    @cached_property
    def shown(self) -> Grid:
        """The display as a grid of its own; the result's where that is square already."""
        if self.stretch == (1.0, 1.0):
            return self.grid
        a, b, c, d, e, f = self.grid.transform
        height, width = self.size
        return Grid(
            self.grid.crs, (a / self.stretch[0], b, c, d, e / self.stretch[1], f), height, width
        )

    @cached_property
    def levels(self) -> int:
        """Zoom levels: one tile at the lowest, full resolution at the highest."""
        return 1 + max(0, math.ceil(math.log2(max(self.size) / TILE_PX)))

    def scale(self, z: int) -> int:
        """Display pixels a pixel of this level, along each axis."""
        return 1 << (self.levels - 1 - z)

    def window(self, z: int, x: int, y: int) -> Window | None:
        """What a tile shows, in display pixels, cut to the display; None beyond it."""
        if not (0 <= z < self.levels and x >= 0 and y >= 0):
            return None
        side = TILE_PX * self.scale(z)
        height, width = self.size
        whole = Window(0, 0, height, width)
        part = Window(y * side, x * side, side, side).intersection(whole)
        return None if part.is_empty else part

    def to_json(self) -> Json:
        """For the page."""
        height, width = self.size
        return {"width": width, "height": height, "tile": TILE_PX, "levels": self.levels}


def reduced(window: Window, scale: int) -> tuple[int, int]:
    """(height, width) of a window at a resolution that many times as coarse, at least 1."""
    return max(1, -(-window.height // scale)), max(1, -(-window.width // scale))
