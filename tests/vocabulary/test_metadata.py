"""What travels with weights is refused where it cannot be."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from hanet.errors import WeightsError
from hanet.metadata import Metadata

RGB = (0.5, 0.5, 0.5)


def test_text_and_back_is_the_same() -> None:
    metadata = Metadata(
        "a", "hanet", {"width": 8}, threshold=0.4, notes=("one",), extra={"of": "a later version"}
    )
    assert Metadata.from_json(metadata.to_json()) == metadata


@pytest.mark.parametrize(
    "wrong",
    [
        {"std_before": (0.0, 0.5, 0.5)},
        {"std_after": (math.nan, 0.5, 0.5)},  # every probability would be NaN
        {"mean_after": (math.nan, 0.5, 0.5)},
        {"mean_before": (0.5, 0.5)},
        {"temperature": math.inf},
        {"gsd_m": math.nan},
        {"scale": -1.0},
        {"threshold": 1.0},
        {"overlap_px": 512},
    ],
    ids=str,
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WeightsError):
        Metadata("a", "hanet", **wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 9}',
        '{"format": 1}',
        '{"format": 1, "name": "a", "model": "b", "bands": 3}',
        5,
        None,
    ],
    ids=str,
)
def test_text_that_is_none_is_refused(text: Any) -> None:
    with pytest.raises(WeightsError):
        Metadata.from_json(text)


def test_nan_in_a_file_is_refused() -> None:
    values = json.loads(Metadata("a", "hanet", mean_before=RGB).to_json())
    with pytest.raises(WeightsError, match="must be positive"):
        Metadata.from_json(json.dumps({**values, "std_before": [math.nan, 1, 1]}))
