"""Windows as people write them, against numpy's own slicing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rasterio.windows import Window as RasterioWindow

from hanet.errors import SettingsError
from hanet.imagery.pixel_windows import window_of
from hanet.types import Window

PIXELS = np.arange(70).reshape(7, 10)


@pytest.mark.parametrize(
    "given",
    [np.s_[2:5, 3:9], np.s_[:, :], np.s_[-3:, :-2], np.s_[5:100, 0:1], np.s_[np.int64(1) : 4, 2:3]],
)
def test_slices_mean_what_they_mean_in_numpy(given: Any) -> None:
    window = window_of(given, height=7, width=10)
    assert (PIXELS[window.slices] == PIXELS[given]).all()
    assert window.shape == PIXELS[given].shape


def test_windows_of_ours_and_of_rasterio_are_taken_as_they_are() -> None:
    beyond = Window(-2, 3, 20, 4)
    assert window_of(beyond, height=7, width=10) is beyond
    of_rasterio = RasterioWindow(col_off=3, row_off=-2, width=4.0, height=20)
    assert window_of(of_rasterio, height=7, width=10) == beyond


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.s_[5:2, :], "no pixel"),
        (np.s_[::2, :], "steps of 2"),
        (np.s_[0.5:2, :], "no pixels"),
        (np.s_[1, 2], "no window"),
        ((0, 0, 5, 5), "no window"),
        (RasterioWindow(0.5, 0, 4, 4), "cuts through"),
    ],
)
def test_what_is_no_window_is_refused(given: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        window_of(given, height=7, width=10)
