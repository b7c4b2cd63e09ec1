"""Calibration: against plain sums, scikit-learn and a fit by scipy on the raw logits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, log_loss

from hanet.evaluation.calibration import MAX_TEMPERATURE, Calibration, at_temperature
from hanet.types import FloatArray, Mask


def _sure(temperature: float) -> tuple[FloatArray, Mask]:
    """Labels drawn by honest probabilities, and what a network says whose logits are
    ``temperature`` times too large."""
    random = np.random.default_rng(3)
    logit = random.normal(-1, 2, (300, 300))
    change = random.random((300, 300)) < 1 / (1 + np.exp(-logit))
    return (1 / (1 + np.exp(-temperature * logit))).astype(np.float32), change


def _of(probability: FloatArray, change: Mask) -> Calibration:
    calibration = Calibration()
    calibration.add(probability[:100], change[:100])
    calibration.add(probability[100:], change[100:])
    return calibration


def test_honest_probabilities_have_no_error() -> None:
    calibration = _of(*_sure(1.0))
    assert calibration.error() < 0.005
    assert calibration.temperature() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_temperature_undoes_overconfidence_and_its_opposite(factor: float) -> None:
    probability, change = _sure(factor)
    calibration = _of(probability, change)
    assert calibration.error() > 0.04
    assert calibration.temperature() == pytest.approx(factor, rel=0.02)
    assert calibration.error_at(calibration.temperature()) < 0.005
    assert (
        calibration.negative_log_likelihood(calibration.temperature())
        < calibration.negative_log_likelihood()
    )


def test_temperature_is_that_of_a_fit_on_the_raw_logits() -> None:
    probability, change = (values.ravel() for values in _sure(2.0))
    logit = np.clip(
        np.log(probability.astype(np.float64)) - np.log1p(-probability.astype(np.float64)), -16, 16
    )

    def loss(temperature: float) -> float:
        return float(
            np.where(
                change, np.logaddexp(0, -logit / temperature), np.logaddexp(0, logit / temperature)
            ).mean()
        )

    fitted = minimize_scalar(loss, bounds=(0.5, 8.0), method="bounded", options={"xatol": 1e-6})
    calibration = _of(*_sure(2.0))
    assert calibration.temperature() == pytest.approx(fitted.x, rel=2e-3)
    assert calibration.negative_log_likelihood() == pytest.approx(
        log_loss(change, probability), rel=5e-3
    )


def test_reliability_agrees_with_scikit_learn() -> None:
    probability, change = _sure(2.0)
    shares, means = calibration_curve(change.ravel(), probability.ravel(), n_bins=20)
    groups = _of(probability, change).reliability()
    assert [group.share_changed for group in groups] == pytest.approx(shares, abs=1e-6)
    assert [group.mean_probability for group in groups] == pytest.approx(means, abs=1e-6)
    assert sum(group.pixels for group in groups) == change.size


def test_error_by_hand() -> None:
    calibration = Calibration()
    calibration.add(
        np.array([[0.92, 0.92, 0.92, 0.02]], dtype=np.float32),
        np.array([[True, True, False, False]]),
    )
    assert calibration.error() == pytest.approx((3 * abs(2 / 3 - 0.92) + 0.02) / 4)


def test_the_area_is_scikit_learns_and_a_temperature_does_not_move_it() -> None:
    probability, change = _sure(1.0)
    area = _of(probability, change).average_precision()
    assert area == pytest.approx(
        average_precision_score(change.ravel(), probability.ravel()), abs=5e-4
    )
    sure, _ = _sure(4.0)  # hundreds of changed pixels below 0.001 now
    assert np.count_nonzero(change & (sure < 0.001)) > 100
    assert _of(sure, change).average_precision() == pytest.approx(area, abs=1e-3)


def test_certain_probabilities_are_taken_for_nearly_certain() -> None:
    calibration = Calibration()
    calibration.add(np.array([[0.0, 1.0, 1.0]], dtype=np.float32), np.array([[True, True, False]]))
    assert np.isfinite(calibration.negative_log_likelihood())


def test_a_split_without_an_error_has_no_temperature() -> None:
    calibration = Calibration()
    calibration.add(np.array([[0.2, 0.9]], dtype=np.float32), np.array([[False, True]]))
    assert calibration.temperature() == pytest.approx(1 / MAX_TEMPERATURE)


def test_nothing_added_has_no_error() -> None:
    assert Calibration().error() == 0.0
    assert Calibration().reliability() == []


def test_a_threshold_at_a_temperature_takes_the_same_pixels() -> None:
    probability, _ = _sure(1.0)
    cooled = 1 / (1 + np.exp(-(np.log(probability) - np.log1p(-probability)) / 2.5))
    clear = np.abs(probability - 0.388) > 1e-5
    assert np.array_equal(
        (probability >= 0.388)[clear], (cooled >= at_temperature(0.388, 2.5))[clear]
    )
