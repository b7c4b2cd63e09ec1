"""Values of two dates on one footing, on arrays of a few values."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.imagery.radiometry import Scaling, estimate_scaling, match_histogram


def test_a_given_scaling_of_0_to_255_cuts_like_any_other() -> None:
    """Values of 16 bit stayed as they were, since 8-bit ones do."""
    values = np.array([-5.0, 0.0, 100.0, 255.0, 4095.0], dtype=np.float32).reshape(1, 1, 5)
    given = Scaling((0.0,), (255.0,), "given")
    assert given.apply(values).ravel().tolist() == [0.0, 0.0, 100.0, 255.0, 255.0]
    assert (
        Scaling.eight_bit(1).apply(values) is values
    )  # never asked of others: no pass over the pixels
    assert Scaling((0.0,), (510.0,), "given").apply(values).ravel().tolist() == [
        0.0,
        0.0,
        50.0,
        127.5,
        255.0,
    ]


def test_a_histogram_match_keeps_the_mean_where_many_values_became_one() -> None:
    """The lowest of the before image's values was taken for all: results came out too dark."""
    before = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    valid = np.ones((16, 16), dtype=np.bool_)
    for after in (before // 4, np.minimum(before, 128.0), np.full_like(before, 7.0)):
        matched = match_histogram(before, after, valid=valid).apply(after)
        assert abs(matched.mean() - before.mean()) < 0.5
    same = match_histogram(before, before, valid=valid).apply(before)
    assert np.abs(same - before).max() < 1.0


@pytest.mark.parametrize(
    "ends", [(-3.4e38, 3.4e38), (1e30, 1e30), (0.0, 1e-40), (-3.4e38, 0.0), (3.4e38, 3.4e38)]
)
def test_values_at_the_end_of_single_precision_stay_numbers(ends: tuple[float, float]) -> None:
    """They overflowed, which numpy told the terminal; warnings are errors here."""
    values = np.linspace(*ends, 64).astype(np.float32).reshape(1, 8, 8)
    valid = np.ones((8, 8), dtype=np.bool_)
    rule = estimate_scaling(values, values, valid_before=valid, valid_after=valid)
    scaled = rule.apply(values)
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    assert scaled.min() >= 0
    assert scaled.max() <= 255
