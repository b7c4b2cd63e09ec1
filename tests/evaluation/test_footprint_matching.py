"""Footprints matched by overlap, drawn so that each case can be checked by eye."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from hanet.errors import SettingsError, ShapeError
from hanet.evaluation.footprint_matching import match_objects
from hanet.evaluation.metrics import Counts
from hanet.types import Mask


def _drawn(*rows: str) -> Mask:
    return np.array([[pixel == "#" for pixel in row] for row in rows], dtype=np.bool_)


NOTHING = _drawn("....", "....")
TWO = _drawn("##..#", "##..#")


def test_equal_masks_match_all() -> None:
    assert match_objects(TWO, TWO) == Counts(tp=2)


def test_nothing_is_missed_and_false_where_a_side_is_empty() -> None:
    assert match_objects(NOTHING, NOTHING) == Counts()
    assert match_objects(NOTHING, _drawn("#..#", "#..#")) == Counts(fn=2)
    assert match_objects(_drawn("#..#", "#..#"), NOTHING) == Counts(fp=2)


def test_exactly_half_is_enough_and_less_is_not() -> None:
    assert match_objects(_drawn("#...."), _drawn("##...")) == Counts(tp=1)  # 1 of 2
    assert match_objects(_drawn("#...."), _drawn("###..")) == Counts(fp=1, fn=1)  # 1 of 3


def test_pixels_that_touch_at_a_corner_are_one_footprint() -> None:
    assert match_objects(_drawn("#.", ".#"), _drawn("..", "..")) == Counts(fp=1)


def test_two_predictions_cannot_both_match_one_building() -> None:
    halves, whole = _drawn("##", "..", "##"), _drawn("##", "##", "##")
    assert match_objects(halves, whole, iou=1 / 3) == Counts(tp=1, fp=1)


def test_a_prediction_over_two_buildings_matches_one_at_most() -> None:
    assert match_objects(_drawn("#####"), _drawn("####.")) == Counts(tp=1)
    assert match_objects(_drawn("#####"), _drawn("##.##")) == Counts(fp=1, fn=2)


def test_small_footprints_can_be_left_out_on_both_sides() -> None:
    prediction, change = _drawn("##...#", "##...."), _drawn("##.#..", "##....")
    assert match_objects(prediction, change) == Counts(tp=1, fp=1, fn=1)
    assert match_objects(prediction, change, min_area_px=2) == Counts(tp=1)
    assert match_objects(prediction, change, min_area_px=5) == Counts()


@pytest.mark.parametrize("iou", [0.1, 0.3, 0.5, 0.7])
def test_matching_is_the_best_of_all_assignments(iou: float) -> None:
    from scipy import ndimage

    random = np.random.default_rng(1)
    eight = np.ones((3, 3))
    for _ in range(60):
        prediction, change = (
            ndimage.zoom(random.random((4, 4)) < 0.35, 2, order=0) for _ in range(2)
        )
        prediction &= random.random((8, 8)) < 0.9
        masks = [
            [labels == k + 1 for k in range(count)]
            for labels, count in (ndimage.label(mask, eight) for mask in (prediction, change))
        ]
        fits = [[(a & b).sum() / (a | b).sum() >= iou for b in masks[1]] for a in masks[0]]
        few, many = (
            (fits, len(masks[1]))
            if len(masks[0]) <= len(masks[1])
            else (list(map(list, zip(*fits, strict=True))), len(masks[0]))
        )
        best = max(
            (
                sum(few[k][j] for k, j in enumerate(order))
                for order in permutations(range(many), len(few))
            ),
            default=0,
        )
        assert match_objects(prediction, change, iou=iou) == Counts(
            tp=best, fp=len(masks[0]) - best, fn=len(masks[1]) - best
        )


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError):
        match_objects(NOTHING, TWO)
    with pytest.raises(SettingsError):
        match_objects(TWO, TWO, iou=0.0)
