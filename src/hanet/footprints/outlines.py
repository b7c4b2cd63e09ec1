"""Outlines that look like buildings: from the stairs of pixels to few straight edges, squared where
that fits.

All lengths are in pixels: outlines are made on the pixel grid and brought to the map afterwards.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon

Outline = Literal["pixels", "simple", "square"]
"""``"pixels"`` keeps the stairs, ``"simple"`` takes them away, ``"square"`` makes right angles
where the footprint has them."""

SIMPLE_TOLERANCE_PX = 1.0
"""Douglas-Peucker tolerance: the stairs of a straight edge deviate by up to 0.71 pixels."""

SQUARE_TOLERANCE_PX = 2.0
"""Tolerance before squaring; corners of labels and predictions are uncertain by about two
pixels."""

MIN_SQUARE_IOU = 0.85
"""A squared outline that covers the pixels worse than this is not taken."""

SNAP_DEGREES = 30.0
"""Edges within this of the building's axes are turned to them; others stay oblique."""

SHORT_OBLIQUE_PX = 4.0
"""A shorter oblique edge is a corner cut off by pixels, not a wall: its neighbours are led on until
they meet."""


class _Edge(NamedTuple):
    """A straight edge of a ring, or several along the same axis as one."""

    kind: Literal["flat", "steep", "oblique"]
    middle: npt.NDArray[np.float64]  # (2,), a point that its line goes through
    step: npt.NDArray[np.float64]  # (2,), from its start to its end
    length: float


def outline_of(polygon: Polygon, outline: Outline) -> Polygon:
    """A footprint's polygon with another outline.

    Args:
        polygon: Along pixel edges, valid, in pixel coordinates.
        outline: Which.

    Returns:
        A valid, non-empty polygon; the pixels' own where a smoother one would be invalid or vanish.
    """
    if outline == "pixels":
        return polygon
    simple = simplified(polygon, SIMPLE_TOLERANCE_PX)
    if outline == "simple":
        return simple
    square = squared(polygon)
    return square if square is not None else simple


def simplified(polygon: Polygon, tolerance_px: float) -> Polygon:
    """Without vertices that lie within the tolerance; the polygon itself if nothing valid is
    left."""
    result = shapely.simplify(polygon, tolerance_px)
    fits = isinstance(result, Polygon) and result.is_valid and not result.is_empty
    return result if fits and result.area > 0.5 * polygon.area else polygon


def squared(polygon: Polygon) -> Polygon | None:
    """The polygon with its edges turned to the building's two axes; None where that does not fit
    its pixels.

    Holes are squared along the same axes; those that do not survive stay as they are, simplified.
    """
    coarse = shapely.simplify(polygon, SQUARE_TOLERANCE_PX)
    if not isinstance(coarse, Polygon) or coarse.is_empty or len(coarse.exterior.coords) < 5:
        return None
    angle = main_direction(np.asarray(coarse.exterior.coords))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rings = []
    for ring in [coarse.exterior, *coarse.interiors]:
        points = _square_ring(np.asarray(ring.coords)[:-1] @ turn)
        if points is None:
            if ring is coarse.exterior:
                return None
            rings.append(np.asarray(ring.coords))
        else:
            rings.append(points @ turn.T)
    candidate = Polygon(rings[0], rings[1:])
    if not candidate.is_valid or candidate.is_empty:
        return None
    common = candidate.intersection(polygon).area
    return (
        candidate if common / (candidate.area + polygon.area - common) >= MIN_SQUARE_IOU else None
    )


def main_direction(ring: npt.NDArray[np.float64]) -> float:
    """Direction in radians, in [0, pi / 2), of the axis that the ring's edges follow, weighted by
    length.

    Directions a quarter turn apart count as one: the mean of the edge vectors with their angles
    taken four times.
    """
    steps = np.diff(ring, axis=0)
    angles, lengths = np.arctan2(steps[:, 1], steps[:, 0]), np.hypot(*steps.T)
    mean = np.sum(lengths**2 * np.exp(4j * angles))
    return float(np.angle(mean) / 4 % (np.pi / 2))


def _square_ring(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """A ring (open, in the building's axes) with edges that run along an axis made exactly so; None
    below four corners."""
    steps = np.roll(points, -1, axis=0) - points
    angles = np.degrees(np.arctan2(steps[:, 1], steps[:, 0])) % 90.0
    off_axis = np.minimum(angles, 90.0 - angles) > SNAP_DEGREES
    is_flat = np.abs(steps[:, 0]) >= np.abs(steps[:, 1])
    edges = [
        _Edge(
            "oblique" if oblique else "flat" if flat else "steep",
            point + step / 2,
            step,
            float(np.hypot(*step)),
        )
        for point, step, oblique, flat in zip(points, steps, off_axis, is_flat, strict=True)
    ]
    merged = _merge_parallel(
        [edge for edge in edges if edge.kind != "oblique" or edge.length >= SHORT_OBLIQUE_PX]
    )
    if len(merged) < 4:
        return None
    corners = [_corner(merged[index - 1], merged[index]) for index in range(len(merged))]
    if any(corner is None for corner in corners):
        return None
    ring = np.array(corners)
    return np.vstack([ring, ring[:1]])


def _merge_parallel(edges: list[_Edge]) -> list[_Edge]:
    """Neighbouring edges along the same axis become one at their weighted mean position (the ring
    is closed)."""
    starts = (
        i
        for i, edge in enumerate(edges)
        if edge.kind != edges[i - 1].kind or edge.kind == "oblique"
    )
    start = next(starts, 0)  # where no run of one kind is cut in two
    merged: list[_Edge] = []
    for edge in edges[start:] + edges[:start]:
        last = merged[-1] if merged else None
        if last is None or edge.kind == "oblique" or edge.kind != last.kind:
            merged.append(edge)
            continue
        length = edge.length + last.length
        middle = (edge.middle * edge.length + last.middle * last.length) / length
        merged[-1] = _Edge(edge.kind, middle, edge.step + last.step, length)
    return merged


def _corner(first: _Edge, second: _Edge) -> npt.NDArray[np.float64] | None:
    """Where two edges' lines meet; None if they are parallel."""
    axes = {"flat": np.array([1.0, 0.0]), "steep": np.array([0.0, 1.0])}
    directions = [axes.get(edge.kind, edge.step) for edge in (first, second)]
    (ax, ay), (bx, by) = directions
    cross = ax * by - ay * bx
    if abs(cross) < 1e-9 * np.hypot(ax, ay) * np.hypot(bx, by):
        return None
    between = second.middle - first.middle
    along = (between[0] * by - between[1] * bx) / cross
    return np.asarray(first.middle + along * directions[0])
