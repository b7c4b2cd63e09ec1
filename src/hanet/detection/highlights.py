"""What a report shows of a run with any number of footprints: a bounded choice, made while they go
by."""

from __future__ import annotations

import heapq
from itertools import count

import numpy as np
import numpy.typing as npt

from hanet.footprints.footprint import Footprint
from hanet.types import FloatArray

BINS = 20
"""Bars of the histogram of probability."""

CHIPS = 8
"""Footprints in each of the two galleries."""

DRAWN = 4000
"""Outlines on the swipe at most: the largest. More would be a red blur of megabytes."""


class Highlights:
    """Is shown every strip and every footprint of a raster and keeps a bounded part.

    Attributes:
        count: Footprints that went by.
        area: Their area together, in square metres or pixels.
        histogram: Valid pixels (20,) by probability.
    """

    def __init__(self) -> None:
        self.count, self.area = 0, 0.0
        self.histogram: npt.NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self._largest: _Best = _Best(DRAWN)
        self._doubtful: _Best = _Best(
            2 * CHIPS
        )  # so many that enough are left when the largest are taken out

    def see_strip(self, probability: FloatArray) -> None:
        """Counts the valid pixels of a strip (h, w)."""
        valid = np.isfinite(probability)
        values = probability.ravel() if valid.all() else probability[valid]
        counts = np.bincount((values * np.float32(BINS)).astype(np.intp), minlength=BINS + 1)
        counts[BINS - 1] += counts[BINS]  # a probability of 1 belongs to the last bar
        self.histogram += counts[:BINS]

    def see(self, footprint: Footprint) -> None:
        """Counts a footprint, and keeps it if it is among the largest or the most doubtful."""
        area = float(
            footprint.attributes["area_m2" if "area_m2" in footprint.attributes else "area_px"]
        )
        self.count += 1
        self.area += area
        self._largest.offer(area, footprint)
        self._doubtful.offer(-footprint.attributes["probability_mean"], footprint)

    @property
    def largest(self) -> list[Footprint]:
        """The largest footprints, the largest first."""
        return self._largest.ranked()[:CHIPS]

    @property
    def doubtful(self) -> list[Footprint]:
        """Those of the lowest mean probability that are not among the largest, the lowest first."""
        shown = {id(footprint) for footprint in self.largest}
        return [footprint for footprint in self._doubtful.ranked() if id(footprint) not in shown][
            :CHIPS
        ]

    @property
    def drawn(self) -> list[Footprint]:
        """The largest footprints, as many as a page can draw."""
        return self._largest.ranked()


class _Best:
    """The items of the highest score; of equal ones those that came first."""

    def __init__(self, size: int) -> None:
        self._size, self._tickets = size, count()
        self._heap: list[tuple[float, int, Footprint]] = []

    def offer(self, score: float, footprint: Footprint) -> None:
        entry = (score, -next(self._tickets), footprint)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def ranked(self) -> list[Footprint]:
        """The best first."""
        return [
            footprint
            for _, _, footprint in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        ]
