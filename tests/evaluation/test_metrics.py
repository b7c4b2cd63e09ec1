"""Scores against scikit-learn, and on counts small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts, bootstrap_f1


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


def test_scores_by_hand() -> None:
    scores = Counts(tp=6, fp=2, fn=4, tn=8).scores()
    assert (scores.precision, scores.recall, scores.iou, scores.oa) == (
        6 / 8,
        6 / 10,
        6 / 12,
        14 / 20,
    )
    assert scores.f1 == 12 / 18
    assert scores.miou == (6 / 12 + 8 / 14) / 2
    assert scores.kappa == pytest.approx(
        (0.7 - 0.5) / (1 - 0.5)
    )  # by chance: 8/20 * 10/20 + 12/20 * 10/20


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(), (0, 0, 0, 0, 0, 0, 0)),
        (Counts(tn=9), (0, 0, 0, 0, 1, 0, 0.5)),  # nothing changed, nothing predicted
        (Counts(tp=9), (1, 1, 1, 1, 1, 0, 0.5)),
        (Counts(fn=3, tn=6), (0, 0, 0, 0, 6 / 9, 0, 1 / 3)),  # nothing predicted
        (Counts(fp=3, tn=6), (0, 0, 0, 0, 6 / 9, 0, 1 / 3)),  # nothing changed
    ],
    ids=str,
)
def test_zero_denominators_give_zero(counts: Counts, expected: tuple[float, ...]) -> None:
    scores = counts.scores()
    assert (
        scores.precision,
        scores.recall,
        scores.f1,
        scores.iou,
        scores.oa,
        scores.kappa,
        scores.miou,
    ) == expected


def test_scores_of_a_country_do_not_overflow() -> None:
    one, many = (
        Counts(tp=6, fp=2, fn=4, tn=8),
        Counts(tp=6 * 10**15, fp=2 * 10**15, fn=4 * 10**15, tn=8 * 10**15),
    )
    assert many.scores() == one.scores()


def test_counts_take_one_shape() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 2\), the label \(1, 4\)"):
        Counts.of(np.ones((2, 2), dtype=np.bool_), np.ones((1, 4), dtype=np.bool_))


def test_counts_of_parts_add_up_to_counts_of_the_whole() -> None:
    random = np.random.default_rng(1)
    change, prediction = random.random((8, 8)) < 0.5, random.random((8, 8)) < 0.5
    assert Counts.of(prediction[:3], change[:3]) + Counts.of(
        prediction[3:], change[3:]
    ) == Counts.of(prediction, change)


def test_the_interval_holds_the_score() -> None:
    images = [Counts(tp=n, fp=3, fn=2, tn=50) for n in range(20)]
    low, high = bootstrap_f1(images, generator=np.random.default_rng(0))
    assert low < sum(images, Counts()).scores().f1 < high


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    random = np.random.default_rng(5)
    images = [Counts(*random.integers(0, 60, 4).tolist()) for _ in range(12)]
    plain = [
        sum((images[k] for k in random.integers(0, 12, 12)), Counts()).scores().f1
        for _ in range(4000)
    ]
    found = bootstrap_f1(images, generator=random, samples=4000)
    assert found == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.01)


def test_equal_images_leave_no_interval() -> None:
    low, high = bootstrap_f1([Counts(tp=2, fp=1, fn=1)] * 5, generator=np.random.default_rng(0))
    assert low == high == Counts(tp=2, fp=1, fn=1).scores().f1


def test_a_split_without_change_has_the_interval_0_to_0() -> None:
    assert bootstrap_f1([Counts(tn=4)] * 3, generator=np.random.default_rng(0)) == (0.0, 0.0)
    with pytest.raises(ShapeError, match="at least one image"):
        bootstrap_f1([], generator=np.random.default_rng(0))
