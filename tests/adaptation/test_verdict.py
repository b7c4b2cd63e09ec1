"""The verdict on a hold-out."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.adaptation.verdict import judged
from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts


def test_the_difference_is_that_of_pooled_scores() -> None:
    before = {"a": Counts(tp=10, fp=10, fn=0, tn=80), "b": Counts(tp=0, fp=0, fn=10, tn=90)}
    after = {"a": Counts(tp=10, fp=0, fn=0, tn=90), "b": Counts(tp=10, fp=0, fn=0, tn=90)}
    verdict = judged(before, after)
    assert verdict.before.f1 == pytest.approx(0.5)
    assert verdict.f1.value == pytest.approx(0.5)
    assert verdict.f1.low <= verdict.f1.value <= verdict.f1.high
    assert not verdict.can_be_told  # two blocks only
    assert not verdict.is_better


def test_the_same_counts_are_no_better() -> None:
    counts = {str(k): Counts(tp=k + 5, fp=k, fn=3, tn=100) for k in range(10)}
    verdict = judged(counts, counts)
    assert (verdict.f1.value, verdict.f1.low, verdict.f1.high) == (0.0, 0.0, 0.0)
    assert verdict.can_be_told
    assert not verdict.is_better


def test_better_in_each_block_is_better() -> None:
    before = {str(k): Counts(tp=50, fp=50 + k, fn=50, tn=100) for k in range(8)}
    after = {str(k): Counts(tp=60, fp=20 + k, fn=40, tn=130) for k in range(8)}
    verdict = judged(before, after)
    assert verdict.is_better
    assert verdict.precision.low > 0


def test_better_in_one_block_alone_is_not_told_from_chance() -> None:
    before = {str(k): Counts(tp=50, fp=10, fn=10, tn=100) for k in range(8)}
    after = {**before, "0": Counts(tp=60, fp=0, fn=0, tn=110)}
    verdict = judged(before, after)
    assert verdict.f1.value > 0
    assert not verdict.is_better  # a third of the draws hold the block not at all


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Blocks drawn from a population in which before and after differ by a known amount."""
    generator = np.random.default_rng(3)
    covered = 0
    trials = 200
    for _ in range(trials):
        before, after = {}, {}
        for k in range(30):
            recall = generator.beta(6, 4)
            found = generator.binomial(200, recall)
            more = generator.binomial(200 - found, 0.25)
            before[str(k)] = Counts(tp=found, fp=50, fn=200 - found, tn=1000)
            after[str(k)] = Counts(tp=found + more, fp=50, fn=200 - found - more, tn=1000)
        verdict = judged(before, after)
        truth = 0.4 * 0.25  # of recall
        covered += verdict.recall.low <= truth <= verdict.recall.high
    assert 0.88 <= covered / trials <= 1.0


def test_other_blocks_are_refused() -> None:
    with pytest.raises(ShapeError):
        judged({"a": Counts()}, {"b": Counts()})
