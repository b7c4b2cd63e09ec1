"""Every threshold's counts from one pass, against thresholds applied one by one and against
scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from hanet.errors import ShapeError
from hanet.evaluation.histogram import ProbabilityHistogram, average_precision
from hanet.evaluation.metrics import Counts
from hanet.types import FloatArray, Mask


@pytest.fixture(scope="module")
def sample() -> tuple[FloatArray, Mask]:
    random = np.random.default_rng(2)
    change = random.random((60, 60)) < 0.3
    return np.clip(change * 0.4 + random.random((60, 60)) * 0.6, 0, 1).astype(np.float32), change


@pytest.fixture(scope="module")
def histogram(sample: tuple[FloatArray, Mask]) -> ProbabilityHistogram:
    histogram = ProbabilityHistogram()
    histogram.add(*sample)
    return histogram


def test_counts_are_those_of_each_threshold(
    histogram: ProbabilityHistogram, sample: tuple[FloatArray, Mask]
) -> None:
    for k in range(0, 1000, 37):
        assert histogram.counts(k) == Counts.of(sample[0] >= np.float32(k / 1000), sample[1])


def test_a_probability_on_or_beside_an_edge_falls_where_the_comparison_says() -> None:
    edges = (np.arange(1001) / 1000).astype(np.float32)
    beside = np.concatenate(
        [edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(1))]
    )[None]
    change = np.ones(beside.shape, dtype=np.bool_)
    histogram = ProbabilityHistogram()
    histogram.add(beside, change)
    for k in range(1000):
        assert histogram.counts(k).tp == np.count_nonzero(beside >= np.float32(k / 1000))


def test_the_best_threshold_has_the_best_f1(histogram: ProbabilityHistogram) -> None:
    best = histogram.best_threshold()
    everything = [histogram.counts(k).scores().f1 for k in range(1, 1000)]
    assert histogram.counts(round(best * 1000)).scores().f1 == max(everything)


def test_where_many_thresholds_are_best_it_is_the_middle_one() -> None:
    histogram = ProbabilityHistogram(bins=10)
    histogram.add(np.array([[0.1, 0.9]], dtype=np.float32), np.array([[False, True]]))
    assert histogram.best_threshold() == pytest.approx(0.6)  # 0.2 to 0.9 are perfect


def test_average_precision_agrees_with_scikit_learn(
    histogram: ProbabilityHistogram, sample: tuple[FloatArray, Mask]
) -> None:
    probability, change = sample
    cut = np.floor(probability.ravel().astype(np.float64) * 1000)
    found = average_precision(histogram.changed, histogram.unchanged)
    assert found == pytest.approx(reference.average_precision_score(change.ravel(), cut))


def test_the_curve_agrees_with_scikit_learn(
    histogram: ProbabilityHistogram, sample: tuple[FloatArray, Mask]
) -> None:
    probability, change = sample
    points = histogram.curve()
    assert [point.threshold for point in points] == [k / 100 for k in range(1, 100)]
    for point in points[::9]:
        guess = (probability >= np.float32(point.threshold)).ravel()
        assert point.scores.precision == pytest.approx(
            reference.precision_score(change.ravel(), guess, zero_division=0)
        )
        assert point.scores.recall == pytest.approx(reference.recall_score(change.ravel(), guess))


def test_histograms_of_parts_add_up(
    histogram: ProbabilityHistogram, sample: tuple[FloatArray, Mask]
) -> None:
    parts = [ProbabilityHistogram(), ProbabilityHistogram()]
    for part, rows in zip(parts, (slice(0, 11), slice(11, 60)), strict=True):
        part.add(sample[0][rows], sample[1][rows])
    whole = parts[0] + parts[1]
    assert np.array_equal(whole.changed, histogram.changed)
    assert np.array_equal(whole.unchanged, histogram.unchanged)
    with pytest.raises(ShapeError):
        whole + ProbabilityHistogram(bins=10)


def test_without_change_there_is_no_precision() -> None:
    histogram = ProbabilityHistogram()
    histogram.add(np.full((2, 2), 0.3, dtype=np.float32), np.zeros((2, 2), dtype=np.bool_))
    assert average_precision(histogram.changed, histogram.unchanged) == 0.0


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ShapeError, match="0-1"):
        ProbabilityHistogram().add(
            np.array([[0.5, wrong]], dtype=np.float32), np.zeros((1, 2), dtype=np.bool_)
        )
