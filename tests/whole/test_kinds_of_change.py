"""How the kinds of footprints are scored: only true changes count, each by its own kind."""

from __future__ import annotations

import numpy as np
import pytest

from kinds_of_change import Footprint, footprints_of, summary


def test_each_true_change_is_scored_by_its_kind_and_false_alarms_are_not() -> None:
    probability, built = np.zeros((60, 60), np.float32), np.full((60, 60), np.nan, np.float32)
    change, is_built = np.zeros((60, 60), np.uint8), np.zeros((60, 60), bool)
    places = {
        "built": (np.s_[0:10, 0:10], 0.9),
        "demolished": (np.s_[0:10, 20:30], 0.8),  # said to be built: wrong
        "false alarm": (np.s_[20:30, 0:10], 0.9),
        "small": (np.s_[40:43, 0:5], 0.9),
    }
    for name, (place, share) in places.items():
        probability[place], built[place] = 1.0, share
        change[place] = name != "false alarm"
        is_built[place] = name == "built"
    found = list(footprints_of(probability, built, change, is_built, 0.5))
    assert [one.is_built for one in found] == [True, False]
    assert [one.share for one in found] == pytest.approx([0.9, 0.2], abs=1e-5)


def test_a_level_divides_right_wrong_and_unclear() -> None:
    found = [Footprint(share, is_built=True) for share in (0.95, 0.75, 0.5, 0.2)]
    levels = summary(found)["levels"]
    assert levels["0.7"] == {
        "right": 2, "wrong": 1, "unclear": 1, "accuracy": 0.5, "accuracy_of_clear": 0.6667,
    }  # fmt: skip
    assert (levels["0.5"]["right"], levels["0.5"]["wrong"], levels["0.5"]["unclear"]) == (3, 1, 0)
    assert summary(found)["by_kind"]["built"] == {"footprints": 4, "right": 2, "wrong": 1}
