"""Connected components of a mask that is read strip by strip: each comes out once, whole, however many strips it crosses.

Polygons run along pixel edges, in pixel coordinates (x = column, y = row, both from the upper left corner).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize, shapes
from shapely import MultiPolygon, Polygon

from hanet.types import FloatArray, Mask


@dataclass(slots=True)
class Component:
    """A connected set of changed pixels, or what is known of it so far.

    Args:
        parts: Its polygons in the strips that it crosses.
        first_pixel: (row, column) of its first pixel, row by row.
        pixels: Their number.
        probability_sum: Over its pixels.
        probability_max: Likewise.
    """

    parts: list[Polygon] = field(default_factory=list)
    first_pixel: tuple[int, int] = (2**62, 2**62)
    pixels: int = 0
    probability_sum: float = 0.0
    probability_max: float = 0.0

    def absorb(self, other: Component) -> None:
        """Takes the other's pixels as its own."""
        self.parts += other.parts
        self.first_pixel = min(self.first_pixel, other.first_pixel)
        self.pixels += other.pixels
        self.probability_sum += other.probability_sum
        self.probability_max = max(self.probability_max, other.probability_max)

    def polygon(self) -> Polygon | MultiPolygon:
        """The valid polygon without a trace of the strips; a MultiPolygon where parts touch at corners only."""
        merged = shapely.union_all([shapely.make_valid(part) for part in self.parts])
        polygons = [part for part in shapely.get_parts(merged) if isinstance(part, Polygon)]
        clean = [Polygon(_corners(p.exterior), [_corners(hole) for hole in p.interiors]) for p in polygons]
        # one starting point and order, whatever the strips were: simplifying and squaring begin there
        result: Polygon | MultiPolygon = shapely.normalize(clean[0] if len(clean) == 1 else MultiPolygon(clean))
        return result


class ComponentFinder:
    """Feed it strips from top to bottom; it gives the components that are complete.

    Args:
        connectivity: 8 joins pixels that touch at a corner, 4 does not.
    """

    def __init__(self, connectivity: Literal[4, 8]) -> None:
        self._connectivity = connectivity
        self._row = 0
        self._open: dict[int, Component] = {}  # by label in the last row
        self._last_labels: npt.NDArray[np.int32] | None = None

    def add(self, mask: Mask, probability: FloatArray) -> Iterator[Component]:
        """Takes the next strip (h, W) and its probability; gives components that end in it or before it."""
        labels, found = self._label(mask, probability)
        parents = _join(found, self._open, self._last_labels, labels, self._connectivity)
        bottom = {parents[label] for label in np.unique(labels[-1]).tolist() if label} if labels.size else set()
        everything = dict(parents.components)
        for root, component in everything.items():
            if root not in bottom:
                yield component
        self._open, self._last_labels = {}, None
        if bottom:
            last = labels[-1].copy()
            for label in np.unique(last).tolist():
                if label:
                    last[last == label] = parents[label]
            self._last_labels = last
            self._open = {root: everything[root] for root in bottom}
        self._row += len(mask)

    def finish(self) -> Iterator[Component]:
        """Gives what is still open; the raster ends here."""
        yield from self._open.values()
        self._open, self._last_labels = {}, None

    def _label(self, mask: Mask, probability: FloatArray) -> tuple[npt.NDArray[np.int32], dict[int, Component]]:
        height, width = mask.shape
        if not mask.any():
            return np.zeros(mask.shape, dtype=np.int32), {}
        pieces = [shape for shape, _ in shapes(mask.astype(np.uint8), mask=mask, connectivity=self._connectivity)]
        numbered = ((piece, number + 1) for number, piece in enumerate(pieces))
        labels: npt.NDArray[np.int32] = rasterize(numbered, out_shape=(height, width), dtype="int32")
        where = np.flatnonzero(labels)
        ids, values = labels.ravel()[where], probability.ravel()[where]
        counts, sums = np.bincount(ids), np.bincount(ids, values)
        order = np.argsort(ids, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts[1:])[:-1]]) if len(counts) > 1 else np.array([0])
        maxima = np.maximum.reduceat(values[order], starts)
        firsts = where[order][starts]
        found = {}
        for number, piece in enumerate(pieces, start=1):
            row, column = divmod(int(firsts[number - 1]), width)
            rings = [np.asarray(ring) + np.array([0, self._row]) for ring in piece["coordinates"]]
            found[number] = Component(
                parts=[Polygon(rings[0], rings[1:])],
                first_pixel=(row + self._row, column),
                pixels=int(counts[number]),
                probability_sum=float(sums[number]),
                probability_max=float(maxima[number - 1]),
            )
        return labels, found


class _Sets:
    """Union-find over labels of the current strip; labels of the strip above are negative."""

    def __init__(self, components: dict[int, Component]) -> None:
        self._parent = {label: label for label in components}
        self.components = components

    def __getitem__(self, label: int) -> int:
        while self._parent[label] != label:
            self._parent[label] = self._parent[self._parent[label]]
            label = self._parent[label]
        return label

    def unite(self, first: int, second: int) -> None:
        low, high = sorted((self[first], self[second]), reverse=True)  # labels of the current strip stay roots
        if low != high:
            self._parent[high] = low
            self.components[low].absorb(self.components.pop(high))


def _join(
    found: dict[int, Component],
    open_above: dict[int, Component],
    last_labels: npt.NDArray[np.int32] | None,
    labels: npt.NDArray[np.int32],
    connectivity: int,
) -> _Sets:
    sets = _Sets({**found, **{-label: component for label, component in open_above.items()}})
    if last_labels is None or not len(labels):
        return sets
    top = labels[0]
    width = len(top)
    offsets = (-1, 0, 1) if connectivity == 8 else (0,)
    for offset in offsets:
        above = last_labels[max(0, -offset) : width - max(0, offset)]
        below = top[max(0, offset) : width - max(0, -offset)]
        touching = (above > 0) & (below > 0)
        for first, second in np.unique(np.stack([above[touching], below[touching]]), axis=1).T.tolist():
            sets.unite(-first, second)
    return sets


def _corners(ring: shapely.LinearRing) -> npt.NDArray[np.float64]:
    """The ring's points at which it turns (closed): seams leave points on straight edges."""
    points = np.asarray(ring.coords)[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    kept = points[before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] != 0]
    return np.vstack([kept, kept[:1]])
