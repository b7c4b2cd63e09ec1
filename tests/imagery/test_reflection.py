"""Reflection against ``numpy.pad``, which does the same to the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.imagery.reflection import cut
from hanet.types import Window


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 1), (5, 4), (2, 2)])
def test_windows_beyond_an_image_are_numpy_s_reflection(size: tuple[int, int]) -> None:
    image = np.arange(2 * size[0] * size[1]).reshape(2, *size)
    around = np.pad(image, ((0, 0), (9, 9), (9, 9)), mode="reflect")
    for window in (
        Window(0, 0, *size),
        Window(0, 0, 8, 8),
        Window(-2, -3, 9, 9),
        Window(size[0] - 1, 0, 4, 1),
    ):
        rows, columns = Window(window.row + 9, window.column + 9, *window.shape).slices
        assert np.array_equal(cut(image, window), around[:, rows, columns])


def test_a_window_inside_is_a_view() -> None:
    image = np.zeros((3, 8, 8), dtype=np.uint8)
    assert np.shares_memory(cut(image, Window(2, 3, 4, 5)), image)
