"""Scores against scikit-learn, and on counts small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from hanet.losses import LOSSES, dice
from hanet.metrics import Counts, ProbabilityHistogram, bootstrap_f1
from hanet.objects import match_objects


def test_scores_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    change, prediction = random.random((40, 50)) < 0.2, random.random((40, 50)) < 0.3
    scores = Counts.of(prediction, change).scores()
    truth, guess = change.ravel(), prediction.ravel()
    assert scores.precision == pytest.approx(reference.precision_score(truth, guess))
    assert scores.recall == pytest.approx(reference.recall_score(truth, guess))
    assert scores.f1 == pytest.approx(reference.f1_score(truth, guess))
    assert scores.iou == pytest.approx(reference.jaccard_score(truth, guess))
    assert scores.oa == pytest.approx(reference.accuracy_score(truth, guess))
    assert scores.kappa == pytest.approx(reference.cohen_kappa_score(truth, guess))
    assert scores.miou == pytest.approx(reference.jaccard_score(truth, guess, average="macro"))


def test_zero_denominators_give_zero() -> None:
    scores = Counts(tn=9).scores()
    assert (scores.precision, scores.recall, scores.f1, scores.iou, scores.kappa, scores.oa) == (0, 0, 0, 0, 0, 1)


def test_counts_of_parts_add_up_to_counts_of_the_whole() -> None:
    random = np.random.default_rng(1)
    change, prediction = random.random((8, 8)) < 0.5, random.random((8, 8)) < 0.5
    assert Counts.of(prediction[:3], change[:3]) + Counts.of(prediction[3:], change[3:]) == Counts.of(
        prediction, change
    )


def test_a_histogram_gives_every_thresholds_counts() -> None:
    random = np.random.default_rng(2)
    change = random.random((60, 60)) < 0.3
    probability = np.clip(change * 0.4 + random.random((60, 60)) * 0.6, 0, 1).astype(np.float32)
    histogram = ProbabilityHistogram()
    histogram.add(probability, change)
    assert histogram.counts(400) == Counts.of(probability >= 0.4, change)
    best = histogram.best_threshold()
    everything = [histogram.counts(k).scores().f1 for k in range(1, 1000)]
    assert histogram.counts(round(best * 1000)).scores().f1 == max(everything)
    expected = reference.average_precision_score(change.ravel(), np.floor(probability.ravel() * 1000))
    assert histogram.average_precision() == pytest.approx(expected, abs=1e-9)


def test_calibration_sees_overconfidence() -> None:
    random = np.random.default_rng(3)
    honest = random.random((300, 300)).astype(np.float32)
    change = random.random((300, 300)) < honest
    logit = np.log(honest / (1 - honest))
    sure = (1 / (1 + np.exp(-2 * logit))).astype(np.float32)
    histograms = []
    for probability in (honest, sure):
        histogram = ProbabilityHistogram()
        histogram.add(probability, change)
        histograms.append(histogram)
    assert histograms[0].calibration_error() < 0.01 < 0.05 < histograms[1].calibration_error()
    assert histograms[0].temperature() == pytest.approx(1.0, abs=0.05)
    assert histograms[1].temperature() == pytest.approx(2.0, abs=0.1)


def test_the_interval_holds_the_score() -> None:
    images = [Counts(tp=n, fp=3, fn=2, tn=50) for n in range(20)]
    low, high = bootstrap_f1(images, generator=np.random.default_rng(0))
    assert low < sum(images, Counts()).scores().f1 < high


def test_objects_match_by_overlap() -> None:
    change = np.zeros((10, 20), dtype=np.bool_)
    change[1:5, 1:5] = change[1:5, 10:14] = True
    prediction = np.zeros_like(change)
    prediction[1:5, 2:5] = True  # 12 of 16 pixels: right
    prediction[4:9, 10:14] = True  # 4 common of 32: wrong
    assert match_objects(prediction, change) == Counts(tp=1, fp=1, fn=1)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_fall_towards_the_truth_and_use_the_whole_batch(name: str) -> None:
    change = torch.zeros(2, 4, 4, dtype=torch.int64)
    change[:, :2] = 1
    truth = torch.stack([1.0 - change.float(), change.float()], dim=1) * 8
    right, undecided = LOSSES[name](truth, change), LOSSES[name](torch.zeros(2, 2, 4, 4), change)
    assert right < 0.1 * undecided
    half_wrong = truth.clone()
    half_wrong[1] = -half_wrong[1]  # the released code would see one sample of the two
    assert LOSSES[name](half_wrong, change) > 2 * right
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    LOSSES[name](logits, change).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_dice_by_hand() -> None:
    logits = torch.tensor([[[[-50.0, 50.0]], [[50.0, -50.0]]]])  # changed, unchanged
    assert dice(logits, torch.tensor([[[1, 1]]])).item() == pytest.approx(1 - (2 * 1 + 1) / (1 + 2 + 1))
