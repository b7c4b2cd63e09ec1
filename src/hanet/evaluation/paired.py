"""Differences between two sets of scores of the same ground, with paired intervals.

Pixels of one building are right or wrong together, so an interval over pixels would be far too
narrow. Whole units (images, blocks of ground) are drawn with replacement instead, the same draw for
both sides, as both saw the same.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (paired
resampling of whole units, percentile interval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts

DRAWS = 10_000
"""Resampled sets: the ends of the interval move by less than a hundredth of its length from one
seed to another."""

LEVEL = 0.95
"""Share of them within an interval."""

SCORES = ("f1", "precision", "recall", "iou")
"""Scores whose differences are told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A score of the second side minus that of the first, in -1 to 1.

    Args:
        value: As it is.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def is_told_from_chance(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def paired_differences(
    first: Sequence[Counts], second: Sequence[Counts], *, seed: int = 0
) -> dict[str, Difference]:
    """The difference of each of :data:`SCORES`, of counts summed over all units.

    Args:
        first: Counts of each unit, at least one.
        second: Of the same units in the same order.
        seed: Of the draws.

    Raises:
        ShapeError: There is no unit, or not the same number on both sides.
    """
    if not first or len(first) != len(second):
        raise ShapeError(
            f"a paired difference needs the same units on both sides, at least one; there are "
            f"{len(first)} and {len(second)}"
        )
    units = len(first)
    tables = [_table(counts) for counts in (first, second)]
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(units, np.full(units, 1 / units), size=DRAWS)
    whole = np.ones((1, units), dtype=np.int64)
    found = {}
    for name in SCORES:
        drawn, as_is = (
            _score(name, times @ tables[1]) - _score(name, times @ tables[0])
            for times in (draws, whole)
        )
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found[name] = Difference(float(as_is[0]), float(low), float(high))
    return found


def _table(counts: Sequence[Counts]) -> npt.NDArray[np.int64]:  # (units, 3)
    return np.array([(one.tp, one.fp, one.fn) for one in counts], dtype=np.int64)


def _score(name: str, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:  # (N, 3) -> (N,)
    """A score of summed counts, 0 where its denominator is."""
    tp, fp, fn = sums.T
    above, below = {
        "f1": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "iou": (tp, tp + fp + fn),
    }[name]
    score: npt.NDArray[np.float64] = np.divide(
        above, below, out=np.zeros(len(sums)), where=below > 0
    )
    return score
