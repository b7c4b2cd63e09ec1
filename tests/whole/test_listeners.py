"""What a function has to say reaches its caller."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import hanet
from hanet.errors import HanetWarning
from hanet.listeners import listeners


def test_a_caller_who_gives_no_function_hears_warnings_at_the_own_line() -> None:
    with pytest.warns(HanetWarning, match="^careful$") as caught:
        listeners(None, None)[1]("careful")
    assert caught[0].filename == __file__


def test_a_caller_who_hears_notes_hears_warnings_there() -> None:
    heard: list[str] = []
    note, warn = listeners(heard.append, None)
    note("so it is")
    warn("careful")
    assert heard == ["so it is", "careful"]


def test_notes_that_nobody_asked_for_are_not_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        listeners(None, None)[0]("so it is")


def test_a_detection_from_python_warns_of_what_hurts_its_result(tmp_path: Path) -> None:
    from difference_weights import write_difference_weights

    weights = write_difference_weights(tmp_path / "difference.onnx")
    grey = np.full((3, 64, 64), 90, dtype=np.uint8)
    same = hanet.Raster(grey, crs="EPSG:32614", transform=(0.5, 0, 6e5, 0, -0.5, 33e5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hanet.detect(same, same, weights=weights, report=False)
    said = [one for one in caught if issubclass(one.category, HanetWarning)]
    assert any("the very same pixels" in str(one.message) for one in said)
    assert {one.filename for one in said} == {__file__}
