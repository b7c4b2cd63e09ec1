"""How often each probability stands at changed and at unchanged pixels: every threshold's counts
follow from it.

Pure numpy, of fixed size whatever the split; histograms of parts add up with ``+``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts, Scores
from hanet.types import FloatArray, Mask

HISTOGRAM_BINS = 1000
"""Bins of a probability histogram: thresholds are then exact to a thousandth."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A threshold and the scores that it gives."""

    threshold: float
    scores: Scores


class ProbabilityHistogram:
    """Counts of pixels by probability and label.

    Bin k holds the probabilities that ``>= k / bins`` takes, and ``>= (k + 1) / bins`` does not,
    compared in float32 as a detector does; the last one holds 1.0 as well.

    Attributes:
        changed: Pixels of each bin whose label is change, int64 (bins,).
        unchanged: The others.
    """

    def __init__(self, bins: int = HISTOGRAM_BINS) -> None:
        self.bins = bins
        self.changed: npt.NDArray[np.int64] = np.zeros(bins, dtype=np.int64)
        self.unchanged: npt.NDArray[np.int64] = np.zeros(bins, dtype=np.int64)
        self._edges: FloatArray = (np.arange(bins + 1) / bins).astype(np.float32)

    def add(self, probability: FloatArray, change: Mask) -> None:
        """Counts the pixels of an image.

        Args:
            probability: Of change, in 0-1.
            change: The label, same shape.

        Raises:
            ShapeError: The shapes differ, or a probability is not in 0-1.
        """
        flat = checked(probability, change)
        index = np.minimum((flat * np.float32(self.bins)).astype(np.int64), self.bins - 1)
        # The product is rounded: right beside an edge it may fall into the neighbour.
        index -= flat < self._edges[index]
        index += (flat >= self._edges[index + 1]) & (index < self.bins - 1)
        both = np.bincount(index + self.bins * change.ravel(), minlength=2 * self.bins)
        self.unchanged += both[: self.bins]
        self.changed += both[self.bins :]

    def __add__(self, other: ProbabilityHistogram) -> ProbabilityHistogram:
        if self.bins != other.bins:
            raise ShapeError(f"histograms of {self.bins} and {other.bins} bins do not add up")
        both = ProbabilityHistogram(self.bins)
        both.changed, both.unchanged = (
            self.changed + other.changed,
            self.unchanged + other.unchanged,
        )
        return both

    def counts(self, threshold_bin: int) -> Counts:
        """Counts when every probability from ``threshold_bin / bins`` on is taken for change."""
        tp, fp = int(self.changed[threshold_bin:].sum()), int(self.unchanged[threshold_bin:].sum())
        return Counts(
            tp=tp, fp=fp, fn=int(self.changed.sum()) - tp, tn=int(self.unchanged.sum()) - fp
        )

    def best_threshold(self) -> float:
        """The threshold above 0 with the highest F1; the middle one where several share it."""
        tp, fp = self._from_each_on()
        denominator = tp + fp + self.changed.sum()
        f1 = np.divide(2 * tp, denominator, out=np.zeros(self.bins), where=denominator > 0)
        best = np.flatnonzero(f1[1:] == f1[1:].max()) + 1  # threshold 0 would take every pixel
        return float(best[len(best) // 2]) / self.bins

    def curve(self, step_bins: int = 10) -> list[CurvePoint]:
        """Scores at every ``step_bins``-th threshold above 0, rising: the threshold sweep and the
        precision-recall curve."""
        return [
            CurvePoint(k / self.bins, self.counts(k).scores())
            for k in range(step_bins, self.bins, step_bins)
        ]

    def _from_each_on(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """True and false positives at each bin's threshold."""
        return self.changed[::-1].cumsum()[::-1], self.unchanged[::-1].cumsum()[::-1]


def average_precision(changed: npt.NDArray[np.int64], unchanged: npt.NDArray[np.int64]) -> float:
    """Area under the precision-recall steps: the sum of precision times gain in recall, from high
    thresholds to low.

    Args:
        changed: Pixels whose label is change in bins of rising probability, (bins,). A bin counts
            as one threshold, so bins must be fine where changed pixels are.
        unchanged: The others.

    Returns:
        In 0-1; 0.0 where nothing changed. Scikit-learn's, for probabilities that are equal within a
        bin.
    """
    tp, fp = changed[::-1].cumsum(), unchanged[::-1].cumsum()
    if tp[-1] == 0:
        return 0.0
    precision = np.divide(tp, tp + fp, out=np.zeros(len(tp)), where=(tp + fp) > 0)
    return float(np.sum(precision * np.diff(tp, prepend=0)) / tp[-1])


def checked(probability: FloatArray, change: Mask) -> FloatArray:  # (H, W) twice -> (H * W,)
    """The probabilities as one row of float32.

    Raises:
        ShapeError: The shapes differ, or a probability is not in 0-1 (or not a number).
    """
    if probability.shape != change.shape:
        raise ShapeError(f"the probability is {probability.shape}, the label {change.shape}")
    flat = np.asarray(probability, dtype=np.float32).ravel()
    if flat.size and not (flat.min() >= 0 and flat.max() <= 1):
        raise ShapeError(f"probabilities lie in 0-1, these in {flat.min()} to {flat.max()}")
    return flat
