"""Paired differences: the values, the interval's coverage, and what is refused. (The verdict of
adaptation tests more of the same.)"""

from __future__ import annotations

import numpy as np
import pytest

from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts
from hanet.evaluation.paired import SCORES, paired_differences


def test_each_difference_is_that_of_pooled_scores() -> None:
    first = [Counts(10, 10, 0, 80), Counts(0, 0, 10, 90)]
    second = [Counts(10, 0, 0, 90), Counts(10, 0, 0, 90)]
    found = paired_differences(first, second)
    pooled = sum(first, Counts()).scores(), sum(second, Counts()).scores()
    for name in SCORES:
        expected = getattr(pooled[1], name) - getattr(pooled[0], name)
        assert found[name].value == pytest.approx(expected)
        assert found[name].low <= found[name].value <= found[name].high


def test_exchanged_sides_give_the_same_with_the_other_sign() -> None:
    generator = np.random.default_rng(1)
    first, second = (
        [Counts(*map(int, row)) for row in generator.integers(1, 50, (20, 4))] for _ in range(2)
    )
    there, back = paired_differences(first, second), paired_differences(second, first)
    assert there["f1"].value == pytest.approx(-back["f1"].value)
    assert there["f1"].low == pytest.approx(-back["f1"].high)


def test_pairing_narrows_the_interval_where_images_differ_more_than_results() -> None:
    """Hard and easy images, and a second result that is a little better on each: told from chance,
    which two intervals apart would not show."""
    generator = np.random.default_rng(2)
    hits = generator.integers(10, 190, 40).tolist()
    first = [Counts(hit, 20, 200 - hit, 1000) for hit in hits]
    second = [Counts(hit + 5, 20, 195 - hit, 1000) for hit in hits]
    assert paired_differences(first, second)["f1"].is_told_from_chance
    spread = np.std([counts.scores().f1 for counts in first])
    assert paired_differences(first, second)["f1"].value < spread


@pytest.mark.parametrize(("first", "second"), [([], []), ([Counts(1)], [])])
def test_other_units_are_refused(first: list[Counts], second: list[Counts]) -> None:
    with pytest.raises(ShapeError):
        paired_differences(first, second)
