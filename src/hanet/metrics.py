"""Scores of the change class from integer counts: summed over a split first, divided once (HANET.md section 5 names what else goes wrong).

Pure numpy. Checked against scikit-learn in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.errors import ShapeError
from hanet.types import FloatArray, Mask

HISTOGRAM_BINS = 1000
"""Bins of a probability histogram: thresholds are then exact to a thousandth."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Fractions in 0-1 (kappa in -1 to 1). Where a denominator is zero the score is 0.0; a split without any change has no F1."""

    precision: float
    recall: float
    f1: float
    iou: float
    oa: float
    kappa: float
    miou: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels (or objects) by prediction and label; counts of parts add up with ``+``."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @classmethod
    def of(cls, prediction: Mask, change: Mask) -> Counts:
        """Counts of a predicted mask against a label, both boolean and of one shape.

        Raises:
            ShapeError: The shapes differ.
        """
        if prediction.shape != change.shape:
            raise ShapeError(f"the prediction is {prediction.shape}, the label {change.shape}")
        tp = int(np.count_nonzero(prediction & change))
        predicted, changed = int(np.count_nonzero(prediction)), int(np.count_nonzero(change))
        return cls(tp=tp, fp=predicted - tp, fn=changed - tp, tn=change.size - predicted - changed + tp)

    @property
    def total(self) -> int:
        """All of them."""
        return self.tp + self.fp + self.fn + self.tn

    def scores(self) -> Scores:
        """Precision, recall, F1 and IoU of the change class, overall accuracy, Cohen's kappa, mean IoU of both classes."""
        tp, fp, fn, tn, total = self.tp, self.fp, self.fn, self.tn, self.total
        iou = _ratio(tp, tp + fp + fn)
        oa = _ratio(tp + tn, total)
        # in whole numbers up to the division: products of counts of a large split do not fit a float
        chance = _ratio((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp), total * total)
        return Scores(
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, tp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
            iou=iou,
            oa=oa,
            kappa=(oa - chance) / (1.0 - chance) if chance < 1.0 else 0.0,
            miou=(iou + _ratio(tn, tn + fp + fn)) / 2,
        )


def bootstrap_f1(
    per_image: list[Counts], *, generator: np.random.Generator, samples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of F1 when images are drawn with replacement.

    Args:
        per_image: Counts of each image of the split.
        generator: Source of the draws.
        samples: Number of resampled splits.
        level: Share of them inside the interval.

    Returns:
        (low, high), both in 0-1.
    """
    table = np.array([(c.tp, c.fp, c.fn) for c in per_image], dtype=np.float64)
    draws = generator.multinomial(len(table), np.full(len(table), 1 / len(table)), size=samples)  # (samples, images)
    tp, fp, fn = (draws @ table).T
    f1 = np.divide(2 * tp, 2 * tp + fp + fn, out=np.zeros(samples), where=(2 * tp + fp + fn) > 0)
    low, high = np.quantile(f1, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class ProbabilityHistogram:
    """How often each probability stands at changed and at unchanged pixels; every threshold's counts follow from it.

    Attributes:
        changed: Pixels of each bin whose label is change, int64 (bins,).
        unchanged: The others.
    """

    def __init__(self, bins: int = HISTOGRAM_BINS) -> None:
        self.bins = bins
        self.changed: npt.NDArray[np.int64] = np.zeros(bins, dtype=np.int64)
        self.unchanged: npt.NDArray[np.int64] = np.zeros(bins, dtype=np.int64)

    def add(self, probability: FloatArray, change: Mask) -> None:
        """Counts the pixels of an image; bin k holds probabilities from k / bins on, the last one 1.0 as well."""
        index = np.minimum((probability.astype(np.float64) * self.bins).astype(np.int64), self.bins - 1)
        self.changed += np.bincount(index[change], minlength=self.bins)
        self.unchanged += np.bincount(index[~change], minlength=self.bins)

    def counts(self, threshold_bin: int) -> Counts:
        """Counts when every probability from ``threshold_bin / bins`` on is taken for change."""
        tp, fp = int(self.changed[threshold_bin:].sum()), int(self.unchanged[threshold_bin:].sum())
        return Counts(tp=tp, fp=fp, fn=int(self.changed.sum()) - tp, tn=int(self.unchanged.sum()) - fp)

    def best_threshold(self) -> float:
        """The threshold of the highest F1; the middle one where several share it."""
        tp, fp = self.changed[::-1].cumsum()[::-1], self.unchanged[::-1].cumsum()[::-1]
        denominator = tp + fp + self.changed.sum()
        f1 = np.divide(2 * tp, denominator, out=np.zeros(self.bins), where=denominator > 0)
        best = np.flatnonzero(f1[1:] == f1[1:].max()) + 1  # threshold 0 would take every pixel
        return float(best[len(best) // 2]) / self.bins

    def precision_recall(self) -> list[tuple[float, float, float]]:
        """(threshold, precision, recall) for every threshold above 0, rising."""
        curve = []
        for threshold_bin in range(1, self.bins):
            scores = self.counts(threshold_bin).scores()
            curve.append((threshold_bin / self.bins, scores.precision, scores.recall))
        return curve

    def average_precision(self) -> float:
        """Area under the precision-recall steps: the sum of precision times gain in recall, from high thresholds to low."""
        tp, fp = self.changed[::-1].cumsum(), self.unchanged[::-1].cumsum()
        if tp[-1] == 0:
            return 0.0
        precision = np.divide(tp, tp + fp, out=np.zeros(self.bins), where=(tp + fp) > 0)
        return float(np.sum(precision * np.diff(tp, prepend=0)) / tp[-1])

    def calibration_error(self, bins: int = 15) -> float:
        """Expected calibration error of the change probability: mean of |share changed - mean probability|, weighted by pixels.

        Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, here for the probability of one class.
        """
        centres = (np.arange(self.bins) + 0.5) / self.bins
        group = np.minimum((centres * bins).astype(np.int64), bins - 1)
        pixels = self.changed + self.unchanged
        weight = np.bincount(group, pixels, bins)
        confidence, changed = np.bincount(group, pixels * centres, bins), np.bincount(group, self.changed, bins)
        return float(np.abs(confidence - changed).sum() / weight.sum()) if weight.sum() else 0.0

    def temperature(self) -> float:
        """The temperature of the logits that makes these probabilities most likely; above 1 they were too sure.

        A grid of 0.25 to 4 in steps of a hundredth of a power of two; exact enough for a number that is quoted with two digits.
        """
        centres = (np.arange(self.bins) + 0.5) / self.bins
        logit = np.log(centres) - np.log1p(-centres)
        candidates = 2.0 ** np.arange(-2.0, 2.001, 0.01)
        losses = [
            float(self.changed @ np.logaddexp(0, -logit / t) + self.unchanged @ np.logaddexp(0, logit / t))
            for t in candidates
        ]
        return float(candidates[int(np.argmin(losses))])


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0
