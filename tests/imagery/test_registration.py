"""A shift is found within half a pixel where there is one, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.imagery.registration import (
    LARGEST_SHIFT_PX,
    MIN_WINDOWS,
    Shift,
    common_shift,
    correlation_surface,
    peak_of,
)
from hanet.synthetic.scene import Scene
from hanet.types import FloatArray, Window

FACTOR = 2
"""The renderer draws this much finer, so that half a pixel can be planted exactly."""


def _view(scene: Scene, date: int, *, rows: float, columns: float, side: int) -> FloatArray:
    """A grey view of a scene whose content lies lower and further right by rows and columns."""
    top, left = (int((LARGEST_SHIFT_PX - by) * FACTOR) for by in (rows, columns))
    fine = scene.render(Window(top, left, side * FACTOR, side * FACTOR))[date].mean(axis=0)
    return fine.reshape(side, FACTOR, side, FACTOR).mean(axis=(1, 3)).astype(np.float32)


def _surfaces(before: FloatArray, after: FloatArray) -> list[FloatArray]:
    starts = (0, 128, 256)
    return [
        correlation_surface(
            before[row : row + 256, column : column + 256],
            after[row : row + 256, column : column + 256],
        )
        for row in starts
        for column in starts
    ]


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0.5, -0.5), (3, -5), (-20, 12), (31, 0)])
def test_a_planted_shift_between_two_dates_is_found(rows: float, columns: float) -> None:
    scene = Scene(5, gsd_m=0.25)
    before = _view(scene, 0, rows=0, columns=0, side=512)
    after = _view(scene, 1, rows=rows, columns=columns, side=512)
    unmoved = common_shift(_surfaces(before, _view(scene, 1, rows=0, columns=0, side=512)))
    found = common_shift(_surfaces(before, after))
    error = (
        found.rows_px - unmoved.rows_px - rows,
        found.columns_px - unmoved.columns_px - columns,
    )
    assert np.hypot(*error) < 0.5
    assert found.confidence >= 0.5
    assert unmoved.length_px < 1.5  # the renderer itself moves the after image by a little


def test_between_images_of_noise_there_is_no_shift() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        before, after = random.normal(size=(2, 512, 512)).astype(np.float32)
        assert common_shift(_surfaces(before, after)) == Shift(0.0, 0.0, 0.0, 9)


def test_a_few_windows_are_no_witness() -> None:
    image = np.random.default_rng(1).normal(size=(256, 256)).astype(np.float32)
    surface = correlation_surface(image, np.roll(image, 5, axis=0))
    assert peak_of(surface)[:2] == pytest.approx((5, 0), abs=0.2)
    assert common_shift([surface] * (MIN_WINDOWS - 1)).confidence == 0.0
    assert common_shift([surface] * MIN_WINDOWS).rows_px == pytest.approx(5, abs=0.2)


def test_groups_that_disagree_lower_the_confidence() -> None:
    """A tall roof in one corner leans; the ground stands still."""
    image = np.random.default_rng(2).normal(size=(256, 256)).astype(np.float32)
    still, leaning = (correlation_surface(image, np.roll(image, by, axis=1)) for by in (0, 7))
    found = common_shift([leaning, still, still, still, still, still] * 2)
    assert (found.rows_px, found.columns_px) == pytest.approx((0, 0), abs=0.2)
    assert found.confidence == pytest.approx(5 / 6)


def test_a_flat_surface_has_no_peak() -> None:
    flat = np.zeros((256, 256), dtype=np.float32)
    assert common_shift([correlation_surface(flat, flat)] * MIN_WINDOWS).confidence == 0.0
