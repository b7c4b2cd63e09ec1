"""Corrections of outlines, checked: drawn, reshaped, cut and joined ones. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely
from shapely import LineString, MultiPolygon, Polygon
from shapely.ops import split
from shapely.validation import explain_validity

from hanet.errors import InputError
from hanet.imagery.grid import Grid
from hanet.review.items import LONGEST_COMMENT, Item, Outline

MOST_CORNERS = 20_000
"""Of an outline that a person draws or changes."""

MOST_PARTS = 50
"""Into which one line cuts an outline."""

SMALLEST_PX = 1.0
"""Area in square pixels that a drawn outline or a part must have."""


def checked_outline(geometry: shapely.Geometry, grid: Grid) -> Outline:
    """An outline that a person drew, cut to the grid.

    Args:
        geometry: In pixel coordinates.
        grid: Of the result.

    Raises:
        InputError: It is no polygon, its edges cross, it has too many corners, or it has less than
            a pixel within the grid.
    """
    if not isinstance(geometry, Polygon | MultiPolygon) or geometry.is_empty:
        raise InputError("an outline must be a polygon", hint="draw at least three corners")
    count = shapely.get_num_coordinates(geometry)
    if count > MOST_CORNERS:
        raise InputError(
            f"the outline has {count} corners; at most {MOST_CORNERS} are taken",
            hint="draw it with fewer",
        )
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise InputError("the outline has a corner that is not finite", hint="draw it again")
    if not geometry.is_valid:
        raise InputError(
            f"the outline is not valid: {explain_validity(geometry)}",
            hint="move the corners so that its edges do not cross",
        )
    inside = _polygons(shapely.intersection(geometry, shapely.box(0, 0, grid.width, grid.height)))
    if inside is None or inside.area < SMALLEST_PX:
        raise InputError(
            "the outline has less than one pixel within the picture", hint="draw it larger"
        )
    whole = shapely.equals(inside, geometry)
    return geometry if whole else inside


def cut(outline: Outline, line: shapely.Geometry) -> list[Polygon]:
    """The parts of an outline that a line cuts it into, from left to right.

    Raises:
        InputError: It is no line, does not cross the outline, or makes too many or too small parts.
    """
    if not isinstance(line, LineString) or line.is_empty or not math.isfinite(line.length):
        raise InputError("an outline is cut by a line", hint="draw a line across it")
    if shapely.get_num_coordinates(line) > MOST_CORNERS:
        raise InputError("the line has too many points", hint="draw it with fewer")
    parts = [
        piece
        for polygon in shapely.get_parts(outline)
        for piece in split(polygon, line).geoms
        if isinstance(piece, Polygon)
    ]
    if len(parts) <= len(shapely.get_parts(outline)):
        raise InputError(
            "the line does not cut the outline in two",
            hint="begin and end it outside the outline",
        )
    if len(parts) > MOST_PARTS:
        raise InputError(f"the line cuts the outline into more than {MOST_PARTS} parts")
    if min(part.area for part in parts) < SMALLEST_PX:
        raise InputError(
            "a part would have less than one pixel", hint="draw the line farther from the edge"
        )
    return sorted(parts, key=lambda part: part.bounds)


def joined(items: Sequence[Item], identity: str) -> Item:
    """One drawn item of several, with what they agree in.

    Status and kind are those of all of them, else open; comments follow each other; the probability
    is the mean by area of those that have one.
    """
    whole = _polygons(shapely.union_all([item.geometry for item in items]))
    assert whole is not None, "polygons joined are polygons"
    known = [item for item in items if not math.isnan(item.probability)]
    area = sum(item.area_px for item in known)
    statuses, kinds = {item.status for item in items}, {item.kind for item in items}
    comments = dict.fromkeys(item.comment for item in items if item.comment)
    return Item(
        identity,
        "drawn",
        whole,
        probability=sum(item.probability * item.area_px for item in known) / area
        if area
        else math.nan,
        status=statuses.pop() if len(statuses) == 1 else "unreviewed",
        kind=kinds.pop() if len(kinds) == 1 else "",
        comment="\n".join(comments)[:LONGEST_COMMENT],
    )


def _polygons(geometry: shapely.Geometry) -> Outline | None:
    """The polygons of a geometry; None where it has none."""
    parts = [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)
