"""A result without footprints says why, where an option shows more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanet.footprints.extraction import extract_footprints
from hanet.footprints.false_alarms import FootprintFilter
from hanet.footprints.settings import FootprintSettings
from hanet.types import FloatArray
from small_rasters import write


def raster(path: Path, peak: float, *, has_crs: bool = True) -> Path:
    """64 pixels of half a metre, 16 m², of one probability on ground of 0.01."""
    values: FloatArray = np.full((1, 32, 32), 0.01 + 0 * peak, dtype=np.float32)
    values[0, 8:16, 8:16] = peak
    return write(path, values) if has_crs else write(path, values, crs=None)


@pytest.mark.parametrize(
    ("peak", "chosen", "said"),
    [
        (0.9, {}, ""),  # one footprint
        (
            0.9,
            {"min_area_m2": 1e7},
            "of 1 changed places has 16 m², less than --min-area-m2 10000000;",
        ),
        (0.9, {"min_area_m2": 20.0}, "--min-area-m2 20; a smaller one shows more"),
        (0.4, {}, "16 m² reach half of the threshold, 0.5, and nothing large enough reaches it"),
        (0.4, {"threshold": 0.7}, "--threshold 0.35 shows more"),
        (0.2, {}, ""),  # nothing near
        (np.nan, {}, "no pixel of the probability raster is valid"),
        (0.4, {"min_area_m2": 1e7}, ""),  # lower, it would be too small
    ],
)
def test_why_there_are_no_footprints(
    peak: float, chosen: dict[str, float], said: str, tmp_path: Path
) -> None:
    found = extract_footprints(
        raster(tmp_path / "p.tif", peak), tmp_path / "out", settings=FootprintSettings(**chosen)
    )
    assert (found.count > 0) == (peak == 0.9 and not chosen)
    assert said in found.why_nothing
    assert bool(found.why_nothing) == bool(said)


def test_pixels_without_metres_are_counted_in_pixels(tmp_path: Path) -> None:
    found = extract_footprints(
        raster(tmp_path / "p.tif", 0.9, has_crs=False),
        tmp_path / "out",
        settings=FootprintSettings(min_area_m2=100.0),
    )
    assert "has 64 square pixels, less than --min-area-m2 100" in found.why_nothing


def test_what_a_filter_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FootprintFilter, "keeps", lambda _, found, __: np.zeros(len(found), dtype=np.bool_)
    )
    keeping = FootprintFilter.__new__(FootprintFilter)
    found = extract_footprints(
        raster(tmp_path / "p.tif", 0.9),
        tmp_path / "out",
        settings=FootprintSettings(footprint_filter=keeping),
    )
    assert found.count == 0
    assert "left out (1); --no-footprint-filter keeps it" in found.why_nothing
