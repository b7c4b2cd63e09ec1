"""Scores of the change class from integer counts: summed over a split, divided once (what else goes
wrong: docs/concepts/sources.md, section 5).

Pure numpy. Checked against scikit-learn in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanet.errors import ShapeError
from hanet.types import Mask


@dataclass(frozen=True, slots=True)
class Scores:
    """Fractions in 0-1 (kappa in -1 to 1), of the change class; ``miou`` of both.

    A score whose denominator is zero is 0.0, scikit-learn's ``zero_division=0``: precision where
    nothing was predicted, recall where nothing changed, F1 and IoU where neither, kappa where
    prediction and label are one and the same class throughout.
    """

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
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

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
        return cls(
            tp=tp, fp=predicted - tp, fn=changed - tp, tn=change.size - predicted - changed + tp
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.tp + self.fp + self.fn + self.tn

    def scores(self) -> Scores:
        """Precision, recall, F1 and IoU of the change class, overall accuracy, Cohen's kappa, mean
        IoU of both classes."""
        tp, fp, fn, tn, total = self.tp, self.fp, self.fn, self.tn, self.total
        iou = _ratio(tp, tp + fp + fn)
        # In whole numbers up to the one division: products of counts of a large split do not fit a
        # float.
        chance = (tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)
        return Scores(
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, tp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
            iou=iou,
            oa=_ratio(tp + tn, total),
            kappa=_ratio(total * (tp + tn) - chance, total * total - chance),
            miou=(iou + _ratio(tn, tn + fp + fn)) / 2,
        )


def bootstrap_f1(
    per_image: Sequence[Counts],
    *,
    generator: np.random.Generator,
    samples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of F1 when images are drawn with replacement (Efron and Tibshirani 1993,
    section 13.3).

    It tells how much F1 hangs on which images happen to be in the split. Tiles of one scene
    resemble each other, so an interval over tiles is narrower than one over scenes.

    Args:
        per_image: Counts of each image of the split, at least one.
        generator: Source of the draws.
        samples: Number of resampled splits.
        level: Share of them inside the interval, in 0-1.

    Returns:
        (low, high), both in 0-1.

    Raises:
        ShapeError: There is no image.
    """
    if not per_image:
        raise ShapeError("an interval needs at least one image")
    table = np.array([(2 * c.tp, 2 * c.tp + c.fp + c.fn) for c in per_image], dtype=np.int64)
    draws = generator.multinomial(
        len(table), np.full(len(table), 1 / len(table)), size=samples
    )  # (samples, images)
    numerator, denominator = (draws @ table).T
    f1 = np.divide(numerator, denominator, out=np.zeros(samples), where=denominator > 0)
    low, high = np.quantile(f1, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0
