"""Outlines that look like buildings: from the stairs of pixels to few straight edges, squared where that fits.

All lengths are in pixels: outlines are made on the pixel grid and brought to the map afterwards.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon

Outline = Literal["pixels", "simple", "square"]
"""``"pixels"`` keeps the stairs, ``"simple"`` takes them away, ``"square"`` makes right angles where the footprint has them."""

SIMPLE_TOLERANCE_PX = 1.0
"""Douglas-Peucker tolerance: the stairs of a straight edge deviate by up to 0.71 pixels."""

SQUARE_TOLERANCE_PX = 2.0
"""Tolerance before squaring; corners of labels and predictions are uncertain by about two pixels."""

MIN_SQUARE_IOU = 0.85
"""A squared outline that covers the pixels worse than this is not taken."""

SNAP_DEGREES = 30.0
"""Edges within this of the building's axes are turned to them; others stay oblique."""

SHORT_OBLIQUE_PX = 4.0
"""A shorter oblique edge is a corner cut off by pixels, not a wall: its neighbours are led on until they meet."""


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
    """Without vertices that lie within the tolerance; the polygon itself if nothing valid is left."""
    result = shapely.simplify(polygon, tolerance_px)
    fits = isinstance(result, Polygon) and result.is_valid and not result.is_empty
    return result if fits and result.area > 0.5 * polygon.area else polygon


def squared(polygon: Polygon) -> Polygon | None:
    """The polygon with its edges turned to the building's two axes; None where that does not fit its pixels.

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
    return candidate if common / (candidate.area + polygon.area - common) >= MIN_SQUARE_IOU else None


def main_direction(ring: npt.NDArray[np.float64]) -> float:
    """Direction in radians, in [0, pi / 2), of the axis that the ring's edges follow, weighted by length.

    Directions a quarter turn apart count as one: the mean of the edge vectors with their angles taken four times.
    """
    steps = np.diff(ring, axis=0)
    angles, lengths = np.arctan2(steps[:, 1], steps[:, 0]), np.hypot(*steps.T)
    mean = np.sum(lengths**2 * np.exp(4j * angles))
    return float(np.angle(mean) / 4 % (np.pi / 2))


def _square_ring(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """A ring (open, in the building's axes) with edges that run along an axis made exactly so; None below four corners."""
    steps = np.roll(points, -1, axis=0) - points
    angles = np.degrees(np.arctan2(steps[:, 1], steps[:, 0])) % 90.0
    off_axis = np.minimum(angles, 90.0 - angles) > SNAP_DEGREES
    is_flat = np.abs(steps[:, 0]) >= np.abs(steps[:, 1])
    lines = []
    for point, step, oblique, flat in zip(points, steps, off_axis, is_flat, strict=True):
        kind = "oblique" if oblique else "flat" if flat else "steep"
        length = float(np.hypot(*step))
        if kind != "oblique" or length >= SHORT_OBLIQUE_PX:
            lines.append((kind, point + step / 2, step, length))
    merged = _merge_parallel(lines)
    if len(merged) < 4:
        return None
    corners = [_corner(merged[index - 1], merged[index]) for index in range(len(merged))]
    if any(corner is None for corner in corners):
        return None
    ring = np.array(corners)
    return np.vstack([ring, ring[:1]])


def _merge_parallel(
    lines: list[tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64], float]],
) -> list[tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64], float]]:
    """Neighbouring edges along the same axis become one at their weighted mean position (the ring is closed)."""
    if not lines:
        return lines
    start = next((i for i in range(len(lines)) if lines[i][0] != lines[i - 1][0] or lines[i][0] == "oblique"), 0)
    merged: list[tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64], float]] = []
    for kind, middle, step, length in lines[start:] + lines[:start]:
        if merged and kind != "oblique" and merged[-1][0] == kind:
            _, other, other_step, other_length = merged[-1]
            total = length + other_length
            merged[-1] = (kind, (middle * length + other * other_length) / total, step + other_step, total)
        else:
            merged.append((kind, middle, step, length))
    return merged


def _corner(
    first: tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64], float],
    second: tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64], float],
) -> npt.NDArray[np.float64] | None:
    """Where two edges' lines meet; None if they are parallel."""
    directions = []
    for kind, _, step, _ in (first, second):
        directions.append({"flat": np.array([1.0, 0.0]), "steep": np.array([0.0, 1.0])}.get(kind, step))
    (ax, ay), (bx, by) = directions
    cross = ax * by - ay * bx
    if abs(cross) < 1e-9 * np.hypot(ax, ay) * np.hypot(bx, by):
        return None
    between = second[1] - first[1]
    along = (between[0] * by - between[1] * bx) / cross
    return np.asarray(first[1] + along * directions[0])
