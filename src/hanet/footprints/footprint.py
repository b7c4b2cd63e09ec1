"""One changed building as a polygon with attributes, and who is shown each of them while a raster
goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shapely import MultiPolygon, Polygon

from hanet.types import FloatArray, Json


@dataclass(frozen=True, slots=True)
class Footprint:
    """One changed building (or row of buildings that touch).

    Args:
        geometry: In the raster's CRS.
        pixel_geometry: The same in pixels.
        attributes: Name to value.
    """

    geometry: Polygon | MultiPolygon
    pixel_geometry: Polygon | MultiPolygon
    attributes: Json


class Witness(Protocol):
    """Is shown everything that goes by while footprints are extracted, for example to keep a choice
    for the report."""

    def see_strip(self, probability: FloatArray) -> None:
        """A strip (h, w) of probability, NaN where invalid."""

    def see(self, footprint: Footprint) -> None:
        """A finished footprint."""
