"""Whether probability means what it says: of the pixels at 0.7, do seven in ten change?

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. There the probability of
the winning class is looked at; here that of change, since thresholds and maps are made from it.
Pure numpy, of fixed size whatever the split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.evaluation.histogram import average_precision, checked
from hanet.types import FloatArray, Mask

GROUPS = 20
"""Groups of equal width, 0.05, over which probability and share of change are compared."""

MAX_LOGIT = 16.0
"""Logits beyond are taken for this: float32 cannot hold a probability nearer to 1 than 6e-8, a
logit of 16.6."""

LOGIT_BINS = 6400
"""Bins of the histogram of logits, 0.005 wide."""

MAX_TEMPERATURE = 32.0
"""Temperatures are sought from 1/32 to 32; a split without an error has none."""


@dataclass(frozen=True, slots=True)
class ReliabilityGroup:
    """Pixels of similar probability.

    Args:
        mean_probability: Of change, over the group.
        share_changed: What they were, in 0-1.
        pixels: Their number.
    """

    mean_probability: float
    share_changed: float
    pixels: int


class Calibration:
    """Probability against label over a split; add images, then ask."""

    def __init__(self) -> None:
        self._sums: npt.NDArray[np.float64] = np.zeros(GROUPS)
        self._pixels: npt.NDArray[np.int64] = np.zeros((2, GROUPS), dtype=np.int64)  # by label
        self._logits: npt.NDArray[np.int64] = np.zeros((2, LOGIT_BINS), dtype=np.int64)  # by label
        width = 2 * MAX_LOGIT / LOGIT_BINS
        self._centres: npt.NDArray[np.float64] = (
            np.arange(0.5, LOGIT_BINS, dtype=np.float64) * width - MAX_LOGIT
        )

    def add(self, probability: FloatArray, change: Mask) -> None:
        """Counts the pixels of an image.

        Args:
            probability: Of change, in 0-1.
            change: The label, same shape.

        Raises:
            ShapeError: The shapes differ, or a probability is not in 0-1.
        """
        flat, label = checked(probability, change), change.ravel()
        group = np.minimum((flat * np.float32(GROUPS)).astype(np.int64), GROUPS - 1)
        self._sums += np.bincount(group, flat, GROUPS)
        self._pixels += np.bincount(group + GROUPS * label, minlength=2 * GROUPS).reshape(2, GROUPS)
        with np.errstate(divide="ignore"):
            logit = np.clip(np.log(flat) - np.log1p(-flat), -MAX_LOGIT, MAX_LOGIT)
        index = np.minimum(
            ((logit + MAX_LOGIT) * (LOGIT_BINS / (2 * MAX_LOGIT))).astype(np.int64), LOGIT_BINS - 1
        )
        self._logits += np.bincount(index + LOGIT_BINS * label, minlength=2 * LOGIT_BINS).reshape(
            2, LOGIT_BINS
        )

    def reliability(self) -> list[ReliabilityGroup]:
        """The groups that hold pixels, by rising probability."""
        pixels = self._pixels.sum(axis=0)
        return [
            ReliabilityGroup(
                float(self._sums[k] / pixels[k]),
                float(self._pixels[1, k] / pixels[k]),
                int(pixels[k]),
            )
            for k in np.flatnonzero(pixels).tolist()
        ]

    def error(self) -> float:
        """Expected calibration error: mean of |share changed - mean probability| over the groups,
        weighted by pixels; 0.0 for none."""
        return _ratio(np.abs(self._sums - self._pixels[1]).sum(), self._pixels.sum())

    def error_at(self, temperature: float) -> float:
        """What :meth:`error` would be if logits were divided by a (further) temperature; from
        logits in steps of 0.005."""
        probability = _sigmoid(self._centres / temperature)
        group = np.minimum((probability * GROUPS).astype(np.int64), GROUPS - 1)
        sums = np.bincount(group, probability * self._logits.sum(axis=0), GROUPS)
        return _ratio(
            np.abs(sums - np.bincount(group, self._logits[1], GROUPS)).sum(), self._logits.sum()
        )

    def negative_log_likelihood(self, temperature: float = 1.0) -> float:
        """Mean over pixels, in nats, if logits were divided by a (further) temperature; from logits
        in steps of 0.005."""
        scaled = self._centres / temperature
        total = self._logits[1] @ np.logaddexp(0, -scaled) + self._logits[0] @ np.logaddexp(
            0, scaled
        )
        return _ratio(total, self._logits.sum())

    def temperature(self) -> float:
        """The temperature that makes the labels most likely: above 1 where the network was too
        sure, below where it was too shy.

        It is a further one: weights that have a temperature already need the product. The negative
        log-likelihood is convex in 1 / T; its minimum is found by bisecting on the sign of the
        slope.
        """
        low, high = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
        for _ in range(60):
            middle = (low * high) ** 0.5
            if self._slope(1 / middle) < 0:  # a larger 1 / T would be likelier
                high = middle
            else:
                low = middle
        return float((low * high) ** 0.5)

    def average_precision(self) -> float:
        """Area under the precision-recall curve, from logits in steps of 0.005.

        Steps of logit, not of probability: below 0.001 there are misses to rank too, and a
        temperature must not move the area.
        """
        return average_precision(self._logits[1], self._logits[0])

    def _slope(self, inverse: float) -> float:
        """Derivative of the negative log-likelihood by 1 / T."""
        probability = _sigmoid(self._centres * inverse)
        pulls_down = self._logits[0] @ (probability * self._centres)
        return float(pulls_down - self._logits[1] @ ((1 - probability) * self._centres))


def at_temperature(probability: float, temperature: float) -> float:
    """What a probability becomes when its logit is divided by a temperature.

    Example:
        >>> at_temperature(0.5, 3.0)
        0.5
    """
    return float(_sigmoid(np.array((np.log(probability) - np.log1p(-probability)) / temperature)))


def _sigmoid(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -logit)), dtype=np.float64)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else 0.0
