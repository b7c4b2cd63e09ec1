"""What a report shows of a run with any number of footprints: counts of all of them, and a bounded
choice, made while they go by."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from hanet.footprints.footprint import Footprint
from hanet.footprints.kinds import KINDS
from hanet.imagery.qgis import CLASSES
from hanet.types import FloatArray

BINS = 20
"""Bars of the histogram of probability."""

CHIPS = 8
"""Footprints in each of the two galleries."""

DRAWN = 3000
"""Footprints that are drawn and listed for their size: the largest. More would be megabytes."""

DOUBTED = 1000
"""Further ones that are drawn and listed because they are the most doubtful."""

SIZES = (25.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Bounds between classes of size in square metres (square pixels without a CRS): a shed, a garage,
a small house, a house, a row of houses, a hall."""

MOST_KINDS = 30
"""Kinds that are counted each by itself; the others together as "other kinds"."""


@dataclass(slots=True)
class Tally:
    """How many footprints, and their area together in square metres or pixels."""

    count: int = 0
    area: float = 0.0

    def add(self, area: float) -> None:
        """Counts one more."""
        self.count += 1
        self.area += area


class Highlights:
    """Is shown every strip and every footprint of a raster and keeps a bounded part.

    Attributes:
        total: All footprints that went by.
        by_size: Tallies (7,) by area, between the bounds :data:`SIZES`.
        by_doubt: Tallies (3,) by mean probability, in :data:`hanet.imagery.qgis.CLASSES`.
        by_kind: Tallies by the attribute ``kind``, where footprints have one.
        has_kinds: Whether the weights have told the kinds, and not a person.
        histogram: Valid pixels (20,) by probability.
    """

    def __init__(self) -> None:
        self.total = Tally()
        self.by_size = [Tally() for _ in range(len(SIZES) + 1)]
        self.by_doubt = [Tally() for _ in CLASSES]
        self.by_kind: dict[str, Tally] = {}
        self.has_kinds = False
        self.histogram: npt.NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self._largest: _Best = _Best(DRAWN)
        # so many that enough are left when the largest are taken out
        self._doubtful: _Best = _Best(DOUBTED + CHIPS)

    @property
    def count(self) -> int:
        """Footprints that went by."""
        return self.total.count

    @property
    def area(self) -> float:
        """Their area together, in square metres or pixels."""
        return self.total.area

    def see_strip(self, probability: FloatArray) -> None:
        """Counts the valid pixels of a strip (h, w)."""
        valid = np.isfinite(probability)
        values = probability.ravel() if valid.all() else probability[valid]
        counts = np.bincount((values * np.float32(BINS)).astype(np.intp), minlength=BINS + 1)
        counts[BINS - 1] += counts[BINS]  # a probability of 1 belongs to the last bar
        self.histogram += counts[:BINS]

    def see(self, footprint: Footprint) -> None:
        """Counts a footprint, and keeps it if it is among the largest or the most doubtful."""
        facts = footprint.attributes
        area = float(facts["area_m2" if "area_m2" in facts else "area_px"])
        probability = float(facts["probability_mean"])
        self.total.add(area)
        self.by_size[int(np.searchsorted(SIZES, area, side="right"))].add(area)
        self.by_doubt[class_of(probability)].add(area)
        self.has_kinds = self.has_kinds or "built_probability" in facts
        if facts.get("kind"):
            kind = str(facts["kind"])
            if kind not in self.by_kind and len(self.by_kind) >= MOST_KINDS:
                kind = "other kinds"
            self.by_kind.setdefault(kind, Tally()).add(area)
        self._largest.offer(area, footprint)
        # a drawn footprint has no probability: nothing to doubt
        self._doubtful.offer(-math.inf if math.isnan(probability) else -probability, footprint)

    @property
    def largest(self) -> list[Footprint]:
        """The largest footprints, the largest first."""
        return self._largest.ranked()[:CHIPS]

    @property
    def doubtful(self) -> list[Footprint]:
        """Those of the lowest mean probability that are not among the largest, the lowest first."""
        shown = {id(footprint) for footprint in self.largest}
        ranked = self._doubtful.ranked()
        return [footprint for footprint in ranked if id(footprint) not in shown][:CHIPS]

    @property
    def drawn(self) -> list[Footprint]:
        """The largest footprints, as many as a page can draw."""
        return self._largest.ranked()

    @property
    def listed(self) -> list[Footprint]:
        """All footprints if a page can hold them: the largest first; else the largest, then the
        most doubtful of the others."""
        drawn = self.drawn
        shown = {id(footprint) for footprint in drawn}
        doubtful = [f for f in self._doubtful.ranked() if id(f) not in shown]
        return drawn + doubtful[:DOUBTED]


def class_of(probability: float) -> int:
    """Index in :data:`hanet.imagery.qgis.CLASSES` of a mean probability; the last where it is
    unknown (NaN)."""
    for index, (low, high, _, _) in enumerate(CLASSES):
        if low <= probability < high:
            return index
    return len(CLASSES) - 1


def style_of(footprint: Footprint) -> str:
    """Class of a footprint's outline on a page: its kind where the weights say it, else that of its
    mean probability."""
    kind = footprint.attributes.get("kind")
    if kind in KINDS and "built_probability" in footprint.attributes:
        return f"k-{kind}"
    return f"c{class_of(footprint.attributes['probability_mean'])}"


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
