"""Connected components of a mask that is read strip by strip: each comes out once, whole, however
many strips it crosses.

Polygons run along pixel edges, in pixel coordinates (x = column, y = row, both from the upper left
corner).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import shapes
from shapely import MultiPolygon, Polygon

from hanet.footprints.labelling import label, sums_of_known
from hanet.types import FloatArray, Mask


@dataclass(slots=True)
class Component:
    """A connected set of changed pixels, or what is known of it so far.

    Args:
        parts: Its polygons in the strips that it crosses.
        last_pixel: (row, column) of its last pixel, row by row: whatever the strips, components
            come out in this order.
        pixels: Their number.
        probability_sum: Over its pixels.
        probability_max: The largest of its pixels.
        built_pixels: Those of which it is known how probably they are a new building.
        built_sum: These probabilities, summed.
    """

    parts: list[Polygon] = field(default_factory=list)
    last_pixel: tuple[int, int] = (-1, -1)
    pixels: int = 0
    probability_sum: float = 0.0
    probability_max: float = 0.0
    built_pixels: int = 0
    built_sum: float = 0.0

    def absorb(self, other: Component) -> None:
        """Takes the other's pixels as its own."""
        self.parts += other.parts
        self.last_pixel = max(self.last_pixel, other.last_pixel)
        self.pixels += other.pixels
        self.probability_sum += other.probability_sum
        self.probability_max = max(self.probability_max, other.probability_max)
        self.built_pixels += other.built_pixels
        self.built_sum += other.built_sum

    @property
    def built_probability(self) -> float | None:
        """Mean probability of "built"; None where it is not known of any pixel."""
        return self.built_sum / self.built_pixels if self.built_pixels else None

    def polygon(self) -> Polygon | MultiPolygon:
        """The valid polygon without a trace of the strips; a MultiPolygon where parts touch at
        corners only."""
        if len(self.parts) == 1 and self.parts[0].is_valid:
            whole = self.parts[0]
        else:
            merged = shapely.union_all([shapely.make_valid(part) for part in self.parts])
            polygons = [part for part in shapely.get_parts(merged) if isinstance(part, Polygon)]
            clean = [
                Polygon(_corners(p.exterior), [_corners(hole) for hole in p.interiors])
                for p in polygons
            ]
            whole = clean[0] if len(clean) == 1 else MultiPolygon(clean)
        # one starting point and order, whatever the strips were: simplifying and squaring begin
        # there
        result: Polygon | MultiPolygon = shapely.normalize(whole)
        return result


class ComponentFinder:
    """Feed it strips from top to bottom; it gives the components that are complete.

    What it keeps are the components that reach the bottom of the last strip.

    Args:
        connectivity: 8 joins pixels that touch at a corner, 4 does not.
    """

    def __init__(self, connectivity: Literal[4, 8]) -> None:
        self._connectivity = connectivity
        self._row = 0
        self._open: dict[int, Component] = {}  # by label in the last row
        self._last_labels: npt.NDArray[np.int32] | None = None

    def add(
        self, mask: Mask, probability: FloatArray, built: FloatArray | None = None
    ) -> list[Component]:
        """Takes the next strip (h, W), its probability, and perhaps that of "built" (NaN where
        unknown); gives components that end in it or before it, by last pixel."""
        labels, found = self._label(mask, probability)
        if built is not None and found:
            pixels, sums = sums_of_known(labels, built, len(found))
            for number, component in found.items():
                component.built_pixels = int(pixels[number - 1])
                component.built_sum = float(sums[number - 1])
        sets = _join(found, self._open, self._last_labels, labels, self._connectivity)
        self._row += len(mask)
        last = labels[-1]
        present = np.unique(last)
        present = present[present > 0]
        if not len(present):
            self._open, self._last_labels = {}, None
            return _in_order(sets.components.values())
        roots = np.array([sets[number] for number in present.tolist()], dtype=np.int32)
        renamed = np.zeros(int(present[-1]) + 1, dtype=np.int32)
        renamed[present] = roots
        self._last_labels = renamed[last]
        self._open = {root: sets.components.pop(root) for root in set(roots.tolist())}
        return _in_order(sets.components.values())

    @property
    def unfinished(self) -> npt.NDArray[np.object_]:
        """Polygons of the components that reach the bottom of the last strip."""
        parts = [part for component in self._open.values() for part in component.parts]
        return np.array(parts, dtype=object)

    def finish(self) -> list[Component]:
        """Gives what is still open; the raster ends here."""
        rest = _in_order(self._open.values())
        self._open, self._last_labels = {}, None
        return rest

    def _label(
        self, mask: Mask, probability: FloatArray
    ) -> tuple[npt.NDArray[np.int32], dict[int, Component]]:
        width = mask.shape[1]
        if not mask.any():
            return np.zeros(mask.shape, dtype=np.int32), {}
        labelled = label(mask, probability, connectivity=self._connectivity)
        found = {
            number: Component(
                last_pixel=(int(last) // width + self._row, int(last) % width),
                pixels=int(pixels),
                probability_sum=float(total),
                probability_max=float(largest),
            )
            for number, (last, pixels, total, largest) in enumerate(
                zip(
                    labelled.last_pixels,
                    labelled.pixels,
                    labelled.sums,
                    labelled.maxima,
                    strict=True,
                ),
                start=1,
            )
        }
        down = np.array([0.0, float(self._row)])
        for piece, number in shapes(labelled.labels, mask=mask, connectivity=self._connectivity):
            rings = [np.asarray(ring) + down for ring in piece["coordinates"]]
            found[int(number)].parts.append(Polygon(rings[0], rings[1:]))
        return labelled.labels, found


def _in_order(components: Iterable[Component]) -> list[Component]:
    return sorted(components, key=lambda component: component.last_pixel)


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
        low, high = sorted(
            (self[first], self[second]), reverse=True
        )  # labels of the current strip stay roots
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
        for first, second in np.unique(
            np.stack([above[touching], below[touching]]), axis=1
        ).T.tolist():
            sets.unite(-first, second)
    return sets


def _corners(ring: shapely.LinearRing) -> npt.NDArray[np.float64]:
    """The ring's points at which it turns (closed): seams leave points on straight edges."""
    points = np.asarray(ring.coords)[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    kept = points[before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] != 0]
    return np.vstack([kept, kept[:1]])
